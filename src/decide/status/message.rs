//! The messages of a status, cut to a bounded length.

use crate::api::namespaced_name::NamespacedName;
use crate::decide::Failure;
use crate::decide::desired::DesiredCopies;
use crate::decide::reason::Reason;
use crate::decide::text;

/// Maximum length of the message of a destination, in bytes of JSON.
pub(super) const MAX_MESSAGE: usize = 256;
/// Maximum length of the message of a condition, in bytes of JSON.
pub(super) const MAX_CONDITION: usize = 512;

pub(super) fn deleting_message(failures: &[(&NamespacedName, &Failure)]) -> String {
    match failures.first() {
        Some((at, failure)) => {
            format!("copy {at} is not cleaned up yet: {}", cut(&failure.message))
        }
        None => "copies are being cleaned up".to_owned(),
    }
}

pub(super) fn most_severe_message(failure: &Failure, failures: usize) -> String {
    match failures {
        1 => cut(&failure.message),
        many => format!("{} (and {} more)", cut(&failure.message), many - 1),
    }
}

pub(super) fn keys_not_found(desired: &DesiredCopies) -> Option<Failure> {
    let (first, more) = desired.excerpt.missing.split_first()?;
    let source = &desired.source;
    let more = match more.len() {
        0 => String::new(),
        more => format!(" (and {more} more keys are missing)"),
    };
    let message = format!(
        "source ConfigMap {source} has no key {first:?}{more}: add it, or remove it from \
         spec.keys; the other keys are copied"
    );
    Some(Failure::new(Reason::KeyNotFound, cut(&message)))
}

pub(super) fn synced_message(desired: &DesiredCopies) -> String {
    match desired.destinations.len() {
        0 => "spec.destinationNamespaceSelector matches no namespace".to_owned(),
        1 => format!("the copy equals ConfigMap {}", desired.source),
        many => format!("{many} copies equal ConfigMap {}", desired.source),
    }
}

fn cut(message: &str) -> String {
    text::cut(MAX_MESSAGE, message)
}
