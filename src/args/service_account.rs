//! Names of ServiceAccounts on the command line.

/// Maximum length of the name of a ServiceAccount.
const MAX_LENGTH: usize = 253;

/// Parses the name of a ServiceAccount: a DNS subdomain (RFC 1123).
///
/// # Errors
/// `text` is not such a name. An empty one must not switch the check off.
pub fn service_account(text: &str) -> Result<String, String> {
    let is_letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_label = |label: &str| {
        label.starts_with(is_letter)
            && label.ends_with(is_letter)
            && label.chars().all(|c| is_letter(c) || c == '-')
    };
    if text.len() <= MAX_LENGTH && text.split('.').all(is_label) {
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
