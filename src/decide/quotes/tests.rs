use k8s_openapi::ByteString;
use proptest::prelude::*;

use super::*;
use crate::decide::content::Memory;

fn content(values: &[&str], binary: &[&[u8]]) -> Content {
    let key = |index: usize| format!("key-{index}");
    Content {
        data: values.iter().enumerate().map(|(i, value)| (key(i), (*value).to_owned())).collect(),
        binary_data: binary
            .iter()
            .enumerate()
            .map(|(i, value)| (key(i), ByteString(value.to_vec())))
            .collect(),
        immutable: false,
        memory: Memory::default(),
    }
}

#[test]
fn a_text_quotes_a_value_or_it_does_not() {
    let rows = [
        // Short values that occur in any text.
        ("", "timed out after 10s", false),
        ("1", "timed out after 10s", false),
        ("true", "timed out after 10s: true", false),
        ("a", "timed out after 10s", false),
        ("4711", "the pin 4711 is too short", false),
        // Short values as whole tokens.
        ("4711", "the pin \"4711\" is too short", true),
        ("4711", "the pin '4711' is too short", true),
        ("4711", "the pin `4711` is too short", true),
        ("4711", "the object is {\\\"pin\\\":\\\"4711\\\"}", true),
        ("4711\n", "the pin \"4711\" is too short", true),
        ("4711", "the pin \"47110\" is too long", false),
        ("\n", "an empty \"\" token", false),
        // Long values anywhere.
        ("hunter2!", "xhunter2!x", true),
        ("hunter2!", "xhunter2x", false),
        ("hunter2-hunter2\n", "was hunter2-hunter2", true),
        // Escaped as in JSON, in JSON by Go, and in Go.
        ("say \"hello\"", r#"{"a":"say \"hello\""}"#, true),
        ("a\tb\u{1}c\u{7f}d\u{e9}fg", r"a\tb\u0001c\u007fd\u00e9fg", true),
        ("<secret>&", r"\u003csecret\u003e\u0026", true),
        ("bell\u{7}\u{b}bell", r#""bell\a\vbell""#, true),
        ("smile \u{1f600}!", r"smile \ud83d\ude00!", true),
        ("smile \u{1f600}!", r"smile \U0001f600!", true),
        ("smile \u{1f600}!", r"smile \xf0\x9f\x98\x80!", true),
        (r"C:\new\table", r"C:\new\table", true),
        (r"C:\new\table", r"C:\\new\\table", true),
        ("say \"hello\"", r#"body: "{\"a\":\"say \\\"hello\\\"\"}""#, true),
        // Lines of long values.
        ("first line\n  token: abc\nz", "denied (token: abc)", true),
        ("first line\n  token: abc\nz", "denied z", false),
        ("a\nb\nc\nd\ne", r"a\nb\nc\nd\ne", true),
        ("a\nb\nc\nd\ne", "a b c d e", false),
    ];
    for (value, text, expected) in rows {
        assert_eq!(quotes(text, [&content(&[value], &[])]), expected, "{value:?} in {text:?}");
    }
}

#[test]
fn a_binary_value_is_recognised_as_base64_and_as_text() {
    let rows: [(&[u8], &str, bool); 6] = [
        (b"\xff\x00\xff\x00\xff\x00", "has /wD/AP8A in it", true),
        (b"\xff\x00\xff", "has /wD/ in it", false),
        (b"\xff\x00\xff", "has \"/wD/\" in it", true),
        (b"hunter2!", "has hunter2! in it", true),
        (b"hunter2!", "has aHVudGVyMiE= in it", true),
        (b"", "has \"\" in it", false),
    ];
    for (value, text, expected) in rows {
        assert_eq!(quotes(text, [&content(&[], &[value])]), expected, "{value:?} in {text:?}");
    }
}

#[test]
fn a_text_that_is_too_long_to_search_counts_as_quoting() {
    let long = "x".repeat(MAX_SEARCHED + 1);
    assert!(quotes(&long, [&content(&["1"], &[])]));
    assert!(!quotes(&long, [&content(&[""], &[])]));
    assert!(!quotes(&long, [&Content::default()]));
}

/// A value of any characters, in one of the ways in which a text may write it.
fn written(value: &str, style: usize) -> String {
    let json = |text: &str| serde_json::to_string(text).unwrap();
    match style {
        0 => value.to_owned(),
        1 => json(value),
        2 => json(&json(value)),
        3 => value.encode_utf16().fold(String::new(), |text, unit| format!("{text}\\u{unit:04x}")),
        _ => value.bytes().fold(String::new(), |text, byte| format!("{text}\\x{byte:02x}")),
    }
}

proptest! {
    #[test]
    fn a_long_value_is_recognised_however_it_is_written(
        value in "(?s).{8,40}", before in "[^\\\\]{0,20}", after in "(?s).{0,20}", style in 0_usize..5,
    ) {
        let text = format!("{before}{}{after}", written(&value, style));
        prop_assert!(quotes(&text, [&content(&[&value], &[])]), "{value:?} in {text:?}");
        prop_assert!(quotes(&text, [&content(&[], &[value.as_bytes()])]), "{value:?} in {text:?}");
    }

    #[test]
    fn a_text_without_the_value_is_kept(value in "[A-Z]{8,20}", text in "(?s)[^A-Z]{0,60}") {
        prop_assert!(!quotes(&text, [&content(&[&value], &[])]));
    }

    #[test]
    fn any_text_can_be_unescaped(text in "(?s).{0,60}", escapes in "[\\\\\"uxUn0-9a-f]{0,60}") {
        for text in [text, escapes] {
            prop_assert!(unescape(&text).len() <= text.len() * 3);
        }
    }
}
