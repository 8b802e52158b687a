//! `configmapsync uninstall`: stops the operator, and removes what it leaves in the cluster.

mod named;

use std::fmt::Write as _;
use std::time::Duration;
use std::time::Instant;

use tokio::time::timeout_at;

use crate::api::namespaced_name::NamespacedName;
use crate::api::scope::Scope;
use crate::args::Uninstall;
use crate::commands::connection::connect;
use crate::commands::error::Error;
use crate::commands::exit::Exit;
use crate::commands::table::printable;
use crate::commands::terminal::exit_unless_confirmed;
use crate::commands::terminal::print;
use crate::commands::uninstall::named::ensure_meant;
use crate::decide::uninstall::CopyHandling;
use crate::uninstall::Counts;
use crate::uninstall::DeploymentScale;
use crate::uninstall::Left;
use crate::uninstall::LeftObject;
use crate::uninstall::Undone;
use crate::uninstall::count;
use crate::uninstall::read_scale;
use crate::uninstall::stop;
use crate::uninstall::undo;

/// Asks for confirmation, stops the operator, and undoes what it has done.
///
/// # Errors
/// A namespace that is named cannot be meant, a call fails, something is left, or the timeout has passed.
/// The message says how to continue, and how to revert.
pub async fn uninstall(flags: &Uninstall) -> Result<Exit, Error> {
    let (client, _) = connect(&flags.cluster).await?;
    let deployment = NamespacedName::new(&flags.namespace, &flags.deployment);
    let handling = if flags.delete_copies { CopyHandling::Delete } else { CopyHandling::Keep };
    let scale = read_scale(&client, &deployment).await?;
    if let Some(found) = scale.deployment.as_ref().filter(|_| scale.replicas > 0) {
        ensure_meant(&client, &flags.namespaces, found, &flags.namespace, handling).await?;
    }
    let scope = Scope::only(&flags.namespaces);
    let counts = count(&client, &scope, handling).await?;
    let is_done = scale.replicas == 0 && counts.writes() == 0;
    if !flags.yes && !is_done {
        print(&intent(&deployment, &scale, counts, &scope))?;
        if let Some(exit) = exit_unless_confirmed("Continue?")? {
            return Ok(exit);
        }
    }
    // Progress is best effort: a closed standard output must not stop the uninstallation.
    let progress = |line: &str| drop(print(&(printable(line) + "\n")));
    let deadline = Instant::now() + flags.timeout;
    let work = async {
        stop(&client, &deployment, &scale, deadline, &progress).await?;
        undo(&client, &deployment, (&scope, handling), deadline, &progress).await
    };
    let why = match timeout_at(deadline.into(), work).await {
        Ok(Ok(Undone { counts, left, .. })) if left.is_empty() => {
            print(&summary(counts))?;
            return Ok(Exit::Success);
        }
        Ok(Ok(Undone { counts, left, is_timed_out })) => {
            print(&summary(counts))?;
            print(&list(&left))?;
            why_left(&left, is_timed_out.then_some(flags.timeout))
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => timed_out_after(flags.timeout),
    };
    Err(Error::Uninstall { why: printable(&why), revert: how_to_revert(&deployment, &scale) })
}

fn intent(
    deployment: &NamespacedName,
    scale: &DeploymentScale,
    counts: Counts,
    scope: &Scope,
) -> String {
    let Counts { kept, deleted, released, finalizers_removed, .. } = counts;
    let DeploymentScale { replicas, .. } = scale;
    let bindings = if scope.contains(&deployment.namespace) { "deleted" } else { "kept" };
    format!(
        "Deployment {deployment} is scaled from {replicas} replicas to 0.\n\
         Of the copies, {kept} are kept without the marker that requests their deletion, \
         {deleted} are deleted, {released} are released.\n\
         Our finalizer is removed from {finalizers_removed} ConfigMapSyncs, which are kept.\n\
         The bindings of the operator are {bindings}.\n"
    )
}

fn summary(counts: Counts) -> String {
    if counts.writes() == 0 {
        return "There is nothing left to undo.\n".to_owned();
    }
    let Counts { kept, deleted, released, finalizers_removed, bindings_deleted } = counts;
    format!(
        "Done: {kept} copies kept, {deleted} deleted, {released} released; our finalizer removed \
         from {finalizers_removed} ConfigMapSyncs; {bindings_deleted} bindings deleted.\n"
    )
}

/// What is left, with a command below each object.
fn list(left: &Left) -> String {
    let mut text = "What is left, each with the command that finishes it:\n".to_owned();
    for LeftObject { object, why, command } in &left.first {
        let why = printable(&format!("{object}: {why}"));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{why}\n  {}", printable(command));
    }
    match left.objects() - left.first.len() {
        0 => text,
        more => format!("{text}and {more} more\n"),
    }
}

fn why_left(left: &Left, timed_out: Option<Duration>) -> String {
    let listed = format!("{} are left: see the list and its commands", left.summary());
    match timed_out {
        None => listed,
        Some(timeout) => format!("{}; {listed}", timed_out_after(timeout)),
    }
}

fn timed_out_after(timeout: Duration) -> String {
    format!("timed out after {timeout:?}: set a longer --timeout")
}

fn how_to_revert(deployment: &NamespacedName, scale: &DeploymentScale) -> String {
    let NamespacedName { namespace, name } = deployment;
    let replicas = match scale.replicas {
        0 => "N".to_owned(),
        replicas => replicas.to_string(),
    };
    format!(
        "start the operator again with `kubectl --namespace {namespace} scale deployment {name} \
         --replicas={replicas}`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_says_what_was_done_or_that_nothing_was_left() {
        assert!(summary(Counts::default()).contains("nothing left to undo"));
        let counts = Counts { kept: 2, finalizers_removed: 1, ..Counts::default() };
        assert!(summary(counts).contains("2 copies kept"));
    }

    #[test]
    fn each_object_that_is_left_has_a_command() {
        let object = |number: usize| LeftObject {
            object: format!("ConfigMap app/copy-{number}"),
            why: "refused\u{1b}".to_owned(),
            command: format!("kubectl {number}"),
        };
        let left = Left { first: vec![object(1), object(2)], copies: 5, ..Left::default() };
        let expected = "What is left, each with the command that finishes it:\n\
                        ConfigMap app/copy-1: refused\u{fffd}\n  kubectl 1\n\
                        ConfigMap app/copy-2: refused\u{fffd}\n  kubectl 2\n\
                        and 3 more\n";
        assert_eq!(list(&left), expected);
        assert!(why_left(&left, None).starts_with("5 ConfigMaps are left"));
    }
}
