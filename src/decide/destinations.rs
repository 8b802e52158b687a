//! The destinations of a spec: one namespace, or every namespace whose labels match a selector.

use std::collections::BTreeSet;

use kube::core::Selector;

use crate::api::ConfigMapSyncSpec;
use crate::api::namespaced_name::NamespacedName;
use crate::decide::observed::NamespaceState;
use crate::decide::validity;

/// The part of a spec that determines the destinations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One destination.
    Single(NamespacedName),
    /// One destination in every namespace that the selector matches.
    Selected {
        /// The selector of namespaces.
        selector: Selector,
        /// Name of the copies.
        name: String,
    },
}

// === impl Target ===

impl Target {
    /// Extracts the target from `spec`.
    ///
    /// # Errors
    /// The spec is invalid; the error says what to correct.
    pub fn of(spec: &ConfigMapSyncSpec) -> Result<Self, String> {
        validity::check(spec)?;
        let name = validity::destination_name(spec);
        match (&spec.destination_namespace, &spec.destination_namespace_selector) {
            (Some(namespace), _) => Ok(Self::Single(NamespacedName::new(namespace, name))),
            (None, selector) => Ok(Self::Selected {
                selector: validity::selector(&selector.clone().unwrap_or_default())?,
                name: name.to_owned(),
            }),
        }
    }

    /// The destinations. `selected` are the namespaces that the selector matches. The source is
    /// never a destination.
    #[must_use]
    pub fn destinations(
        &self,
        selected: &BTreeSet<String>,
        source: &NamespacedName,
    ) -> BTreeSet<NamespacedName> {
        match self {
            Self::Single(at) => BTreeSet::from([at.clone()]),
            Self::Selected { name, .. } => selected
                .iter()
                .map(|namespace| NamespacedName::new(namespace, name))
                .filter(|at| at != source)
                .collect(),
        }
    }

    /// The destination that a copy in `namespace` would have if the selector matched `namespace`;
    /// without a selector, the only destination.
    #[must_use]
    pub fn destination_in(&self, namespace: &str) -> NamespacedName {
        match self {
            Self::Single(at) => at.clone(),
            Self::Selected { name, .. } => NamespacedName::new(namespace, name),
        }
    }
}

/// The selector of `spec`, if it is valid and has one.
#[must_use]
pub fn selector(spec: &Result<ConfigMapSyncSpec, String>) -> Option<Selector> {
    match spec.as_ref().map(Target::of) {
        Ok(Ok(Target::Selected { selector, .. })) => Some(selector),
        _ => None,
    }
}

/// Whether a selector can select a namespace in this state. Terminating and protected namespaces are
/// never selected, nor those that forbid copies. One whose annotation is unclear stays selected, so
/// that its copy is kept.
#[must_use]
pub const fn is_selectable(state: NamespaceState) -> bool {
    matches!(state, NamespaceState::Active | NamespaceState::Unclear)
}
