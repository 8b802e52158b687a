//! Fields, validation rules and printer columns, from the schema of a kind.

use serde_json::Value;

use crate::table::code;
use crate::table::prose;
use crate::table::table;

/// The fields below `part` of the schema.
pub fn fields(definition: &Value, part: &str) -> String {
    let mut rows = Vec::new();
    let schema = &schema(definition)["properties"][part];
    add_fields(schema, "", &mut rows);
    table(["field", "type", "default", "description"], &rows)
}

/// What the API server refuses at admission, with its messages.
pub fn rules(definition: &Value) -> String {
    let mut rows = Vec::new();
    add_rules(&schema(definition)["properties"]["spec"], "spec", &mut rows);
    format!(
        "The API server refuses a ConfigMapSync that breaks one of these rules.\n\n{}",
        table(["field", "message"], &rows)
    )
}

/// The columns that `kubectl get` prints.
pub fn columns(definition: &Value) -> String {
    let columns = definition["spec"]["versions"][0]["additionalPrinterColumns"].as_array();
    let rows: Vec<_> = columns
        .expect("the kind has columns")
        .iter()
        .map(|column| {
            [
                text(&column["name"]).to_uppercase(),
                code(text(&column["jsonPath"])),
                prose(text(&column["description"])),
            ]
        })
        .collect();
    table(["column", "from", "description"], &rows)
}

fn schema(definition: &Value) -> &Value {
    &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn add_fields(schema: &Value, prefix: &str, rows: &mut Vec<[String; 4]>) {
    let required: Vec<_> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{prefix}{name}");
        let description = prose(text(&field["description"]));
        assert!(!description.is_empty(), "{path} has no description");
        let default = match &field["default"] {
            Value::Null if required.contains(&name.as_str()) => "required".to_owned(),
            Value::Null => String::new(),
            Value::String(text) => code(text),
            other => code(&other.to_string()),
        };
        rows.push([code(&path), type_of(field), default, description]);
        add_fields(field, &format!("{path}."), rows);
        add_fields(&field["items"], &format!("{path}[]."), rows);
    }
}

fn type_of(field: &Value) -> String {
    if let Some(values) = field["enum"].as_array() {
        let values: Vec<_> = values.iter().map(|value| code(text(value))).collect();
        return values.join(" or ");
    }
    let name = match text(&field["type"]) {
        "array" => format!("list of {}s", plain_type(&field["items"])),
        "object" if field["additionalProperties"].is_object() => "map of strings".to_owned(),
        _ => plain_type(field),
    };
    let bounds = bounds(field);
    if bounds.is_empty() { name } else { format!("{name}, {bounds}") }
}

fn plain_type(field: &Value) -> String {
    match (text(&field["type"]), text(&field["format"])) {
        ("string", "date-time") => "time".to_owned(),
        (name, _) => name.to_owned(),
    }
}

fn bounds(field: &Value) -> String {
    let number = |key: &str| field[key].as_u64();
    let range = |from: &str, to: &str, of: &str| match (number(from), number(to)) {
        (Some(from), Some(to)) => Some(format!("{from} to {to} {of}")),
        (None, Some(to)) => Some(format!("at most {to} {of}")),
        _ => None,
    };
    range("minLength", "maxLength", "characters")
        .or_else(|| range("minItems", "maxItems", "items"))
        .or_else(|| range("minProperties", "maxProperties", "entries"))
        .unwrap_or_default()
}

fn add_rules(schema: &Value, path: &str, rows: &mut Vec<[String; 2]>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let message = text(&rule["message"]);
        assert!(!message.is_empty(), "a rule of {path} has no message");
        rows.push([code(path), message.to_owned()]);
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        add_rules(field, &format!("{path}.{name}"), rows);
    }
    for (part, mark) in [("items", "[]"), ("additionalProperties", "[key]")] {
        if schema[part].is_object() {
            add_rules(&schema[part], &format!("{path}{mark}"), rows);
        }
    }
}
