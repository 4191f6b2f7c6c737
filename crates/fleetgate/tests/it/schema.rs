//! Does an answer look as the OpenAPI document says? As much of JSON Schema as that document uses.

use serde_json::Value;

pub(crate) struct Document(pub(crate) Value);

impl Document {
    /// Checks the answer of an operation: the status is documented, and the body is of its shape.
    #[track_caller]
    pub(crate) fn check(&self, method: &str, template: &str, status: u16, body: &Value) {
        let place = format!("{method} {template} {status}");
        let operation = &self.0["paths"][template][method.to_lowercase()];
        assert!(operation.is_object(), "{place} is not documented");
        let response = self.resolve(&operation["responses"][status.to_string()]);
        assert!(response.is_object(), "{place} is not documented");
        let kind = if status >= 400 { "application/problem+json" } else { "application/json" };
        let schema = &response["content"][kind]["schema"];
        if schema.is_null() {
            assert!(body.is_null(), "{place} documents no body: {body}");
            return;
        }
        self.check_value(schema, body, &place);
    }

    fn resolve<'d>(&'d self, value: &'d Value) -> &'d Value {
        match value["$ref"].as_str() {
            Some(reference) => self.0.pointer(reference.trim_start_matches('#')).unwrap(),
            None => value,
        }
    }

    #[track_caller]
    fn check_value(&self, schema: &Value, value: &Value, place: &str) {
        if let Err(problem) = self.validate(schema, value) {
            panic!("{place}: {problem}");
        }
    }

    fn validate(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let schema = self.resolve(schema);
        for choices in ["oneOf", "anyOf"] {
            if let Some(choices) = schema[choices].as_array() {
                let tried: Vec<String> =
                    choices.iter().filter_map(|one| self.validate(one, value).err()).collect();
                if tried.len() == choices.len() {
                    return Err(format!("none fits: {}", tried.join("; ")));
                }
            }
        }
        check_type(&schema["type"], value)?;
        if let Some(names) = schema["enum"].as_array()
            && !names.contains(value)
        {
            return Err(format!("{value} is not among {names:?}"));
        }
        match value {
            Value::Object(_) => self.validate_object(schema, value),
            Value::Array(items) => items.iter().enumerate().try_for_each(|(n, item)| {
                if schema["items"].is_null() {
                    return Ok(());
                }
                self.validate(&schema["items"], item).map_err(|problem| format!("[{n}] {problem}"))
            }),
            Value::String(text) => check_text(schema, text),
            _ => Ok(()),
        }
    }

    fn validate_object(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let mut parts = vec![schema];
        parts.extend(schema["allOf"].as_array().into_iter().flatten().map(|part| self.resolve(part)));
        let mut known = Vec::new();
        for part in &parts {
            for name in part["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                if value.get(name).is_none() {
                    return Err(format!("`{name}` is missing"));
                }
            }
            for (name, property) in part["properties"].as_object().into_iter().flatten() {
                known.push(name.as_str());
                if let Some(value) = value.get(name) {
                    self.validate(property, value).map_err(|problem| format!(".{name} {problem}"))?;
                }
            }
        }
        let unknown =
            value.as_object().into_iter().flatten().find(|(name, _)| !known.contains(&name.as_str()));
        match unknown {
            Some((name, _)) if !known.is_empty() => Err(format!("`{name}` is not documented")),
            _ => Ok(()),
        }
    }
}

fn check_type(wanted: &Value, value: &Value) -> Result<(), String> {
    let is = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    };
    let fits = match wanted {
        Value::String(name) => is(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).any(is),
        _ => true,
    };
    if fits { Ok(()) } else { Err(format!("{value} is not of type {wanted}")) }
}

/// Ids by their prefix, times by their form.
fn check_text(schema: &Value, text: &str) -> Result<(), String> {
    if let Some(prefix) =
        schema["pattern"].as_str().and_then(|p| p.strip_prefix('^')?.strip_suffix("[0-9a-f]{32}$"))
    {
        let hex = text.strip_prefix(prefix).unwrap_or_default();
        if hex.len() != 32 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(format!("`{text}` does not look like `{prefix}…`"));
        }
    }
    if schema["format"] == "date-time" && (text.parse::<domain::Time>().is_err() || !text.ends_with('Z')) {
        return Err(format!("`{text}` is no time"));
    }
    Ok(())
}
