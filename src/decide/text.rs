//! Texts of limited length: one function cuts every text that a status, an Event or a log line
//! repeats.

/// Maximum length of the message of a [`Failure`](crate::decide::Failure), in bytes of JSON: what
/// other programs respond has any length.
pub const MAX_TEXT: usize = 1_000;

/// The longest prefix of `text` that takes at most `bytes` bytes when it is written as JSON,
/// followed by an ellipsis; `text` itself if it is not longer.
#[must_use]
pub fn cut(bytes: usize, text: &str) -> String {
    let mut taken = 0;
    let mut ends = text.char_indices().map(|(start, letter)| {
        taken += bytes_in_json(letter);
        (start, taken)
    });
    let Some((fits, _)) = ends.find(|(_, taken)| *taken > bytes) else {
        return text.to_owned();
    };
    format!("{}…", &text[..fits])
}

/// The length of `text` in JSON, without the quotes, in bytes.
#[must_use]
pub fn json_len(text: &str) -> usize {
    text.chars().map(bytes_in_json).sum()
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
    fn a_short_text_is_not_cut() {
        assert_eq!(cut(5, "abcde"), "abcde");
        assert_eq!(cut(4, "abcde"), "abcd…");
    }

    #[test]
    fn length_is_measured_in_json_and_characters_stay_whole() {
        assert_eq!(cut(6, "\"\"\"\""), "\"\"\"…");
        assert_eq!(cut(7, "配置不"), "配置…");
        assert_eq!(cut(6, "\n\n"), "\n…");
        for text in ["配\"\\\u{1}x".repeat(80), "é\u{1f6ab}".repeat(80)] {
            let written = serde_json::to_string(&cut(100, &text)).unwrap();
            assert!(written.len() <= 100 + "\"…\"".len(), "{written}");
            assert!(serde_json::to_string(&text).unwrap().len() <= json_len(&text) + 2);
        }
    }
}
