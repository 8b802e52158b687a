//! Names of ServiceAccounts on the command line.

use crate::api::dns_names::is_dns_subdomain;

/// Parses the name of a ServiceAccount: a DNS subdomain (RFC 1123).
///
/// # Errors
/// `text` is not such a name. An empty one must not switch the check off.
pub fn service_account(text: &str) -> Result<String, String> {
    if is_dns_subdomain(text) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is not the name of a ServiceAccount: use for example default"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_account_is_a_dns_subdomain() {
        for valid in ["default", "a", "config-map.copier-1"] {
            assert_eq!(service_account(valid).as_deref(), Ok(valid));
        }
        for invalid in ["", "team/default", "Default", "-a", "a-", "a..b", "system:a"] {
            assert!(service_account(invalid).is_err(), "{invalid:?}");
        }
    }
}
