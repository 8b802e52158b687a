//! Values of the chart: defaults and comments from `values.yaml`, types from its schema.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::table::code;
use crate::table::prose;
use crate::table::table;

/// Every value, with its type, its default and its comment.
pub fn values() -> String {
    let text = read("chart/values.yaml");
    let defaults: Value = serde_saphyr::from_str(&text).expect("values.yaml is YAML");
    let schema: Value =
        serde_json::from_str(&read("chart/values.schema.json")).expect("the schema is JSON");
    let mut rows = Vec::new();
    for (path, comment) in comments(&text) {
        let field = schema_of(&schema, &path);
        if field.is_null() {
            // Part of the default of a map, such as resources.requests.cpu.
            continue;
        }
        let default = default_of(&defaults, &path);
        let is_group = default.as_object().is_some_and(|it| !it.is_empty())
            && resolved(&schema, field)["properties"].is_object();
        if is_group {
            if !comment.is_empty() {
                rows.push([code(&path), String::new(), String::new(), comment]);
            }
            continue;
        }
        assert!(!comment.is_empty(), "{path} has no comment in values.yaml");
        rows.push([code(&path), type_of(&schema, field), shown(default), comment]);
    }
    table(["value", "type", "default", "description"], &rows)
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The dotted path of each value and its comment, in the order of the file.
///
/// A value without a comment has that of the line above it, if it is of the same level, or else of
/// its parent.
fn comments(text: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut path: Vec<(usize, String)> = Vec::new();
    // By the path of the parent: the comment of the last value, until an empty line.
    let mut adjacent: BTreeMap<String, String> = BTreeMap::new();
    let mut comment = String::new();
    for line in text.lines() {
        let trimmed = line.trim_start();
        if let Some(words) = trimmed.strip_prefix('#') {
            comment.push_str(words);
            continue;
        }
        let key = trimmed.split_once(':').filter(|_| !trimmed.starts_with('-'));
        let Some((key, _)) = key else {
            comment.clear();
            if trimmed.is_empty() {
                adjacent.clear();
            }
            continue;
        };
        let indent = line.len() - trimmed.len();
        path.retain(|(outer, _)| *outer < indent);
        let parent = dotted(&path);
        path.push((indent, key.to_owned()));
        let own = prose(&std::mem::take(&mut comment));
        let of_parent = || found.iter().find(|(path, _)| *path == parent).map(|(_, it)| it.clone());
        let description = if own.is_empty() {
            adjacent.get(&parent).cloned().or_else(of_parent).unwrap_or_default()
        } else {
            own
        };
        adjacent.insert(parent, description.clone());
        found.push((dotted(&path), description));
    }
    found
}

fn dotted(path: &[(usize, String)]) -> String {
    path.iter().map(|(_, key)| key.as_str()).collect::<Vec<_>>().join(".")
}

fn default_of<'a>(defaults: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(defaults, |value, key| &value[key])
}

fn schema_of<'a>(schema: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(schema, |value, key| &resolved(schema, value)["properties"][key])
}

/// The definition that `field` refers to, or itself.
fn resolved<'a>(schema: &'a Value, field: &'a Value) -> &'a Value {
    match definition(field) {
        Some(name) => &schema["definitions"][name],
        None => field,
    }
}

fn definition(field: &Value) -> Option<&str> {
    field["$ref"].as_str()?.rsplit('/').next()
}

fn type_of(schema: &Value, field: &Value) -> String {
    if definition(field) == Some("duration") {
        return "duration".to_owned();
    }
    let field = resolved(schema, field);
    if let Some(values) = field["enum"].as_array() {
        return values.iter().map(shown).collect::<Vec<_>>().join(" or ");
    }
    if let Some(types) = field["oneOf"].as_array() {
        let types = types.iter().map(|it| type_of(schema, it));
        return types.collect::<Vec<_>>().join(" or ");
    }
    if field["type"].is_array() {
        return "any".to_owned();
    }
    match field["type"].as_str().unwrap_or_default() {
        "array" => match type_of(schema, &field["items"]).as_str() {
            "any" => "list".to_owned(),
            items => format!("list of {items}s"),
        },
        "object" => "map".to_owned(),
        "" => panic!("no type: {field}"),
        other => other.to_owned(),
    }
}

fn shown(default: &Value) -> String {
    match default {
        Value::String(text) if text.is_empty() => code("\"\""),
        Value::String(text) => code(text),
        other => code(&other.to_string()),
    }
}
