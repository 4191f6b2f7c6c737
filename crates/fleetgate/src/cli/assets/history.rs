//! The history of one asset: each event as a sentence. Ids become names where somebody knows them.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    api_client::{Paging, Query},
    cli::{Session, clock, failure::Failure, resolve},
    output::{
        table::{Column, prose, whole},
        value::{ago, find, shown, text},
    },
};

const COLUMNS: [Column; 3] = [whole("When", 0), whole("What", 0), prose("Changes", 0)];

pub(super) async fn print(wanted: &str, paging: &Paging, session: &Session) -> Result<(), Failure> {
    let id = resolve::asset(&session.client, wanted).await?;
    let listed = session.client.list(&["assets", &id, "history"], &Query::new(), paging).await?;
    let names = if session.output.is_json() { Names::new() } else { names_in(&listed.items, session).await };
    let now = clock::now();
    session.print_list(&listed, &COLUMNS, |event| {
        vec![ago(event, "at", now), shown(event, "kind").replace('_', " "), changes(event, &names)]
    })
}

/// Names by id.
type Names = BTreeMap<String, String>;

/// The names of clients and organizations in these events. What cannot be looked up keeps its id.
async fn names_in(events: &[Value], session: &Session) -> Names {
    let mut names = Names::new();
    let moves: Vec<&Value> =
        events.iter().filter(|event| text(event, "kind") == Some("asset_moved")).collect();
    for event in &moves {
        for id in ["data.from_client", "data.to_client"].map(|path| shown(event, path)) {
            if names.contains_key(&id) || !resolve::is_id(&id, "cli") {
                continue;
            }
            if let Ok(answer) = session.client.get(&["clients", &id], &Query::new()).await {
                names.insert(id, shown(&answer.value, "name"));
            }
        }
    }
    if !moves.is_empty()
        && let Ok(listed) = session.client.list(&["organizations"], &Query::new(), &Paging::ALL).await
    {
        names.extend(listed.items.iter().map(|item| (shown(item, "id"), shown(item, "name"))));
    }
    names
}

fn changes(event: &Value, names: &Names) -> String {
    let Some(data) = find(event, "data") else { return String::new() };
    let named = |path: &str| {
        let id = shown(data, path);
        names.get(&id).cloned().unwrap_or(id)
    };
    match text(event, "kind") {
        Some("asset_moved") => {
            let organizations = arrow(&named("from_organization"), &named("to_organization"));
            match shown(data, "from_client") == shown(data, "to_client") {
                true => format!("organization {organizations}"),
                false => {
                    let clients = arrow(&named("from_client"), &named("to_client"));
                    format!("client {clients}, organization {organizations}")
                }
            }
        }
        Some("asset_merged" | "asset_split") => by(data, &shown(data, "other_name|other_asset")),
        Some("asset_merged_away") => by(data, &format!("into {}", shown(data, "into_name|into_asset"))),
        Some("asset_restored") => by(data, &format!("from {}", shown(data, "from_name|from_asset"))),
        Some("status_changed") => arrow(&shown(data, "from"), &shown(data, "to")),
        _ => match find(data, "fields").and_then(Value::as_object) {
            Some(fields) => {
                let by = text(data, "by").map(|who| format!("by {who}"));
                fields.iter().map(change).chain(by).collect::<Vec<_>>().join(", ")
            }
            None => shown(event, "data"),
        },
    }
}

/// What, why and by whom.
fn by(data: &Value, what: &str) -> String {
    let why = text(data, "reason").map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{what}{why}, by {}", shown(data, "by"))
}

/// `[before, after]` of a field.
fn change((name, values): (&String, &Value)) -> String {
    let value = |at: usize| {
        let wrapped = serde_json::json!({ "value": values.get(at) });
        shown(&wrapped, "value")
    };
    format!("{}: {}", name.replace('_', " "), arrow(&value(0), &value(1)))
}

fn arrow(before: &str, after: &str) -> String {
    let told = |value: &str| if value.is_empty() { "(none)".to_owned() } else { value.to_owned() };
    format!("{} -> {}", told(before), told(after))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(kind: &str, data: Value, expected: &str) {
        let names = [("cli_a", "Contoso"), ("cli_b", "Fabrikam"), ("org_a", "Contoso HQ")];
        let names = names.map(|(id, name)| (id.to_owned(), name.to_owned())).into();
        assert_eq!(changes(&json!({ "kind": kind, "data": data }), &names), expected);
    }

    #[test]
    fn moves_are_told_by_name() {
        let data = |to: &str| json!({ "from_client": "cli_a", "to_client": to, "from_organization": "org_a", "to_organization": "org_x" });
        check("asset_moved", data("cli_b"), "client Contoso -> Fabrikam, organization Contoso HQ -> org_x");
        check("asset_moved", data("cli_a"), "organization Contoso HQ -> org_x");
    }

    #[test]
    fn changes_are_told_as_before_and_after() {
        check("status_changed", json!({ "from": "online", "to": "offline" }), "online -> offline");
        let fields = json!({ "fields": { "os": ["A", "B"], "lan_ips": [null, ["1", "2"]] } });
        check("asset_updated", fields, "lan ips: (none) -> 1, 2, os: A -> B");
        check("asset_updated", json!({ "by": "ann@example.com" }), "by: ann@example.com");
        let edited = json!({ "by": "ann@example.com", "fields": { "note": [null, "look"] } });
        check("asset_updated", edited, "note: (none) -> look, by ann@example.com");
        check("asset_created", Value::Null, "");
        let merged = json!({ "other_name": "PC-2", "by": "system", "reason": "same serial number" });
        check("asset_merged", merged, "PC-2: same serial number, by system");
        check("asset_merged_away", json!({ "into_name": "PC-1", "by": "ann" }), "into PC-1, by ann");
    }
}
