//! The walk: the devices of the whole account from one list, page by page as they come, whatever organization each is in.
//!
//! Pages are written while the next is read. Only a walk that came to its end notes a look, with the time at which it
//! began; only a complete one makes a device that it did not meet absent. One that was cut off begins again: a second look
//! at the same devices writes nothing.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use domain::{
    Ctx, Time,
    id::{DeviceId, OrganizationId},
    organization::Organization,
    sync::{RunCounts, RunKind},
};
use futures::stream::BoxStream;
use provider::AccountPage;
use store::{
    absence::Absent,
    device::{AccountLook, Place},
    organization::Mapping,
};

use self::collect::{Collector, Found, WalkPage};
use super::{
    Stopped, Work,
    list_pass::{CursorState, known_organizations, mapped_organizations},
    missing::{self, Walked},
    page,
    plan::{PagePlan, Row},
};
use crate::core::Opened;

mod collect;

/// What the run does, for people.
const STAGE: &str = "devices of all organizations";

/// Most failed rows that a run names.
const MOST_FAILED: usize = 1_000;

/// Walks over the devices of the account and writes those of the mapped organizations.
pub(super) async fn devices(
    work: &mut Work<'_>,
    opened: &Opened,
    mapped: &[Organization],
    pages: BoxStream<'_, provider::Result<AccountPage>>,
    state: &mut CursorState,
) -> Result<(), Stopped> {
    let began = work.now().now;
    begin(work).await?;
    let gone = gone_organizations(work).await?;
    let mut collector = Collector::new(pages, work.control, mapped, gone);
    let mut walk = Walk {
        opened,
        organizations: mapped.iter().map(|o| (o.external_id.as_str(), o)).collect(),
        left: BTreeSet::new(),
        expected: mapped.iter().filter_map(|o| o.device_count).sum(),
        done: 0,
        told: 0,
    };
    work.note(STAGE, 0, Some(walk.expected)).await?;
    let mut next = collector.page().await?;
    while let Some(current) = next {
        work.go_on()?;
        let (written, following) = tokio::join!(walk.write(work, &current), collector.page());
        for organization in written? {
            collector.leave(&current, organization);
        }
        next = following?;
    }
    walk.end(work, collector.end(), began, state).await
}

/// Sets the counts of a run back to what an attempt that was cut off has written.
async fn begin(work: &mut Work<'_>) -> Result<(), Stopped> {
    let counts = counts_of_writes(&work.counts, work.run.preview);
    if counts != work.counts {
        work.counts = counts;
        work.core.store.tenant(&work.now()).sync_runs().forget_items(work.run.id).await?;
    }
    Ok(())
}

fn counts_of_writes(so_far: &RunCounts, is_preview: bool) -> RunCounts {
    let calls = so_far.calls;
    if is_preview {
        return RunCounts { calls, ..RunCounts::default() };
    }
    RunCounts {
        calls,
        created: so_far.created,
        updated: so_far.updated,
        moved: so_far.moved,
        returned: so_far.returned,
        missing: so_far.missing,
        status_changes: so_far.status_changes,
        ..RunCounts::default()
    }
}

/// What an attempt that was cut off created or updated is met again unchanged: it counts once, as what happened to it.
fn count_once(counts: &mut RunCounts) {
    let others = counts.failed + counts.created + counts.updated;
    counts.unchanged = counts.unchanged.min(counts.read.saturating_sub(others));
}

/// The provider's ids of organizations that are mapped and synced, but were not listed.
async fn gone_organizations(work: &Work<'_>) -> Result<Vec<String>, Stopped> {
    let mapped = mapped_organizations(work).await?;
    let gone = mapped.into_iter().filter(|organization| organization.vanished_at.is_some());
    Ok(gone.map(|organization| organization.external_id).collect())
}

/// A walk at work.
struct Walk<'a> {
    opened: &'a Opened,
    /// Those whose devices are written, by the provider's id.
    organizations: BTreeMap<&'a str, &'a Organization>,
    /// Those of them that stopped being synced.
    left: BTreeSet<OrganizationId>,
    /// Devices of theirs, as the provider counts.
    expected: u64,
    /// Rows done.
    done: u64,
    /// Failed rows named so far.
    told: usize,
}

impl<'a> Walk<'a> {
    /// Writes a page, each device for the client that its organization has at that moment. Answers the provider's ids of
    /// organizations that are not synced any more: their devices were left out.
    async fn write(&mut self, work: &mut Work<'_>, page: &WalkPage) -> Result<Vec<&'a str>, Stopped> {
        work.counts.calls += page.calls;
        work.met += page.met;
        let counts_before = work.counts.clone();
        loop {
            let ctx = work.now();
            let (places, left) = self.places(work, &ctx, page).await?;
            match self.try_page(work, &ctx, page, &places).await {
                Ok(true) => {
                    for organization in &left {
                        if self.left.insert(organization.id) {
                            page::leave(work, organization).await?;
                        }
                    }
                    return Ok(left.iter().map(|organization| organization.external_id.as_str()).collect());
                }
                Ok(false) => work.counts = counts_before.clone(),
                Err(error) => {
                    // What was not written is not counted: a cancelled run keeps its counts.
                    work.counts = counts_before;
                    return Err(error);
                }
            }
        }
    }

    /// The organizations of a page by the provider's id, and those that are not synced any more.
    async fn places(
        &self,
        work: &Work<'_>,
        ctx: &Ctx,
        page: &WalkPage,
    ) -> Result<(BTreeMap<&'a str, Arc<Place>>, Vec<&'a Organization>), Stopped> {
        let named: BTreeSet<&str> = page.devices.iter().map(|device| device.organization.as_str()).collect();
        let of_page: Vec<&'a Organization> =
            named.into_iter().filter_map(|id| self.organizations.get(id).copied()).collect();
        let ids: Vec<OrganizationId> = of_page.iter().map(|organization| organization.id).collect();
        let mappings = work.core.store.tenant(ctx).organizations().mappings(&ids).await?;
        let (mut places, mut left) = (BTreeMap::new(), Vec::new());
        for organization in of_page {
            let client = mappings.get(&organization.id).and_then(Mapping::synced_for);
            match client.filter(|_| !self.left.contains(&organization.id)) {
                Some(client) => {
                    places.insert(organization.external_id.as_str(), page::place(organization, client));
                }
                None => left.push(organization),
            }
        }
        Ok((places, left))
    }

    /// Answers whether it was written: not if an organization was mapped elsewhere meanwhile.
    async fn try_page(
        &mut self,
        work: &mut Work<'_>,
        ctx: &Ctx,
        page: &WalkPage,
        places: &BTreeMap<&str, Arc<Place>>,
    ) -> Result<bool, Stopped> {
        let devices = page.devices.iter();
        let rows: Vec<Row<'_>> = devices
            .filter_map(|device| {
                Some(Row { place: places.get(device.organization.as_str())?, record: &device.record })
            })
            .collect();
        let scope = page::scope(work, self.opened, places.values().cloned().collect(), ctx);
        let plan = page::compare(work, ctx, &scope, &rows, &page.rejected).await?;
        count_once(&mut work.counts);
        let done = self.done + (rows.len() + page.rejected.len()) as u64;
        let progress = work.progress(STAGE, done, Some(self.expected.max(done)));
        let Some(mut items) = page::put(work, ctx, &scope, plan, &progress).await? else { return Ok(false) };
        self.done = done;
        if !work.run.preview {
            items.truncate(MOST_FAILED.saturating_sub(self.told));
            self.told += items.len();
        }
        work.add_items(&items).await?;
        Ok(true)
    }

    /// Notes the look and settles what was not met.
    async fn end(
        &mut self,
        work: &mut Work<'_>,
        found: Found,
        began: Time,
        state: &mut CursorState,
    ) -> Result<(), Stopped> {
        let Some(end) = found.end else { return Err(collect::cut_off().into()) };
        let ctx = work.now();
        let tenant = work.core.store.tenant(&ctx);
        let covered: Vec<OrganizationId> =
            self.organizations.values().map(|o| o.id).filter(|id| !self.left.contains(id)).collect();
        let not_met = tenant.absences().not_met(work.run.integration_id, &found.met()).await?;
        let is_covered: HashSet<OrganizationId> = covered.iter().copied().collect();
        let absent: Vec<Absent> =
            not_met.iter().filter(|device| is_covered.contains(&device.organization_id)).cloned().collect();
        let mut plan = PagePlan::default();
        if !found.has_nameless {
            plan.leave_out(&absent, &mut work.counts);
        }
        let progress = work.progress(STAGE, self.done, Some(self.done));
        if work.run.preview {
            tenant.sync_runs().note(work.run.id, &progress).await?;
            work.add_items(&plan.items).await?;
        } else {
            let unlisted: Vec<DeviceId> = absent.iter().map(|device| device.device_id).collect();
            let look = AccountLook { organizations: &covered, unlisted: &unlisted, observed_at: began };
            tenant.devices().note_look(work.run.id, &look, &progress).await?;
        }
        work.reached(&progress);
        if work.run.kind != RunKind::Devices {
            return Ok(());
        }
        let elsewhere = elsewhere(work, &found, &not_met).await?;
        let has_nameless = found.has_nameless;
        let walked = Walked { end, has_nameless, covered: is_covered, not_met, elsewhere };
        missing::settle_walk(work, self.opened, walked, state).await
    }
}

/// Where devices that were not met where they belong were met instead.
async fn elsewhere(
    work: &Work<'_>,
    found: &Found,
    not_met: &[Absent],
) -> Result<HashMap<String, String>, Stopped> {
    let names: HashMap<String, String> =
        known_organizations(work).await?.into_iter().map(|o| (o.external_id, o.name)).collect();
    let met = not_met.iter().filter_map(|device| {
        let organization = found.elsewhere(&device.external_id)?;
        // One that the list of organizations did not have yet has no name for us.
        let name = names.get(organization).map_or(organization, String::as_str);
        Some((device.external_id.clone(), name.to_owned()))
    });
    Ok(met.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_that_begins_again_counts_each_device_once() {
        // 300 of 1,000 devices were created before the walk was cut off; 200 were there before, 500 are new.
        let cut = RunCounts { read: 310, created: 300, failed: 10, calls: 4, ..RunCounts::default() };
        let mut counts = counts_of_writes(&cut, false);
        assert_eq!((counts.read, counts.failed, counts.created, counts.calls), (0, 0, 300, 4));
        for (met_again, known, new) in [(250, 0, 0), (50, 100, 100), (0, 100, 400)] {
            counts.read += met_again + known + new;
            counts.unchanged += met_again + known;
            counts.created += new;
            count_once(&mut counts);
        }
        assert_eq!((counts.read, counts.created, counts.unchanged), (1_000, 800, 200));
    }

    #[test]
    fn a_preview_that_begins_again_has_written_nothing() {
        let cut = RunCounts { read: 300, created: 300, calls: 4, ..RunCounts::default() };
        assert_eq!(counts_of_writes(&cut, true), RunCounts { calls: 4, ..RunCounts::default() });
    }
}
