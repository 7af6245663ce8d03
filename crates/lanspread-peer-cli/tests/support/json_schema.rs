//! A validator for the JSON Schema that the program prints, apart from the program.

use serde_json::Value;

/// Returns the rules of `schema` that `value` breaks. `root` is the document that holds what `$ref` points to.
///
/// Knows the keywords that the program prints, and panics at any other one.
pub(crate) fn faults(root: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(root, schema, value, "", &mut found);
    found
}

fn check(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let rules = match schema {
        Value::Object(rules) => rules,
        Value::Bool(true) => return,
        other => panic!("{other} is no schema"),
    };
    let fits = |schema: &Value| faults(root, schema, value).is_empty();
    for (keyword, rule) in rules {
        let holds = match keyword.as_str() {
            "description" | "example" | "title" | "$schema" | "$defs" | "then" | "default" => true,
            "$ref" => {
                let pointer = rule.as_str().and_then(|target| target.strip_prefix('#')).unwrap();
                let target = root.pointer(pointer);
                check(root, target.unwrap_or_else(|| panic!("no {rule}")), value, at, found);
                true
            }
            "if" => {
                if fits(rule) {
                    check(root, &schema["then"], value, at, found);
                }
                true
            }
            "allOf" => {
                rule.as_array().unwrap().iter().for_each(|it| check(root, it, value, at, found));
                true
            }
            "anyOf" => rule.as_array().unwrap().iter().any(fits),
            "oneOf" => rule.as_array().unwrap().iter().filter(|it| fits(it)).count() == 1,
            "type" => match rule {
                Value::Array(kinds) => kinds.iter().any(|kind| is_of_type(value, kind)),
                kind => is_of_type(value, kind),
            },
            "const" => value == rule,
            "enum" => rule.as_array().unwrap().contains(value),
            "minimum" => value.as_u64().is_none_or(|n| n >= rule.as_u64().unwrap()),
            "maximum" => value.as_u64().is_none_or(|n| n <= rule.as_u64().unwrap()),
            "minLength" => value.as_str().is_none_or(|s| s.len() as u64 >= rule.as_u64().unwrap()),
            "maxLength" => value.as_str().is_none_or(|s| s.len() as u64 <= rule.as_u64().unwrap()),
            "items" => {
                for (n, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, rule, item, &format!("{at}[{n}]"), found);
                }
                true
            }
            "required" => value.as_object().is_none_or(|map| {
                rule.as_array().unwrap().iter().all(|name| map.contains_key(name.as_str().unwrap()))
            }),
            "properties" => {
                for (name, schema) in rule.as_object().unwrap() {
                    if let Some(value) = value.get(name) {
                        check(root, schema, value, &format!("{at}.{name}"), found);
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = schema.get("properties").and_then(Value::as_object);
                let is_known = |name: &String| known.is_some_and(|it| it.contains_key(name));
                match rule {
                    Value::Bool(true) => true,
                    Value::Bool(false) => {
                        value.as_object().is_none_or(|map| map.keys().all(is_known))
                    }
                    other => panic!("additionalProperties {other} is not understood"),
                }
            }
            // Beside the properties of the schema itself, those of its `oneOf` that fits are known.
            "unevaluatedProperties" => {
                assert_eq!(*rule, false);
                let choices = schema["oneOf"].as_array().into_iter().flatten();
                let evaluated: Vec<_> = choices
                    .filter(|choice| fits(choice))
                    .chain([schema])
                    .filter_map(|it| it["properties"].as_object())
                    .collect();
                let is_known = |name: &String| evaluated.iter().any(|it| it.contains_key(name));
                value.as_object().is_none_or(|map| map.keys().all(is_known))
            }
            other => panic!("keyword {other:?} is not understood"),
        };
        if !holds {
            found.push(format!("{at}: {keyword} {rule} does not hold for {value}"));
        }
    }
}

fn is_of_type(value: &Value, kind: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("type {other:?} is not understood"),
    }
}
