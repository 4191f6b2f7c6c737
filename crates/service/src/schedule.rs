//! What recurs: presence passes, full syncs, and the clock of offline machines.

use std::{sync::Arc, time::Duration};

use domain::{
    Actor, Ctx, Time,
    id::{IntegrationId, TenantId, TypedId},
    integration::{Integration, IntegrationSettings},
    sync::RunKind,
};
use store::{Store, schedule::Due};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{account::Accounts, clock, error::Result, spawn, sync::Syncs};

/// How often due schedules and offline machines are looked for.
const TICK: Duration = Duration::from_secs(5);

/// How often ended sessions are forgotten.
const SWEEP: Duration = Duration::from_secs(3_600);

/// Most schedules fired in one tick.
const MOST_DUE: usize = 200;

/// A run without a job for so long has lost it.
const ORPHAN_AFTER: Duration = Duration::from_secs(60);

fn orphan_problem() -> String {
    let problem = provider::Problem::new(
        "worker_lost",
        "The server stopped several times while it worked on this run.",
        "See the server's log for the reason, then start the sync again.",
    );
    serde_json::to_string(&problem).unwrap_or_default()
}

/// The context in which Fleetgate itself works for a tenant.
pub fn system_ctx(tenant: TenantId, now: Time) -> Ctx {
    Ctx { tenant, actor: Actor::system(), request_id: "schedule".to_owned(), now }
}

/// Sets up an integration's schedules as its settings say.
pub(crate) async fn start(store: &Store, ctx: &Ctx, integration: &Integration) -> Result<()> {
    if !integration.settings.schedules_enabled {
        return Ok(());
    }
    let tenant = store.tenant(ctx);
    let owner = integration.id.to_db();
    let known = tenant.schedules().list(&owner).await?;
    for kind in [RunKind::Presence, RunKind::Devices] {
        let next = next_at(kind, &integration.settings, ctx.now, spread(&owner, kind));
        let is_sooner = known.iter().all(|(name, at)| name != kind.name() || *at > next);
        if is_sooner {
            tenant.schedules().set(&owner, kind.name(), next).await?;
        }
    }
    Ok(())
}

/// When a kind of run is next due after `now`. `spread` (0 to 99) moves it by up to a tenth of the interval, so that
/// many integrations do not start at the same second. Full syncs keep out of quiet hours.
pub(crate) fn next_at(kind: RunKind, settings: &IntegrationSettings, now: Time, spread: u32) -> Time {
    let seconds = match kind {
        RunKind::Presence => settings.presence_interval_s,
        RunKind::Organizations | RunKind::Devices | RunKind::Details => settings.sync_interval_s,
    };
    let interval = Duration::from_secs(seconds.into());
    let mut next = now + interval * (95 + spread / 10) / 100;
    if kind != RunKind::Presence {
        for _ in 0..24 {
            if !settings.quiet_hours.contains(&hour_of(next)) {
                break;
            }
            next = next + Duration::from_secs(3_600);
        }
    }
    next
}

/// Hour of the day in UTC.
pub(crate) fn hour_of(at: Time) -> u8 {
    u8::try_from(at.as_ms().div_euclid(3_600_000).rem_euclid(24)).unwrap_or(0)
}

/// A number from 0 to 99 that stays with the integration and the kind.
fn spread(owner: &str, kind: RunKind) -> u32 {
    let hash = blake3::hash(format!("{owner}{}", kind.name()).as_bytes());
    u32::from(hash.as_bytes().first().copied().unwrap_or(0)) * 100 / 256
}

/// Fires what is due, until it is told to stop.
pub struct Scheduler {
    store: Store,
    syncs: Syncs,
    accounts: Accounts,
}

impl Scheduler {
    /// A scheduler over all tenants.
    pub fn new(store: Store, syncs: Syncs, accounts: Accounts) -> Scheduler {
        Scheduler { store, syncs, accounts }
    }

    /// Works in the background until `stop`.
    pub fn start(self, stop: CancellationToken) -> tokio::task::JoinHandle<()> {
        let scheduler = Arc::new(self);
        spawn::start(async move {
            let mut swept_at = Time(0);
            while !stop.is_cancelled() {
                let now = clock::now();
                if now.since(swept_at) >= SWEEP {
                    swept_at = now;
                    scheduler.sweep(now).await;
                }
                if let Err(error) = scheduler.tick(now).await {
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "the scheduler could not look for what is due"
                    );
                }
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(TICK) => {}
                }
            }
        })
    }

    /// Forgets ended sessions and old tries to sign in.
    async fn sweep(&self, now: Time) {
        if let Err(error) = self.accounts.sweep(now).await {
            warn!(error = &error as &dyn std::error::Error, "ended sessions were not forgotten");
        }
    }

    /// One look: fires what is due at `now` and moves offline machines on. May run on many nodes at once.
    pub async fn tick(&self, now: Time) -> Result<()> {
        for due in self.store.due_schedules(now, MOST_DUE).await? {
            if let Err(error) = self.fire(&due, now).await {
                warn!(kind = %due.kind, error = &error as &dyn std::error::Error, "a schedule did not fire");
            }
        }
        for tenant in self.store.tenants().await? {
            let ctx = system_ctx(tenant, now);
            let tenant = self.store.tenant(&ctx);
            tenant.absences().sweep_overdue().await?;
            tenant.sync_runs().end_orphans(now - ORPHAN_AFTER, &orphan_problem()).await?;
        }
        Ok(())
    }

    async fn fire(&self, due: &Due, now: Time) -> Result<()> {
        let ctx = system_ctx(due.tenant, now);
        let Ok(id) = IntegrationId::from_db(&due.owner_id) else { return Ok(()) };
        let Some(kind) = RunKind::from_name(&due.kind) else { return Ok(()) };
        let integration = self.store.tenant(&ctx).integrations().get(id).await?;
        let settings = &integration.settings;
        let interval = next_at(kind, settings, now, spread(&due.owner_id, kind));
        let next = interval.max(self.syncs.earliest_next(&ctx, id, kind).await?);
        if !self.store.advance_schedule(due, next).await? {
            return Ok(());
        }
        // The turn may come late, or the quiet hours may be new.
        let is_quiet = kind != RunKind::Presence && settings.quiet_hours.contains(&hour_of(now));
        if integration.is_active && settings.schedules_enabled && !is_quiet {
            self.syncs.request(&ctx, id, kind, false).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Time = Time(1_800_014_400_000);

    #[test]
    fn quiet_hours_are_skipped_by_full_syncs_only() {
        let noon = hour_of(NOON);
        let quiet: Vec<u8> = (noon..=noon + 3).collect();
        let settings = IntegrationSettings { quiet_hours: quiet, ..IntegrationSettings::default() };
        let next = next_at(RunKind::Devices, &settings, NOON, 50);
        assert_eq!(hour_of(next), noon + 4);
        assert!(next_at(RunKind::Presence, &settings, NOON, 50).since(NOON) <= Duration::from_secs(198));
    }

    #[test]
    fn integrations_are_spread_by_a_tenth_at_most() {
        let settings = IntegrationSettings::default();
        for spread in 0..100 {
            let wait = next_at(RunKind::Presence, &settings, NOON, spread).since(NOON).as_secs();
            assert!((171..=188).contains(&wait), "{wait}");
        }
    }
}
