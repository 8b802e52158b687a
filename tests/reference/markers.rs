//! Ownership markers and the other names on objects, from the constants and their doc comments.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use configmapsync::decide::Markers;
use configmapsync::names;

use crate::table::code;
use crate::table::prose;
use crate::table::table;

/// Labels, annotations and the finalizer that users see.
pub fn markers() -> String {
    let documented = documented();
    let row = |kind: &str, key: &str| {
        let doc = documented.get(key).cloned().unwrap_or_default();
        assert!(!doc.is_empty(), "{key} has no doc comment in src/names.rs");
        [kind.to_owned(), code(key), doc]
    };
    let mut rows = vec![row("label", names::LABEL_SYNC_UID)];
    rows.extend(Markers::ANNOTATIONS.iter().map(|key| row("annotation", key)));
    let others = [
        row("label", names::LABEL_MANAGED_BY),
        row("annotation", names::ANNOTATION_NO_COPY),
        row("annotation", names::ANNOTATION_NO_COPIES),
        row("finalizer", names::FINALIZER),
    ];
    format!(
        "On a copy:\n\n{}\nOther names:\n\n{}",
        table(["", "key", "meaning"], &rows),
        table(["", "key", "meaning"], &others)
    )
}

/// The doc comment of each constant of `src/names.rs`, by the constant's value.
fn documented() -> BTreeMap<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/names.rs");
    let text = fs::read_to_string(path).expect("src/names.rs can be read");
    let mut documented = BTreeMap::new();
    let mut doc = String::new();
    for line in text.lines() {
        if let Some(words) = line.strip_prefix("///") {
            doc.push_str(words);
            continue;
        }
        if line.starts_with("pub const")
            && let Some(value) = line.split('"').nth(1)
        {
            // Where two constants share a value, the first is the marker.
            documented.entry(value.to_owned()).or_insert_with(|| prose(&doc));
        }
        doc.clear();
    }
    documented
}
