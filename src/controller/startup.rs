//! Startup: the lists that must be complete before the first reconcile.

use std::collections::BTreeSet;

use strum::VariantArray as _;
use tokio::sync::watch;

use crate::api::scope::Scope;

/// A stream kind.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr, strum::VariantArray,
)]
pub enum Part {
    /// `ConfigMapSyncs`. Listed first: they determine which `ConfigMaps` are relevant.
    #[strum(serialize = "watch of configmapsyncs")]
    Syncs,
    /// `ConfigMaps`.
    #[strum(serialize = "watch of configmaps")]
    ConfigMaps,
    /// Namespaces.
    #[strum(serialize = "watch of namespaces")]
    Namespaces,
}

/// One watch: of a kind, in the whole cluster or in one namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stream {
    pub part: Part,
    pub namespace: Option<String>,
}

/// Which lists are not complete yet in this term.
#[derive(Debug)]
pub struct Startup {
    missing: watch::Sender<BTreeSet<Stream>>,
}

// === impl Stream ===

impl Stream {
    /// The watches of an operator with this scope.
    pub fn all(scope: &Scope) -> Vec<Self> {
        let namespaces = |part: Part| match part {
            Part::Syncs | Part::ConfigMaps => scope.parts(),
            Part::Namespaces => vec![None],
        };
        let watches = Part::VARIANTS.iter().flat_map(|part| {
            let stream = |it: Option<&str>| Self { part: *part, namespace: it.map(str::to_owned) };
            namespaces(*part).into_iter().map(stream)
        });
        watches.collect()
    }

    /// The name of this watch in `/readyz` and `/livez`.
    pub fn health_part(&self) -> String {
        let part: &str = self.part.into();
        match &self.namespace {
            None => part.to_owned(),
            Some(namespace) => format!("{part} in namespace {namespace}"),
        }
    }

    /// The plural name of the kind.
    pub fn resource(&self) -> &'static str {
        <&str>::from(self.part).trim_start_matches("watch of ")
    }
}

// === impl Startup ===

impl Startup {
    /// Nothing is listed yet.
    pub fn new(scope: &Scope) -> Self {
        Self { missing: watch::Sender::new(Stream::all(scope).into_iter().collect()) }
    }

    /// Records that a list is complete. Returns whether it was the last one missing.
    pub fn listed(&self, stream: &Stream) -> bool {
        let before = self.is_complete();
        self.missing.send_if_modified(|missing| missing.remove(stream));
        !before && self.is_complete()
    }

    /// Whether all lists are complete.
    pub fn is_complete(&self) -> bool {
        self.missing.borrow().is_empty()
    }

    /// Waits until all lists are complete.
    pub async fn wait_until_complete(&self) {
        let mut missing = self.missing.subscribe();
        // Fails only without a sender, which lives as long as `self`.
        let _ = missing.wait_for(BTreeSet::is_empty).await;
    }

    /// Waits until all lists of `part` are complete.
    pub async fn wait_for(&self, part: Part) {
        let mut missing = self.missing.subscribe();
        // Fails only without a sender, which lives as long as `self`.
        let _ = missing.wait_for(|missing| missing.iter().all(|it| it.part != part)).await;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn startup_completes_once_with_the_last_list() {
        for scope in [Scope::Cluster, Scope::of(&["a".to_owned(), "b".to_owned()], "own")] {
            let startup = Startup::new(&scope);
            let watches = Stream::all(&scope);
            let (last, others) = watches.split_last().unwrap();
            assert!(others.iter().all(|stream| !startup.listed(stream)), "{scope:?}");
            assert!(startup.listed(last));
            assert!(!startup.listed(last), "a later list completes nothing");
        }
    }

    #[test]
    fn a_kind_is_listed_with_its_last_namespace() {
        let scope = Scope::of(&["a".to_owned()], "own");
        let startup = Startup::new(&scope);
        let watches = Stream::all(&scope);
        let syncs: Vec<_> = watches.iter().filter(|it| it.part == Part::Syncs).collect();
        assert_eq!(syncs.len(), 2);
        for stream in syncs {
            assert!(startup.wait_for(Part::Syncs).now_or_never().is_none());
            startup.listed(stream);
        }
        assert!(startup.wait_for(Part::Syncs).now_or_never().is_some());
        let names: Vec<_> = watches.iter().map(Stream::health_part).collect();
        assert!(names.contains(&"watch of configmaps in namespace a".to_owned()), "{names:?}");
        assert!(names.contains(&"watch of namespaces".to_owned()), "{names:?}");
    }
}
