//! The forms of names of Kubernetes objects (Kubernetes, "Object Names and IDs").

/// Maximum length of a DNS-1123 label (RFC 1123), such as the name of a namespace.
pub const MAX_LABEL: usize = 63;
/// Maximum length of a DNS-1123 subdomain, such as the name of a `ConfigMap`.
const MAX_SUBDOMAIN: usize = 253;

/// Whether `text` is a valid namespace name.
#[must_use]
pub fn is_dns_label(text: &str) -> bool {
    text.len() <= MAX_LABEL && is_part(text)
}

/// Whether `text` is a valid object name.
#[must_use]
pub fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= MAX_SUBDOMAIN && text.split('.').all(is_part)
}

fn is_part(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}
