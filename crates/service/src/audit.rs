//! The audit log: read by who may, sealed and signed in the background.

use std::{io, sync::Arc, time::Duration};

use domain::{
    Ctx, Time,
    audit::{AuditEntry, AuditFilter},
    auth::Permission,
    id::TenantId,
    page::{Page, PageRequest},
};
use futures::stream::{self, Stream};
use store::Store;
pub use store::audit::{
    Act,
    checkpoint::{Checkpoint, CheckpointKey},
    verify::{Bad, Fault, Report},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    account::{FIRST_TENANT, console::console},
    clock,
    core::Core,
    error::{Result, ServiceError},
    schedule::system_ctx,
    spawn,
};

/// Entries that an export reads at a time.
const EXPORT_PAGE: u32 = 1_000;

/// How long a row may wait for its place in the chain.
const SEAL_EVERY: Duration = Duration::from_millis(700);

/// How often the head is signed, if anything was added.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(3_600);

/// How often is looked for heads to sign; a checkpoint that could not be kept is tried again then.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// The audit log of the tenant.
#[derive(Clone)]
pub struct AuditLog {
    core: Core,
}

impl AuditLog {
    pub(crate) fn new(core: Core) -> Self {
        AuditLog { core }
    }

    /// A page, newest first.
    pub async fn list(
        &self,
        ctx: &Ctx,
        filter: &AuditFilter,
        page: &PageRequest,
    ) -> Result<Page<AuditEntry>> {
        ctx.require(Permission::AuditRead)?;
        Ok(self.core.store.tenant(ctx).audit().list(filter, page).await?)
    }

    /// All matching entries, newest first, in pages of a thousand: nothing is held beyond one page.
    pub fn export(
        &self,
        ctx: Ctx,
        filter: AuditFilter,
    ) -> impl Stream<Item = Result<Vec<AuditEntry>>> + Send + 'static {
        let core = self.core.clone();
        let first = ctx.require(Permission::AuditRead).map(|()| Some(None)).map_err(ServiceError::from);
        stream::try_unfold((first, ctx, filter, core), move |(position, ctx, filter, core)| async move {
            let Some(cursor) = position? else { return Ok(None) };
            let request = PageRequest { limit: EXPORT_PAGE, cursor };
            let page = core.store.tenant(&ctx).audit().list(&filter, &request).await?;
            let position = Ok(page.next_cursor.map(Some));
            Ok(Some((page.items, (position, ctx, filter, core))))
        })
    }

    /// For the console: checks a tenant's log against these checkpoints.
    pub async fn verify(&self, tenant: TenantId, checkpoints: &[Checkpoint]) -> Result<Report> {
        let ctx = system_ctx(tenant, clock::now());
        Ok(self.core.store.tenant(&ctx).audit().verify(checkpoints).await?)
    }
}

/// Writes what somebody did at the console to the whole installation, into the log of the first tenant.
pub async fn note_as_operator(store: &Store, act: Act) -> Result<()> {
    let ctx = console(FIRST_TENANT);
    Ok(store.tenant(&ctx).audit().note(act).await?)
}

/// Where checkpoints are kept.
pub type Keep = Arc<dyn Fn(&Checkpoint) -> io::Result<()> + Send + Sync>;

/// Seals rows and signs heads of all tenants, until it is told to stop. May run on many nodes at once.
pub struct Sealer {
    store: Store,
    key: CheckpointKey,
    keep: Keep,
}

impl Sealer {
    /// A sealer whose checkpoints go to `keep` and into the log.
    pub fn new(store: Store, key: CheckpointKey, keep: Keep) -> Sealer {
        Sealer { store, key, keep }
    }

    /// Works in the background until `stop`, and once more then.
    pub fn start(self, stop: CancellationToken) -> tokio::task::JoinHandle<()> {
        spawn::start(async move {
            let mut checkpoint_at = Time(0);
            let mut is_failing = false;
            loop {
                let is_last = stop.is_cancelled();
                let now = clock::now();
                let sealed = self.seal_all(now).await;
                // Once, not each second.
                if let Err(error) = &sealed
                    && !is_failing
                {
                    warn!(error = error as &dyn std::error::Error, "the audit log could not be sealed");
                }
                is_failing = sealed.is_err();
                if now >= checkpoint_at && !is_failing {
                    checkpoint_at = self.sign_due(now).await;
                }
                if is_last {
                    return;
                }
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(SEAL_EVERY) => {}
                }
            }
        })
    }

    /// Seals everything that waits.
    pub async fn seal_all(&self, now: Time) -> Result<()> {
        for tenant in self.store.tenants().await? {
            let ctx = system_ctx(tenant, now);
            while self.store.tenant(&ctx).audit().seal().await? == store::audit::MOST_AT_ONCE {}
        }
        Ok(())
    }

    /// Signs the heads of tenants whose last checkpoint is an hour old; answers when to look again.
    async fn sign_due(&self, now: Time) -> Time {
        match self.sign_all(now, CHECKPOINT_EVERY).await {
            Ok(_) => {}
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "a checkpoint of the audit log was not kept");
            }
        }
        now + LOOK_AGAIN
    }

    /// Signs the heads of tenants whose last checkpoint is at least this old; answers the new ones.
    pub async fn sign_all(&self, now: Time, age: Duration) -> Result<Vec<Checkpoint>> {
        let mut made = Vec::new();
        for tenant in self.store.tenants().await? {
            let ctx = system_ctx(tenant, now);
            let tenant = self.store.tenant(&ctx);
            let audit = tenant.audit();
            let is_due = audit.last_checkpoint_at().await?.is_none_or(|last| now.since(last) >= age);
            if !is_due {
                continue;
            }
            if let Some(checkpoint) = audit.checkpoint(&self.key, |made| (self.keep)(made)).await? {
                info!(
                    tenant = checkpoint.tenant.0,
                    seq = checkpoint.seq,
                    hash = checkpoint.hash,
                    at = checkpoint.at,
                    public_key = checkpoint.public_key,
                    signature = checkpoint.signature,
                    "audit checkpoint"
                );
                made.push(checkpoint);
            }
        }
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use store::{RootKey, on_both_engines, people::InstallationKind, testing::TestStore};

    use super::*;

    const NOON: Time = Time(1_800_000_000_000);

    fn sealer(test: &TestStore, kept: &Arc<Mutex<Vec<Checkpoint>>>) -> Sealer {
        let key = CheckpointKey::from_seed(&RootKey::generate()).unwrap();
        let kept = Arc::clone(kept);
        let keep: Keep = Arc::new(move |made| {
            kept.lock().unwrap().push(made.clone());
            Ok(())
        });
        Sealer::new(test.store.clone(), key, keep)
    }

    on_both_engines! {
        async fn what_is_done_is_sealed_and_signed_once_an_hour(test) {
            test.store.installation(InstallationKind::Serve).await.unwrap();
            let kept = Arc::default();
            let sealer = sealer(&test, &kept);
            let tenant = TenantId(1);
            let ctx = system_ctx(tenant, NOON);
            let add = async |name: &str| test.store.tenant(&ctx).clients().create(name).await.map(drop).unwrap();
            let count = |kept: &Arc<Mutex<Vec<Checkpoint>>>| kept.lock().unwrap().len();
            add("One").await;
            sealer.seal_all(NOON).await.unwrap();
            sealer.sign_due(NOON).await;
            assert_eq!(count(&kept), 1);
            add("Two").await;
            sealer.seal_all(NOON).await.unwrap();
            sealer.sign_due(NOON + Duration::from_secs(1_800)).await;
            assert_eq!(count(&kept), 1, "not before an hour is over");
            sealer.sign_due(NOON + Duration::from_secs(3_600)).await;
            assert_eq!(count(&kept), 2);
            sealer.sign_due(NOON + Duration::from_secs(9_000)).await;
            assert_eq!(count(&kept), 2, "nothing was added");
            let checkpoints = kept.lock().unwrap().clone();
            let report = test.store.tenant(&ctx).audit().verify(&checkpoints).await.unwrap();
            assert_eq!((report.sealed, report.checkpoint_seq, report.bad), (2, Some(2), None));
        }

        async fn the_background_seals_within_a_second_and_at_the_end(test) {
            test.store.installation(InstallationKind::Serve).await.unwrap();
            let stop = CancellationToken::new();
            let task = sealer(&test, &Arc::default()).start(stop.clone());
            let ctx = system_ctx(TenantId(1), clock::now());
            let tenant = test.store.tenant(&ctx);
            tenant.clients().create("One").await.unwrap();
            let sealed = async || {
                let page = PageRequest { limit: 10, cursor: None };
                let page = tenant.audit().list(&AuditFilter::default(), &page).await.unwrap();
                page.items.iter().filter(|entry| entry.seq.is_some()).count()
            };
            for _ in 0..200 {
                if sealed().await == 1 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert_eq!(sealed().await, 1);
            tenant.clients().create("Two").await.unwrap();
            stop.cancel();
            task.await.unwrap();
            assert_eq!(sealed().await, 2);
        }
    }
}
