//! The list pass: organizations, then the devices of each mapped one, page by page. Where the RMM lists the devices of the
//! whole account together, [`super::walk`] takes the place of the lists.
//!
//! At most four calls and one for each mapped organization: organizations, names of custom fields, the lists,
//! organizations again for the counts, and where devices may be missing one question where they are.

use std::collections::BTreeMap;

use domain::{
    Ctx,
    id::DeviceId,
    organization::{MappingState, Organization},
    sync::{RunItem, RunKind},
};
use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture, stream};
use provider::{
    Connection, DevicePage, Dictionary, ErrorKind, Inventory, OrganizationRecord, Problem, ProviderError,
};
use serde::{Deserialize, Serialize};
use store::{
    absence::Absent,
    device::PageScope,
    organization::{ListedOrganization, Mapping},
};

use super::{
    Stopped, Work, is_of_one_answer, missing,
    page::{self, PAGE_SIZE},
    plan::Row,
    walk,
};
use crate::core::Opened;

/// Lists fetched ahead while one is written: the RMM sees at most so many requests of ours at once.
const FETCH_AHEAD: usize = 2;

/// Where a run goes on after a crash, and what the end of the pass needs.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct CursorState {
    /// Organizations that are done, by the provider's id, with the length of their list.
    pub(super) done: BTreeMap<String, u64>,
    /// Devices of done organizations that were not in their list.
    pub(super) absent: BTreeMap<String, Vec<DeviceId>>,
    /// The absences of this run were counted.
    pub(super) counted: bool,
}

/// Sync Clients.
pub(super) async fn organizations(work: &mut Work<'_>) -> Result<(), Stopped> {
    let opened = open(work).await?;
    work.note("reading organizations", work.run.done, work.run.total).await?;
    take_over_organizations(work, &opened).await?;
    Ok(())
}

/// Sync Devices, and the presence pass, which is the same list without the question what is missing.
pub(super) async fn devices(work: &mut Work<'_>) -> Result<(), Stopped> {
    let opened = open(work).await?;
    let mut state: CursorState =
        work.run.cursor_state.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    work.note("reading organizations", work.run.done, work.run.total).await?;
    take_over_organizations(work, &opened).await?;
    work.counts.calls += 1;
    let inventory = opened.provider.inventory();
    let dictionary = inventory.dictionary(&opened.connection).await?;
    let mapped = synced_organizations(work).await?;
    // With nothing to be read, a walk would read it all the same.
    if !mapped.is_empty()
        && let Some(pages) = inventory.account_devices(&opened.connection, &dictionary)
    {
        return walk::devices(work, &opened, &mapped, pages, &mut state).await;
    }
    lists(work, &opened, &dictionary, &mapped, &mut state).await?;
    if work.run.kind == RunKind::Devices {
        missing::settle_lists(work, &opened, &mut state).await?;
    }
    Ok(())
}

/// The list of each organization.
async fn lists(
    work: &mut Work<'_>,
    opened: &Opened,
    dictionary: &Dictionary,
    mapped: &[Organization],
    state: &mut CursorState,
) -> Result<(), Stopped> {
    let mut expected = mapped.iter().map(|o| o.device_count.unwrap_or(0)).sum::<u64>();
    let mut done_devices: u64 = mapped.iter().filter_map(|o| state.done.get(&o.external_id)).sum();
    let todo: Vec<&Organization> =
        mapped.iter().filter(|o| !state.done.contains_key(&o.external_id)).collect();
    let inventory = opened.provider.inventory();
    let fetches: Vec<Fetch<'_>> = todo
        .into_iter()
        .map(|organization| fetch(inventory, &opened.connection, organization, dictionary).boxed())
        .collect();
    let mut lists = stream::iter(fetches).buffered(FETCH_AHEAD);
    while let Some((organization, fetched)) = lists.next().await {
        work.go_on()?;
        work.counts.calls += 1;
        let pages = match fetched {
            Ok(pages) => pages,
            Err(error) if is_of_one_answer(error.kind) => {
                unreadable(work, organization, &error).await?;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let organization_pass =
            OrganizationPass { opened, organization, expected, done_before: done_devices };
        match organization_pass.write(work, pages, state).await? {
            ListEnd::Whole { length } => done_devices += length,
            ListEnd::Left => expected = expected.saturating_sub(organization.device_count.unwrap_or(0)),
        }
    }
    Ok(())
}

async fn open(work: &mut Work<'_>) -> Result<Opened, Stopped> {
    work.open().await
}

async fn take_over_organizations(work: &mut Work<'_>, opened: &Opened) -> Result<(), Stopped> {
    let listed = list_organizations(work, opened).await?;
    let rows: Vec<ListedOrganization> = listed
        .into_iter()
        .map(|o| ListedOrganization {
            external_id: o.external_id,
            name: o.name,
            sites: o.sites,
            device_count: o.device_count,
            company: o.company,
        })
        .collect();
    let ctx = work.now();
    if work.run.preview {
        return Ok(());
    }
    let changes =
        work.core.store.tenant(&ctx).organizations().take_over(work.run.integration_id, &rows).await?;
    if work.run.kind == RunKind::Organizations {
        work.counts.read = rows.len() as u64;
        work.counts.created = changes.created;
        work.counts.updated = changes.updated;
        work.counts.missing = changes.vanished;
        work.counts.unchanged = work.counts.read - changes.created - changes.updated;
    }
    Ok(())
}

pub(super) async fn list_organizations(
    work: &mut Work<'_>,
    opened: &Opened,
) -> Result<Vec<OrganizationRecord>, Stopped> {
    work.counts.calls += 1;
    let listed = opened.provider.inventory().organizations(&opened.connection).await?;
    if listed.is_empty() && !known_organizations(work).await?.is_empty() {
        return Err(Stopped::Provider(none_listed()));
    }
    Ok(listed)
}

/// An RMM that suddenly knows no organization at all is broken, or shows us none: nothing is concluded from that.
fn none_listed() -> ProviderError {
    let problem = Problem::new(
        "no_organizations",
        "The RMM lists no organization any more, although it did before. Nothing was marked for that.",
        "See whether the account that Fleetgate uses may still see them. If all were removed at the RMM, disconnect \
         the integration.",
    );
    ProviderError::new(ErrorKind::Malformed, problem)
}

pub(super) async fn known_organizations(work: &Work<'_>) -> Result<Vec<Organization>, Stopped> {
    let ctx = work.now();
    Ok(work.core.store.tenant(&ctx).organizations().of_integration(work.run.integration_id).await?)
}

async fn synced_organizations(work: &Work<'_>) -> Result<Vec<Organization>, Stopped> {
    let mapped = mapped_organizations(work).await?;
    Ok(mapped.into_iter().filter(|organization| organization.vanished_at.is_none()).collect())
}

/// Mapped and with Auto-sync, at the RMM or not any more.
pub(super) async fn mapped_organizations(work: &Work<'_>) -> Result<Vec<Organization>, Stopped> {
    let all = known_organizations(work).await?;
    let is_mapped = |o: &Organization| o.state == MappingState::Mapped && o.auto_sync;
    Ok(all.into_iter().filter(is_mapped).collect())
}

/// A list to be fetched. Boxed: the compiler cannot prove a stream of borrowing closures to be `Send`.
type Fetch<'a> = BoxFuture<'a, (&'a Organization, Result<Vec<DevicePage>, ProviderError>)>;

async fn fetch<'o>(
    inventory: &dyn Inventory,
    connection: &Connection,
    organization: &'o Organization,
    dictionary: &Dictionary,
) -> (&'o Organization, Result<Vec<DevicePage>, ProviderError>) {
    let pages = inventory.devices(connection, &organization.external_id, dictionary, PAGE_SIZE);
    (organization, pages.try_collect().await)
}

/// An organization whose answer cannot be used: nothing of it is saved, nothing is lost, the others go on.
async fn unreadable(
    work: &mut Work<'_>,
    organization: &Organization,
    error: &ProviderError,
) -> Result<(), Stopped> {
    work.counts.incomplete += 1;
    if error.kind == ErrorKind::NotFound {
        work.counts.failed += 1;
    }
    let item = RunItem {
        n: 0,
        action: "failed".to_owned(),
        external_id: Some(organization.external_id.clone()),
        name: Some(organization.name.clone()),
        message: format!("{error} {}", error.problem.fix),
    };
    work.add_items(&[item]).await
}

/// The pass over one organization.
struct OrganizationPass<'a> {
    opened: &'a Opened,
    organization: &'a Organization,
    /// Devices in all, as the provider counts.
    expected: u64,
    /// Devices of organizations before this one.
    done_before: u64,
}

/// How far the list of an organization was written.
enum ListEnd {
    /// All of it.
    Whole {
        /// Its length.
        length: u64,
    },
    /// The organization stopped being synced: the rest was left out.
    Left,
}

/// A page to be written.
struct Page<'a> {
    content: &'a DevicePage,
    is_last: bool,
    /// With the last one: devices that the whole list lacks.
    unlisted: &'a [Absent],
    /// Rows of the list up to its end.
    until_here: u64,
}

/// What became of a page.
enum PageEnd {
    Written,
    /// The organization is not synced any more.
    NotSynced,
}

impl OrganizationPass<'_> {
    /// Writes its pages, each for the client that the organization has at that moment.
    async fn write(
        &self,
        work: &mut Work<'_>,
        pages: Vec<DevicePage>,
        state: &mut CursorState,
    ) -> Result<ListEnd, Stopped> {
        let key = &self.organization.external_id;
        let length: u64 = pages.iter().map(rows).sum();
        let absent = self.absent(work, &pages).await?;
        let mut until_here = 0;
        let last = pages.len().saturating_sub(1);
        for (n, content) in pages.into_iter().enumerate() {
            work.go_on()?;
            until_here += rows(&content);
            if n == last {
                state.done.insert(key.clone(), length);
                if !absent.is_empty() && work.run.kind == RunKind::Devices {
                    state.absent.insert(key.clone(), absent.iter().map(|device| device.device_id).collect());
                }
            }
            let unlisted = if n == last { absent.as_slice() } else { &[] };
            let page = Page { content: &content, is_last: n == last, unlisted, until_here };
            match self.write_page(work, &page, state).await? {
                PageEnd::Written => {}
                PageEnd::NotSynced => {
                    state.done.remove(key);
                    state.absent.remove(key);
                    page::leave(work, self.organization).await?;
                    return Ok(ListEnd::Left);
                }
            }
        }
        Ok(ListEnd::Whole { length })
    }

    /// Devices that the list lacks. Where a row has no readable id nobody can tell, and none is counted.
    async fn absent(&self, work: &Work<'_>, pages: &[DevicePage]) -> Result<Vec<Absent>, Stopped> {
        let rejected = || pages.iter().flat_map(|page| &page.rejected);
        if rejected().any(|row| row.external_id.is_none()) {
            return Ok(Vec::new());
        }
        let records = pages.iter().flat_map(|page| &page.records).map(|record| record.external_id.clone());
        let listed: Vec<String> =
            records.chain(rejected().filter_map(|row| row.external_id.clone())).collect();
        Ok(work.core.store.tenant(&work.ctx).absences().not_listed(self.organization.id, &listed).await?)
    }

    async fn write_page(
        &self,
        work: &mut Work<'_>,
        page: &Page<'_>,
        state: &CursorState,
    ) -> Result<PageEnd, Stopped> {
        let counts_before = work.counts.clone();
        loop {
            let ctx = work.now();
            let tenant = work.core.store.tenant(&ctx);
            let mappings = tenant.organizations().mappings(&[self.organization.id]).await?;
            let mapping = mappings.get(&self.organization.id);
            let Some(client) = mapping.and_then(Mapping::synced_for) else { return Ok(PageEnd::NotSynced) };
            let scope = page::scope(work, self.opened, vec![page::place(self.organization, client)], &ctx);
            match self.try_page(work, &ctx, &scope, page, state).await {
                Ok(Some(items)) => {
                    work.add_items(&items).await?;
                    return Ok(PageEnd::Written);
                }
                Ok(None) => work.counts = counts_before.clone(),
                Err(error) => {
                    // What was not written is not counted: a cancelled run keeps its counts.
                    work.counts = counts_before;
                    return Err(error);
                }
            }
        }
    }

    /// Compares and writes a page; answers what is to be told of it. None if the organization was mapped elsewhere while
    /// the page was compared: then nothing is written.
    async fn try_page(
        &self,
        work: &mut Work<'_>,
        ctx: &Ctx,
        scope: &PageScope,
        page: &Page<'_>,
        state: &CursorState,
    ) -> Result<Option<Vec<RunItem>>, Stopped> {
        let of_page = |record| scope.places.first().map(|place| Row { place, record });
        let rows: Vec<Row<'_>> = page.content.records.iter().filter_map(of_page).collect();
        let mut plan = page::compare(work, ctx, scope, &rows, &page.content.rejected).await?;
        plan.leave_out(page.unlisted, &mut work.counts);
        let done = self.done_before + page.until_here;
        let stage = format!("devices of {}", self.organization.name);
        let mut progress = work.progress(stage, done, Some(self.expected.max(done)));
        progress.organization_done = page.is_last;
        if page.is_last {
            progress.cursor_state = serde_json::to_string(state).ok();
        }
        page::put(work, ctx, scope, plan, &progress).await
    }
}

fn rows(page: &DevicePage) -> u64 {
    (page.records.len() + page.rejected.len()) as u64
}
