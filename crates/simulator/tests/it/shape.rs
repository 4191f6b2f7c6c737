//! The shape of JSON: which keys, which types, which keys only sometimes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What was seen at one place of one or more documents.
#[derive(Debug, Default, Clone)]
pub(crate) struct Shape {
    types: BTreeSet<&'static str>,
    objects: usize,
    keys: BTreeMap<String, (usize, Shape)>,
    lists: usize,
    empty_lists: usize,
    items: Option<Box<Shape>>,
}

impl Shape {
    pub(crate) fn of(value: &Value) -> Self {
        let mut shape = Self::default();
        shape.add(value);
        shape
    }

    pub(crate) fn add(&mut self, value: &Value) {
        self.types.insert(match value {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(number) if number.is_f64() => "float",
            Value::Number(_) => "int",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        });
        if let Value::Array(items) = value {
            self.lists += 1;
            self.empty_lists += usize::from(items.is_empty());
            items.iter().for_each(|item| self.items.get_or_insert_default().add(item));
        }
        if let Value::Object(fields) = value {
            self.objects += 1;
            for (name, field) in fields {
                let (count, shape) = self.keys.entry(name.clone()).or_default();
                *count += 1;
                shape.add(field);
            }
        }
    }

    /// Where `other` does not look like this; both ways for keys, one way for types.
    pub(crate) fn differences(&self, other: &Self, path: &str, out: &mut Vec<String>) {
        for seen in other.types.difference(&self.types) {
            out.push(format!("{path}: {seen}, recorded was {:?}", self.types));
        }
        for (name, (count, shape)) in &self.keys {
            let place = format!("{path}.{name}");
            match other.keys.get(name) {
                Some((_, found)) => shape.differences(found, &place, out),
                None if other.objects == 0 => {}
                None if *count == self.objects => out.push(format!("{place}: missing")),
                None => {}
            }
        }
        for (name, (count, _)) in other.keys.iter().filter(|_| self.objects > 0) {
            let is_always = self.keys.get(name).is_some_and(|(recorded, _)| *recorded == self.objects);
            if !self.keys.contains_key(name) {
                out.push(format!("{path}.{name}: was not recorded"));
            } else if is_always && *count < other.objects {
                out.push(format!("{path}.{name}: sometimes missing"));
            }
        }
        match (&self.items, &other.items) {
            (Some(recorded), Some(found)) => recorded.differences(found, &format!("{path}[]"), out),
            (None, Some(_)) if self.lists > 0 => out.push(format!("{path}: has items, recorded was empty")),
            (Some(_), None) if self.empty_lists == 0 && other.lists > 0 => {
                out.push(format!("{path}: is empty"))
            }
            (_, _) => {}
        }
    }
}
