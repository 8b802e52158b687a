//! What a ServiceAccount does with `ConfigMaps`, and is known to be allowed to do.

use std::collections::BTreeSet;

/// A verb on `ConfigMaps`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, strum::Display, strum::IntoStaticStr,
)]
#[strum(serialize_all = "lowercase")]
pub enum Verb {
    /// To read the source.
    Get,
    /// To create a copy.
    Create,
    /// To change a copy.
    Update,
    /// To delete a copy.
    Delete,
}

/// What is known of the permissions to write a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteConsent {
    /// There is no ServiceAccount: the author was checked at admission.
    NotRequired,
    /// The ServiceAccount is known to have these verbs.
    Granted(BTreeSet<Verb>),
}

// === impl Verb ===

impl Verb {
    /// The name of the verb in a request.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether RBAC sees the name of the object in a request with this verb.
    #[must_use]
    pub const fn is_named(self) -> bool {
        !matches!(self, Self::Create)
    }
}

// === impl WriteConsent ===

impl WriteConsent {
    /// The verbs of `needed` that are not known to be granted.
    #[must_use]
    pub fn lacks(&self, needed: &[Verb]) -> BTreeSet<Verb> {
        match self {
            Self::NotRequired => BTreeSet::new(),
            Self::Granted(granted) => {
                needed.iter().copied().filter(|verb| !granted.contains(verb)).collect()
            }
        }
    }
}
