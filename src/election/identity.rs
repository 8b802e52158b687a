//! The identity under which a process holds the Lease.

use std::fmt;

/// `kube-leader-election` also sends the identity as field manager, which the API server limits to
/// 128 bytes (`metadata.managedFields[].manager`).
const MAX_LENGTH: usize = 128;

/// `<pod name, truncated>_<8 random hexadecimal digits>_<pod uid>`: unique to one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderIdentity(String);

/// The pod of a process, by its holder identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderPod {
    /// `metadata.name`
    pub name: String,
    /// `metadata.uid`
    pub uid: String,
}

// === impl HolderIdentity ===

impl HolderIdentity {
    /// The identity of one process of the pod `pod_name`. `random` distinguishes the processes
    /// that run one after another in the same pod.
    #[must_use]
    pub fn new(pod_name: &str, pod_uid: &str, random: u32) -> Self {
        let suffix = format!("_{random:08x}_{pod_uid}");
        let room = MAX_LENGTH.saturating_sub(suffix.len());
        let short: String = pod_name.chars().filter(char::is_ascii).take(room).collect();
        Self(short + &suffix)
    }

    /// The value of `spec.holderIdentity`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// === impl HolderPod ===

impl HolderPod {
    /// The pod in a `spec.holderIdentity`; `None` if the value is not a [`HolderIdentity`]. If the name
    /// was truncated, no pod has this name and uid.
    #[must_use]
    pub fn of(holder: &str) -> Option<Self> {
        let mut parts = holder.split('_');
        let (Some(name), Some(random), Some(uid), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        let is_random = random.len() == 8 && random.bytes().all(|it| it.is_ascii_hexdigit());
        // The name becomes a part of a path.
        let is_name = |text: &str, other: &[u8]| {
            text.starts_with(|it: char| it.is_ascii_alphanumeric())
                && text.bytes().all(|it| it.is_ascii_alphanumeric() || other.contains(&it))
        };
        (is_random && is_name(name, b"-.") && is_name(uid, b"-"))
            .then(|| Self { name: name.to_owned(), uid: uid.to_owned() })
    }
}

impl fmt::Display for HolderIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_contains_pod_name_and_uid() {
        let holder = HolderIdentity::new("operator-0", "1b4e28ba-2fa1-11d2-883f-0016d3cca427", 7);
        assert_eq!(holder.as_str(), "operator-0_00000007_1b4e28ba-2fa1-11d2-883f-0016d3cca427");
    }

    #[test]
    fn a_long_pod_name_is_truncated_and_the_uid_kept() {
        let uid = "1b4e28ba-2fa1-11d2-883f-0016d3cca427";
        let holder = HolderIdentity::new(&"p".repeat(253), uid, u32::MAX);
        assert_eq!(holder.as_str().len(), MAX_LENGTH);
        assert!(holder.as_str().ends_with(uid));
    }

    #[test]
    fn an_identity_names_its_pod() {
        let holder = HolderIdentity::new("operator-5d9c.x", "1b4e28ba-2fa1", 0xabc);
        let (name, uid) = ("operator-5d9c.x".to_owned(), "1b4e28ba-2fa1".to_owned());
        assert_eq!(HolderPod::of(holder.as_str()), Some(HolderPod { name, uid }));
    }

    #[test]
    fn another_text_names_no_pod() {
        for text in [
            "",
            "operator-0",
            "operator-0_1b4e28ba",
            "operator-0_1b4e28ba-2fa1",
            "operator-0_0000007_uid",
            "operator-0_0000000g_uid",
            "operator-0_00000007_uid_more",
            "_00000007_uid",
            "operator-0_00000007_",
            "../secrets_00000007_uid",
            "..%2f_00000007_uid",
            "operator-0_00000007_u/d",
        ] {
            assert_eq!(HolderPod::of(text), None, "{text}");
        }
    }
}
