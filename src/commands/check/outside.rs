//! Do ConfigMapSyncs wait for an operator that does not see them?

use kube::Client;

use crate::api::ConfigMapSync;
use crate::api::metadata::Metadata;
use crate::api::metadata::MetadataOnly;
use crate::api::scope::Scope;
use crate::commands::check::finding::Finding;
use crate::commands::check::finding::FindingState;
use crate::commands::check::finding::Question;
use crate::kubernetes::error::has_code;
use crate::kubernetes::lists::List;
use crate::kubernetes::pages::each_object;
use crate::names;

const SUBJECT: &str = "ConfigMapSyncs outside the scope";
/// How many namespaces are named.
const MAX_NAMES: usize = 5;

/// Finds the syncs outside `scope` that have the finalizer of the operator: it will not remove that.
pub async fn outside(client: &Client, scope: &Scope) -> Vec<Finding> {
    if *scope == Scope::Cluster {
        return Vec::new();
    }
    let finding = match namespaces(client, scope).await {
        Ok(namespaces) => summarize(&namespaces),
        Err(error) => Finding::unknown(Question::Installed, SUBJECT, &error),
    };
    vec![finding]
}

/// The namespace of each of these syncs, sorted.
async fn namespaces(client: &Client, scope: &Scope) -> kube::Result<Vec<String>> {
    let list = List::metadata::<ConfigMapSync>(None);
    let mut namespaces = Vec::new();
    let listed = each_object(client, &list, |sync: MetadataOnly| {
        let left = Some(sync.metadata).filter(|sync| is_left(sync, scope));
        namespaces.extend(left.and_then(|sync| sync.namespace));
    });
    match listed.await {
        // The kind is not installed, which is a separate finding.
        Err(error) if has_code(&error, 404) => {}
        listed => listed?,
    }
    namespaces.sort();
    Ok(namespaces)
}

fn is_left(sync: &Metadata, scope: &Scope) -> bool {
    let is_outside = sync.namespace.as_ref().is_some_and(|it| !scope.contains(it));
    is_outside && sync.finalizers.iter().flatten().any(|it| it == names::FINALIZER)
}

fn summarize(namespaces: &[String]) -> Finding {
    let finding =
        |state, message: String| Finding::new(Question::Installed, SUBJECT, state, message);
    if namespaces.is_empty() {
        return finding(FindingState::Ok, "none has the operator's finalizer".to_owned());
    }
    let mut named = namespaces.to_vec();
    named.dedup();
    let more = if named.len() > MAX_NAMES { ", ..." } else { "" };
    let listed = named.iter().take(MAX_NAMES).cloned().collect::<Vec<_>>();
    finding(
        FindingState::Wrong,
        format!(
            "{} have the operator's finalizer, which it does not remove there, so that their \
             deletion waits: run `configmapsync uninstall --namespaces {}{more}`, or add the \
             namespaces to the chart value scope.namespaces",
            namespaces.len(),
            listed.join(","),
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_are_named_once() {
        assert_eq!(summarize(&[]).state, FindingState::Ok);
        let finding = summarize(&["a", "a", "b"].map(str::to_owned));
        assert_eq!(finding.state, FindingState::Wrong);
        assert!(finding.message.starts_with("3 have"), "{}", finding.message);
        assert!(finding.message.contains("--namespaces a,b`"), "{}", finding.message);
    }
}
