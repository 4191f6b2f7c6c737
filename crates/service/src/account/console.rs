//! At the server's own console: people of every tenant, without asking for anybody's rights.
//!
//! An e-mail address names one account in the whole installation, so that only what makes or lists has to be told a
//! tenant.

use domain::{Actor, ActorKind, Ctx, auth::Permissions, id::TenantId};
use secrecy::SecretString;
use store::{
    StoreError,
    people::{NewUser, TenantInfo, User},
};

use super::{Accounts, NewAccount, check_email, check_name, email_taken, password};
use crate::{
    clock,
    error::{Result, ServiceError},
};

impl Accounts {
    /// All tenants.
    pub async fn tenants(&self) -> Result<Vec<TenantInfo>> {
        Ok(self.store.list_tenants().await?)
    }

    /// Makes a tenant, with nobody in it.
    pub async fn create_tenant(&self, name: &str) -> Result<TenantInfo> {
        let name = check_name(name)?;
        self.store.create_tenant(&name, clock::now()).await.map_err(|error| match error {
            StoreError::Conflict { what: "tenant_name" } => ServiceError::conflict(
                "name_taken",
                format!("there is a tenant `{name}` already; choose another name"),
            ),
            other => other.into(),
        })
    }

    /// Creates an account. The first admin closes set-up.
    pub async fn create_user(&self, tenant: TenantId, new: NewAccount) -> Result<User> {
        let email = check_email(&new.email)?;
        let name = check_name(&new.name)?;
        password::check(&new.password, &email)?;
        let password_hash = self.hasher.hash(new.password).await;
        let user = NewUser { email: &email, name: &name, role: new.role, password_hash: &password_hash };
        self.store.tenant(&console(tenant)).users().create(&user).await.map_err(email_taken)
    }

    /// Sets a new password, ends the user's sessions and lifts the brake on sign-in.
    pub async fn reset_password(&self, email: &str, password: SecretString) -> Result<User> {
        let (ctx, user) = self.user_at_console(email).await?;
        password::check(&password, &user.email)?;
        let users = self.store.tenant(&ctx).users();
        users.set_password(user.id, &self.hasher.hash(password).await).await?;
        self.store.sign_in_succeeded(&user.email, None).await?;
        Ok(user)
    }

    /// All users of a tenant.
    pub async fn list_users(&self, tenant: TenantId) -> Result<Vec<User>> {
        Ok(self.store.tenant(&console(tenant)).users().list().await?)
    }

    /// Locks a user out, with all sessions and tokens.
    pub async fn disable_user(&self, email: &str) -> Result<User> {
        let (ctx, user) = self.user_at_console(email).await?;
        let users = self.store.tenant(&ctx).users();
        users.disable(user.id).await?;
        Ok(users.get(user.id).await?)
    }

    /// Lets a user in again.
    pub async fn enable_user(&self, email: &str) -> Result<User> {
        let (ctx, user) = self.user_at_console(email).await?;
        let users = self.store.tenant(&ctx).users();
        users.enable(user.id).await?;
        Ok(users.get(user.id).await?)
    }

    /// The user with this e-mail address, whatever the tenant.
    pub async fn find_user(&self, email: &str) -> Result<User> {
        Ok(self.user_at_console(email).await?.1)
    }

    /// The user with this e-mail address, and the context of the tenant.
    pub(super) async fn user_at_console(&self, email: &str) -> Result<(Ctx, User)> {
        let found = self.store.find_login(email, clock::now()).await?;
        let (user, _) = found.ok_or(ServiceError::NotFound { what: "user" })?;
        Ok((console(user.tenant), user))
    }
}

/// Someone at the server's own console, with every right.
pub(crate) fn console(tenant: TenantId) -> Ctx {
    let actor = Actor {
        kind: ActorKind::Operator,
        user: None,
        token: None,
        name: "operator".to_owned(),
        permissions: Permissions::all(),
    };
    Ctx { tenant, actor, request_id: "console".to_owned(), now: clock::now() }
}
