//! Who holds the Lease: a name that is new for every process.

use std::fmt;

/// The Lease's holder is also the field manager of its renewals, which the API server limits to
/// 128 bytes (`metadata.managedFields[].manager`).
const MAX_LENGTH: usize = 128;

/// `<pod name, short>_<8 random hexadecimal digits>_<pod uid>`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderIdentity(String);

// === impl HolderIdentity ===

impl HolderIdentity {
    /// The identity of one process of the pod `pod_name` with `pod_uid`; `random` tells it from
    /// the processes that the pod had before.
    #[must_use]
    pub fn new(pod_name: &str, pod_uid: &str, random: u32) -> Self {
        let suffix = format!("_{random:08x}_{pod_uid}");
        let room = MAX_LENGTH.saturating_sub(suffix.len());
        let short: String = pod_name.chars().filter(char::is_ascii).take(room).collect();
        Self(short + &suffix)
    }

    /// The identity as `spec.holderIdentity` spells it.
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
    fn it_names_pod_and_uid() {
        let holder = HolderIdentity::new("operator-0", "1b4e28ba-2fa1-11d2-883f-0016d3cca427", 7);
        assert_eq!(holder.as_str(), "operator-0_00000007_1b4e28ba-2fa1-11d2-883f-0016d3cca427");
    }

    #[test]
    fn it_fits_a_field_manager_and_keeps_the_uid() {
        let uid = "1b4e28ba-2fa1-11d2-883f-0016d3cca427";
        let holder = HolderIdentity::new(&"p".repeat(253), uid, u32::MAX);
        assert_eq!(holder.as_str().len(), MAX_LENGTH);
        assert!(holder.as_str().ends_with(uid));
    }
}
