//! API tokens: `fgu_…` for REST and the command line, `fga_…` for AI agents. Shown once, stored as a hash.

use domain::{
    Time,
    auth::{Permission, Permissions, TokenKind},
    id::{TenantId, TokenId, TypedId, UserId},
};
use secrecy::{ExposeSecret, SecretString};

use super::{User, digest, opaque, user::UserRow};
use crate::{
    Tenant,
    audit::Act,
    db::{LiteRow, Reading, args, lite_row},
    error::{Result, StoreError},
    new_id,
    sql::statements,
};

/// What people may know of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenInfo {
    /// Whose.
    pub tenant: TenantId,
    /// Its id, which lets nobody in.
    pub id: TokenId,
    /// For whom it acts.
    pub user: UserId,
    /// What it is for.
    pub kind: TokenKind,
    /// What people call it.
    pub name: String,
    /// What it was allowed. It never does more than its user may at that moment.
    pub permissions: Permissions,
    /// The end of its text, to recognise it by.
    pub last_four: String,
    /// When it was made.
    pub created_at: Time,
    /// When it stops working.
    pub expires_at: Time,
    /// Since when it is revoked.
    pub revoked_at: Option<Time>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Time>,
}

/// A token to make. Its rights were decided by the caller.
#[derive(Clone, Debug)]
pub struct NewToken<'a> {
    /// For whom it acts.
    pub user: UserId,
    /// What it is for.
    pub kind: TokenKind,
    /// What people call it.
    pub name: &'a str,
    /// What it may do at most.
    pub permissions: Permissions,
    /// When it stops working.
    pub expires_at: Time,
}

/// The tokens of one tenant.
#[derive(Clone)]
pub struct Tokens<'s> {
    tenant: Tenant<'s>,
}

impl<'s> Tenant<'s> {
    /// The tenant's tokens.
    pub fn tokens(&self) -> Tokens<'s> {
        Tokens { tenant: self.clone() }
    }
}

impl Tokens<'_> {
    /// Makes a token; its text is shown this once.
    pub async fn create(&self, new: &NewToken<'_>) -> Result<(TokenInfo, SecretString)> {
        let (tenant, now) = (self.tenant.id, self.tenant.now);
        let id: TokenId = new_id(now);
        let secret = opaque::generate(prefix(new.kind));
        let text = secret.expose_secret();
        let last_four = text[text.len() - 4..].to_owned();
        let names = serde_json::to_string(&new.permissions.names()).expect("texts can be written as JSON");
        let args = args![
            tenant,
            id.to_db(),
            new.user.to_db(),
            new.kind.name(),
            new.name,
            names,
            &last_four,
            now,
            new.expires_at,
        ];
        let mut tx = self.tenant.db().begin().await?;
        tx.run(&INSERT, args).await?;
        tx.run(&INSERT_HASH, args![digest(text), tenant, id.to_db()]).await?;
        let act = Act::new("token.create")
            .to(id)
            .named(new.name)
            .with("user_id", new.user.to_string())
            .with("kind", new.kind.name())
            .with("permissions", new.permissions.names())
            .with("expires_at", new.expires_at.to_string());
        self.tenant.record(&mut tx, act).await?;
        tx.commit().await?;
        let info = TokenInfo {
            tenant,
            id,
            user: new.user,
            kind: new.kind,
            name: new.name.to_owned(),
            permissions: new.permissions.clone(),
            last_four,
            created_at: now,
            expires_at: new.expires_at,
            revoked_at: None,
            last_used_at: None,
        };
        Ok((info, secret))
    }

    /// The token of this id.
    pub async fn get(&self, id: TokenId) -> Result<TokenInfo> {
        let row: TokenRow = self.tenant.db().one(&GET, args![self.tenant.id, id.to_db()]).await?;
        row.try_into()
    }

    /// All tokens of the tenant, the newest first.
    pub async fn list(&self) -> Result<Vec<TokenInfo>> {
        let rows: Vec<TokenRow> = self.tenant.db().all(&LIST, args![self.tenant.id]).await?;
        rows.into_iter().map(TokenInfo::try_from).collect()
    }

    /// The tokens of one user, the newest first.
    pub async fn list_of(&self, user: UserId) -> Result<Vec<TokenInfo>> {
        let rows: Vec<TokenRow> = self.tenant.db().all(&LIST_OF, args![self.tenant.id, user.to_db()]).await?;
        rows.into_iter().map(TokenInfo::try_from).collect()
    }

    /// Revokes a token at once and for good; revoking again changes nothing.
    pub async fn revoke(&self, id: TokenId) -> Result<()> {
        let mut tx = self.tenant.db().begin().await?;
        if tx.run(&REVOKE, args![self.tenant.id, id.to_db(), self.tenant.now]).await? == 0 {
            return Err(StoreError::NotFound);
        }
        self.tenant.record(&mut tx, Act::new("token.revoke").to(id)).await?;
        tx.commit().await
    }
}

/// The token of this id and the user it acts for.
pub(crate) async fn with_user(
    read: &mut Reading,
    tenant: TenantId,
    id: TokenId,
) -> Result<(TokenInfo, User)> {
    let row: TokenUserRow = read.one(&WITH_USER, args![tenant, id.to_db()]).await?;
    let user = UserRow {
        tenant_id: row.token.tenant_id,
        id: row.token.user_id.clone(),
        email: row.user_email,
        name: row.user_name,
        role: row.user_role,
        role_name: row.user_role_name,
        role_permissions: row.user_role_permissions,
        disabled_at: row.user_disabled_at,
        created_at: row.user_created_at,
        updated_at: row.user_updated_at,
        password_given_at: row.user_password_given_at,
        totp_since: row.user_totp_since,
        passkeys: row.user_passkeys,
        factor_needed_since: row.user_factor_needed_since,
        clients: row.user_clients,
    };
    Ok((row.token.try_into()?, user.try_into()?))
}

const fn prefix(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::User => "fgu_",
        TokenKind::Agent => "fga_",
    }
}

#[derive(sqlx::FromRow)]
struct TokenRow {
    tenant_id: i64,
    id: String,
    user_id: String,
    kind: String,
    name: String,
    permissions: String,
    last_four: String,
    created_at: i64,
    expires_at: i64,
    revoked_at: Option<i64>,
    last_used_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct TokenUserRow {
    #[sqlx(flatten)]
    token: TokenRow,
    user_email: String,
    user_name: String,
    user_role: String,
    user_role_name: Option<String>,
    user_role_permissions: Option<String>,
    user_disabled_at: Option<i64>,
    user_created_at: i64,
    user_updated_at: i64,
    user_password_given_at: Option<i64>,
    user_totp_since: Option<i64>,
    user_passkeys: i64,
    user_factor_needed_since: Option<i64>,
    user_clients: Option<String>,
}

lite_row! {
    TokenRow {
        tenant_id, id, user_id, kind, name, permissions, last_four, created_at, expires_at, revoked_at, last_used_at,
    }
}

impl LiteRow for TokenUserRow {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(TokenUserRow {
            token: TokenRow::read(row)?,
            user_email: row.get(11)?,
            user_name: row.get(12)?,
            user_role: row.get(13)?,
            user_role_name: row.get(14)?,
            user_role_permissions: row.get(15)?,
            user_disabled_at: row.get(16)?,
            user_created_at: row.get(17)?,
            user_updated_at: row.get(18)?,
            user_password_given_at: row.get(19)?,
            user_totp_since: row.get(20)?,
            user_passkeys: row.get(21)?,
            user_factor_needed_since: row.get(22)?,
            user_clients: row.get(23)?,
        })
    }
}

impl TryFrom<TokenRow> for TokenInfo {
    type Error = StoreError;

    fn try_from(row: TokenRow) -> Result<TokenInfo> {
        let corrupt = || StoreError::Corrupt { what: "token" };
        let names: Vec<String> = serde_json::from_str(&row.permissions).map_err(|_| corrupt())?;
        Ok(TokenInfo {
            tenant: TenantId(row.tenant_id),
            id: TokenId::from_db(&row.id).map_err(|_| corrupt())?,
            user: UserId::from_db(&row.user_id).map_err(|_| corrupt())?,
            kind: TokenKind::from_name(&row.kind).ok_or_else(corrupt)?,
            name: row.name,
            // A name that this version does not know allows nothing.
            permissions: names.iter().filter_map(|name| Permission::from_name(name)).collect(),
            last_four: row.last_four,
            created_at: Time(row.created_at),
            expires_at: Time(row.expires_at),
            revoked_at: row.revoked_at.map(Time),
            last_used_at: row.last_used_at.map(Time),
        })
    }
}

statements! {
    INSERT = [
        "INSERT INTO api_tokens (tenant_id, id, user_id, kind, name, permissions, last_four, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
    ];
    INSERT_HASH = ["INSERT INTO api_token_hashes (token_hash, tenant_id, token_id) VALUES ($1, $2, $3)"];
    GET = [
        "SELECT t.tenant_id, t.id, t.user_id, t.kind, t.name, t.permissions, t.last_four, t.created_at,
            t.expires_at, t.revoked_at, h.last_used_at
         FROM api_tokens AS t JOIN api_token_hashes AS h ON h.tenant_id = t.tenant_id AND h.token_id = t.id
         WHERE t.tenant_id = $1 AND t.id = $2"
    ];
    // Before every request with a token: one question for the token, its user and the role.
    WITH_USER = [
        "SELECT t.tenant_id, t.id, t.user_id, t.kind, t.name, t.permissions, t.last_four, t.created_at,
            t.expires_at, t.revoked_at, h.last_used_at, u.email AS user_email, u.name AS user_name,
            u.role AS user_role, r.name AS user_role_name, r.permissions AS user_role_permissions,
            u.disabled_at AS user_disabled_at, u.created_at AS user_created_at, u.updated_at AS user_updated_at,
            u.password_given_at AS user_password_given_at, f.confirmed_at AS user_totp_since,
            (SELECT COUNT(*) FROM user_passkeys AS p WHERE p.tenant_id = u.tenant_id AND p.user_id = u.id) AS user_passkeys,
            n.set_at AS user_factor_needed_since, ", {clients_of_user}, " AS user_clients
         FROM api_tokens AS t JOIN api_token_hashes AS h ON h.tenant_id = t.tenant_id AND h.token_id = t.id
         JOIN users AS u ON u.tenant_id = t.tenant_id AND u.id = t.user_id
         LEFT JOIN roles AS r ON r.tenant_id = u.tenant_id AND r.id = u.role
         LEFT JOIN user_totp AS f ON f.tenant_id = u.tenant_id AND f.user_id = u.id
         LEFT JOIN second_factor_roles AS n ON n.tenant_id = u.tenant_id AND n.role = u.role
         WHERE t.tenant_id = $1 AND t.id = $2"
    ];
    LIST = [
        "SELECT t.tenant_id, t.id, t.user_id, t.kind, t.name, t.permissions, t.last_four, t.created_at,
            t.expires_at, t.revoked_at, h.last_used_at
         FROM api_tokens AS t JOIN api_token_hashes AS h ON h.tenant_id = t.tenant_id AND h.token_id = t.id
         WHERE t.tenant_id = $1 ORDER BY t.created_at DESC, t.id DESC"
    ];
    LIST_OF = [
        "SELECT t.tenant_id, t.id, t.user_id, t.kind, t.name, t.permissions, t.last_four, t.created_at,
            t.expires_at, t.revoked_at, h.last_used_at
         FROM api_tokens AS t JOIN api_token_hashes AS h ON h.tenant_id = t.tenant_id AND h.token_id = t.id
         WHERE t.tenant_id = $1 AND t.user_id = $2 ORDER BY t.created_at DESC, t.id DESC"
    ];
    REVOKE = [
        "UPDATE api_tokens SET revoked_at = COALESCE(revoked_at, $3) WHERE tenant_id = $1 AND id = $2"
    ];
}
