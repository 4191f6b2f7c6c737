//! Sessions of browsers: an opaque text in a cookie, stored as a hash.

use std::time::Duration;

use domain::{
    Time,
    id::{SessionId, TypedId, UserId},
};
use secrecy::{ExposeSecret, SecretString};

use super::{digest, opaque};
use crate::{Tenant, db::args, error::Result, new_id, sql::statements};

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

/// The sessions of one tenant.
#[derive(Clone)]
pub struct Sessions<'s> {
    tenant: Tenant<'s>,
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
        let now = self.tenant.now;
        let id: SessionId = new_id(now);
        let secret = opaque::generate("");
        let expires_at = now + LIFETIME;
        let user_agent: Option<String> =
            user_agent.map(|text| text.chars().take(MAX_USER_AGENT_CHARS).collect());
        let token_hash = digest(secret.expose_secret());
        let args = args![token_hash, id.to_db(), self.tenant.id, user.to_db(), now, expires_at, user_agent];
        self.tenant.db().write(&INSERT, args).await?;
        Ok(NewSession { id, secret, expires_at })
    }

    /// Ends all sessions of `user`; answers how many there were.
    pub async fn delete_for_user(&self, user: UserId) -> Result<u64> {
        self.tenant.db().write(&DELETE_FOR_USER, args![self.tenant.id, user.to_db()]).await
    }
}

statements! {
    INSERT = [
        "INSERT INTO sessions (token_hash, id, tenant_id, user_id, created_at, last_used_at, expires_at, user_agent)
         VALUES ($1, $2, $3, $4, $5, $5, $6, $7)"
    ];
    DELETE_FOR_USER = ["DELETE FROM sessions WHERE tenant_id = $1 AND user_id = $2"];
}
