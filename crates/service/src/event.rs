//! Reading what happened, for live updates and histories.

use std::time::Duration;

use domain::{Ctx, auth::Permission};
pub use store::event::EventsRead;

use crate::{core::Core, error::Result};

/// Events of the tenant.
#[derive(Clone)]
pub struct Events {
    core: Core,
}

impl Events {
    pub(crate) fn new(core: Core) -> Self {
        Events { core }
    }

    /// At most `limit` events after `seq`, oldest first; of whoever may see only some clients, those of these.
    pub async fn since(&self, ctx: &Ctx, seq: i64, limit: u32) -> Result<EventsRead> {
        ctx.require(Permission::AssetsRead)?;
        Ok(self.core.store.tenant(ctx).events().since(seq, limit).await?)
    }

    /// Number of the newest event; 0 without any.
    pub async fn last_seq(&self, ctx: &Ctx) -> Result<i64> {
        ctx.require(Permission::AssetsRead)?;
        Ok(self.core.store.tenant(ctx).events().last_seq().await?)
    }

    /// Waits until events were committed on any node, at most this long and at most a second: one that was committed
    /// just before is found by looking.
    pub async fn changed(&self, most: Duration) {
        let most = most.min(Duration::from_secs(1));
        let _told_or_not = tokio::time::timeout(most, self.core.store.events_committed()).await;
    }
}
