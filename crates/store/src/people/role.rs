//! Own roles of a tenant. Built-in ones are in `domain` and have no row.
//!
//! Changes of roles and of who has them take turns (the tenant's row is locked), so that of two changes at once the
//! second sees the first: a role is not removed while it is given, and the last admin does not go twice.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    auth::{Permission, Permissions, Role, RoleInfo, RoleKey},
    client::name_key,
    id::{RoleId, TenantId, TypedId},
};

use crate::{
    Tenant, Tx,
    audit::Act,
    db::args,
    error::{Result, StoreError},
    new_id,
    sql::statements,
};

/// What to change about a role; what is none stays.
#[derive(Clone, Debug, Default)]
pub struct RoleChange {
    /// What people call it.
    pub name: Option<String>,
    /// What it allows.
    pub permissions: Option<Permissions>,
}

/// Do users of a role need a second factor?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondFactorRule {
    /// Without one they can do nothing but enrol one.
    Required,
    /// They may have one.
    Optional,
}

/// The own roles of one tenant.
#[derive(Clone)]
pub struct Roles<'s> {
    tenant: Tenant<'s>,
}

impl<'s> Tenant<'s> {
    /// The tenant's own roles.
    pub fn roles(&self) -> Roles<'s> {
        Roles { tenant: self.clone() }
    }
}

/// `at_most` are the rights of whoever asks: [`StoreError::Beyond`] if a role has or would get more. Whoever may see only some
/// clients changes no role that somebody has, as that may be somebody who sees more: [`StoreError::BeyondClients`].
impl Roles<'_> {
    /// All, by name.
    pub async fn list(&self) -> Result<Vec<RoleInfo>> {
        let rows: Vec<RoleRow> = self.tenant.db().all(&LIST, args![self.tenant.id]).await?;
        rows.into_iter().map(RoleInfo::try_from).collect()
    }

    /// How many users have each role, built-in ones too.
    pub async fn holders(&self) -> Result<BTreeMap<RoleKey, u64>> {
        let rows: Vec<(String, i64)> = self.tenant.db().all(&HOLDERS, args![self.tenant.id]).await?;
        let read =
            |(role, count): (String, i64)| Some((RoleKey::from_db(&role)?, u64::try_from(count).ok()?));
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// The roles, built-in ones too, whose users need a second factor.
    pub async fn with_second_factor(&self) -> Result<BTreeSet<RoleKey>> {
        let rows: Vec<(String, i64)> =
            self.tenant.db().all(&WITH_SECOND_FACTOR, args![self.tenant.id]).await?;
        Ok(rows.into_iter().filter_map(|(role, _)| RoleKey::from_db(&role)).collect())
    }

    /// Sets whether users of a role, built in or own, need a second factor. It counts for their sessions at once.
    /// [`StoreError::NotFound`] if there is no such role, [`StoreError::BeyondClients`] for whoever sees only some clients.
    pub async fn set_second_factor(
        &self,
        key: RoleKey,
        rule: SecondFactorRule,
        at_most: &Permissions,
    ) -> Result<RoleInfo> {
        let (tenant, role) = (self.tenant.id, key.to_db());
        // People of all clients may have it.
        let mut tx = self.tenant.whole()?.begin().await?;
        lock(&mut tx, tenant).await?;
        let info = match resolve(&mut tx, tenant, key).await {
            Err(StoreError::Conflict { what: "role" }) => return Err(StoreError::NotFound),
            found => found?,
        };
        within(&info.permissions, at_most)?;
        match rule {
            SecondFactorRule::Required => tx.run(&REQUIRE, args![tenant, role, self.tenant.now]).await?,
            SecondFactorRule::Optional => tx.run(&RELEASE, args![tenant, role]).await?,
        };
        let act = Act::new("role.second_factor").to(key).named(&info.name);
        let act = act.with("required", rule == SecondFactorRule::Required);
        self.tenant.record(&mut tx, act).await?;
        tx.commit().await?;
        Ok(info)
    }

    /// Makes a role. [`StoreError::Conflict`] `role_name` if there is one of this name.
    pub async fn create(
        &self,
        name: &str,
        permissions: &Permissions,
        at_most: &Permissions,
    ) -> Result<RoleInfo> {
        within(permissions, at_most)?;
        let id: RoleId = new_id(self.tenant.now);
        let mut tx = self.tenant.db().begin().await?;
        lock(&mut tx, self.tenant.id).await?;
        self.check_name(&mut tx, name, id).await?;
        let (key, names) = (name_key(name), as_json(permissions));
        let args = args![self.tenant.id, id.to_db(), name, key, names, self.tenant.now];
        tx.run(&INSERT, args).await?;
        let act = Act::new("role.create").to(id).named(name).with("permissions", permissions.names());
        self.tenant.record(&mut tx, act).await?;
        tx.commit().await?;
        Ok(RoleInfo { key: RoleKey::Own(id), name: name.to_owned(), permissions: permissions.clone() })
    }

    /// Changes a role. Other rights end the sign-ins of all who have it. [`StoreError::Conflict`] `role_name` as above,
    /// `last_admin` if nobody could set up the tenant any more.
    pub async fn update(&self, id: RoleId, change: &RoleChange, at_most: &Permissions) -> Result<RoleInfo> {
        let mut tx = self.tenant.db().begin().await?;
        lock(&mut tx, self.tenant.id).await?;
        let before = self.get(&mut tx, id).await?;
        let after = RoleInfo {
            key: before.key,
            name: change.name.clone().unwrap_or_else(|| before.name.clone()),
            permissions: change.permissions.clone().unwrap_or_else(|| before.permissions.clone()),
        };
        within(&before.permissions, at_most)?;
        within(&after.permissions, at_most)?;
        if !self.tenant.clients.is_all() && self.is_held(&mut tx, id).await? {
            return Err(StoreError::BeyondClients);
        }
        self.check_name(&mut tx, &after.name, id).await?;
        let had_admin = has_admin(&mut tx, self.tenant.id).await?;
        let (key, names) = (name_key(&after.name), as_json(&after.permissions));
        let args = args![self.tenant.id, id.to_db(), &after.name, key, names, self.tenant.now];
        tx.run(&UPDATE, args).await?;
        if after.permissions != before.permissions {
            tx.run(&END_SESSIONS_OF_HOLDERS, args![self.tenant.id, id.to_db()]).await?;
        }
        keep_admin(&mut tx, self.tenant.id, had_admin).await?;
        let act = Act::new("role.update")
            .to(id)
            .named(&after.name)
            .with("permissions", after.permissions.names())
            .with("permissions_before", before.permissions.names());
        self.tenant.record(&mut tx, act).await?;
        tx.commit().await?;
        Ok(after)
    }

    /// Removes a role that nobody has; else [`StoreError::Conflict`] `role_in_use`.
    pub async fn delete(&self, id: RoleId, at_most: &Permissions) -> Result<()> {
        let mut tx = self.tenant.db().begin().await?;
        lock(&mut tx, self.tenant.id).await?;
        let role = self.get(&mut tx, id).await?;
        within(&role.permissions, at_most)?;
        if self.is_held(&mut tx, id).await? {
            return Err(StoreError::Conflict { what: "role_in_use" });
        }
        tx.run(&RELEASE, args![self.tenant.id, id.to_db()]).await?;
        tx.run(&DELETE, args![self.tenant.id, id.to_db()]).await?;
        let act =
            Act::new("role.delete").to(id).named(&role.name).with("permissions", role.permissions.names());
        self.tenant.record(&mut tx, act).await?;
        tx.commit().await
    }

    async fn get(&self, tx: &mut Tx, id: RoleId) -> Result<RoleInfo> {
        tx.one::<RoleRow>(&GET, args![self.tenant.id, id.to_db()]).await?.try_into()
    }

    async fn is_held(&self, tx: &mut Tx, id: RoleId) -> Result<bool> {
        let held: Option<(i64,)> = tx.maybe(&IS_HELD, args![self.tenant.id, id.to_db()]).await?;
        Ok(held.is_some())
    }

    async fn check_name(&self, tx: &mut Tx, name: &str, id: RoleId) -> Result<()> {
        let key = name_key(name);
        let other: Option<(String,)> = tx.maybe(&NAMED, args![self.tenant.id, &key, id.to_db()]).await?;
        let is_built_in = Role::ALL.iter().any(|role| role.name() == key);
        if other.is_some() || is_built_in { Err(StoreError::Conflict { what: "role_name" }) } else { Ok(()) }
    }
}

/// Refuses what goes beyond the rights of whoever asks.
pub(super) fn within(rights: &Permissions, at_most: &Permissions) -> Result<()> {
    rights.first_beyond(at_most).map_or(Ok(()), |missing| Err(StoreError::Beyond(missing)))
}

/// From here to the end of the transaction nobody else changes roles of the tenant or who has them.
pub(super) async fn lock(tx: &mut Tx, tenant: TenantId) -> Result<()> {
    tx.one::<(i64,)>(&LOCK_TENANT, args![tenant]).await.map(drop)
}

/// The role as it stands; [`StoreError::Conflict`] `role` if there is none.
pub(super) async fn resolve(tx: &mut Tx, tenant: TenantId, key: RoleKey) -> Result<RoleInfo> {
    match key {
        RoleKey::BuiltIn(role) => Ok(role.into()),
        RoleKey::Own(id) => match tx.maybe::<RoleRow>(&GET, args![tenant, id.to_db()]).await? {
            Some(row) => row.try_into(),
            None => Err(StoreError::Conflict { what: "role" }),
        },
    }
}

/// Is there an active user without a limit who can set up the tenant and let others in?
pub(super) async fn has_admin(tx: &mut Tx, tenant: TenantId) -> Result<bool> {
    let rows: Vec<(String, Option<String>)> = tx.all(&ACTIVE_ROLES, args![tenant]).await?;
    let rules = |(role, permissions): (String, Option<String>)| {
        read(&role, None, permissions.as_deref()).is_ok_and(|role| role.permissions.rule_the_tenant())
    };
    Ok(rows.into_iter().any(rules))
}

/// Refuses a change that took away the last one.
pub(super) async fn keep_admin(tx: &mut Tx, tenant: TenantId, had_admin: bool) -> Result<()> {
    if had_admin && !has_admin(tx, tenant).await? {
        return Err(StoreError::Conflict { what: "last_admin" });
    }
    Ok(())
}

/// A user's role from the columns of a row: its key and, of an own one, name and permissions.
pub(super) fn read(key: &str, name: Option<String>, permissions: Option<&str>) -> Result<RoleInfo> {
    let corrupt = || StoreError::Corrupt { what: "role" };
    match RoleKey::from_db(key).ok_or_else(corrupt)? {
        RoleKey::BuiltIn(role) => Ok(role.into()),
        key @ RoleKey::Own(_) => {
            let names: Vec<String> =
                serde_json::from_str(permissions.ok_or_else(corrupt)?).map_err(|_| corrupt())?;
            // A name that this version does not know allows nothing.
            let permissions = names.iter().filter_map(|name| Permission::from_name(name)).collect();
            Ok(RoleInfo { key, name: name.unwrap_or_default(), permissions })
        }
    }
}

fn as_json(permissions: &Permissions) -> String {
    serde_json::to_string(&permissions.names()).expect("texts can be written as JSON")
}

#[derive(sqlx::FromRow)]
struct RoleRow {
    id: String,
    name: String,
    permissions: String,
}

impl TryFrom<RoleRow> for RoleInfo {
    type Error = StoreError;

    fn try_from(row: RoleRow) -> Result<RoleInfo> {
        read(&row.id, Some(row.name), Some(&row.permissions))
    }
}

statements! {
    LIST = ["SELECT id, name, permissions FROM roles WHERE tenant_id = $1 ORDER BY name_key, id"];
    GET = ["SELECT id, name, permissions FROM roles WHERE tenant_id = $1 AND id = $2"];
    NAMED = ["SELECT id FROM roles WHERE tenant_id = $1 AND name_key = $2 AND id <> $3"];
    INSERT = [
        "INSERT INTO roles (tenant_id, id, name, name_key, permissions, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $6)"
    ];
    UPDATE = [
        "UPDATE roles SET name = $3, name_key = $4, permissions = $5, updated_at = $6
         WHERE tenant_id = $1 AND id = $2"
    ];
    DELETE = ["DELETE FROM roles WHERE tenant_id = $1 AND id = $2"];
    WITH_SECOND_FACTOR = ["SELECT role, set_at FROM second_factor_roles WHERE tenant_id = $1"];
    REQUIRE = [
        "INSERT INTO second_factor_roles (tenant_id, role, set_at) VALUES ($1, $2, $3)
         ON CONFLICT (tenant_id, role) DO NOTHING"
    ];
    RELEASE = ["DELETE FROM second_factor_roles WHERE tenant_id = $1 AND role = $2"];
    HOLDERS = ["SELECT role, COUNT(*) FROM users WHERE tenant_id = $1 GROUP BY role"];
    IS_HELD = ["SELECT CAST(1 AS BIGINT) FROM users WHERE tenant_id = $1 AND role = $2 LIMIT 1"];
    ACTIVE_ROLES = [
        "SELECT DISTINCT u.role, r.permissions
         FROM users AS u LEFT JOIN roles AS r ON r.tenant_id = u.tenant_id AND r.id = u.role
         WHERE u.tenant_id = $1 AND u.disabled_at IS NULL AND NOT u.limited"
    ];
    END_SESSIONS_OF_HOLDERS = [
        "DELETE FROM sessions WHERE tenant_id = $1
         AND user_id IN (SELECT id FROM users WHERE tenant_id = $1 AND role = $2)"
    ];
    // Rows that refer to the tenant may be written meanwhile.
    LOCK_TENANT = ["SELECT id FROM tenants WHERE id = $1" {engine "" " FOR NO KEY UPDATE"}];
}
