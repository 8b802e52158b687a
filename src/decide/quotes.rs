//! Whether a text of another program repeats a value of a `ConfigMap`.
//!
//! An admission policy or a webhook may quote what was sent. Such a text is reported whole or not at
//! all: a part of it says nothing, and what remains of a value may still be a secret.

use std::collections::HashSet;

use serde_json::Value;

use crate::decide::Content;

/// A value of at least this many bytes is recognised anywhere in a text; a shorter one, which any
/// text may contain by chance, only as a whole quoted token.
const MIN_VALUE: usize = 8;
/// A longer text is not searched, and counts as a quotation.
const MAX_SEARCHED: usize = 32 * 1024;
/// How many times a text may have been quoted within a quoted text.
const MAX_ESCAPES: usize = 3;

/// Whether `text` repeats a value of one of `contents`:
///
/// * a value of at least 8 bytes, or a line of that length without the space around it, anywhere in
///   the text, as it is or escaped as in JSON or Go;
/// * a shorter value that is not empty, as a whole token within `"`, `'` or backticks.
///
/// A value in `binaryData` counts as its base64, as it is sent, and, if it is text, as that text.
/// Texts of more than 32 KiB are not searched: they count as a repetition if there is any value.
///
/// Limit: a shorter value without quotes is not recognised.
#[must_use]
pub fn quotes<'a>(text: &str, contents: impl IntoIterator<Item = &'a Content>) -> bool {
    let texts = unescaped(text);
    let index = Index::of(&texts);
    contents.into_iter().any(|content| {
        let mut binary = content.binary_data.values();
        content.data.values().any(|value| index.has(value))
            || binary.any(|value| {
                // As it is sent: the base64.
                let is_sent = |sent: Value| sent.as_str().is_some_and(|sent| index.has(sent));
                serde_json::to_value(value).is_ok_and(is_sent)
                    || str::from_utf8(&value.0).is_ok_and(|value| index.has(value))
            })
    })
}

/// A text, and what it says when escapes are resolved.
fn unescaped(text: &str) -> Vec<String> {
    let mut texts = vec![text.to_owned()];
    if text.len() <= MAX_SEARCHED {
        for _ in 0..MAX_ESCAPES {
            let last = texts.last().map(String::as_str).unwrap_or_default();
            let next = unescape(last);
            if next == last {
                break;
            }
            texts.push(next);
        }
    }
    texts
}

/// What a text contains, so that each value is looked up in constant time, with few exceptions.
struct Index<'a> {
    texts: &'a [String],
    /// All sequences of [`MIN_VALUE`] bytes.
    sequences: HashSet<&'a [u8]>,
    /// All quoted tokens that are shorter than that.
    tokens: HashSet<&'a [u8]>,
    is_searched: bool,
}

// === impl Index ===

impl<'a> Index<'a> {
    fn of(texts: &'a [String]) -> Self {
        let is_searched = texts.iter().all(|text| text.len() <= MAX_SEARCHED);
        let searched = || texts.iter().filter(|_| is_searched).map(String::as_bytes);
        let sequences = searched().flat_map(|text| text.windows(MIN_VALUE)).collect();
        let tokens = searched().flat_map(short_tokens).collect();
        Self { texts, sequences, tokens, is_searched }
    }

    fn has(&self, value: &str) -> bool {
        let lines = value.lines().map(str::trim);
        [value, value.trim()].into_iter().chain(lines.filter(|it| it.len() >= MIN_VALUE)).any(
            |value| match value.as_bytes() {
                [] => false,
                _ if !self.is_searched => true,
                short if short.len() < MIN_VALUE => self.tokens.contains(short),
                long => {
                    self.sequences.contains(&long[..MIN_VALUE])
                        && self.texts.iter().any(|text| text.contains(value))
                }
            },
        )
    }
}

/// The tokens of `text` within quotes that are shorter than [`MIN_VALUE`].
fn short_tokens(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let quotes = text.iter().enumerate().filter(|(_, byte)| b"\"'`".contains(byte));
    quotes.flat_map(|(at, quote)| {
        let after = &text[at + 1..];
        let ends = after.iter().take(MIN_VALUE).enumerate();
        ends.filter(move |(_, byte)| *byte == quote).map(|(end, _)| &after[..end])
    })
}

/// `text` with the escapes of JSON and Go strings resolved. Unknown escapes are kept.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..start]);
        rest = &rest[start..];
        rest = match escape(rest) {
            Some((Escaped::Byte(byte), length)) => {
                bytes.push(byte);
                &rest[length..]
            }
            Some((Escaped::Letter(letter), length)) => {
                bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                &rest[length..]
            }
            None => {
                bytes.push(b'\\');
                &rest[1..]
            }
        };
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

enum Escaped {
    Byte(u8),
    Letter(char),
}

/// The escape at the beginning of `text`, and its length.
fn escape(text: &str) -> Option<(Escaped, usize)> {
    let simple = |letter| Some((Escaped::Letter(letter), 2));
    match text.as_bytes().get(1)? {
        b'n' => simple('\n'),
        b't' => simple('\t'),
        b'r' => simple('\r'),
        b'b' => simple('\u{8}'),
        b'f' => simple('\u{c}'),
        b'a' => simple('\u{7}'),
        b'v' => simple('\u{b}'),
        quote @ (b'"' | b'\'' | b'`' | b'\\' | b'/') => simple(char::from(*quote)),
        b'x' => Some((Escaped::Byte(u8::try_from(hexadecimal(text, 2, 2)?).ok()?), 4)),
        b'u' => utf16(text),
        b'U' => Some((Escaped::Letter(char::from_u32(hexadecimal(text, 2, 8)?)?), 10)),
        _ => None,
    }
}

/// `\uXXXX`, or two of them that are a surrogate pair.
fn utf16(text: &str) -> Option<(Escaped, usize)> {
    let unit = |start| u16::try_from(hexadecimal(text, start, 4)?).ok();
    let first = unit(2)?;
    let second = text.get(6..8).filter(|next| *next == "\\u").and_then(|_| unit(8));
    let mut letters = char::decode_utf16([first].into_iter().chain(second));
    let letter = letters.next()?.ok()?;
    Some((Escaped::Letter(letter), if letter.len_utf16() == 1 { 6 } else { 12 }))
}

fn hexadecimal(text: &str, start: usize, digits: usize) -> Option<u32> {
    let digits = text.get(start..start + digits)?;
    let are_digits = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if are_digits { u32::from_str_radix(digits, 16).ok() } else { None }
}

#[cfg(test)]
mod tests;
