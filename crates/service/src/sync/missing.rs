//! The end of a list pass or of a walk: which absences count, and which devices are marked missing.

use std::collections::{HashMap, HashSet};

use domain::{
    id::{DeviceId, OrganizationId},
    organization::Organization,
    sync::{MISSING_AFTER_PASSES, RunItem, is_complete, missing_allowance},
};
use provider::WalkEnd;
use store::absence::Absent;

use super::{
    Stopped, Work,
    list_pass::{CursorState, list_organizations, mapped_organizations},
};
use crate::core::Opened;

/// Counts absences in complete lists, then marks what has been absent long enough.
pub(super) async fn settle_lists(
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
    let absences = absences_of_lists(work, state, &counted).await?;
    conclude(work, opened, absences, state).await
}

/// How a walk over the whole account ended.
pub(super) struct Walked {
    /// What the RMM says of it.
    pub(super) end: WalkEnd,
    /// A row had no readable id: nobody can tell which device it was.
    pub(super) has_nameless: bool,
    /// Organizations whose devices it would have met.
    pub(super) covered: HashSet<OrganizationId>,
    /// Known devices of synced organizations that it did not meet there.
    pub(super) not_met: Vec<Absent>,
    /// Devices among them that it met in organizations that are not synced, by the provider's id: the organization's name.
    pub(super) elsewhere: HashMap<String, String>,
}

/// The same after a walk, whose own end says whether it was complete.
pub(super) async fn settle_walk(
    work: &mut Work<'_>,
    opened: &Opened,
    walked: Walked,
    state: &mut CursorState,
) -> Result<(), Stopped> {
    work.note("looking for missing devices", work.run.done, work.run.total).await?;
    if !walked.end.is_complete {
        walk_incomplete(work, walked.end).await?;
    }
    let vanished = organizations_gone(work, opened).await?;
    let mut absences =
        Absences { elsewhere: walked.elsewhere, are_located: walked.end.is_complete, ..Absences::default() };
    for absent in walked.not_met.iter().filter(|_| !walked.has_nameless) {
        let key = (absent.device_id, absent.organization_id);
        if let Some(name) = vanished.get(&absent.organization_id) {
            work.counts.absent += 1;
            absences.vanished.insert(absent.device_id, name.clone());
            absences.counted.push(key);
        } else if walked.end.is_complete && walked.covered.contains(&absent.organization_id) {
            absences.counted.push(key);
        }
    }
    conclude(work, opened, absences, state).await
}

/// Synced organizations that neither the list at the start had, which set `vanished_at`, nor the one now; with their names.
async fn organizations_gone(
    work: &mut Work<'_>,
    opened: &Opened,
) -> Result<HashMap<OrganizationId, String>, Stopped> {
    let mut vanished = mapped_organizations(work).await?;
    vanished.retain(|organization| organization.vanished_at.is_some());
    if vanished.is_empty() {
        return Ok(HashMap::new());
    }
    let listed: HashSet<String> =
        list_organizations(work, opened).await?.into_iter().map(|o| o.external_id).collect();
    let gone = vanished.into_iter().filter(|organization| !listed.contains(&organization.external_id));
    Ok(gone.map(|organization| (organization.id, organization.name)).collect())
}

/// Counts absences, once in a run, and marks what has been absent long enough. A brake stops a run that would mark more
/// than a set share: then something else is wrong, and a person has to look.
async fn conclude(
    work: &mut Work<'_>,
    opened: &Opened,
    absences: Absences,
    state: &mut CursorState,
) -> Result<(), Stopped> {
    let ctx = work.now();
    let tenant = work.core.store.tenant(&ctx);
    if !work.run.preview && !state.counted {
        state.counted = true;
        let mut step = work.progress("looking for missing devices", work.run.done, work.run.total);
        step.cursor_state = serde_json::to_string(state).ok();
        tenant.absences().count(work.run.id, &absences.counted, &step).await?;
    }
    let absent: HashSet<DeviceId> = absences.counted.iter().map(|(device, _)| *device).collect();
    // A preview counts nothing, so it looks for what this pass would bring over the line.
    let passes = MISSING_AFTER_PASSES - u32::from(work.run.preview);
    let mut candidates = tenant.absences().candidates(work.run.integration_id, passes, ctx.now).await?;
    // Only what this run looked for and did not find: not what lies in a list that was incomplete or is not synced.
    candidates.retain(|candidate| absent.contains(&candidate.device_id));
    if candidates.is_empty() {
        return Ok(());
    }
    mark(work, opened, candidates, &absences).await
}

/// The absences that count in this run.
#[derive(Default)]
struct Absences {
    counted: Vec<(DeviceId, OrganizationId)>,
    /// Those whose organization is not at the RMM any more, with its name.
    vanished: HashMap<DeviceId, String>,
    /// Where devices are now, by the provider's id, as far as that is known already: the organization's name.
    elsewhere: HashMap<String, String>,
    /// Whoever is not there is nowhere: the RMM need not be asked.
    are_located: bool,
}

/// Devices that complete lists lack, and all devices of organizations that both lists of organizations lack: the one at
/// the start, which set `vanished_at`, and the one now. What is not synced any more is nobody's absence.
async fn absences_of_lists(
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
            found.counted.extend(devices.iter().map(|device| (*device, organization.id)));
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
        work.counts.absent += devices.len() as u64;
        self.vanished.extend(devices.iter().map(|device| (device.device_id, organization.name.clone())));
        self.counted.extend(devices.iter().map(|device| (device.device_id, organization.id)));
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

async fn walk_incomplete(work: &mut Work<'_>, end: WalkEnd) -> Result<(), Stopped> {
    work.counts.incomplete += 1;
    let counted = end.total.map_or("an unknown number".to_owned(), |n| n.to_string());
    let item = RunItem {
        n: 0,
        action: "failed".to_owned(),
        external_id: None,
        name: None,
        message: format!(
            "the list of all devices held {}, the RMM counts {counted}; what it lacked does not count as absent this time. \
             Devices that move while they are listed cause that now and then: the next sync looks again",
            end.listed
        ),
    };
    work.add_items(&[item]).await
}

async fn mark(
    work: &mut Work<'_>,
    opened: &Opened,
    candidates: Vec<Absent>,
    absences: &Absences,
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
    let located = locate(work, opened, &candidates, absences).await?;
    let missing: Vec<(Absent, Option<String>)> = candidates
        .into_iter()
        .map(|absent| {
            let place = located.get(absent.external_id.as_str());
            let note = match (place, absences.vanished.get(&absent.device_id)) {
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

/// Where these devices are now, by the provider's id: the organization's name. The RMM is asked for what is not known yet.
async fn locate(
    work: &mut Work<'_>,
    opened: &Opened,
    candidates: &[Absent],
    absences: &Absences,
) -> Result<HashMap<String, String>, Stopped> {
    let mut located = absences.elsewhere.clone();
    let unknown = candidates.iter().filter(|absent| !located.contains_key(&absent.external_id));
    let unknown: Vec<String> = unknown.map(|absent| absent.external_id.clone()).collect();
    if unknown.is_empty() || absences.are_located {
        return Ok(located);
    }
    work.counts.calls += 1;
    let found = opened.provider.inventory().locate(&opened.connection, &unknown).await?;
    located.extend(found.into_iter().map(|location| (location.external_id, location.organization_name)));
    Ok(located)
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
