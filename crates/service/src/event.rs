//! Reading what happened, for live updates and histories.

use std::time::Duration;

use domain::{Ctx, auth::Permission, event::Event};

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

    /// Events after `seq`, oldest first.
    pub async fn since(&self, ctx: &Ctx, seq: i64, limit: u32) -> Result<Vec<Event>> {
        ctx.require(Permission::AssetsRead)?;
        Ok(self.core.store.tenant(ctx).events().since(seq, limit).await?)
    }

    /// Number of the newest event; 0 without any.
    pub async fn last_seq(&self, ctx: &Ctx) -> Result<i64> {
        ctx.require(Permission::AssetsRead)?;
        Ok(self.core.store.tenant(ctx).events().last_seq().await?)
    }

    /// Waits before the next look: at most this long.
    pub async fn changed(&self, most: Duration) {
        tokio::time::sleep(most.min(Duration::from_secs(1))).await;
    }
}
