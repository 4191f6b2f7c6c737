//! Tokens: signed in for where there is none, renewed before they end, replaced when they died; by one for all.
//!
//! In a process sign-ins of an integration take turns. Among nodes one claims the right in the database, for a while, and
//! the others wait for its token, or go on with the old one while that is good.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use domain::{Ctx, Time, id::IntegrationId, integration::ConnectionState};
use provider::AuthMode;
use secrecy::SecretString;
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::{Core, Opened};
use crate::error::{Result, ServiceError};

/// How long one node may take for a sign-in before another may try: longer than a request may last.
const CLAIM: Duration = Duration::from_secs(60);

/// Between two looks whether another node's token has come.
const LOOK: Duration = Duration::from_millis(200);

/// A token with less than this left is not used any more.
const TOO_LATE: Duration = Duration::from_secs(10);

/// At most this part of a token's life is left when it is renewed, so that a short one is not renewed all the time.
const LAST_PART: u32 = 4;

impl Core {
    /// Opens an integration and makes sure that it has a token where it needs one, and one that does not end soon.
    pub(crate) async fn open_signed_in(&self, ctx: &Ctx, id: IntegrationId) -> Result<Opened> {
        let opened = self.open(ctx, id).await?;
        if !opened.needs_sign_in() {
            return Ok(opened);
        }
        if opened.connection.token.is_none() {
            return Box::pin(self.sign_in(ctx, opened, None)).await;
        }
        if !opened.ends_soon(ctx.now) {
            return Ok(opened);
        }
        Box::pin(self.renew(ctx, opened)).await
    }

    /// Signs in anew and keeps the token. If another job or node did so meanwhile, its token is used.
    pub(crate) async fn sign_in(
        &self,
        ctx: &Ctx,
        opened: Opened,
        code: Option<&SecretString>,
    ) -> Result<Opened> {
        let id = opened.integration.id;
        let turn = self.turn(id);
        let _held = turn.lock().await;
        let fresh = self.open(ctx, id).await?;
        if code.is_some() {
            // It is good for half a minute: nobody is waited for.
            return Box::pin(self.make_token(ctx, fresh, code)).await;
        }
        let used = opened.connection.token;
        if fresh.has_other_token_than(used.as_ref()) {
            return Ok(fresh);
        }
        let give_up = Instant::now() + CLAIM + LOOK;
        loop {
            if let Some(done) = Box::pin(self.sign_in_as_one(ctx, id, used.as_ref())).await? {
                return Ok(done);
            }
            sleep(LOOK).await;
            let fresh = self.open(ctx, id).await?;
            if fresh.has_other_token_than(used.as_ref()) {
                return Ok(fresh);
            }
            if Instant::now() >= give_up {
                return Err(ServiceError::conflict(
                    "sign_in_running",
                    "another server of this installation signs in at the RMM and does not get to an end; try again in a minute",
                ));
            }
        }
    }

    /// A new token in place of one that still works for a while. What goes wrong is no harm yet.
    async fn renew(&self, ctx: &Ctx, opened: Opened) -> Result<Opened> {
        let id = opened.integration.id;
        let end = opened.token_times.and_then(|(_, end)| end);
        let is_good = end.is_some_and(|end| end > ctx.now + TOO_LATE);
        if !is_good {
            return Box::pin(self.sign_in(ctx, opened, None)).await;
        }
        let turn = self.turn(id);
        let Ok(_held) = turn.try_lock() else { return Ok(opened) };
        match Box::pin(self.sign_in_as_one(ctx, id, opened.connection.token.as_ref())).await {
            Ok(Some(renewed)) => Ok(renewed),
            Ok(None) => Ok(opened),
            Err(error) => {
                warn!(
                    integration.id = %id, error = &error as &dyn std::error::Error,
                    "the token of `{id}` was not renewed; it is still good and is tried again"
                );
                Ok(opened)
            }
        }
    }

    /// Signs in if no other node does; none if one does. A token other than `used` is taken as it is.
    async fn sign_in_as_one(
        &self,
        ctx: &Ctx,
        id: IntegrationId,
        used: Option<&SecretString>,
    ) -> Result<Option<Opened>> {
        let by = format!("{}-{:016x}", std::process::id(), RandomState::new().hash_one(0_u8));
        let tenant = self.store.tenant(ctx);
        if !tenant.integrations().claim_sign_in(id, &by, CLAIM).await? {
            return Ok(None);
        }
        // Somebody may have got to the end between our look and our claim.
        let done = match self.open(ctx, id).await {
            Ok(fresh) if fresh.has_other_token_than(used) => Ok(fresh),
            Ok(fresh) => Box::pin(self.make_token(ctx, fresh, None)).await,
            Err(error) => Err(error),
        };
        if let Err(error) = tenant.integrations().release_sign_in(id, &by).await {
            warn!(
                integration.id = %id, error = &error as &dyn std::error::Error,
                "the turn to sign in for `{id}` was not given back; it ends by itself in a minute"
            );
        }
        done.map(Some)
    }

    async fn make_token(&self, ctx: &Ctx, fresh: Opened, code: Option<&SecretString>) -> Result<Opened> {
        let (id, version) = (fresh.integration.id, fresh.integration.version);
        let signed_in = match fresh.provider.sign_in(&fresh.connection, code).await {
            Ok(signed_in) => signed_in,
            Err(error) => {
                self.note_failure(ctx, id, &error).await;
                return Err(error.into());
            }
        };
        let tenant = self.store.tenant(ctx);
        if let Some(name) = fresh.provider.descriptor().token_secret {
            let integrations = tenant.integrations();
            integrations.put_token(id, version, name, &signed_in.token, signed_in.expires_at).await?;
        }
        tenant.integrations().set_state(id, ConnectionState::Connected, None, signed_in.account).await?;
        // One that ends by itself may still be in use by others.
        if fresh.mode().is_none_or(|mode| mode.renew_before.is_none()) {
            self.retire_token(&fresh).await;
        }
        self.open(ctx, id).await
    }

    /// The replaced token is ended at the RMM, so that none is left behind. A failure changes nothing for us.
    async fn retire_token(&self, old: &Opened) {
        if old.connection.token.is_none() {
            return;
        }
        if let Err(error) = old.provider.sign_out(&old.connection).await {
            let id = old.integration.id;
            warn!(integration.id = %id, error = &error as &dyn std::error::Error, "an old token of `{id}` was not ended");
        }
    }
}

impl Opened {
    /// How it authenticates.
    pub(super) fn mode(&self) -> Option<&'static AuthMode> {
        self.provider.descriptor().auth_mode(&self.connection.auth_mode)
    }

    /// Is so little left of the token that it is time for another?
    fn ends_soon(&self, now: Time) -> bool {
        let before = self.mode().and_then(|mode| mode.renew_before);
        let (Some(before), Some((set_at, Some(end)))) = (before, self.token_times) else { return false };
        let left = end.since(now);
        left.is_zero() || left < before.min(end.since(set_at) / LAST_PART)
    }
}
