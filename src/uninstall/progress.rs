//! What has been undone so far.

use crate::decide::Action;

/// Receives a line for each step of an uninstallation.
pub type Progress<'a> = &'a dyn Fn(&str);

/// How many objects were changed, or remain to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Copies that lose the marker that requests their deletion.
    pub kept: usize,
    /// Copies that are deleted.
    pub deleted: usize,
    /// Copies that lose all ownership markers.
    pub released: usize,
    /// Syncs that lose our finalizer.
    pub finalizers_removed: usize,
    /// `ClusterRoleBindings` and `RoleBindings` that are deleted.
    pub bindings_deleted: usize,
}

// === impl Counts ===

impl Counts {
    /// The number of writes.
    #[must_use]
    pub const fn writes(&self) -> usize {
        let of_copies = self.kept + self.deleted + self.released;
        of_copies + self.finalizers_removed + self.bindings_deleted
    }

    /// Counts an action on a copy.
    pub fn add(&mut self, action: &Action) {
        match action {
            Action::Restamp { .. } => self.kept += 1,
            Action::Delete { .. } => self.deleted += 1,
            Action::Release { .. } => self.released += 1,
            _ => {}
        }
    }
}
