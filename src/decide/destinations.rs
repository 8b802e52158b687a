//! Where copies should be: one namespace by its name, or every namespace whose labels match.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use kube::core::Selector;
use kube::core::SelectorExt as _;

use crate::api::ConfigMapSyncSpec;
use crate::api::namespaced_name::NamespacedName;
use crate::decide::observed::NamespaceState;
use crate::decide::validity;

/// Where a spec wants copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// At one place.
    Single(NamespacedName),
    /// In every namespace that the selector matches.
    Selected {
        /// Which namespaces.
        selector: Selector,
        /// Name of the copies.
        name: String,
    },
}

// === impl Target ===

impl Target {
    /// Where `spec` wants copies; if it cannot be carried out, why.
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

    /// The places, where `selected` are the namespaces that the selector selects. The source
    /// itself is never one of them.
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

    /// The place in `namespace`, if there is to be one wherever the selector matches.
    #[must_use]
    pub fn destination_in(&self, namespace: &str) -> NamespacedName {
        match self {
            Self::Single(at) => at.clone(),
            Self::Selected { name, .. } => NamespacedName::new(namespace, name),
        }
    }
}

/// Whether a namespace in this state and with these labels is selected. Terminating and protected
/// namespaces are skipped.
#[must_use]
pub fn selects(
    selector: &Selector,
    state: NamespaceState,
    labels: &BTreeMap<String, String>,
) -> bool {
    state == NamespaceState::Active && selector.matches(labels)
}
