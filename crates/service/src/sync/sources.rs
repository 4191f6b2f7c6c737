//! Devices of assets that have several: what a page says of one of them concerns what the asset shows, which follows from
//! all. The plan only notes the device; the store brings the asset to what its devices say together.

use domain::{event::kind, id::DeviceId, status::Status};
use serde_json::{Value, json};
use store::{
    device::{Known, SharedDevice},
    event::NewEvent,
};

use super::plan::PagePlan;

/// Notes a device that shares its asset, if the asset may show something else after this look. A machine that reports
/// again and again changes nothing that the asset shows but its time.
pub(super) fn note(known: &Known, status: Status, status_changed: bool, is_news: bool, plan: &mut PagePlan) {
    if !known.is_shared
        || !(status_changed || is_news && (status != Status::Online || is_content(known, plan)))
    {
        return;
    }
    plan.writes.shared.push(SharedDevice {
        device_id: known.device.device_id,
        asset_id: known.device.asset_id,
        status: status_changed.then_some(status),
    });
}

fn is_content(known: &Known, plan: &PagePlan) -> bool {
    plan.writes.changed.last().is_some_and(|device| device.device_id == known.device.device_id)
}

/// The data of an event, with the device where the asset has several: a split takes such events along.
pub(super) fn of_device(known: &Known, data: Value) -> Value {
    if known.is_shared { with_device(data, known.device.device_id) } else { data }
}

pub(super) fn with_device(mut data: Value, device: DeviceId) -> Value {
    if let Some(fields) = data.as_object_mut() {
        fields.insert("device_id".to_owned(), json!(device));
    }
    data
}

/// The machine is listed again, or one of several RMMs lists it again.
pub(super) fn returned(known: &Known) -> NewEvent {
    let asset = known.device.asset_id;
    if !known.is_shared {
        return NewEvent::new(kind::ASSET_RETURNED, asset);
    }
    NewEvent::new(kind::SOURCE_RETURNED, asset).with(&with_device(json!({}), known.device.device_id))
}
