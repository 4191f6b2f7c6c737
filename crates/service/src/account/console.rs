//! At the server's own console: people of every tenant, without asking for anybody's rights.
//!
//! An e-mail address names one account in the whole installation, so that only what makes or lists has to be told a
//! tenant.

use domain::{
    Actor, ActorKind, Ctx,
    auth::Permissions,
    client::{Client, name_key},
    id::TenantId,
    scope::ClientScope,
};
use secrecy::SecretString;
use store::{
    StoreError,
    people::{NewUser, TenantInfo, User},
};

use super::{
    Accounts, FIRST_TENANT, NewAccount, SetupState, check_email, check_name, password, people::refused,
};
use crate::{
    clock,
    error::{Result, ServiceError},
};

/// Who chose a password.
#[derive(Clone, Copy)]
enum Chosen {
    ByOwner,
    ForOwner,
}

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

    /// Creates an account whose password is of its owner's choice. The first admin closes set-up.
    pub async fn create_user(&self, tenant: TenantId, new: NewAccount) -> Result<User> {
        self.create_at_console(tenant, new, Chosen::ByOwner).await
    }

    /// Creates an account for somebody, who has to change the password at the first sign-in. Whoever makes the first admin
    /// of the installation makes their own account.
    pub async fn create_user_for(&self, tenant: TenantId, new: NewAccount) -> Result<User> {
        let is_first = tenant == FIRST_TENANT && self.setup_state().await? == SetupState::Open;
        let chosen = if is_first { Chosen::ByOwner } else { Chosen::ForOwner };
        self.create_at_console(tenant, new, chosen).await
    }

    async fn create_at_console(&self, tenant: TenantId, new: NewAccount, chosen: Chosen) -> Result<User> {
        let email = check_email(&new.email)?;
        let name = check_name(&new.name)?;
        password::check(&new.password, &email)?;
        let password_hash = self.hasher.hash(new.password).await;
        let user = NewUser { email: &email, name: &name, role: new.role, password_hash: &password_hash };
        let ctx = console(tenant);
        let tenant = self.store.tenant(&ctx);
        let (users, rights) = (tenant.users(), &ctx.actor.permissions);
        let made = match chosen {
            Chosen::ByOwner => users.create_limited(&user, &new.clients).await,
            Chosen::ForOwner => users.create_within(&user, &new.clients, rights).await,
        };
        made.map_err(refused)
    }

    /// A live client of the tenant by its id or name, whatever the case.
    pub async fn find_client(&self, tenant: TenantId, wanted: &str) -> Result<Client> {
        let clients = self.store.tenant(&console(tenant)).clients().all_live().await?;
        let key = name_key(wanted);
        let fits = |client: &Client| client.id.to_string() == wanted || name_key(&client.name) == key;
        clients.into_iter().find(fits).ok_or(ServiceError::NotFound { what: "client" })
    }

    /// Sets a password of the owner's choice, ends the user's sessions and lifts the brake on sign-in.
    pub async fn reset_password(&self, email: &str, password: SecretString) -> Result<User> {
        self.reset_at_console(email, password, Chosen::ByOwner).await
    }

    /// The same for somebody else, who has to change the password at the next sign-in.
    pub async fn reset_password_for(&self, email: &str, password: SecretString) -> Result<User> {
        self.reset_at_console(email, password, Chosen::ForOwner).await
    }

    /// Removes a lost second factor and ends the user's sessions: the password alone lets in again.
    pub async fn reset_second_factor(&self, email: &str) -> Result<User> {
        let (ctx, user) = self.user_at_console(email).await?;
        self.store.tenant(&ctx).factors().reset(user.id, &ctx.actor.permissions).await?;
        self.store.second_factor_succeeded(user.id, None).await?;
        Ok(self.store.tenant(&ctx).users().get(user.id).await?)
    }

    async fn reset_at_console(&self, email: &str, password: SecretString, chosen: Chosen) -> Result<User> {
        let (ctx, user) = self.user_at_console(email).await?;
        password::check(&password, &user.email)?;
        let users = self.store.tenant(&ctx).users();
        let hash = self.hasher.hash(password).await;
        match chosen {
            Chosen::ByOwner => users.set_password(user.id, &hash).await?,
            Chosen::ForOwner => users.set_password_within(user.id, &hash, &ctx.actor.permissions).await?,
        }
        self.store.sign_in_succeeded(&user.email, None).await?;
        Ok(users.get(user.id).await?)
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
        clients: ClientScope::All,
    };
    Ctx { tenant, actor, request_id: "console".to_owned(), now: clock::now() }
}
