//! API tokens: made by people, for scripts and agents, never with more rights than their maker has.

use std::time::Duration;

use domain::{
    Actor, ActorKind, Ctx, Time,
    auth::{Permission, Permissions, TokenKind},
    id::{TokenId, UserId},
};
use secrecy::SecretString;
use store::people::{NewToken, TokenInfo};
use tracing::info;

use super::{Accounts, Authenticated, Via, check_name, only_people, person};
use crate::error::{Result, ServiceError, named};

/// The longest life of a token.
const MAX_DAYS: u32 = 366;

/// No text longer than this is looked up.
const MAX_TEXT_BYTES: usize = 200;

/// A token to make.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// What it is for.
    pub kind: TokenKind,
    /// What people call it.
    pub name: String,
    /// What it may do, by name; none means all that its maker may and its kind allows.
    pub permissions: Option<Vec<String>>,
    /// Days until it stops working.
    pub days: u32,
}

impl Accounts {
    /// Whose token this is. Unknown, expired and revoked ones get the same answer, and so do those of disabled users.
    pub async fn authenticate_token(&self, text: &str, now: Time) -> Result<Authenticated> {
        let refused = || ServiceError::Unauthenticated {
            code: "bad_token",
            message: "the token is unknown, expired or revoked; make a new one".to_owned(),
        };
        if text.len() > MAX_TEXT_BYTES {
            return Err(refused());
        }
        let Some(found) = self.store.find_token(text).await? else { return Err(refused()) };
        let (token, user) = (found.token, found.user);
        let why_not = if token.revoked_at.is_some() {
            Some("revoked")
        } else if token.expires_at <= now {
            Some("expired")
        } else if user.disabled_at.is_some() {
            Some("of a disabled user")
        } else {
            None
        };
        if let Some(why_not) = why_not {
            info!(token.id = %token.id, "token `{}` was refused: it is {why_not}", token.id);
            return Err(refused());
        }
        self.store.touch_token(&token, now).await;
        let kind = match token.kind {
            TokenKind::User => ActorKind::Script,
            TokenKind::Agent => ActorKind::Agent,
        };
        let permissions =
            user.role.permissions.intersect(&token.permissions).intersect(&token.kind.ceiling());
        let actor = Actor {
            kind,
            user: Some(user.id),
            token: Some(token.id),
            name: user.email,
            permissions,
            clients: user.clients,
        };
        Ok(Authenticated { tenant: token.tenant, actor, via: Via::Token(token.kind), limit: None })
    }

    /// Makes a token that acts for the person behind `ctx`; its text is shown this once. One made with a token does
    /// not outlive it.
    pub async fn create_token(&self, ctx: &Ctx, request: &TokenRequest) -> Result<(TokenInfo, SecretString)> {
        let latest = match ctx.actor.kind {
            ActorKind::Person => None,
            ActorKind::Script => Some(self.expiry_of_own_token(ctx).await?),
            ActorKind::Agent | ActorKind::Operator | ActorKind::System => return Err(only_people()),
        };
        self.make_token(ctx, person(ctx)?, &ctx.actor.permissions, request, latest).await
    }

    /// One's own tokens; with the right to manage users, everybody's.
    pub async fn list_tokens(&self, ctx: &Ctx) -> Result<Vec<TokenInfo>> {
        let tokens = self.store.tenant(ctx).tokens();
        if ctx.actor.permissions.has(Permission::UsersManage) {
            return Ok(tokens.list().await?);
        }
        Ok(tokens.list_of(person(ctx)?).await?)
    }

    /// Revokes one's own token; with the right to manage users, anybody's.
    pub async fn revoke_token(&self, ctx: &Ctx, id: TokenId) -> Result<()> {
        let tokens = self.store.tenant(ctx).tokens();
        let token = tokens.get(id).await.map_err(named("token"))?;
        let own = ctx.actor.user == Some(token.user) && ctx.actor.kind != ActorKind::Agent;
        if !own && !ctx.actor.permissions.has(Permission::UsersManage) {
            // As if it did not exist: ids of others are not confirmed.
            return Err(ServiceError::NotFound { what: "token" });
        }
        if !own {
            self.check_limit(ctx, token.user).await?;
        }
        tokens.revoke(id).await.map_err(named("token"))
    }

    /// At the console: makes a token that acts for the user with this e-mail address.
    pub async fn create_token_for(
        &self,
        email: &str,
        request: &TokenRequest,
    ) -> Result<(TokenInfo, SecretString)> {
        let (ctx, user) = self.user_at_console(email).await?;
        self.make_token(&ctx, user.id, &user.role.permissions, request, None).await
    }

    async fn make_token(
        &self,
        ctx: &Ctx,
        user: UserId,
        makers: &Permissions,
        request: &TokenRequest,
        latest: Option<Time>,
    ) -> Result<(TokenInfo, SecretString)> {
        let name = check_name(&request.name)?;
        if !(1..=MAX_DAYS).contains(&request.days) {
            return Err(ServiceError::invalid(
                "days",
                "invalid_expiry",
                "a token lives 1 to 366 days; choose a number of days in between",
            ));
        }
        let permissions = decide_permissions(request.kind, request.permissions.as_deref(), makers)?;
        let wanted = ctx.now + Duration::from_secs(u64::from(request.days) * 86_400);
        let expires_at = latest.map_or(wanted, |latest| wanted.min(latest));
        let new = NewToken { user, kind: request.kind, name: &name, permissions, expires_at };
        Ok(self.store.tenant(ctx).tokens().create(&new).await?)
    }

    async fn expiry_of_own_token(&self, ctx: &Ctx) -> Result<Time> {
        let id = ctx.actor.token.ok_or_else(only_people)?;
        let token = self.store.tenant(ctx).tokens().get(id).await.map_err(named("token"))?;
        Ok(token.expires_at)
    }
}

/// The rights of a new token: what was asked for, if its maker has it and its kind may hold it.
fn decide_permissions(
    kind: TokenKind,
    asked: Option<&[String]>,
    makers: &Permissions,
) -> Result<Permissions> {
    let at_most = makers.intersect(&kind.ceiling());
    let invalid = |message: String| ServiceError::invalid("permissions", "invalid_permissions", message);
    let Some(names) = asked else { return Ok(at_most) };
    let asked = Permissions::from_names(names).map_err(|unknown| {
        invalid(format!("there is no permission `{unknown}`; choose among {}", at_most.names().join(", ")))
    })?;
    let allowed = asked.intersect(&at_most);
    if let Some(beyond) = asked.names().into_iter().find(|name| !allowed.names().contains(name)) {
        let kind = kind.name();
        return Err(invalid(format!(
            "a token of kind `{kind}` made by you cannot hold `{beyond}`; leave it out"
        )));
    }
    if allowed.names().is_empty() {
        return Err(invalid("the token would be allowed nothing; choose at least one permission".to_owned()));
    }
    Ok(allowed)
}

#[cfg(test)]
mod tests {
    use domain::auth::Role;

    use super::*;

    #[track_caller]
    fn check(kind: TokenKind, asked: &[&str], maker: Role, expected: &str) {
        let asked: Vec<String> = asked.iter().map(|name| (*name).to_owned()).collect();
        let told = match decide_permissions(kind, Some(&asked), &maker.permissions()) {
            Ok(permissions) => permissions.names().join(" "),
            Err(error) => error.to_string(),
        };
        assert!(told.contains(expected), "{told}");
    }

    #[test]
    fn a_token_never_holds_more_than_its_maker_or_its_kind() {
        check(TokenKind::User, &["assets:read"], Role::ReadOnly, "assets:read");
        check(TokenKind::User, &["assets:write"], Role::ReadOnly, "cannot hold `assets:write`");
        check(TokenKind::User, &["users:manage"], Role::Admin, "users:manage");
        check(TokenKind::Agent, &["users:manage"], Role::Admin, "cannot hold `users:manage`");
        check(TokenKind::Agent, &["nonsense"], Role::Admin, "no permission `nonsense`");
        check(TokenKind::Agent, &[], Role::Admin, "at least one");
    }

    #[test]
    fn without_a_list_a_token_gets_all_that_maker_and_kind_allow() {
        let agent = decide_permissions(TokenKind::Agent, None, &Role::Admin.permissions()).unwrap();
        assert_eq!(agent, TokenKind::Agent.ceiling());
        let user = decide_permissions(TokenKind::User, None, &Role::ReadOnly.permissions()).unwrap();
        assert_eq!(user, Role::ReadOnly.permissions());
    }
}
