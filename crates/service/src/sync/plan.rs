//! What one page of a list changes. Pure: known rows and a look go in, writes come out.

use std::{collections::HashMap, sync::Arc};

use domain::{
    Time,
    asset::{search_text, serial_key},
    device::DeviceDetail,
    event::kind,
    id::DeviceId,
    status::{Status, at_look},
    sync::{Difference, MISSING_AFTER_PASSES, RunCounts, RunItem, compare},
};
use provider::{DeviceRecord, RejectedRow};
use serde_json::json;
use store::{
    absence::Absent,
    device::{
        ChangedDevice, Content, Known, NewDevice, PageScope, PageWrites, Place, PresenceWrite, RenewedDetail,
        StatusChange,
    },
    event::NewEvent,
    new_id,
};

use super::sources;

/// A detail look happens at most once in this time.
const DETAIL_INTERVAL: std::time::Duration = std::time::Duration::from_secs(24 * 3_600);

/// Most items a page adds to a preview.
const MOST_ITEMS: usize = 1_000;

/// A device of a page and where it is.
pub(super) struct Row<'a> {
    pub(super) place: &'a Arc<Place>,
    pub(super) record: &'a DeviceRecord,
}

/// What a page changes.
#[derive(Default)]
pub(super) struct PagePlan {
    pub(super) writes: PageWrites,
    pub(super) items: Vec<RunItem>,
}

impl PagePlan {
    /// Devices that the whole list lacks: this look says nothing of them.
    pub(super) fn leave_out(&mut self, unlisted: &[Absent], counts: &mut RunCounts) {
        counts.absent += unlisted.len() as u64;
        for device in unlisted {
            self.writes.unlisted.push(device.device_id);
            let message = format!(
                "not listed; counts as missing after {MISSING_AFTER_PASSES} complete passes and 24 hours without it"
            );
            let (id, name) = (device.external_id.clone(), device.name.clone());
            self.items.push(item("absent", Some(id), Some(name), message));
        }
    }
}

/// Plans a page. `known` are the known devices of the page by the provider's id.
pub(super) fn plan(
    scope: &PageScope,
    rows: &[Row<'_>],
    rejected: &[RejectedRow],
    known: &HashMap<String, Known>,
    counts: &mut RunCounts,
    now: Time,
) -> PagePlan {
    let mut plan = PagePlan::default();
    for rejected in rejected.iter().cloned() {
        counts.read += 1;
        counts.failed += 1;
        plan.items.push(item("failed", rejected.external_id, rejected.name, rejected.reason));
    }
    for row in rows {
        counts.read += 1;
        match known.get(&row.record.external_id) {
            None => create(scope, row, &mut plan, counts, now),
            Some(known) => change(scope, row, known, &mut plan, counts, now),
        }
    }
    plan.items.truncate(MOST_ITEMS);
    plan
}

fn item(action: &str, external_id: Option<String>, name: Option<String>, message: String) -> RunItem {
    RunItem { n: 0, action: action.to_owned(), external_id, name, message }
}

fn create(scope: &PageScope, row: &Row<'_>, plan: &mut PagePlan, counts: &mut RunCounts, now: Time) {
    counts.created += 1;
    let Row { place, record } = *row;
    let presence = record.presence.clone();
    let rule = scope.status_rule;
    let look = at_look(presence.vendor_status, presence.last_seen, rule, scope.observed_at);
    let device = NewDevice {
        device_id: new_id(now),
        asset_id: new_id(now),
        place: Arc::clone(place),
        external_id: record.external_id.clone(),
        status: look.status,
        content: content(record, None),
        detail_as_of: record.detail_as_of,
    };
    plan.items.push(item(
        "created",
        Some(device.external_id.clone()),
        Some(device.content.name.clone()),
        "new machine".to_owned(),
    ));
    plan.writes.presences.push(PresenceWrite {
        device_id: device.device_id,
        presence,
        overdue_at: look.overdue_at,
        thresholds: rule.of_settings(),
    });
    plan.writes.events.push(NewEvent::new(kind::ASSET_CREATED, device.asset_id));
    plan.writes.created.push(device);
}

fn change(
    scope: &PageScope,
    row: &Row<'_>,
    known: &Known,
    plan: &mut PagePlan,
    counts: &mut RunCounts,
    now: Time,
) {
    let Row { place, record } = *row;
    let presence = record.presence.clone();
    let content = content(record, known.detail.as_ref());
    let difference = compare(&known.device, place.organization_id, &content.hash, &presence);
    let rule = scope.status_rule.with(known.thresholds);
    let look = at_look(presence.vendor_status, presence.last_seen, rule, scope.observed_at);
    // An older look than the one we have changes nothing; the same look may still correct what the clock assumed.
    let is_news = difference.presence || presence == known.device.presence;
    let status_changed = is_news && look.status != known.device.status;
    // Somebody changed the integration's settings.
    let rule_changed = is_news && rule.of_settings().is_some_and(|new| known.thresholds != Some(new));
    if difference.presence || status_changed || rule_changed {
        plan.writes.presences.push(PresenceWrite {
            device_id: known.device.device_id,
            presence,
            overdue_at: look.overdue_at,
            thresholds: rule.of_settings(),
        });
    }
    if status_changed {
        counts.status_changes += 1;
        change_status(known, look.status, plan);
    }
    let writes_before = plan.writes.changed.len();
    tell(place, known, &content, difference, plan, counts);
    let renewed_at = record.detail_as_of.filter(|as_of| known.detail_as_of != Some(*as_of));
    if let Some(as_of) = renewed_at {
        plan.writes.renewed.push(RenewedDetail { device_id: known.device.device_id, as_of });
    }
    // The client of an asset is that of its leading device.
    let client_changed = known.leads && known.client_id != place.client_id;
    if difference.content
        || difference.moved
        || difference.absent_before
        || difference.returned
        || client_changed
    {
        // Where the list tells when the detail was renewed, other facts say nothing of it.
        let is_due_by_facts = difference.content && record.detail_as_of.is_none();
        let due_by_facts = || known.detail_at.map_or(now, |at| at + DETAIL_INTERVAL);
        let detail_due_at = is_due_by_facts.then(due_by_facts);
        plan.writes.changed.push(ChangedDevice {
            device_id: known.device.device_id,
            asset_id: known.device.asset_id,
            place: Arc::clone(place),
            content,
            content_changed: difference.content,
            is_shared: known.is_shared,
            detail_due_at,
        });
    }
    let is_changed = plan.writes.changed.len() > writes_before;
    sources::note(known, look.status, status_changed, is_changed || difference.presence, plan);
}

fn change_status(known: &Known, to: Status, plan: &mut PagePlan) {
    if known.is_shared {
        return;
    }
    let data = json!({ "from": known.device.status.name(), "to": to.name() });
    plan.writes.statuses.push(StatusChange { asset_id: known.device.asset_id, status: to });
    plan.writes.events.push(NewEvent::new(kind::STATUS_CHANGED, known.device.asset_id).with(&data));
}

/// Counts, events and preview items of a known device.
fn tell(
    place: &Place,
    known: &Known,
    content: &Content,
    difference: Difference,
    plan: &mut PagePlan,
    counts: &mut RunCounts,
) {
    let asset = known.device.asset_id;
    let mut say = |action: &str, message: String| {
        plan.items.push(item(action, Some(known.external_id.clone()), Some(content.name.clone()), message));
    };
    if difference.moved {
        counts.moved += 1;
        say("moved", "moved to this organization".to_owned());
        let data = sources::of_device(known, moved_data(place, known));
        plan.writes.events.push(NewEvent::new(kind::ASSET_MOVED, asset).with(&data));
    } else if difference.returned {
        say("returned", "listed again".to_owned());
    } else if difference.content {
        say("updated", "facts changed".to_owned());
    }
    if difference.returned {
        counts.returned += 1;
        plan.writes.events.push(sources::returned(known));
    }
    if difference.content {
        counts.updated += 1;
    } else if !difference.moved && !difference.returned {
        counts.unchanged += 1;
    }
}

/// Longest value told in an event, in characters.
const MAX_TOLD: usize = 200;

/// The devices of a plan whose facts change.
pub(super) fn with_new_facts(plan: &PagePlan) -> Vec<DeviceId> {
    plan.writes
        .changed
        .iter()
        .filter(|device| device.content_changed)
        .map(|device| device.device_id)
        .collect()
}

/// Adds what changed to the events, field by field with the value before and after.
pub(super) fn tell_changes(plan: &mut PagePlan, before: &HashMap<DeviceId, String>) {
    for device in plan.writes.changed.iter().filter(|device| device.content_changed) {
        let old = before.get(&device.device_id).map_or("{}", String::as_str);
        let mut data = json!({ "fields": changed_fields(old, &device.content.facts) });
        if device.is_shared {
            data = sources::with_device(data, device.device_id);
        }
        plan.writes.events.push(NewEvent::new(kind::ASSET_UPDATED, device.asset_id).with(&data));
    }
}

/// Fields that differ between two JSON objects: name → [before, after].
fn changed_fields(before: &str, after: &str) -> serde_json::Map<String, serde_json::Value> {
    type Object = serde_json::Map<String, serde_json::Value>;
    let read = |text: &str| serde_json::from_str::<Object>(text).unwrap_or_default();
    let (before, after) = (read(before), read(after));
    let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differs = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
    differs.map(|name| (name.clone(), json!([told(before.get(name)), told(after.get(name))]))).collect()
}

/// A value as it is told: text is cut, lists and objects that are long are left out.
fn told(value: Option<&serde_json::Value>) -> serde_json::Value {
    match value {
        None => serde_json::Value::Null,
        Some(serde_json::Value::String(text)) => text.chars().take(MAX_TOLD).collect::<String>().into(),
        Some(other) if other.to_string().len() <= MAX_TOLD => other.clone(),
        Some(_) => "…".into(),
    }
}

fn moved_data(place: &Place, known: &Known) -> serde_json::Value {
    let from = known.device.organization_id;
    if !known.leads {
        return json!({ "from_organization": from, "to_organization": place.organization_id });
    }
    json!({
        "from_organization": known.device.organization_id, "to_organization": place.organization_id,
        "from_client": known.client_id, "to_client": place.client_id,
    })
}

/// Facts as they are stored, with their hash. What the list lacks stays what the detail told: a look without a serial number
/// does not take away the one that is known.
fn content(record: &DeviceRecord, detail: Option<&DeviceDetail>) -> Content {
    let facts = serde_json::to_string(&record.facts).unwrap_or_default();
    let hash = blake3::hash(facts.as_bytes()).to_hex().as_str().get(..32).unwrap_or_default().to_owned();
    let completed = detail.map(|detail| record.facts.clone().completed(detail));
    let known = completed.as_ref().unwrap_or(&record.facts);
    let macs = detail.map(|detail| detail.macs.as_slice()).unwrap_or_default();
    Content {
        hash,
        search_text: search_text(known, &record.external_id, macs),
        name: record.facts.name.clone(),
        asset_type: record.facts.device_type,
        os: record.facts.os.clone().unwrap_or_default(),
        needs_reboot: record.facts.needs_reboot.unwrap_or(false),
        serial_key: known.serial.as_deref().and_then(serial_key),
        site: record.facts.site.clone(),
        raw: Box::<str>::from(record.raw.get()),
        facts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_fields_that_differ_are_told() {
        let changed = changed_fields(
            r#"{"os":"A","name":"x","lan_ips":["1"]}"#,
            r#"{"os":"B","name":"x","serial":"S"}"#,
        );
        let expected = json!({ "lan_ips": [["1"], null], "os": ["A", "B"], "serial": [null, "S"] });
        assert_eq!(serde_json::Value::Object(changed), expected);
    }

    #[test]
    fn long_values_are_cut() {
        let long = "x".repeat(500);
        let changed = changed_fields("{}", &json!({ "os": long, "disks": vec![long.clone()] }).to_string());
        assert_eq!(changed.get("os"), Some(&json!([null, "x".repeat(200)])));
        assert_eq!(changed.get("disks"), Some(&json!([null, "…"])));
    }
}
