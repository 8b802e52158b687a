//! Startup: the three lists that must be complete before the first reconcile.

use strum::VariantArray as _;
use tokio::sync::watch;

/// A watched kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
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

const PARTS: usize = Part::VARIANTS.len();

/// Which lists are complete in this term.
#[derive(Debug)]
pub struct Startup {
    listed: watch::Sender<[bool; PARTS]>,
}

// === impl Part ===

impl Part {
    /// The name of this watch in `/readyz` and `/livez`.
    pub fn health_part(self) -> &'static str {
        self.into()
    }

    /// The plural name of the kind.
    pub fn resource(self) -> &'static str {
        self.health_part().trim_start_matches("watch of ")
    }
}

// === impl Startup ===

impl Default for Startup {
    fn default() -> Self {
        Self { listed: watch::Sender::new([false; PARTS]) }
    }
}

impl Startup {
    /// Records that the list of `part` is complete. Returns whether it was the last one missing.
    pub fn listed(&self, part: Part) -> bool {
        let before = self.is_complete();
        self.listed.send_modify(|listed| listed[part as usize] = true);
        !before && self.is_complete()
    }

    /// Whether all lists are complete.
    pub fn is_complete(&self) -> bool {
        self.listed.borrow().iter().all(|listed| *listed)
    }

    /// Waits until all lists are complete.
    pub async fn wait_until_complete(&self) {
        let mut listed = self.listed.subscribe();
        // Fails only without a sender, which lives as long as `self`.
        let _ = listed.wait_for(|listed| listed.iter().all(|listed| *listed)).await;
    }

    /// Waits until the list of `part` is complete.
    pub async fn wait_for(&self, part: Part) {
        let mut listed = self.listed.subscribe();
        // Fails only without a sender, which lives as long as `self`.
        let _ = listed.wait_for(|listed| listed[part as usize]).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn startup_completes_once_with_the_last_list() {
        let startup = Startup::default();
        assert!(!startup.listed(Part::Syncs));
        assert!(!startup.listed(Part::ConfigMaps));
        assert!(startup.listed(Part::Namespaces));
        assert!(!startup.listed(Part::Namespaces), "a later list completes nothing");
    }
}
