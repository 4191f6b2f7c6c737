//! The detail pass: what lists lack (thresholds, memory, volumes, hardware addresses), in the background.

use std::{collections::HashMap, time::Duration};

use domain::{id::DeviceId, sync::RunItem};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use provider::{Connection, DetailRecord, DeviceRef, ErrorKind, Inventory, ProviderError};
use store::detail::{DetailWrite, DueDevice};

use super::{Stopped, Work};
use crate::core::Opened;

/// Devices of one batch: one transaction.
const BATCH: u32 = 100;

/// The bulk way pays from this many due devices on.
const BULK_FROM: u64 = 50;

/// After a detail look failed for one device.
const POSTPONED: Duration = Duration::from_secs(6 * 3_600);

/// Failed devices in a row after which the RMM is to blame, not the device.
const MOST_FAILURES: u32 = 10;

/// Looks at all due devices.
pub(super) async fn details(work: &mut Work<'_>) -> Result<(), Stopped> {
    let opened = work.open().await?;
    let ctx = work.now();
    let due = work.core.store.tenant(&ctx).details().count_due(work.run.integration_id).await?;
    let total = work.run.done + due;
    work.note("reading details", work.run.done, Some(total)).await?;
    let mut done = work.run.done;
    let known = work.core.store.tenant(&ctx).devices().count_present(work.run.integration_id).await?;
    if due >= BULK_FROM && due * 4 >= known {
        done = bulk(work, &opened, done, total).await?;
    }
    one_by_one(work, &opened, done, total).await
}

async fn bulk(work: &mut Work<'_>, opened: &Opened, mut done: u64, total: u64) -> Result<u64, Stopped> {
    // The first page is read by asking whether there is this way at all.
    work.counts.calls += 1;
    let Some(mut pages) = opened.provider.inventory().bulk_details(&opened.connection).await? else {
        return Ok(done);
    };
    let mut is_first = true;
    while let Some(page) = pages.next().await {
        work.go_on()?;
        work.counts.calls += u64::from(!is_first);
        is_first = false;
        let records = page?;
        work.counts.read += records.len() as u64;
        let ctx = work.now();
        let ids: Vec<&str> = records.iter().map(|record| record.external_id.as_str()).collect();
        let due = work.core.store.tenant(&ctx).details().due_among(work.run.integration_id, &ids).await?;
        done += due.len() as u64;
        write(work, due, records, done, total).await?;
    }
    Ok(done)
}

async fn one_by_one(work: &mut Work<'_>, opened: &Opened, mut done: u64, total: u64) -> Result<(), Stopped> {
    let inventory = opened.provider.inventory();
    let connection = &opened.connection;
    let mut failures_in_a_row = 0;
    loop {
        work.go_on()?;
        let ctx = work.now();
        let due = work.core.store.tenant(&ctx).details().due(work.run.integration_id, BATCH).await?;
        if due.is_empty() {
            return Ok(());
        }
        let asked: Vec<Look<'_>> =
            due.iter().map(|device| look(inventory, connection, device).boxed()).collect();
        let looks: Vec<_> = stream::iter(asked).buffered(inventory.detail_concurrency()).collect().await;
        work.counts.calls += due.len() as u64;
        work.counts.read += due.len() as u64;
        let (mut records, mut failed, mut items) = (Vec::new(), Vec::new(), Vec::new());
        for (device, look) in looks {
            match look {
                Ok(record) => {
                    failures_in_a_row = 0;
                    records.push(record);
                }
                Err(error) if is_of_one_device(error.kind) && failures_in_a_row < MOST_FAILURES => {
                    failures_in_a_row += u32::from(error.kind != ErrorKind::NotFound);
                    failed.push(device.device_id);
                    items.push(failed_item(device, &error));
                }
                Err(error) => {
                    postpone(work, &failed).await?;
                    return Err(error.into());
                }
            }
        }
        work.counts.failed += items.len() as u64;
        postpone(work, &failed).await?;
        work.add_items(&items).await?;
        done += due.len() as u64;
        write(work, due, records, done, total.max(done)).await?;
    }
}

/// A look to be made. Boxed: the compiler cannot prove a stream of borrowing closures to be `Send`.
type Look<'a> = BoxFuture<'a, (&'a DueDevice, Result<DetailRecord, ProviderError>)>;

async fn look<'d>(
    inventory: &dyn Inventory,
    connection: &Connection,
    device: &'d DueDevice,
) -> (&'d DueDevice, Result<DetailRecord, ProviderError>) {
    let asked = DeviceRef { external_id: &device.external_id, device_type: device.facts.device_type };
    (device, inventory.detail(connection, &asked).await)
}

fn is_of_one_device(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::Malformed | ErrorKind::Rejected | ErrorKind::Forbidden)
}

fn failed_item(device: &DueDevice, error: &ProviderError) -> RunItem {
    RunItem {
        n: 0,
        action: "failed".to_owned(),
        external_id: Some(device.external_id.clone()),
        name: Some(device.facts.name.clone()),
        message: error.problem.message.clone(),
    }
}

async fn postpone(work: &Work<'_>, failed: &[DeviceId]) -> Result<(), Stopped> {
    let ctx = work.now();
    Ok(work.core.store.tenant(&ctx).details().postpone(failed, ctx.now + POSTPONED).await?)
}

async fn write(
    work: &mut Work<'_>,
    due: Vec<DueDevice>,
    records: Vec<DetailRecord>,
    done: u64,
    total: u64,
) -> Result<(), Stopped> {
    let mut due: HashMap<String, DueDevice> =
        due.into_iter().map(|device| (device.external_id.clone(), device)).collect();
    let mut writes = Vec::new();
    let counts_before = work.counts.clone();
    for record in records {
        let Some(device) = due.remove(&record.external_id) else { continue };
        let changed = device.detail.as_ref() != Some(&record.detail);
        work.counts.updated += u64::from(changed);
        work.counts.unchanged += u64::from(!changed);
        writes.push(DetailWrite { device, detail: record.detail });
    }
    let ctx = work.now();
    let progress = work.progress("reading details", done, Some(total));
    let written = work.core.store.tenant(&ctx).details().write(work.run.id, &writes, &progress).await;
    if let Err(error) = written {
        work.counts = counts_before;
        return Err(error.into());
    }
    work.reached(&progress);
    Ok(())
}
