//! Patches of a device and of a site, on platforms that have these paths.

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::datto_rmm::call::Call;
use crate::datto_rmm::reply::{self, Reply};
use crate::datto_rmm::world::Device;
use crate::fleet::Platform;

const STATES: &[&str] = &["INSTALLED", "APPROVED_PENDING", "NOT_APPROVED"];

fn rows(device: &Device) -> Vec<Value> {
    if device.machine.hardware.platform != Platform::Windows {
        return Vec::new();
    }
    (0..9_u32)
        .map(|index| {
            json!({
                "patchId": format!("{:08x}-{index}", device.number), "category": ["Security Updates"],
                "type": "Software", "title": format!("2026-{:02} Cumulative Update (KB50{index:05})", index + 1),
                "description": "A security issue has been identified. ".repeat(12),
                "releaseDate": 1_760_000_000_000_i64 + i64::from(index) * 2_592_000_000, "severity": "Critical",
                "maxSize": 734_003_200_u64, "rebootRequired": index.is_multiple_of(2), "requireUserInput": false,
                "kbArticleId": format!("50{index:05}"), "installStatus": STATES[(index % 3) as usize],
                "manualOverride": null,
            })
        })
        .collect()
}

fn listed(call: &Call, rows: &[Value]) -> Reply {
    let wanted = call.query("installStatus");
    let shown: Vec<&Value> =
        rows.iter().filter(|row| wanted.is_none_or(|wanted| row["installStatus"] == wanted)).collect();
    call.list(&shown, |row| (*row).clone())
}

/// Platforms before 15.1.0 do not know the path.
fn exists(call: &Call) -> Result<(), Answer> {
    if call.world().has_patches { Ok(()) } else { Err(reply::no_route(&call.path)) }
}

/// `GET /v2/device/<deviceUid>/patches`.
pub(crate) fn of_device(call: &Call) -> Reply {
    exists(call)?;
    let world = call.world();
    listed(call, &rows(call.device(&world)?))
}

/// `GET /v2/site/<siteUid>/patches`.
pub(crate) fn of_site(call: &Call) -> Reply {
    exists(call)?;
    let world = call.world();
    let site = call.site(&world)?.id;
    let all: Vec<Value> = world.listed().filter(|device| device.site == site).flat_map(rows).collect();
    listed(call, &all)
}
