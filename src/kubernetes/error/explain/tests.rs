use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn status(code: u16, reason: &str, message: &str) -> Status {
    Status { code, ..Status::failure(message, reason) }
}

fn content(value: &str) -> Content {
    let data = BTreeMap::from([("key".to_owned(), value.to_owned())]);
    Content { data, ..Content::default() }
}

/// The explanation of a response to a write of a ConfigMap with this value.
fn explained(status: &Status, value: &str) -> String {
    explain_hiding(status, &Values::Of(vec![&content(value)]))
}

const SECRET: &str = "hunter2-hunter2";

#[test]
fn who_rejected_a_call_remains_when_the_text_is_withheld() {
    let policy = "ValidatingAdmissionPolicy 'p.x' with binding 'b'";
    let rows = [
        (
            format!("configmaps \"app\" is forbidden: {policy} denied request: {SECRET}"),
            format!("{policy}: HTTP 422 Invalid"),
        ),
        (
            format!("configmaps is forbidden: {policy} denied request: {SECRET}"),
            format!("{policy}: HTTP 422 Invalid"),
        ),
        (
            format!("admission webhook \"w.example.com\" denied the request: {SECRET}"),
            "admission webhook \"w.example.com\": HTTP 422 Invalid".to_owned(),
        ),
        (
            format!("Internal error occurred: failed calling webhook \"w.x\": {SECRET}"),
            "failed calling webhook \"w.x\": HTTP 422 Invalid".to_owned(),
        ),
        (
            format!("configmaps \"app\" is forbidden: exceeded quota: team, used: {SECRET}"),
            "exceeded quota: team: HTTP 422 Invalid".to_owned(),
        ),
        (format!("data[a]: Invalid value: \"{SECRET}\""), "HTTP 422 Invalid".to_owned()),
        // Names in a text that only look like the ones that the API server writes.
        (
            format!("{SECRET}: admission webhook \"w\" denied the request"),
            "HTTP 422 Invalid".to_owned(),
        ),
        (
            format!("admission webhook \"{SECRET} x\" denied the request"),
            "HTTP 422 Invalid".to_owned(),
        ),
    ];
    for (message, expected) in rows {
        let status = status(422, "Invalid", &message);
        assert_eq!(
            explained(&status, SECRET),
            format!("{expected} (message withheld: it quotes the ConfigMap)"),
            "{message}"
        );
        assert_eq!(explained(&status, "another value"), message);
        assert_eq!(explain_status(&status), message);
    }
}

#[test]
fn what_the_api_server_writes_itself_is_no_quotation() {
    let rows = [
        ("shared", "configmaps \"shared\" is forbidden: exceeded quota: q, used: count=1"),
        (
            "namespace-of-app",
            "configmaps \"x\" is forbidden: User \"u\" cannot create resource \"configmaps\" in \
             API group \"\" in the namespace \"namespace-of-app\"",
        ),
        (
            "policy-of-team",
            "configmaps \"x\" is forbidden: ValidatingAdmissionPolicy 'policy-of-team' with \
             binding 'b' denied request: no",
        ),
    ];
    for (value, message) in rows {
        let explained = explained(&status(403, "Forbidden", message), value);
        assert!(explained.starts_with(message), "{explained}");
    }
}

#[test]
fn a_text_is_withheld_if_the_values_are_unknown() {
    let message = "admission webhook \"w\" denied the request: no";
    let explained = explain_hiding(&status(403, "Forbidden", message), &Values::Unknown);
    assert!(explained.starts_with("admission webhook \"w\": HTTP 403 Forbidden (message withheld"));
    assert_eq!(explain_hiding(&status(500, "", ""), &Values::Unknown), "HTTP 500");
}

#[test]
fn a_reason_that_is_no_word_is_withheld_too() {
    let status = status(403, SECRET, &format!("no: {SECRET}"));
    assert!(!explained(&status, SECRET).contains(SECRET));
}

#[test]
fn an_explanation_is_cut() {
    let long = explain_status(&status(403, "Forbidden", &"\"配".repeat(100_000)));
    assert!(long.len() <= MAX_TEXT + "…".len(), "{}", long.len());
    let unknown = kube::Error::Api(status(500, "", &"x".repeat(300_000)).boxed());
    assert!(explain(&unknown).len() <= MAX_TEXT + "…".len());
}

#[test]
fn a_response_that_cannot_be_parsed_is_not_repeated() {
    let error = serde_json::from_str::<BTreeMap<String, u8>>(&format!("{{\"a\": \"{SECRET}\"}}"));
    let explained = explain(&kube::Error::SerdeError(error.unwrap_err()));
    assert!(!explained.contains(SECRET), "{explained}");
    assert!(explained.contains("line 1"), "{explained}");
}

proptest! {
    #[test]
    fn no_long_value_appears_in_an_explanation(
        // In upper case, since the API server's own words and names are not.
        value in "[A-Z\"\\\\\n\u{1}]{8,30}",
        frame in prop::sample::select(vec![
            "", "configmaps \"a\" is forbidden: ", "admission webhook \"w\" denied the request: ",
            "configmaps \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied \
             request: ", "failed calling webhook \"w\": ", "exceeded quota: q, ",
        ]),
        before in "(?s).{0,300}",
        after in "(?s).{0,2000}",
        is_escaped in any::<bool>(),
    ) {
        prop_assume!(value.trim().len() >= 8 && !before.ends_with('\\'));
        let quoted = if is_escaped { serde_json::to_string(&value).unwrap() } else { value.clone() };
        let status = status(422, "Invalid", &format!("{frame}{before}{quoted}{after}"));
        let explained = explained(&status, &value);
        prop_assert!(explained.contains("message withheld"), "{explained}");
        prop_assert!(!explained.contains(&value) && !explained.contains(quoted.trim_matches('"')));
    }
}
