//! The document, the table of rules and the routes say the same.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use crate::{
    access::{Access, TABLE},
    openapi, router,
};

fn document() -> (String, Value) {
    let text = openapi::document::text(router::documented().into_openapi());
    let value = serde_json::from_str(&text).unwrap();
    (text, value)
}

fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .flat_map(|(path, item)| {
            let operations = item.as_object().unwrap().iter();
            operations.map(move |(method, op)| (method.to_ascii_uppercase(), path.clone(), op.clone()))
        })
        .collect()
}

#[test]
fn every_route_is_documented_and_has_a_rule() {
    let (_, document) = document();
    let documented: BTreeSet<_> =
        operations(&document).into_iter().map(|(method, path, _)| (method, path)).collect();
    let ruled: BTreeSet<_> = TABLE.iter().map(|row| (row.0.to_owned(), row.1.to_owned())).collect();
    assert_eq!(documented, ruled);
}

#[test]
fn the_document_says_who_may_call() {
    let (_, document) = document();
    for (method, path, operation) in operations(&document) {
        let (_, _, access) =
            TABLE.iter().find(|row| (row.0, row.1) == (method.as_str(), path.as_str())).unwrap();
        let security = operation["security"].as_array().unwrap();
        assert_eq!(security.is_empty(), *access == Access::Open, "{method} {path}");
        assert!(operation["responses"]["401"].is_object() || *access == Access::Open, "{method} {path}");
        if let Access::Needs(permission) = access {
            assert_eq!(operation["x-permission"], permission.name(), "{method} {path}");
            assert!(operation["responses"]["403"].is_object(), "{method} {path}");
        }
    }
}

#[test]
fn every_operation_has_a_summary_and_its_own_name() {
    let (_, document) = document();
    let mut names = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        assert!(operation["summary"].as_str().is_some_and(|text| text.len() > 3), "{method} {path}");
        assert!(operation["tags"].as_array().is_some_and(|tags| tags.len() == 1), "{method} {path}");
        assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()), "{method} {path}");
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let (text, document) = document();
    for part in text.split("\"$ref\": \"#").skip(1) {
        let pointer = part.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
}

#[test]
fn no_answer_can_carry_a_secret() {
    let (_, document) = document();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let views = schemas.iter().filter(|(name, _)| name.ends_with("View") || name.starts_with("List"));
    for (name, schema) in views {
        assert!(!schema.to_string().contains("schemas/Secret\""), "{name}");
    }
}

#[test]
fn the_snapshot_is_the_document() {
    let (text, _) = document();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    if std::env::var_os("FLEETGATE_UPDATE_SNAPSHOTS").is_some_and(|value| value == "1") {
        fs::write(&path, &text).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == text,
        "docs/openapi.json is old; run the tests of `server` with FLEETGATE_UPDATE_SNAPSHOTS=1"
    );
}

#[test]
fn api_md_names_every_route() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api.md");
    let text = fs::read_to_string(path).unwrap();
    for (_, path, _) in TABLE {
        let short = path.strip_prefix("/api/v1").unwrap_or(path);
        let last = format!("/{}", short.rsplit('/').next().unwrap_or_default());
        assert!(text.contains(short) || text.contains(&last), "{path}");
    }
}
