//! The end of a pass: which of the devices that are new, or known by something else than before, are machines that are in
//! the register already. Found set-based and in batches; what is left over is looked at after the next pass.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use domain::{
    Ctx,
    id::{DeviceId, IntegrationId},
    matching::{Candidate, Verdict, weigh},
};
use store::{
    StoreError,
    merge::MergeRequest,
    proposal::{Asked, DueDevice, Found, Looked},
};
use tracing::{info, warn};

use super::{Stopped, Work};
use crate::core::Core;

/// Devices of one batch.
const BATCH: u32 = 500;

/// Devices looked at after one pass.
const MOST: usize = 20_000;

/// When a pair is looked at again of which both still report.
const LATER: Duration = Duration::from_secs(600);

type Described = HashMap<DeviceId, Candidate>;

/// Looks for machines that are in the register already.
pub(super) async fn look(work: &mut Work<'_>) -> Result<(), Stopped> {
    if work.run.preview {
        return Ok(());
    }
    let mut examined = 0;
    while examined < MOST {
        work.go_on()?;
        let ctx = work.now();
        let due = work.core.store.tenant(&ctx).proposals().due(work.run.integration_id, BATCH).await?;
        if due.is_empty() {
            return Ok(());
        }
        examined += due.len();
        look_at(work.core, &ctx, due).await?;
    }
    Ok(())
}

async fn look_at(core: &Core, ctx: &Ctx, due: Vec<DueDevice>) -> Result<(), Stopped> {
    let proposals = core.store.tenant(ctx);
    let proposals = proposals.proposals();
    let (pairs, described) = proposals.candidates(&due).await?;
    let looked = compare(due, &pairs, &described);
    let asked = proposals.refresh(&looked, ctx.now + LATER).await?;
    merge_exact(core, ctx, &looked.found, &asked, &described).await
}

/// What speaks for each pair.
fn compare(examined: Vec<DueDevice>, pairs: &[(DeviceId, DeviceId)], described: &Described) -> Looked {
    let sharing = Sharing::of(described);
    let mut looked = Looked { examined, ..Looked::default() };
    for (one, other) in pairs {
        let (Some(a), Some(b)) = (described.get(one), described.get(other)) else { continue };
        match weigh(a, b, &sharing.with(a, b)) {
            Verdict::Same(evidence) => looked.found.push(Found { one: *one, other: *other, evidence }),
            Verdict::NotYet => looked.later.push(*one),
            Verdict::Other => {}
        }
    }
    looked
}

/// Who carries a value: few, as what many carry was left out.
struct Sharing<'d> {
    described: &'d Described,
    serials: HashMap<&'d str, Vec<DeviceId>>,
    macs: HashMap<&'d str, Vec<DeviceId>>,
}

impl<'d> Sharing<'d> {
    fn of(described: &'d Described) -> Sharing<'d> {
        let mut sharing = Sharing { described, serials: HashMap::new(), macs: HashMap::new() };
        for device in described.values() {
            if let Some(serial) = &device.serial_key {
                sharing.serials.entry(serial).or_default().push(device.device_id);
            }
            for mac in &device.macs {
                sharing.macs.entry(mac).or_default().push(device.device_id);
            }
        }
        sharing
    }

    /// All that share a serial number or an address with one of the two.
    fn with(&self, one: &Candidate, other: &Candidate) -> Vec<Candidate> {
        let serials = [one, other].into_iter().filter_map(|device| device.serial_key.as_deref());
        let by_serial = serials.filter_map(|serial| self.serials.get(serial));
        let macs = one.macs.intersection(&other.macs);
        let by_mac = macs.filter_map(|mac| self.macs.get(mac.as_str()));
        let mut ids: Vec<DeviceId> = by_serial.chain(by_mac).flatten().copied().collect();
        ids.sort_unstable();
        ids.dedup();
        ids.iter().filter_map(|id| self.described.get(id)).cloned().collect()
    }
}

/// Merges what is exactly the same, where both integrations say so and there is no second candidate.
async fn merge_exact(
    core: &Core,
    ctx: &Ctx,
    found: &[Found],
    asked: &[Asked],
    described: &Described,
) -> Result<(), Stopped> {
    let mut partners: BTreeMap<DeviceId, Vec<DeviceId>> = BTreeMap::new();
    for pair in found {
        for (one, other) in [(pair.one, pair.other), (pair.other, pair.one)] {
            let known = partners.entry(one).or_default();
            if !known.contains(&other) {
                known.push(other);
            }
        }
    }
    let is_only = |device: DeviceId| partners.get(&device).is_some_and(|others| others.len() == 1);
    let mut settings = HashMap::new();
    for pair in found.iter().filter(|pair| pair.evidence.is_exact) {
        let devices = (pair.one.max(pair.other), pair.one.min(pair.other));
        if !asked.iter().any(|asked| asked.devices == devices) || !is_only(pair.one) || !is_only(pair.other) {
            continue;
        }
        let (Some(a), Some(b)) = (described.get(&pair.one), described.get(&pair.other)) else { continue };
        if !wants(core, ctx, a.integration_id, &mut settings).await?
            || !wants(core, ctx, b.integration_id, &mut settings).await?
        {
            continue;
        }
        let (older, newer) =
            if (a.created_at, a.asset_id) <= (b.created_at, b.asset_id) { (a, b) } else { (b, a) };
        let request = MergeRequest {
            keep: older.asset_id,
            other: newer.asset_id,
            client: None,
            field_sources: BTreeMap::new(),
            reason: Some(pair.evidence.reasons.join(", ")),
        };
        match core.store.tenant(ctx).merges().merge(&request).await {
            Ok(()) => {
                info!(asset.id = %older.asset_id, "merged `{}` by itself: exactly the same machine", newer.asset_id)
            }
            // Somebody else was there first, or a device moved: the question stays, or is gone.
            Err(StoreError::NotFound | StoreError::Conflict { .. } | StoreError::Stale) => {
                warn!(asset.id = %older.asset_id, "`{}` was not merged by itself; the question stays open", newer.asset_id);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Does the integration say so?
async fn wants(
    core: &Core,
    ctx: &Ctx,
    id: IntegrationId,
    known: &mut HashMap<IntegrationId, bool>,
) -> Result<bool, Stopped> {
    if let Some(wants) = known.get(&id) {
        return Ok(*wants);
    }
    let wants = core.store.tenant(ctx).integrations().get(id).await?.settings.merge_exact;
    known.insert(id, wants);
    Ok(wants)
}
