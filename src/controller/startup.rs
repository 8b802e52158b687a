//! What has to be known before the first round: three complete lists.

use tokio::sync::watch;

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `ConfigMapSyncs`: listed first, since they tell which `ConfigMaps` matter.
    Syncs,
    /// `ConfigMaps`.
    ConfigMaps,
    /// Namespaces.
    Namespaces,
}

/// Which lists are complete in this term.
#[derive(Debug)]
pub struct Startup {
    listed: watch::Sender<[bool; 3]>,
}

// === impl Part ===

impl Part {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Syncs, Self::ConfigMaps, Self::Namespaces];

    /// The part of health that tells whether this watch works.
    #[must_use]
    pub const fn health_part(self) -> &'static str {
        match self {
            Self::Syncs => "watch of configmapsyncs",
            Self::ConfigMaps => "watch of configmaps",
            Self::Namespaces => "watch of namespaces",
        }
    }
}

// === impl Startup ===

impl Default for Startup {
    fn default() -> Self {
        Self { listed: watch::Sender::new([false; 3]) }
    }
}

impl Startup {
    /// The list of `part` is complete. Whether that was the last one missing.
    pub fn listed(&self, part: Part) -> bool {
        let before = self.is_complete();
        self.listed.send_modify(|listed| listed[part as usize] = true);
        !before && self.is_complete()
    }

    /// Whether all lists are complete.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.listed.borrow().iter().all(|listed| *listed)
    }

    /// Waits until all lists are complete.
    pub async fn wait_until_complete(&self) {
        let mut listed = self.listed.subscribe();
        // The sender lives as long as `self`, so this cannot fail.
        let _ = listed.wait_for(|listed| listed.iter().all(|listed| *listed)).await;
    }

    /// Whether the list of `part` is complete.
    #[must_use]
    pub fn is_listed(&self, part: Part) -> bool {
        self.listed.borrow()[part as usize]
    }

    /// Waits until the list of `part` is complete.
    pub async fn wait_for(&self, part: Part) {
        let mut listed = self.listed.subscribe();
        // The sender lives as long as `self`, so this cannot fail.
        let _ = listed.wait_for(|listed| listed[part as usize]).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_complete_with_the_last_list_and_says_so_once() {
        let startup = Startup::default();
        assert!(!startup.listed(Part::Syncs));
        assert!(!startup.listed(Part::ConfigMaps));
        assert!(startup.listed(Part::Namespaces));
        assert!(!startup.listed(Part::Namespaces), "a later list is no news");
    }
}
