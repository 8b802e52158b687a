//! The annotation `traceparent` of a sync.

use crate::api::metadata::Metadata;
use crate::names;

/// Length of a `traceparent` of version 00, and of its fields: version, trace, span, flags (W3C Trace
/// Context).
const LENGTH: usize = 55;
const FIELDS: [usize; 4] = [2, 32, 16, 2];

/// The annotation, if it is well-formed. Later versions may append fields, which are left out (W3C Trace
/// Context, "versioning of traceparent").
#[must_use]
pub fn trace_parent(metadata: &Metadata) -> Option<String> {
    let annotation = metadata.annotations.as_ref()?.get(names::ANNOTATION_TRACE_PARENT)?;
    let (known, rest) = annotation.split_at_checked(LENGTH)?;
    let is_later_version = !known.starts_with("00-") && rest.starts_with('-');
    let fields = known
        .split('-')
        .map(|field| field.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(field.len()));
    let is_well_formed = fields.eq(FIELDS.map(Some));
    (is_well_formed && (rest.is_empty() || is_later_version)).then(|| known.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn fields_of_later_traceparents_are_left_out() {
        let fields = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let kept = |value: &str| {
            let annotation = (names::ANNOTATION_TRACE_PARENT.to_owned(), value.to_owned());
            let annotations = Some(BTreeMap::from([annotation]));
            trace_parent(&Metadata { annotations, ..Metadata::default() })
        };
        let (present, later) = (format!("00-{fields}"), format!("01-{fields}"));
        assert_eq!(kept(&present), Some(present.clone()));
        assert_eq!(kept(&later), Some(later.clone()));
        assert_eq!(kept(&format!("{later}-what-the-future-may-bring")), Some(later.clone()));
        let (extended, joined) = (format!("{present}-extra"), format!("{later}extra"));
        let short_trace = "00-4bf92f3577b34da6a3ce929d0e0e47-00f067aa0ba902b7-0001";
        let short_version = format!("0-0{fields}");
        let not_hex = present.replace('a', "g");
        for malformed in ["", "00-4b", &extended, &joined, short_trace, &short_version, &not_hex] {
            assert_eq!(kept(malformed), None, "{malformed:?}");
        }
    }
}
