//! The end of a list pass: which absences count, and which devices are marked missing.

use std::collections::{HashMap, HashSet};

use domain::{
    id::{DeviceId, OrganizationId},
    organization::Organization,
    sync::{MISSING_AFTER_PASSES, RunItem, is_complete, missing_allowance},
};
use provider::DeviceLocation;
use store::absence::Absent;

use super::{
    Stopped, Work,
    list_pass::{CursorState, list_organizations, mapped_organizations},
};
use crate::core::Opened;

/// Counts absences in complete lists, then marks what has been absent long enough. A brake stops a run that would mark
/// more than a set share: then something else is wrong, and a person has to look.
pub(super) async fn settle(
    work: &mut Work<'_>,
    opened: &Opened,
    state: &mut CursorState,
) -> Result<(), Stopped> {
    work.note("checking that the lists were complete", work.run.done, work.run.total).await?;
    let counted: HashMap<String, Option<u64>> = list_organizations(work, opened)
        .await?
        .into_iter()
        .map(|organization| (organization.external_id, organization.device_count))
        .collect();
    let ctx = work.now();
    let tenant = work.core.store.tenant(&ctx);
    let absences = absences(work, state, &counted).await?;
    if !work.run.preview && !state.counted {
        state.counted = true;
        let mut step = work.progress("looking for missing devices", work.run.done, work.run.total);
        step.cursor_state = serde_json::to_string(state).ok();
        tenant.absences().count(work.run.id, &absences.of_organizations, &step).await?;
    }
    let absent: HashSet<DeviceId> =
        absences.of_organizations.into_iter().flat_map(|(_, devices)| devices).collect();
    // A preview counts nothing, so it looks for what this pass would bring over the line.
    let passes = MISSING_AFTER_PASSES - u32::from(work.run.preview);
    let mut candidates = tenant.absences().candidates(work.run.integration_id, passes, ctx.now).await?;
    // Only what this run looked for and did not find: not what lies in a list that was incomplete or is not synced.
    candidates.retain(|candidate| absent.contains(&candidate.device_id));
    if candidates.is_empty() {
        return Ok(());
    }
    mark(work, opened, candidates, &absences.vanished).await
}

/// The absences that count in this run.
#[derive(Default)]
struct Absences {
    of_organizations: Vec<(OrganizationId, Vec<DeviceId>)>,
    /// Those whose organization is not at the RMM any more, with its name.
    vanished: HashMap<DeviceId, String>,
}

/// Devices that complete lists lack, and all devices of organizations that both lists of organizations lack: the one at
/// the start, which set `vanished_at`, and the one now. What is not synced any more is nobody's absence.
async fn absences(
    work: &mut Work<'_>,
    state: &CursorState,
    counted: &HashMap<String, Option<u64>>,
) -> Result<Absences, Stopped> {
    let mut found = Absences::default();
    for organization in mapped_organizations(work).await? {
        let key = &organization.external_id;
        if organization.vanished_at.is_some() {
            if !counted.contains_key(key) {
                found.add_vanished(work, &organization).await?;
            }
            continue;
        }
        let Some(listed) = state.done.get(key).copied() else { continue };
        let counted_after = counted.get(key).copied().flatten();
        if !is_complete(listed, counted_after) {
            incomplete(work, &organization, listed, counted_after).await?;
        } else if let Some(devices) = state.absent.get(key) {
            found.of_organizations.push((organization.id, devices.clone()));
        }
    }
    Ok(found)
}

impl Absences {
    async fn add_vanished(
        &mut self,
        work: &mut Work<'_>,
        organization: &Organization,
    ) -> Result<(), Stopped> {
        let devices = work.core.store.tenant(&work.ctx).absences().not_listed(organization.id, &[]).await?;
        let devices: Vec<DeviceId> = devices.into_iter().map(|device| device.device_id).collect();
        if !devices.is_empty() {
            work.counts.absent += devices.len() as u64;
            self.vanished.extend(devices.iter().map(|id| (*id, organization.name.clone())));
            self.of_organizations.push((organization.id, devices));
        }
        Ok(())
    }
}

async fn incomplete(
    work: &mut Work<'_>,
    organization: &Organization,
    listed: u64,
    counted: Option<u64>,
) -> Result<(), Stopped> {
    work.counts.incomplete += 1;
    let counted = counted.map_or("an unknown number".to_owned(), |n| n.to_string());
    let item = RunItem {
        n: 0,
        action: "failed".to_owned(),
        external_id: Some(organization.external_id.clone()),
        name: Some(organization.name.clone()),
        message: format!(
            "the list held {listed} devices, the RMM counts {counted}; absences in it are not counted this time"
        ),
    };
    work.add_items(&[item]).await
}

async fn mark(
    work: &mut Work<'_>,
    opened: &Opened,
    candidates: Vec<Absent>,
    vanished: &HashMap<DeviceId, String>,
) -> Result<(), Stopped> {
    let ctx = work.now();
    let tenant = work.core.store.tenant(&ctx);
    let known = tenant.devices().count_present(work.run.integration_id).await?;
    let allowed = missing_allowance(known, opened.integration.settings.missing_brake_percent);
    if candidates.len() as u64 > allowed {
        work.counts.failed += 1;
        let item = RunItem {
            n: 0,
            action: "failed".to_owned(),
            external_id: None,
            name: None,
            message: format!(
                "{} of {known} devices are not listed any more, more than the {allowed} that one run may mark missing; \
                 none was marked. If they are really gone, raise `missing_brake_percent` of the integration and sync again",
                candidates.len()
            ),
        };
        return work.add_items(&[item]).await;
    }
    work.counts.calls += 1;
    let ids: Vec<String> = candidates.iter().map(|absent| absent.external_id.clone()).collect();
    let located = opened.provider.inventory().locate(&opened.connection, &ids).await?;
    let located: HashMap<&str, &DeviceLocation> =
        located.iter().map(|location| (location.external_id.as_str(), location)).collect();
    let missing: Vec<(Absent, Option<String>)> = candidates
        .into_iter()
        .map(|absent| {
            let place = located.get(absent.external_id.as_str()).map(|location| &location.organization_name);
            let note = match (place, vanished.get(&absent.device_id)) {
                (Some(name), _) => Some(format!("is in `{name}` now, which is not synced")),
                (None, Some(name)) => Some(format!("its organization `{name}` is not at the RMM any more")),
                (None, None) => None,
            };
            (absent, note)
        })
        .collect();
    work.counts.missing += missing.len() as u64;
    if work.run.preview {
        let items: Vec<RunItem> =
            missing.iter().map(|(absent, note)| preview_item(absent, note.as_deref())).collect();
        return work.add_items(&items).await;
    }
    Ok(tenant.absences().mark_missing(work.run.integration_id, work.run.id, &missing).await?)
}

fn preview_item(absent: &Absent, note: Option<&str>) -> RunItem {
    RunItem {
        n: 0,
        action: "missing".to_owned(),
        external_id: Some(absent.external_id.clone()),
        name: Some(absent.name.clone()),
        message: note.unwrap_or("not listed any more").to_owned(),
    }
}
