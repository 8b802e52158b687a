//! The messages of a status, cut to a bounded length.

use crate::api::namespaced_name::NamespacedName;
use crate::decide::Failure;
use crate::decide::desired::DesiredCopies;
use crate::decide::reason::Reason;

/// Maximum length of a message, in bytes of JSON.
pub(super) const MAX_MESSAGE: usize = 256;

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
    cut_to(MAX_MESSAGE, message)
}

/// The longest prefix of `message` that takes at most `bytes` bytes when it is written as JSON.
pub(super) fn cut_to(bytes: usize, message: &str) -> String {
    let mut taken = 0;
    let mut ends = message.char_indices().map(|(start, letter)| {
        taken += bytes_in_json(letter);
        (start, taken)
    });
    let Some((fits, _)) = ends.find(|(_, taken)| *taken > bytes) else {
        return message.to_owned();
    };
    format!("{}…", &message[..fits])
}

fn bytes_in_json(letter: char) -> usize {
    match letter {
        '"' | '\\' => 2,
        letter if letter.is_control() => 6,
        letter => letter.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_message_is_not_cut() {
        assert_eq!(cut_to(5, "abcde"), "abcde");
        assert_eq!(cut_to(4, "abcde"), "abcd…");
    }

    #[test]
    fn length_is_measured_in_json_and_characters_stay_whole() {
        assert_eq!(cut_to(6, "\"\"\"\""), "\"\"\"…");
        assert_eq!(cut_to(7, "配置不"), "配置…");
        assert_eq!(cut_to(6, "\n\n"), "\n…");
        for message in ["配\"\\\u{1}x".repeat(80), "é\u{1f6ab}".repeat(80)] {
            let written = serde_json::to_string(&cut_to(100, &message)).unwrap();
            assert!(written.len() <= 100 + "\"…\"".len(), "{written}");
        }
    }
}
