//! Sign-ins of browsers: seen and ended by their owner, and by who manages users.

use domain::{
    Ctx,
    auth::Permission,
    id::{SessionId, UserId},
};
use store::people::SessionInfo;

use super::{Accounts, person};
use crate::error::{Result, named};

impl Accounts {
    /// One's own sign-ins.
    pub async fn own_sessions(&self, ctx: &Ctx) -> Result<Vec<SessionInfo>> {
        Ok(self.store.tenant(ctx).sessions().list_of(person(ctx)?).await?)
    }

    /// Ends one of one's own sign-ins.
    pub async fn end_own_session(&self, ctx: &Ctx, id: SessionId) -> Result<()> {
        let sessions = self.store.tenant(ctx).sessions();
        sessions.delete(person(ctx)?, id).await.map_err(named("session"))
    }

    /// Ends all of one's own sign-ins but `kept`, by which this is asked; asked with a token, all.
    pub async fn end_other_sessions(&self, ctx: &Ctx, kept: Option<SessionId>) -> Result<()> {
        let sessions = self.store.tenant(ctx).sessions();
        let user = person(ctx)?;
        match kept {
            Some(kept) => Ok(sessions.delete_others(user, kept).await?),
            None => Ok(sessions.delete_all(user).await?),
        }
    }

    /// A user's sign-ins.
    pub async fn sessions_of(&self, ctx: &Ctx, user: UserId) -> Result<Vec<SessionInfo>> {
        self.user(ctx, user).await?;
        Ok(self.store.tenant(ctx).sessions().list_of(user).await?)
    }

    /// Ends one of a user's sign-ins.
    pub async fn end_session_of(&self, ctx: &Ctx, user: UserId, id: SessionId) -> Result<()> {
        ctx.require(Permission::UsersManage)?;
        self.check_limit(ctx, user).await?;
        let sessions = self.store.tenant(ctx).sessions();
        sessions.delete(user, id).await.map_err(named("session"))
    }

    /// Ends all of a user's sign-ins.
    pub async fn end_sessions_of(&self, ctx: &Ctx, user: UserId) -> Result<()> {
        ctx.require(Permission::UsersManage)?;
        self.check_limit(ctx, user).await?;
        Ok(self.store.tenant(ctx).sessions().delete_all(user).await?)
    }
}
