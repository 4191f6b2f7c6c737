//! Who may come in and as what. Nobody gives or touches more rights or clients than they have, and the last admin stays.

use domain::{
    Ctx,
    auth::{Permission, RoleKey},
    id::UserId,
    scope::ClientScope,
};
use secrecy::SecretString;
use store::{
    StoreError,
    people::{NewUser, User, UserChange},
};
use tracing::info;

use super::{Accounts, NewAccount, check_email, check_name, email_taken, password};
use crate::error::{Result, ServiceError, named};

/// A change of a user; what is none stays.
#[derive(Clone, Debug, Default)]
pub struct UserPatch {
    /// What people call them.
    pub name: Option<String>,
    /// What they may do.
    pub role: Option<RoleKey>,
    /// Whose data they may see.
    pub clients: Option<ClientScope>,
    /// Locked out, or let in again.
    pub disabled: Option<bool>,
}

impl Accounts {
    /// All users of the tenant.
    pub async fn users(&self, ctx: &Ctx) -> Result<Vec<User>> {
        ctx.require(Permission::UsersManage)?;
        let users = self.store.tenant(ctx).users().list().await?;
        Ok(users.into_iter().map(|user| seen_by(ctx, user)).collect())
    }

    /// One user of the tenant.
    pub async fn user(&self, ctx: &Ctx, id: UserId) -> Result<User> {
        ctx.require(Permission::UsersManage)?;
        let user = self.store.tenant(ctx).users().get(id).await.map_err(named("user"))?;
        Ok(seen_by(ctx, user))
    }

    /// Refuses to touch a user who sees more clients than whoever asks; not found if there is no such user.
    pub(super) async fn check_limit(&self, ctx: &Ctx, id: UserId) -> Result<()> {
        let user = self.store.tenant(ctx).users().get(id).await.map_err(named("user"))?;
        if ctx.clients().covers(&user.clients) { Ok(()) } else { Err(ServiceError::Limited) }
    }

    /// Creates a user with a password that whoever asks hands over; its owner has to change it.
    pub async fn add_user(&self, ctx: &Ctx, new: NewAccount) -> Result<User> {
        ctx.require(Permission::UsersManage)?;
        let email = check_email(&new.email)?;
        let name = check_name(&new.name)?;
        password::check(&new.password, &email)?;
        let password_hash = self.hasher.hash(new.password).await;
        let user = NewUser { email: &email, name: &name, role: new.role, password_hash: &password_hash };
        let users = self.store.tenant(ctx).users();
        let user = users.create_within(&user, &new.clients, &ctx.actor.permissions).await.map_err(refused)?;
        info!(user.id = %user.id, role = %user.role.key, "user `{}` was created", user.id);
        Ok(user)
    }

    /// Changes name, role, limit or state. Another role, another limit and locking out end the user's sign-ins; tokens follow
    /// role and limit at once, and those of a user who is locked out do not work.
    pub async fn update_user(&self, ctx: &Ctx, id: UserId, patch: UserPatch) -> Result<User> {
        ctx.require(Permission::UsersManage)?;
        let name = patch.name.as_deref().map(check_name).transpose()?;
        let change = UserChange { name, role: patch.role, clients: patch.clients, disabled: patch.disabled };
        let users = self.store.tenant(ctx).users();
        let user = users.update(id, &change, &ctx.actor.permissions).await.map_err(refused)?;
        let is_disabled = user.disabled_at.is_some();
        info!(user.id = %user.id, role = %user.role.key, is_disabled, "user `{}` was changed", user.id);
        Ok(user)
    }

    /// Sets another person's password, which they have to change, ends their sign-ins and lifts the brake on sign-in.
    pub async fn set_password_of(&self, ctx: &Ctx, id: UserId, password: SecretString) -> Result<()> {
        ctx.require(Permission::UsersManage)?;
        if ctx.actor.user == Some(id) {
            return Err(ServiceError::conflict(
                "own_password",
                "this is your own account; change your password together with the old one (`PUT /api/v1/me/password`)",
            ));
        }
        let user = self.user(ctx, id).await?;
        self.check_limit(ctx, id).await?;
        password::check(&password, &user.email)?;
        // Looked at first, so that nobody makes us hash in vain; the store looks again.
        if let Some(missing) = user.role.permissions.first_beyond(&ctx.actor.permissions) {
            return Err(ServiceError::Forbidden(missing));
        }
        let password_hash = self.hasher.hash(password).await;
        let users = self.store.tenant(ctx).users();
        users.set_password_within(id, &password_hash, &ctx.actor.permissions).await.map_err(refused)?;
        self.store.sign_in_succeeded(&user.email, None).await?;
        info!(user.id = %id, "the password of user `{id}` was set by somebody else");
        Ok(())
    }

    /// Removes another person's second factors, which are lost, and ends their sign-ins.
    pub async fn reset_second_factor_of(&self, ctx: &Ctx, id: UserId) -> Result<()> {
        ctx.require(Permission::UsersManage)?;
        if ctx.actor.user == Some(id) {
            return Err(ServiceError::conflict(
                "own_second_factor",
                "this is your own account; remove your second factors where you are signed in in a browser \
                 (`DELETE /api/v1/me/totp`, `DELETE /api/v1/me/passkeys/{id}`), or let somebody else or the server's \
                 console do it",
            ));
        }
        let factors = self.store.tenant(ctx).factors();
        factors.reset(id, &ctx.actor.permissions).await.map_err(refused)?;
        self.store.second_factor_succeeded(id, None).await?;
        info!(user.id = %id, "the second factor of user `{id}` was removed by somebody else");
        Ok(())
    }
}

/// The user as whoever asks may know them: without clients that these do not see.
fn seen_by(ctx: &Ctx, user: User) -> User {
    User { clients: user.clients.as_seen_by(ctx.clients()), ..user }
}

pub(super) fn refused(error: StoreError) -> ServiceError {
    match error {
        StoreError::NotFound => ServiceError::NotFound { what: "user" },
        StoreError::Conflict { what: "role" } => ServiceError::invalid(
            "role",
            "unknown_role",
            "there is no role by this id; `GET /api/v1/roles` lists them all",
        ),
        StoreError::Conflict { what: "client" } => ServiceError::invalid(
            "clients",
            "unknown_client",
            "there is no client by one of these ids; `GET /api/v1/clients` lists them all",
        ),
        StoreError::Conflict { what: "last_admin" } => last_admin(),
        other => email_taken(other),
    }
}

/// Somebody must be able to let others in and to set things up.
pub(super) fn last_admin() -> ServiceError {
    ServiceError::conflict(
        "last_admin",
        "nobody would be left who sees all clients and holds both `users:manage` and `system_settings`; give them to somebody else first",
    )
}
