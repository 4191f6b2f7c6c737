//! Users: people who sign in.

use domain::{
    Time,
    auth::{Permissions, Role, RoleInfo, RoleKey},
    id::{TenantId, TypedId, UserId},
    scope::ClientScope,
};

use super::{email_key, installation, limit, role, session};
use crate::{
    Tenant, Tx,
    audit::Act,
    db::{Reading, args, lite_row},
    error::{Result, StoreError},
    new_id,
    sql::statements,
};

/// A person who signs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Whose people.
    pub tenant: TenantId,
    /// The id.
    pub id: UserId,
    /// The e-mail address as typed.
    pub email: String,
    /// What people call them.
    pub name: String,
    /// What they may do, as the role stands now.
    pub role: RoleInfo,
    /// Whose data they may see.
    pub clients: ClientScope,
    /// Since when they cannot sign in.
    pub disabled_at: Option<Time>,
    /// When somebody else chose the password; none once its owner did.
    pub password_given_at: Option<Time>,
    /// Since when there is an authenticator app as a second factor.
    pub totp_since: Option<Time>,
    /// How many passkeys there are as second factors.
    pub passkeys: u32,
    /// Does the role ask for a second factor?
    pub needs_second_factor: bool,
    /// When it was created.
    pub created_at: Time,
    /// When it last changed.
    pub updated_at: Time,
}

/// The one thing that a sign-in may do until it is done, beside looking at oneself and signing out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Somebody else chose the password.
    ChangePassword,
    /// The role asks for a second factor, and there is none.
    EnrolSecondFactor,
}

impl User {
    /// Is there a second factor that counts, of whatever kind?
    pub fn has_second_factor(&self) -> bool {
        self.totp_since.is_some() || self.passkeys > 0
    }

    /// To what sign-ins of this user are limited now.
    pub fn limit(&self) -> Option<Limit> {
        if self.password_given_at.is_some() {
            Some(Limit::ChangePassword)
        } else if self.needs_second_factor && !self.has_second_factor() {
            Some(Limit::EnrolSecondFactor)
        } else {
            None
        }
    }
}

/// A user to create.
#[derive(Clone, Copy)]
pub struct NewUser<'a> {
    /// The e-mail address, checked by the caller.
    pub email: &'a str,
    /// What people call them.
    pub name: &'a str,
    /// What they may do.
    pub role: RoleKey,
    /// From [`super::password::hash`].
    pub password_hash: &'a str,
}

/// What to change about a user; what is none stays.
#[derive(Clone, Debug, Default)]
pub struct UserChange {
    /// What people call them.
    pub name: Option<String>,
    /// What they may do.
    pub role: Option<RoleKey>,
    /// Whose data they may see.
    pub clients: Option<ClientScope>,
    /// Locked out, or let in again.
    pub disabled: Option<bool>,
}

/// The users of one tenant.
#[derive(Clone)]
pub struct Users<'s> {
    tenant: Tenant<'s>,
}

impl<'s> Tenant<'s> {
    /// The tenant's users.
    pub fn users(&self) -> Users<'s> {
        Users { tenant: self.clone() }
    }
}

impl Users<'_> {
    /// All, by e-mail address.
    pub async fn list(&self) -> Result<Vec<User>> {
        let rows: Vec<UserRow> = self.tenant.db().all(&LIST, args![self.tenant.id]).await?;
        rows.into_iter().map(User::try_from).collect()
    }

    /// The user of this id.
    pub async fn get(&self, id: UserId) -> Result<User> {
        let tenant = self.tenant.id;
        self.tenant.db().reading(move |read| Box::pin(async move { get(read, tenant, id).await })).await
    }

    /// The tenant's user with this e-mail address, whatever its case.
    pub async fn find_by_email(&self, email: &str) -> Result<Option<User>> {
        let row: Option<UserRow> =
            self.tenant.db().maybe(&FIND_BY_EMAIL, args![self.tenant.id, email_key(email)]).await?;
        row.map(User::try_from).transpose()
    }

    /// The stored hash of the user's password.
    pub async fn password_hash(&self, id: UserId) -> Result<String> {
        let (hash,): (String,) =
            self.tenant.db().one(&PASSWORD_HASH, args![self.tenant.id, id.to_db()]).await?;
        Ok(hash)
    }

    /// Creates a user whose password is of their own choice; [`StoreError::Conflict`] `email` if the address is taken,
    /// `role` if there is no such role. The
    /// first admin closes set-up.
    pub async fn create(&self, user: &NewUser<'_>) -> Result<User> {
        self.create_limited(user, &ClientScope::All).await
    }

    /// The same for a user who may see these clients alone.
    pub async fn create_limited(&self, user: &NewUser<'_>, clients: &ClientScope) -> Result<User> {
        self.create_with(user, clients, &Permissions::all(), None).await
    }

    /// The same by somebody with these rights, who chose the password for the user: [`StoreError::Beyond`] if the role
    /// allows more, [`StoreError::BeyondClients`] without a limit by somebody who has one, [`StoreError::Conflict`] `client`
    /// if there is no such client for whoever asks.
    pub async fn create_within(
        &self,
        user: &NewUser<'_>,
        clients: &ClientScope,
        at_most: &Permissions,
    ) -> Result<User> {
        self.create_with(user, clients, at_most, Some(self.tenant.now)).await
    }

    async fn create_with(
        &self,
        user: &NewUser<'_>,
        clients: &ClientScope,
        at_most: &Permissions,
        given_at: Option<Time>,
    ) -> Result<User> {
        let mut tx = self.tenant.db().begin().await?;
        role::lock(&mut tx, self.tenant.id).await?;
        let mut made = insert(&mut tx, self.tenant.id, user, given_at, self.tenant.now).await?;
        role::within(&made.role.permissions, at_most)?;
        made.clients = limit::give(&mut tx, &self.tenant, made.id, clients).await?;
        close_setup_for(&mut tx, &made, self.tenant.now).await?;
        self.tenant.record(&mut tx, created(&made)).await?;
        tx.commit().await?;
        Ok(made)
    }

    /// Changes a user who may do no more than `at_most`, and to no more ([`StoreError::Beyond`]), and who sees no more than
    /// whoever asks ([`StoreError::BeyondClients`]). Another role, another limit and locking out end all sessions.
    /// [`StoreError::Conflict`] `role` if there is no such role, `client` if there is no such client for whoever asks,
    /// `last_admin` if nobody could set up the tenant any more.
    pub async fn update(&self, id: UserId, change: &UserChange, at_most: &Permissions) -> Result<User> {
        let (tenant, now) = (self.tenant.id, self.tenant.now);
        let mut tx = self.tenant.db().begin().await?;
        role::lock(&mut tx, tenant).await?;
        let before: User = tx.one::<UserRow>(&GET, args![tenant, id.to_db()]).await?.try_into()?;
        role::within(&before.role.permissions, at_most)?;
        limit::within(&before.clients, &self.tenant)?;
        let mut after = before.clone();
        after.updated_at = now;
        if let Some(name) = &change.name {
            after.name.clone_from(name);
        }
        if let Some(key) = change.role {
            after.role = role::resolve(&mut tx, tenant, key).await?;
            role::within(&after.role.permissions, at_most)?;
        }
        after.disabled_at = match change.disabled {
            Some(true) => before.disabled_at.or(Some(now)),
            Some(false) => None,
            None => before.disabled_at,
        };
        let had_admin = role::has_admin(&mut tx, tenant).await?;
        let role = after.role.key.to_db();
        tx.run(&UPDATE, args![tenant, id.to_db(), &after.name, role, after.disabled_at, now]).await?;
        if let Some(clients) = change.clients.as_ref().filter(|clients| **clients != before.clients) {
            after.clients = limit::give(&mut tx, &self.tenant, id, clients).await?;
        }
        let is_another = after.role.key != before.role.key || after.clients != before.clients;
        if is_another || after.disabled_at.is_some() {
            session::end_all(&mut tx, tenant, id).await?;
        }
        role::keep_admin(&mut tx, tenant, had_admin).await?;
        close_setup_for(&mut tx, &after, now).await?;
        self.tenant.record(&mut tx, changed(&before, &after)).await?;
        let after: User = tx.one::<UserRow>(&GET, args![tenant, id.to_db()]).await?.try_into()?;
        tx.commit().await?;
        Ok(after)
    }

    /// Changes the password to one of the user's own choice and ends all their sessions.
    pub async fn set_password(&self, id: UserId, password_hash: &str) -> Result<()> {
        self.set_password_with(id, password_hash, &Permissions::all(), None).await
    }

    /// The same by somebody else, for a user who may do no more than `at_most`, else [`StoreError::Beyond`], and who sees no
    /// more than whoever asks, else [`StoreError::BeyondClients`].
    pub async fn set_password_within(
        &self,
        id: UserId,
        password_hash: &str,
        at_most: &Permissions,
    ) -> Result<()> {
        self.set_password_with(id, password_hash, at_most, Some(self.tenant.now)).await
    }

    async fn set_password_with(
        &self,
        id: UserId,
        password_hash: &str,
        at_most: &Permissions,
        given_at: Option<Time>,
    ) -> Result<()> {
        let mut tx = self.tenant.db().begin().await?;
        role::lock(&mut tx, self.tenant.id).await?;
        let user: User = tx.one::<UserRow>(&GET, args![self.tenant.id, id.to_db()]).await?.try_into()?;
        role::within(&user.role.permissions, at_most)?;
        limit::within(&user.clients, &self.tenant)?;
        let args = args![self.tenant.id, id.to_db(), password_hash, self.tenant.now, given_at];
        found(tx.run(&SET_PASSWORD, args).await?)?;
        session::end_all(&mut tx, self.tenant.id, id).await?;
        self.tenant.record(&mut tx, Act::new("user.set_password").to(id).named(&user.email)).await?;
        tx.commit().await
    }

    /// For the console: locks out even the last admin. No sign-in, no session, no token of the user works any more.
    pub async fn disable(&self, id: UserId) -> Result<()> {
        let mut tx = self.tenant.db().begin().await?;
        found(tx.run(&DISABLE, args![self.tenant.id, id.to_db(), self.tenant.now]).await?)?;
        self.tenant.record(&mut tx, Act::new("user.disable").to(id)).await?;
        session::end_all(&mut tx, self.tenant.id, id).await?;
        tx.commit().await
    }

    /// For the console: lets the user in again; sessions do not come back.
    pub async fn enable(&self, id: UserId) -> Result<()> {
        let mut tx = self.tenant.db().begin().await?;
        found(tx.run(&ENABLE, args![self.tenant.id, id.to_db(), self.tenant.now]).await?)?;
        self.tenant.record(&mut tx, Act::new("user.enable").to(id)).await?;
        tx.commit().await
    }
}

fn found(touched: u64) -> Result<()> {
    if touched == 0 { Err(StoreError::NotFound) } else { Ok(()) }
}

/// A user without a limit, in the caller's transaction. `given_at`: when somebody else chose the password, if so.
pub(super) async fn insert(
    tx: &mut Tx,
    tenant: TenantId,
    new: &NewUser<'_>,
    given_at: Option<Time>,
    now: Time,
) -> Result<User> {
    let id: UserId = new_id(now);
    let email = new.email.trim();
    role::resolve(tx, tenant, new.role).await?;
    let args = args![tenant, id.to_db(), email, new.name, new.role.to_db(), new.password_hash, now, given_at];
    tx.run(&INSERT, args).await?;
    if tx.run(&INSERT_LOGIN, args![email_key(email), tenant, id.to_db()]).await? == 0 {
        return Err(StoreError::Conflict { what: "email" });
    }
    tx.one::<UserRow>(&GET, args![tenant, id.to_db()]).await?.try_into()
}

/// Set-up makes the first admin of the first tenant: once there is one, however it came to be, it is closed for good.
pub(super) async fn close_setup_for(tx: &mut Tx, user: &User, now: Time) -> Result<()> {
    let is_admin = user.role.key == RoleKey::BuiltIn(Role::Admin) && user.disabled_at.is_none();
    if is_admin && user.clients.is_all() && user.tenant == installation::FIRST_TENANT {
        installation::close_setup(tx, now).await?;
    }
    Ok(())
}

/// For the audit log: a new user.
pub(super) fn created(user: &User) -> Act {
    let act = Act::new("user.create").to(user.id).named(&user.email).with("role", user.role.name.as_str());
    act.with("clients", named(&user.clients))
}

/// For the audit log: none without a limit.
fn named(clients: &ClientScope) -> Option<Vec<String>> {
    match clients {
        ClientScope::All => None,
        ClientScope::Only(list) => Some(list.iter().map(|client| client.to_string()).collect()),
    }
}

/// For the audit log: what a change left, and what it was before.
fn changed(before: &User, after: &User) -> Act {
    let mut act = Act::new("user.update").to(after.id).named(&after.email);
    if after.name != before.name {
        act = act.with("name", after.name.as_str());
    }
    if after.role.key != before.role.key {
        act = act.with("role", after.role.name.as_str()).with("role_before", before.role.name.as_str());
    }
    if after.clients != before.clients {
        act = act
            .with("clients", named(&after.clients).unwrap_or_else(|| vec!["all".to_owned()]))
            .with("clients_before", named(&before.clients).unwrap_or_else(|| vec!["all".to_owned()]));
    }
    if after.disabled_at.is_some() != before.disabled_at.is_some() {
        act = act.with("disabled", after.disabled_at.is_some());
    }
    act
}

/// The user of this id.
pub(crate) async fn get(read: &mut Reading, tenant: TenantId, id: UserId) -> Result<User> {
    let row: UserRow = read.one(&GET, args![tenant, id.to_db()]).await?;
    row.try_into()
}

#[derive(sqlx::FromRow)]
pub(super) struct UserRow {
    pub(super) tenant_id: i64,
    pub(super) id: String,
    pub(super) email: String,
    pub(super) name: String,
    pub(super) role: String,
    pub(super) role_name: Option<String>,
    pub(super) role_permissions: Option<String>,
    pub(super) disabled_at: Option<i64>,
    pub(super) created_at: i64,
    pub(super) updated_at: i64,
    pub(super) password_given_at: Option<i64>,
    pub(super) totp_since: Option<i64>,
    pub(super) passkeys: i64,
    pub(super) factor_needed_since: Option<i64>,
    /// JSON; none without a limit.
    pub(super) clients: Option<String>,
}

lite_row! {
    UserRow {
        tenant_id, id, email, name, role, role_name, role_permissions, disabled_at, created_at, updated_at,
        password_given_at, totp_since, passkeys, factor_needed_since, clients,
    }
}

impl TryFrom<UserRow> for User {
    type Error = StoreError;

    fn try_from(row: UserRow) -> Result<User> {
        let corrupt = || StoreError::Corrupt { what: "user" };
        Ok(User {
            tenant: TenantId(row.tenant_id),
            id: UserId::from_db(&row.id).map_err(|_| corrupt())?,
            email: row.email,
            name: row.name,
            role: role::read(&row.role, row.role_name, row.role_permissions.as_deref())?,
            clients: limit::read(row.clients.as_deref())?,
            disabled_at: row.disabled_at.map(Time),
            password_given_at: row.password_given_at.map(Time),
            totp_since: row.totp_since.map(Time),
            passkeys: u32::try_from(row.passkeys).map_err(|_| corrupt())?,
            needs_second_factor: row.factor_needed_since.is_some(),
            created_at: Time(row.created_at),
            updated_at: Time(row.updated_at),
        })
    }
}

statements! {
    LIST = [
        "SELECT u.tenant_id, u.id, u.email, u.name, u.role, r.name AS role_name, r.permissions AS role_permissions,
            u.disabled_at, u.created_at, u.updated_at, u.password_given_at, f.confirmed_at AS totp_since,
            (SELECT COUNT(*) FROM user_passkeys AS p WHERE p.tenant_id = u.tenant_id AND p.user_id = u.id) AS passkeys,
            n.set_at AS factor_needed_since, ", {clients_of_user}, " AS clients
         FROM users AS u LEFT JOIN roles AS r ON r.tenant_id = u.tenant_id AND r.id = u.role
         LEFT JOIN user_totp AS f ON f.tenant_id = u.tenant_id AND f.user_id = u.id
         LEFT JOIN second_factor_roles AS n ON n.tenant_id = u.tenant_id AND n.role = u.role
         WHERE u.tenant_id = $1 ORDER BY u.email, u.id"
    ];
    GET = [
        "SELECT u.tenant_id, u.id, u.email, u.name, u.role, r.name AS role_name, r.permissions AS role_permissions,
            u.disabled_at, u.created_at, u.updated_at, u.password_given_at, f.confirmed_at AS totp_since,
            (SELECT COUNT(*) FROM user_passkeys AS p WHERE p.tenant_id = u.tenant_id AND p.user_id = u.id) AS passkeys,
            n.set_at AS factor_needed_since, ", {clients_of_user}, " AS clients
         FROM users AS u LEFT JOIN roles AS r ON r.tenant_id = u.tenant_id AND r.id = u.role
         LEFT JOIN user_totp AS f ON f.tenant_id = u.tenant_id AND f.user_id = u.id
         LEFT JOIN second_factor_roles AS n ON n.tenant_id = u.tenant_id AND n.role = u.role
         WHERE u.tenant_id = $1 AND u.id = $2"
    ];
    FIND_BY_EMAIL = [
        "SELECT u.tenant_id, u.id, u.email, u.name, u.role, r.name AS role_name, r.permissions AS role_permissions,
            u.disabled_at, u.created_at, u.updated_at, u.password_given_at, f.confirmed_at AS totp_since,
            (SELECT COUNT(*) FROM user_passkeys AS p WHERE p.tenant_id = u.tenant_id AND p.user_id = u.id) AS passkeys,
            n.set_at AS factor_needed_since, ", {clients_of_user}, " AS clients
         FROM user_logins AS l JOIN users AS u ON u.tenant_id = l.tenant_id AND u.id = l.user_id
         LEFT JOIN roles AS r ON r.tenant_id = u.tenant_id AND r.id = u.role
         LEFT JOIN user_totp AS f ON f.tenant_id = u.tenant_id AND f.user_id = u.id
         LEFT JOIN second_factor_roles AS n ON n.tenant_id = u.tenant_id AND n.role = u.role
         WHERE l.tenant_id = $1 AND l.email_key = $2"
    ];
    PASSWORD_HASH = ["SELECT password_hash FROM users WHERE tenant_id = $1 AND id = $2"];
    INSERT = [
        "INSERT INTO users (tenant_id, id, email, name, role, password_hash, created_at, updated_at, password_given_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8)"
    ];
    INSERT_LOGIN = [
        "INSERT INTO user_logins (email_key, tenant_id, user_id) VALUES ($1, $2, $3)
         ON CONFLICT (email_key) DO NOTHING"
    ];
    SET_PASSWORD = [
        "UPDATE users SET password_hash = $3, updated_at = $4, password_given_at = $5 WHERE tenant_id = $1 AND id = $2"
    ];
    UPDATE = [
        "UPDATE users SET name = $3, role = $4, disabled_at = $5, updated_at = $6
         WHERE tenant_id = $1 AND id = $2"
    ];
    DISABLE = [
        "UPDATE users SET disabled_at = COALESCE(disabled_at, $3), updated_at = $3
         WHERE tenant_id = $1 AND id = $2"
    ];
    ENABLE = ["UPDATE users SET disabled_at = NULL, updated_at = $3 WHERE tenant_id = $1 AND id = $2"];
}
