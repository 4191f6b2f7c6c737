//! Own roles of a tenant, beside the built-in ones, which nobody changes.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Ctx,
    auth::{Permission, Permissions, Role, RoleInfo, RoleKey},
    id::RoleId,
};
use store::{
    StoreError,
    people::{RoleChange, SecondFactorRule},
};
use tracing::info;

use super::{Accounts, check_name, people::last_admin};
use crate::error::{Result, ServiceError};

/// A role, and how many have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleWithHolders {
    /// The role.
    pub role: RoleInfo,
    /// How many users have it.
    pub users: u64,
    /// Do they need a second factor?
    pub second_factor: SecondFactorRule,
}

/// An own role as it is asked for; in a change, what is none stays.
#[derive(Clone, Debug, Default)]
pub struct RoleRequest {
    /// What people call it.
    pub name: Option<String>,
    /// What it allows, by name.
    pub permissions: Option<Vec<String>>,
}

impl Accounts {
    /// The built-in roles, then the own ones by name.
    pub async fn roles(&self, ctx: &Ctx) -> Result<Vec<RoleWithHolders>> {
        ctx.require(Permission::UsersManage)?;
        let roles = self.store.tenant(ctx).roles();
        let own = roles.list().await?;
        let (holders, guarded) = (roles.holders().await?, roles.with_second_factor().await?);
        let all = Role::ALL.into_iter().map(RoleInfo::from).chain(own);
        Ok(all.map(|role| counted(role, &holders, &guarded)).collect())
    }

    /// Makes an own role.
    pub async fn create_role(
        &self,
        ctx: &Ctx,
        name: &str,
        permissions: &[String],
    ) -> Result<RoleWithHolders> {
        ctx.require(Permission::UsersManage)?;
        let name = check_name(name)?;
        let permissions = read_permissions(permissions)?;
        let roles = self.store.tenant(ctx).roles();
        let role = roles.create(&name, &permissions, &ctx.actor.permissions).await.map_err(refused)?;
        info!(role.id = %role.key, "role `{}` was made", role.key);
        Ok(RoleWithHolders { role, users: 0, second_factor: SecondFactorRule::Optional })
    }

    /// Changes an own role. Other rights end the sign-ins of all who have it.
    pub async fn update_role(&self, ctx: &Ctx, id: RoleId, request: &RoleRequest) -> Result<RoleWithHolders> {
        ctx.require(Permission::UsersManage)?;
        let change = RoleChange {
            name: request.name.as_deref().map(check_name).transpose()?,
            permissions: request.permissions.as_deref().map(read_permissions).transpose()?,
        };
        let roles = self.store.tenant(ctx).roles();
        let role = roles.update(id, &change, &ctx.actor.permissions).await.map_err(refused)?;
        info!(role.id = %id, "role `{id}` was changed");
        Ok(counted(role, &roles.holders().await?, &roles.with_second_factor().await?))
    }

    /// Sets whether users of a role, built in or own, need a second factor. Who has none is limited to enrolling one, in
    /// sessions that are open as well.
    pub async fn set_second_factor_of_role(
        &self,
        ctx: &Ctx,
        key: RoleKey,
        rule: SecondFactorRule,
    ) -> Result<RoleWithHolders> {
        ctx.require(Permission::UsersManage)?;
        let roles = self.store.tenant(ctx).roles();
        let role = roles.set_second_factor(key, rule, &ctx.actor.permissions).await.map_err(refused)?;
        info!(role.id = %key, ?rule, "the second factor of role `{key}` was set");
        Ok(counted(role, &roles.holders().await?, &roles.with_second_factor().await?))
    }

    /// Removes an own role that nobody has.
    pub async fn delete_role(&self, ctx: &Ctx, id: RoleId) -> Result<()> {
        ctx.require(Permission::UsersManage)?;
        let roles = self.store.tenant(ctx).roles();
        roles.delete(id, &ctx.actor.permissions).await.map_err(refused)?;
        info!(role.id = %id, "role `{id}` was removed");
        Ok(())
    }
}

fn counted(role: RoleInfo, holders: &BTreeMap<RoleKey, u64>, guarded: &BTreeSet<RoleKey>) -> RoleWithHolders {
    let users = holders.get(&role.key).copied().unwrap_or(0);
    let is_guarded = guarded.contains(&role.key);
    let second_factor = if is_guarded { SecondFactorRule::Required } else { SecondFactorRule::Optional };
    RoleWithHolders { role, users, second_factor }
}

fn read_permissions(names: &[String]) -> Result<Permissions> {
    Permissions::from_names(names).map_err(|unknown| {
        let known = Permissions::all().names().join(", ");
        let unknown: String = unknown.chars().take(60).collect();
        let message = format!("there is no permission `{unknown}`; choose among {known}");
        ServiceError::invalid("permissions", "invalid_permissions", message)
    })
}

fn refused(error: StoreError) -> ServiceError {
    match error {
        StoreError::NotFound => ServiceError::NotFound { what: "role" },
        StoreError::Conflict { what: "role_name" } => {
            ServiceError::conflict("name_taken", "there is a role of this name already; choose another")
        }
        StoreError::Conflict { what: "role_in_use" } => ServiceError::conflict(
            "role_in_use",
            "somebody has this role; give them another (`GET /api/v1/users` shows who), then remove it",
        ),
        StoreError::Conflict { what: "last_admin" } => last_admin(),
        other => other.into(),
    }
}
