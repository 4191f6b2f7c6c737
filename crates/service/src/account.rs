//! Accounts: set-up, sign-in, sessions, tokens, passwords, and who manages them.
//!
//! A sign-in has one step or, where there is a second factor, two. Where somebody else chose the password, or the role asks
//! for a second factor that is not there, it is limited to mending that ([`Limit`]), and holds no right until then.
//!
//! Who may not come in learns no more than that: an unknown address, a wrong password and a disabled account take the
//! same work and get the same answer, and so do unknown, expired and revoked tokens. The log tells them apart.

pub(crate) mod console;
mod factor;
mod passkey;
mod password;
mod people;
mod role;
mod session;
mod step_up;
mod token;

use std::sync::Arc;

use domain::{
    Actor, ActorKind, Ctx, Time,
    auth::{Permissions, Role, RoleKey, TokenKind},
    id::{SessionId, TenantId, UserId},
    scope::ClientScope,
};
use secrecy::{ExposeSecret, SecretString};
pub use store::people::{
    FIRST_TENANT, Limit, SecondFactorRule, SessionInfo, SetupState, TenantInfo, TokenInfo, User,
};
use store::{
    Store, StoreError,
    audit::Act,
    people::{ChallengeFor, NewUser, Setup, throttle::Admission},
};
use tracing::{info, warn};

use crate::{
    clock,
    error::{Result, ServiceError, named},
};
pub use factor::{Challenge, Confirmed, Factor, SecondProof, SignIn, TotpEnrolment};
pub use passkey::{
    AssertionResponse, ConfirmedPasskey, CreationOptions, NoPasskeys, Passkey, PasskeyDescriptor, Refusal,
    RegistrationResponse, RelyingParty, RequestOptions,
};
use password::Hasher;
pub use people::UserPatch;
pub use role::{RoleRequest, RoleWithHolders};
pub use step_up::Proof;
pub use token::TokenRequest;

/// The longest e-mail address, by RFC 5321.
const MAX_EMAIL_CHARS: usize = 254;

/// The use cases of accounts.
#[derive(Clone)]
pub struct Accounts {
    store: Store,
    hasher: Hasher,
    relying_party: Arc<std::result::Result<RelyingParty, NoPasskeys>>,
}

/// Somebody who was let in just now.
#[derive(Debug)]
pub struct SignedIn {
    /// The cookie's value, shown this once.
    pub secret: SecretString,
    /// The session's id.
    pub session: SessionId,
    /// When the session ends at the latest.
    pub expires_at: Time,
    /// Who it is.
    pub user: User,
}

/// Whose request it is.
#[derive(Clone, Debug)]
pub struct Authenticated {
    /// Whose data.
    pub tenant: TenantId,
    /// Who asks, with the rights of this moment.
    pub actor: Actor,
    /// What let them in.
    pub via: Via,
    /// What they may do alone until it is done. The actor holds no right then.
    pub limit: Option<Limit>,
}

/// What let somebody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// A browser's session.
    Session(SessionId),
    /// A token.
    Token(TokenKind),
}

impl Authenticated {
    /// The kind of token used, if one was.
    pub fn token_kind(&self) -> Option<TokenKind> {
        match self.via {
            Via::Session(_) => None,
            Via::Token(kind) => Some(kind),
        }
    }
}

/// Who I am and what I may do now.
#[derive(Clone, Debug)]
pub struct Me {
    /// The person, or the one a script or agent acts for.
    pub user: User,
    /// What kind of party asks.
    pub kind: ActorKind,
    /// What it may do.
    pub permissions: Permissions,
    /// Recovery codes that are not used yet.
    pub recovery_codes_left: u64,
}

/// An account to create.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// The e-mail address.
    pub email: String,
    /// What people call them.
    pub name: String,
    /// What they may do.
    pub role: RoleKey,
    /// Whose data they may see.
    pub clients: ClientScope,
    /// The password.
    pub password: SecretString,
}

impl Accounts {
    /// The use cases on this store, without passkeys.
    pub fn new(store: Store) -> Accounts {
        Accounts { store, hasher: Hasher::default(), relying_party: Arc::new(RelyingParty::at(None)) }
    }

    /// The same with passkeys for the server at this public address, if there can be any.
    pub fn served_at(self, public_url: Option<&str>) -> Accounts {
        Accounts { relying_party: Arc::new(RelyingParty::at(public_url)), ..self }
    }

    /// May the first admin still be made?
    pub async fn setup_state(&self) -> Result<SetupState> {
        Ok(self.store.setup_state().await?)
    }

    /// A new set-up token for the console; none once set-up is closed. An earlier one stops working.
    pub async fn setup_token(&self) -> Result<Option<SecretString>> {
        Ok(self.store.create_setup_token().await?)
    }

    /// Makes the first admin, signs them in and closes set-up for good.
    pub async fn set_up(
        &self,
        token: &SecretString,
        email: &str,
        name: &str,
        password: SecretString,
        user_agent: Option<&str>,
    ) -> Result<SignedIn> {
        // Looked at first, so that strangers cannot make us hash.
        if !self.store.is_setup_token(token).await? {
            return Err(self.setup_refused().await?);
        }
        let email = check_email(email)?;
        let name = check_name(name)?;
        password::check(&password, &email)?;
        let now = clock::now();
        let password_hash = self.hasher.hash(password).await;
        let admin =
            NewUser { email: &email, name: &name, role: Role::Admin.into(), password_hash: &password_hash };
        match self.store.complete_setup(token, &admin, now).await.map_err(email_taken)? {
            Setup::Done(user) => {
                info!(user.id = %user.id, "set-up is closed: `{}` is the first admin", user.id);
                self.let_in(*user, None, user_agent, now).await
            }
            Setup::WrongToken | Setup::Closed => Err(self.setup_refused().await?),
        }
    }

    async fn setup_refused(&self) -> Result<ServiceError> {
        Ok(match self.store.setup_state().await? {
            SetupState::Closed => {
                ServiceError::conflict("setup_closed", "set-up is closed; sign in with an existing account")
            }
            SetupState::Open => ServiceError::Unauthenticated {
                code: "bad_setup_token",
                message:
                    "this is not the set-up token; copy the one that the server printed at its last start"
                        .to_owned(),
            },
        })
    }

    /// The first step: e-mail address and password. It lets in whoever has no second factor.
    pub async fn sign_in(
        &self,
        email: &str,
        password: SecretString,
        address: &str,
        user_agent: Option<&str>,
    ) -> Result<SignIn> {
        let now = clock::now();
        self.admit(email, Some(address), now).await?;
        let login = self.store.find_login(email, now).await?;
        let (user, password_hash) = login.unzip();
        let fits = self.hasher.verify(password, password_hash).await?;
        let known = user.as_ref().map(Known::of);
        let Some(user) = user.filter(|user| fits && user.disabled_at.is_none()) else {
            info!(fits, "a sign-in was refused");
            let rule = match (&known, fits) {
                (None, _) => "unknown_user",
                (Some(_), false) => "wrong_password",
                (Some(_), true) => "disabled_user",
            };
            self.note_refusal(known, rule, address, now).await?;
            return Err(ServiceError::Unauthenticated {
                code: "bad_credentials",
                message: "e-mail address or password is wrong".to_owned(),
            });
        };
        self.store.sign_in_succeeded(email, Some(address)).await?;
        let factors = Factor::of(&user);
        if factors.is_empty() {
            return Ok(SignIn::Done(Box::new(self.let_in(user, Some(address), user_agent, now).await?)));
        }
        let (secret, expires_at) = self.store.create_challenge(&user, now).await?;
        let purpose = ChallengeFor::SignIn(secret.expose_secret());
        let passkey = self.request_options(&factor::half_signed_in(&user, now), user.id, purpose).await?;
        Ok(SignIn::Challenged(Challenge { secret, expires_at, factors, passkey }))
    }

    /// For the audit log. An unknown address is work for the database like a known one, and is noted in the first tenant; what
    /// was typed is not, because it may be a password in the wrong field.
    async fn note_refusal(
        &self,
        known: Option<Known>,
        rule: &'static str,
        address: &str,
        now: Time,
    ) -> Result<()> {
        let tenant = known.as_ref().map_or(FIRST_TENANT, |known| known.tenant);
        let actor = Actor {
            kind: ActorKind::Person,
            user: None,
            token: None,
            name: "not signed in".to_owned(),
            permissions: Permissions::default(),
            clients: ClientScope::only(Vec::new()),
        };
        let ctx = Ctx { tenant, actor, request_id: String::new(), now };
        let mut act = Act::new("session.create").refused(rule).with("address", address);
        if let Some(known) = known {
            act = act.to(known.user).named(&known.email);
        }
        Ok(self.store.tenant(&ctx).audit().note(act).await?)
    }

    /// Ends a session.
    pub async fn sign_out(&self, secret: &SecretString) -> Result<()> {
        Ok(self.store.delete_session(secret.expose_secret(), clock::now()).await?)
    }

    /// Whose session this is; none if it has ended or its user was disabled.
    pub async fn authenticate_session(&self, secret: &str, now: Time) -> Result<Option<Authenticated>> {
        let Some(found) = self.store.find_session(secret, now).await? else { return Ok(None) };
        if found.user.disabled_at.is_some() {
            return Ok(None);
        }
        let limit = found.user.limit();
        let actor = Actor {
            kind: ActorKind::Person,
            user: Some(found.user.id),
            token: None,
            permissions: limit.map_or(found.user.role.permissions, |_| Permissions::default()),
            clients: found.user.clients,
            name: found.user.email,
        };
        Ok(Some(Authenticated { tenant: found.user.tenant, actor, via: Via::Session(found.session), limit }))
    }

    /// Who the actor of `ctx` is.
    pub async fn me(&self, ctx: &Ctx) -> Result<Me> {
        let tenant = self.store.tenant(ctx);
        let user = tenant.users().get(person(ctx)?).await.map_err(named("user"))?;
        let recovery_codes_left = tenant.factors().recovery_codes_left(user.id).await?;
        let permissions = ctx.actor.permissions.clone();
        Ok(Me { user, kind: ctx.actor.kind, permissions, recovery_codes_left })
    }

    /// Changes one's own password. All sessions end, and the answer is a new one for this browser.
    pub async fn change_password(
        &self,
        ctx: &Ctx,
        old: SecretString,
        new: SecretString,
        user_agent: Option<&str>,
    ) -> Result<SignedIn> {
        if ctx.actor.kind != ActorKind::Person {
            return Err(only_people());
        }
        let users = self.store.tenant(ctx).users();
        let user = users.get(person(ctx)?).await.map_err(named("user"))?;
        password::check(&new, &user.email)?;
        if user.password_given_at.is_some() && old.expose_secret() == new.expose_secret() {
            let same = "this is the password that somebody else chose; choose another";
            return Err(ServiceError::invalid("password", "weak_password", same));
        }
        self.admit(&user.email, None, ctx.now).await?;
        let known = users.password_hash(user.id).await?;
        if !self.hasher.verify(old, Some(known)).await? {
            return Err(ServiceError::invalid("old_password", "wrong_password", "the old password is wrong"));
        }
        self.store.sign_in_succeeded(&user.email, None).await?;
        users.set_password(user.id, &self.hasher.hash(new).await).await?;
        self.let_in(user, None, user_agent, ctx.now).await
    }

    /// Removes ended sessions and forgotten tries: once an hour is enough.
    pub async fn sweep(&self, now: Time) -> Result<u64> {
        Ok(self.store.sweep_people(now).await?)
    }

    /// Counts a try, or says how long to wait.
    async fn admit(&self, email: &str, address: Option<&str>, now: Time) -> Result<()> {
        admitted(self.store.admit_sign_in(email, address, now).await?, now)
    }

    async fn let_in(
        &self,
        user: User,
        address: Option<&str>,
        user_agent: Option<&str>,
        now: Time,
    ) -> Result<SignedIn> {
        let actor = Actor {
            kind: ActorKind::Person,
            user: Some(user.id),
            token: None,
            name: user.email.clone(),
            permissions: user.role.permissions.clone(),
            clients: user.clients.clone(),
        };
        let ctx = Ctx { tenant: user.tenant, actor, request_id: String::new(), now };
        let session = self.store.tenant(&ctx).sessions().create_from(user.id, user_agent, address).await?;
        Ok(SignedIn { secret: session.secret, session: session.id, expires_at: session.expires_at, user })
    }
}

/// Whose sign-in was refused.
struct Known {
    tenant: TenantId,
    user: UserId,
    email: String,
}

impl Known {
    fn of(user: &User) -> Known {
        Known { tenant: user.tenant, user: user.id, email: user.email.clone() }
    }
}

fn admitted(admission: Admission, now: Time) -> Result<()> {
    match admission {
        Admission::Admitted => Ok(()),
        Admission::Wait { until } => {
            let wait_s = until.since(now).as_secs() + 1;
            warn!(wait_s, "a sign-in was braked: too many tries on one account or from one address");
            Err(ServiceError::Throttled { wait_s })
        }
    }
}

/// The person behind the actor.
fn person(ctx: &Ctx) -> Result<UserId> {
    ctx.actor.user.ok_or_else(only_people)
}

fn only_people() -> ServiceError {
    ServiceError::conflict("not_a_person", "only a signed-in person can do this")
}

fn email_taken(error: StoreError) -> ServiceError {
    match error {
        StoreError::Conflict { what: "email" } => ServiceError::conflict(
            "email_taken",
            "there is an account with this e-mail address already; use another",
        ),
        other => other.into(),
    }
}

/// Trims an e-mail address and refuses what cannot be one. Whether mail arrives there is not known.
fn check_email(email: &str) -> Result<String> {
    let email = email.trim();
    let well_formed = email.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty()
            && !host.is_empty()
            && !host.contains('@')
            && !email.chars().any(|c| c.is_whitespace() || c.is_control())
    });
    if !well_formed {
        return Err(ServiceError::invalid(
            "email",
            "invalid_email",
            "this is not an e-mail address; it looks like name@example.com",
        ));
    }
    if email.chars().count() > MAX_EMAIL_CHARS {
        return Err(ServiceError::invalid(
            "email",
            "invalid_email",
            "the e-mail address is longer than 254 characters",
        ));
    }
    Ok(email.to_owned())
}

fn check_name(name: &str) -> Result<String> {
    domain::client::check_name(name)
        .map_err(|problem| ServiceError::invalid("name", "invalid_name", problem.to_string()))
}

#[cfg(test)]
mod tests;
