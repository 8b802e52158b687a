//! The identity under which a process holds the Lease.

use std::fmt;

/// `kube-leader-election` also sends the identity as field manager, which the API server limits to
/// 128 bytes (`metadata.managedFields[].manager`).
const MAX_LENGTH: usize = 128;

/// `<pod name, truncated>_<8 random hexadecimal digits>_<pod uid>`: unique to one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderIdentity(String);

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
}
