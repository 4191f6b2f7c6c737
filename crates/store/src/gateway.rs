//! The look-ups that come before the tenant is known, and those of the whole installation.
//!
//! An e-mail address, a session or a token leads to a tenant and an id in a small table without tenant data; the rest
//! is then read through the tenant's handle. Job claims and due schedules, which serve all tenants, are in
//! [`crate::job`] and [`crate::schedule`].

use domain::{
    ActorKind, Time,
    id::{SessionId, TenantId, TokenId, TypedId, UserId},
    scope::ClientScope,
};
use tracing::warn;

use crate::{
    Store, Tenant,
    audit::{Act, By},
    db::{args, lite_row},
    error::{Result, StoreError},
    people::{IDLE_TIMEOUT, TOUCH_AFTER, TokenInfo, User, digest, email_key, token, user},
    sql::statements,
};

/// A session that works, and whose it is.
#[derive(Clone, Debug)]
pub struct SessionUser {
    /// The session.
    pub session: SessionId,
    /// Who is signed in. May be disabled.
    pub user: User,
    /// When the session ends at the latest.
    pub expires_at: Time,
}

/// A token, working or not, and for whom it acts.
#[derive(Clone, Debug)]
pub struct TokenUser {
    /// The token. May be expired or revoked.
    pub token: TokenInfo,
    /// For whom it acts. May be disabled.
    pub user: User,
}

impl Store {
    /// The user with this e-mail address, in whatever tenant, and the hash of the password. May be disabled.
    pub async fn find_login(&self, email: &str, now: Time) -> Result<Option<(User, String)>> {
        let found: Option<(i64, String)> =
            self.before_tenant().maybe(&FIND_LOGIN, args![email_key(email)]).await?;
        let Some((tenant, user)) = found else { return Ok(None) };
        let users = handle(self, TenantId(tenant), now).users();
        let user = users.get(read_id::<UserId>(&user)?).await?;
        let password_hash = users.password_hash(user.id).await?;
        Ok(Some((user, password_hash)))
    }

    /// The session of this secret, unless it has ended. Notes its use once a minute.
    pub async fn find_session(&self, secret: &str, now: Time) -> Result<Option<SessionUser>> {
        let hash = digest(secret);
        let values = args![hash.as_str(), now, now - IDLE_TIMEOUT];
        let found = self.before_tenant().reading(move |read| {
            Box::pin(async move {
                let row: Option<SessionRow> = read.maybe(&FIND_SESSION, values).await?;
                let Some(row) = row else { return Ok(None) };
                read.enter(TenantId(row.tenant_id)).await?;
                let user = user::get(read, TenantId(row.tenant_id), read_id(&row.user_id)?).await?;
                Ok(Some((row, user)))
            })
        });
        let Some((row, user)) = found.await? else { return Ok(None) };
        if now >= Time(row.last_used_at) + TOUCH_AFTER {
            noted(self.before_tenant().write(&TOUCH_SESSION, args![hash, now]).await);
        }
        Ok(Some(SessionUser { session: read_id(&row.id)?, user, expires_at: Time(row.expires_at) }))
    }

    /// Ends the session of this secret, if there is one.
    pub async fn delete_session(&self, secret: &str, now: Time) -> Result<()> {
        let mut tx = self.before_tenant().begin().await?;
        let ended: Option<(i64, String, String)> = tx.maybe(&DELETE_SESSION, args![digest(secret)]).await?;
        let Some((tenant, user, session)) = ended else { return Ok(()) };
        tx.enter(TenantId(tenant)).await?;
        let corrupt = |_| StoreError::Corrupt { what: "session" };
        let user = UserId::from_db(&user).map_err(corrupt)?;
        let session = SessionId::from_db(&session).map_err(corrupt)?;
        let by = By { kind: ActorKind::Person, user: Some(user), ..By::system() };
        let act = Act::new("session.end").to(user).with("session_id", session.to_string());
        Tenant { by, ..handle(self, TenantId(tenant), now) }.record(&mut tx, act).await?;
        tx.commit().await
    }

    /// The token of this text, working or not.
    pub async fn find_token(&self, text: &str) -> Result<Option<TokenUser>> {
        let values = args![digest(text)];
        let found = self.before_tenant().reading(move |read| {
            Box::pin(async move {
                let found: Option<(i64, String)> = read.maybe(&FIND_TOKEN, values).await?;
                let Some((tenant, token)) = found else { return Ok(None) };
                read.enter(TenantId(tenant)).await?;
                let (token, user) =
                    token::with_user(read, TenantId(tenant), read_id::<TokenId>(&token)?).await?;
                Ok(Some(TokenUser { token, user }))
            })
        });
        found.await
    }

    /// Notes the use of a token, once a minute.
    pub async fn touch_token(&self, token: &TokenInfo, now: Time) {
        if token.last_used_at.is_none_or(|last| now >= last + TOUCH_AFTER) {
            noted(self.before_tenant().write(&TOUCH_TOKEN, args![token.tenant, token.id.to_db(), now]).await);
        }
    }

    /// Removes what is over: ended sessions and challenges, forgotten tries. Answers how many rows went.
    pub async fn sweep_people(&self, now: Time) -> Result<u64> {
        let sessions = self.before_tenant().write(&DELETE_ENDED, args![now, now - IDLE_TIMEOUT]).await?;
        let challenges = self.forget_ended_challenges(now).await?;
        Ok(sessions + challenges + self.forget_old_tries(now).await?)
    }

    /// All tenants: for work that goes round them.
    pub async fn tenants(&self) -> Result<Vec<TenantId>> {
        let rows: Vec<(i64, i64)> = self.before_tenant().all(&TENANTS, args![]).await?;
        Ok(rows.into_iter().map(|(id, _)| TenantId(id)).collect())
    }
}

/// The handle of a tenant that a look-up before the tenant led to.
pub(crate) fn handle(store: &Store, tenant: TenantId, now: Time) -> Tenant<'_> {
    let (actor, by) = (String::new(), By::system());
    Tenant { store, id: tenant, now, actor, by, clients: ClientScope::All }
}

/// That a use could not be noted must not keep anybody out: reading goes on where writing fails.
fn noted(written: Result<u64>) {
    if let Err(error) = written {
        warn!(error = &error as &dyn std::error::Error, "the use of a session or token could not be noted");
    }
}

fn read_id<T: TypedId>(text: &str) -> Result<T> {
    T::from_db(text).map_err(|_| StoreError::Corrupt { what: "id" })
}

#[derive(sqlx::FromRow)]
struct SessionRow {
    id: String,
    tenant_id: i64,
    user_id: String,
    last_used_at: i64,
    expires_at: i64,
}

lite_row! { SessionRow { id, tenant_id, user_id, last_used_at, expires_at } }

statements! {
    PING = ["SELECT CAST(1 AS BIGINT)"];
    FIND_LOGIN = ["SELECT tenant_id, user_id FROM user_logins WHERE email_key = $1"];
    FIND_SESSION = [
        "SELECT id, tenant_id, user_id, last_used_at, expires_at FROM sessions
         WHERE token_hash = $1 AND expires_at > $2 AND last_used_at > $3"
    ];
    TOUCH_SESSION = ["UPDATE sessions SET last_used_at = $2 WHERE token_hash = $1 AND last_used_at < $2"];
    DELETE_SESSION = ["DELETE FROM sessions WHERE token_hash = $1 RETURNING tenant_id, user_id, id"];
    DELETE_ENDED = ["DELETE FROM sessions WHERE expires_at <= $1 OR last_used_at <= $2"];
    TENANTS = ["SELECT id, created_at FROM tenants ORDER BY id"];
    FIND_TOKEN = ["SELECT tenant_id, token_id FROM api_token_hashes WHERE token_hash = $1"];
    TOUCH_TOKEN = ["UPDATE api_token_hashes SET last_used_at = $3 WHERE tenant_id = $1 AND token_id = $2"];
}
