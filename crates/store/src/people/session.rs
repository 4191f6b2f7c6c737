//! Sessions of browsers: an opaque text in a cookie, stored as a hash.

use std::time::Duration;

use domain::{
    Time,
    id::{SessionId, TenantId, TypedId, UserId},
};
use secrecy::{ExposeSecret, SecretString};

use super::{digest, opaque};
use crate::{
    Tenant, Tx,
    audit::Act,
    db::{Value, args},
    error::{Result, StoreError},
    new_id,
    sql::{Sql, statements},
};

/// A session that was not used for so long ends.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(12 * 3_600);

/// Every session ends after this.
const LIFETIME: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Use is noted at most this often.
pub(crate) const TOUCH_AFTER: Duration = Duration::from_secs(60);

/// Longest text kept of what the browser says of itself, in characters.
const MAX_USER_AGENT_CHARS: usize = 200;

/// A session just made. The secret is shown this once.
#[derive(Debug)]
pub struct NewSession {
    /// Its id, which lets nobody in.
    pub id: SessionId,
    /// The cookie's value.
    pub secret: SecretString,
    /// When it ends at the latest.
    pub expires_at: Time,
}

/// What people may know of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// Its id, which lets nobody in.
    pub id: SessionId,
    /// When they signed in.
    pub created_at: Time,
    /// When it was last used, to the minute.
    pub last_used_at: Time,
    /// When it ends at the latest.
    pub expires_at: Time,
    /// What the browser said of itself.
    pub user_agent: Option<String>,
}

/// The sessions of one tenant.
#[derive(Clone)]
pub struct Sessions<'s> {
    pub(super) tenant: Tenant<'s>,
}

impl<'s> Tenant<'s> {
    /// The tenant's sessions.
    pub fn sessions(&self) -> Sessions<'s> {
        Sessions { tenant: self.clone() }
    }
}

impl Sessions<'_> {
    /// Lets `user` in.
    pub async fn create(&self, user: UserId, user_agent: Option<&str>) -> Result<NewSession> {
        self.create_from(user, user_agent, None).await
    }

    /// The same with the address from which it is asked for, for the audit log.
    pub async fn create_from(
        &self,
        user: UserId,
        user_agent: Option<&str>,
        address: Option<&str>,
    ) -> Result<NewSession> {
        let now = self.tenant.now;
        let id: SessionId = new_id(now);
        let secret = opaque::generate("");
        let expires_at = now + LIFETIME;
        let user_agent: Option<String> =
            user_agent.map(|text| text.chars().take(MAX_USER_AGENT_CHARS).collect());
        let named = user_agent.clone();
        let token_hash = digest(secret.expose_secret());
        let args = args![token_hash, id.to_db(), self.tenant.id, user.to_db(), now, expires_at, user_agent];
        let mut tx = self.tenant.db().begin().await?;
        tx.run(&INSERT, args).await?;
        let act =
            Act::new("session.create").to(user).named(&self.tenant.actor).with("session_id", id.to_string());
        self.tenant.record(&mut tx, act.with("user_agent", named).with("address", address)).await?;
        tx.commit().await?;
        Ok(NewSession { id, secret, expires_at })
    }

    /// The sessions of `user` that let somebody in now, the one used last first.
    pub async fn list_of(&self, user: UserId) -> Result<Vec<SessionInfo>> {
        let now = self.tenant.now;
        let args = args![self.tenant.id, user.to_db(), now, now - IDLE_TIMEOUT];
        let rows: Vec<SessionRow> = self.tenant.db().all(&LIST_OF, args).await?;
        rows.into_iter().map(SessionInfo::try_from).collect()
    }

    /// Ends one session of `user`.
    pub async fn delete(&self, user: UserId, id: SessionId) -> Result<()> {
        let args = args![self.tenant.id, user.to_db(), id.to_db()];
        let act = Act::new("session.end").to(user).with("session_id", id.to_string());
        match self.end(&DELETE, args, act).await? {
            0 => Err(StoreError::NotFound),
            _ => Ok(()),
        }
    }

    /// Ends all sessions of `user`.
    pub async fn delete_all(&self, user: UserId) -> Result<()> {
        let act = Act::new("session.end_all").to(user);
        self.end(&DELETE_ALL, args![self.tenant.id, user.to_db()], act).await.map(drop)
    }

    /// Ends all sessions of `user` but this one.
    pub async fn delete_others(&self, user: UserId, kept: SessionId) -> Result<()> {
        let args = args![self.tenant.id, user.to_db(), kept.to_db()];
        let act = Act::new("session.end_others").to(user).with("kept", kept.to_string());
        self.end(&DELETE_OTHERS, args, act).await.map(drop)
    }

    async fn end(&self, sql: &'static Sql, args: Vec<Value>, act: Act) -> Result<u64> {
        let mut tx = self.tenant.db().begin().await?;
        let ended = tx.run(sql, args).await?;
        if ended > 0 {
            self.tenant.record(&mut tx, act.with("sessions", ended)).await?;
        }
        tx.commit().await?;
        Ok(ended)
    }
}

/// Ends all sign-ins of `user`, also those between password and second factor.
pub(super) async fn end_all(tx: &mut Tx, tenant: TenantId, user: UserId) -> Result<()> {
    tx.run(&DELETE_CHALLENGES, args![tenant, user.to_db()]).await?;
    tx.run(&DELETE_ALL, args![tenant, user.to_db()]).await?;
    Ok(())
}

/// The same, but for the session `kept`.
pub(super) async fn end_others(tx: &mut Tx, tenant: TenantId, user: UserId, kept: SessionId) -> Result<()> {
    tx.run(&DELETE_CHALLENGES, args![tenant, user.to_db()]).await?;
    tx.run(&DELETE_OTHERS, args![tenant, user.to_db(), kept.to_db()]).await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct SessionRow {
    id: String,
    created_at: i64,
    last_used_at: i64,
    expires_at: i64,
    user_agent: Option<String>,
}

impl TryFrom<SessionRow> for SessionInfo {
    type Error = StoreError;

    fn try_from(row: SessionRow) -> Result<SessionInfo> {
        Ok(SessionInfo {
            id: SessionId::from_db(&row.id).map_err(|_| StoreError::Corrupt { what: "session" })?,
            created_at: Time(row.created_at),
            last_used_at: Time(row.last_used_at),
            expires_at: Time(row.expires_at),
            user_agent: row.user_agent,
        })
    }
}

statements! {
    INSERT = [
        "INSERT INTO sessions (token_hash, id, tenant_id, user_id, created_at, last_used_at, expires_at, user_agent)
         VALUES ($1, $2, $3, $4, $5, $5, $6, $7)"
    ];
    LIST_OF = [
        "SELECT id, created_at, last_used_at, expires_at, user_agent FROM sessions
         WHERE tenant_id = $1 AND user_id = $2 AND expires_at > $3 AND last_used_at > $4
         ORDER BY last_used_at DESC, id DESC"
    ];
    DELETE = ["DELETE FROM sessions WHERE tenant_id = $1 AND user_id = $2 AND id = $3"];
    DELETE_CHALLENGES = ["DELETE FROM login_challenges WHERE tenant_id = $1 AND user_id = $2"];
    DELETE_ALL = ["DELETE FROM sessions WHERE tenant_id = $1 AND user_id = $2"];
    DELETE_OTHERS = ["DELETE FROM sessions WHERE tenant_id = $1 AND user_id = $2 AND id <> $3"];
}
