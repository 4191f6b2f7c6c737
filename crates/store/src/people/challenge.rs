//! A sign-in between its two steps: the password was right, the second factor is still to come.
//!
//! Whoever holds the challenge has proved the password of one user, and gets nothing for it but a few tries at the second
//! factor of that user. It is stored as a hash, and goes with everything that ends the user's sign-ins.

use std::time::Duration;

use domain::{
    Time,
    id::{TenantId, TypedId, UserId},
};
use secrecy::{ExposeSecret, SecretString};

use super::{User, digest, opaque};
use crate::{
    Store,
    db::args,
    error::{Result, StoreError},
    gateway,
    sql::statements,
};

/// How long the second step may take.
pub const CHALLENGE_LIFETIME: Duration = Duration::from_secs(5 * 60);

/// Codes that may be tried with one challenge.
pub const CHALLENGE_TRIES: u32 = 5;

impl Store {
    /// The password of `user` was right: a challenge, shown this once, and when it ends.
    pub async fn create_challenge(&self, user: &User, now: Time) -> Result<(SecretString, Time)> {
        let challenge = opaque::generate("fgc_");
        let expires_at = now + CHALLENGE_LIFETIME;
        let hash = digest(challenge.expose_secret());
        let args = args![hash, user.tenant, user.id.to_db(), expires_at, CHALLENGE_TRIES];
        self.before_tenant().write(&INSERT, args).await?;
        Ok((challenge, expires_at))
    }

    /// Whose challenge this is; none if it has ended or its tries are used up.
    pub async fn find_challenge(&self, text: &str, now: Time) -> Result<Option<User>> {
        let found: Option<(i64, String)> =
            self.before_tenant().maybe(&FIND, args![digest(text), now]).await?;
        let Some((tenant, user)) = found else { return Ok(None) };
        let user = UserId::from_db(&user).map_err(|_| StoreError::Corrupt { what: "id" })?;
        Ok(Some(gateway::handle(self, TenantId(tenant), now).users().get(user).await?))
    }

    /// Counts a try; false if there is none left.
    pub async fn count_challenge_try(&self, text: &str, now: Time) -> Result<bool> {
        Ok(self.before_tenant().write(&COUNT_TRY, args![digest(text), now]).await? == 1)
    }

    /// Ends a challenge; false if somebody else did.
    pub async fn end_challenge(&self, text: &str) -> Result<bool> {
        Ok(self.before_tenant().write(&END, args![digest(text)]).await? == 1)
    }

    pub(crate) async fn forget_ended_challenges(&self, now: Time) -> Result<u64> {
        self.before_tenant().write(&FORGET_ENDED, args![now]).await
    }
}

statements! {
    INSERT = [
        "INSERT INTO login_challenges (token_hash, tenant_id, user_id, expires_at, tries_left)
         VALUES ($1, $2, $3, $4, $5)"
    ];
    FIND = [
        "SELECT tenant_id, user_id FROM login_challenges
         WHERE token_hash = $1 AND expires_at > $2 AND tries_left > 0"
    ];
    COUNT_TRY = [
        "UPDATE login_challenges SET tries_left = tries_left - 1
         WHERE token_hash = $1 AND expires_at > $2 AND tries_left > 0"
    ];
    END = ["DELETE FROM login_challenges WHERE token_hash = $1"];
    FORGET_ENDED = ["DELETE FROM login_challenges WHERE expires_at <= $1 OR tries_left <= 0"];
}
