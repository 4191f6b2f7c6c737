//! Second factors: the second step of a sign-in, and one's own authenticator app and recovery codes. Passkeys are in
//! [`super::passkey`].
//!
//! What kinds of factor somebody has is told only after the right password. A person enrols and removes in a browser; a
//! token never does it for its owner.

use domain::{
    Actor, ActorKind, Ctx, Time,
    auth::Permissions,
    id::{SessionId, UserId},
};
use secrecy::{ExposeSecret, SecretString};
use store::{
    StoreError,
    people::{ChallengeFor, User},
};
use tracing::info;

use super::{
    Accounts, AssertionResponse, Known, Refusal, RequestOptions, SignedIn, admitted, passkey,
    step_up::only_sessions,
};
use crate::{
    clock,
    error::{Result, ServiceError, named},
};

/// No challenge is longer than this.
const MAX_CHALLENGE_BYTES: usize = 200;

/// What apps call us.
const ISSUER: &str = "Fleetgate";

/// A kind of second factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factor {
    /// Codes of an authenticator app.
    Totp,
    /// Passkeys.
    Passkey,
}

impl Factor {
    /// Every kind.
    pub const ALL: [Factor; 2] = [Factor::Totp, Factor::Passkey];

    /// Those of this user that count.
    pub fn of(user: &User) -> Vec<Factor> {
        let counts = |factor: &Factor| match factor {
            Factor::Totp => user.totp_since.is_some(),
            Factor::Passkey => user.passkeys > 0,
        };
        Factor::ALL.into_iter().filter(counts).collect()
    }

    /// The public name.
    pub const fn name(self) -> &'static str {
        match self {
            Factor::Totp => "totp",
            Factor::Passkey => "passkey",
        }
    }
}

/// What came of the first step of a sign-in.
#[derive(Debug)]
pub enum SignIn {
    /// It was the only one.
    Done(Box<SignedIn>),
    /// The second is to come.
    Challenged(Challenge),
}

/// A right password that waits for its second factor.
#[derive(Debug)]
pub struct Challenge {
    /// To be handed back with the code or the passkey, shown this once.
    pub secret: SecretString,
    /// When it ends.
    pub expires_at: Time,
    /// With what it can be met; a recovery code does as well.
    pub factors: Vec<Factor>,
    /// What a browser needs to use a passkey; none if the user has none for this server.
    pub passkey: Option<RequestOptions>,
}

/// With what the second step of a sign-in is taken.
#[derive(Debug)]
pub enum SecondProof {
    /// A code of the authenticator app, or a recovery code.
    Code(SecretString),
    /// A passkey's answer to the options of the first step.
    Passkey(AssertionResponse),
}

/// A secret for an authenticator app, which does not count yet.
#[derive(Debug)]
pub struct TotpEnrolment {
    /// The secret in base32, shown this once.
    pub secret: SecretString,
    /// The same as apps read it from a picture.
    pub uri: SecretString,
}

/// A second factor that counts from now on.
#[derive(Debug)]
pub struct Confirmed {
    /// The sign-in that goes on; all former ones have ended.
    pub signed_in: SignedIn,
    /// For when all factors are lost, each good once; shown this once, and none if there are some already.
    pub recovery_codes: Vec<SecretString>,
}

impl Accounts {
    /// The second step: a code of the app, a recovery code or a passkey lets in whoever had the right password.
    pub async fn second_step(
        &self,
        challenge: &SecretString,
        step: &SecondProof,
        address: &str,
        user_agent: Option<&str>,
    ) -> Result<SignedIn> {
        let now = clock::now();
        let text = challenge.expose_secret();
        let user = self.challenged(text, now).await?;
        admitted(self.store.admit_second_factor(user.id, Some(address), now).await?, now)?;
        if !self.store.count_challenge_try(text, now).await? {
            return Err(challenge_is_over());
        }
        if let Err((rule, error)) = self.take_second_step(&user, text, step, now).await? {
            info!(user.id = %user.id, "a second factor was refused");
            self.note_refusal(Some(Known::of(&user)), rule, address, now).await?;
            return Err(error);
        }
        if !self.store.end_challenge(text).await? {
            return Err(challenge_is_over());
        }
        self.store.second_factor_succeeded(user.id, Some(address)).await?;
        self.let_in(user, Some(address), user_agent, now).await
    }

    /// Whether it fits; if not, by which rule of the audit log, and what the caller is told.
    async fn take_second_step(
        &self,
        user: &User,
        challenge: &str,
        step: &SecondProof,
        now: Time,
    ) -> Result<std::result::Result<(), (&'static str, ServiceError)>> {
        const WRONG: &str = "wrong_second_factor";
        let ctx = half_signed_in(user, now);
        let code = match step {
            SecondProof::Code(code) => code,
            SecondProof::Passkey(response) => {
                let used = self.use_passkey(&ctx, user.id, ChallengeFor::SignIn(challenge), response).await?;
                return Ok(used.map_err(|refusal| {
                    let rule = if refusal == Refusal::Cloned { passkey::CLONED } else { WRONG };
                    (rule, passkey::bad_passkey(&refusal))
                }));
            }
        };
        let factors = self.store.tenant(&ctx).factors();
        let fits = if is_recovery_code(code) {
            factors.take_recovery_code(user.id, code.expose_secret()).await?
        } else {
            factors.take_totp(user.id, code.expose_secret()).await?
        };
        Ok(if fits { Ok(()) } else { Err((WRONG, wrong_code())) })
    }

    async fn challenged(&self, text: &str, now: Time) -> Result<User> {
        if text.len() > MAX_CHALLENGE_BYTES {
            return Err(challenge_is_over());
        }
        let found = self.store.find_challenge(text, now).await?;
        found.filter(|user| user.disabled_at.is_none()).ok_or_else(challenge_is_over)
    }

    /// A new secret for one's own authenticator app; it counts when [`Accounts::confirm_totp`] has seen a right code. Asks for
    /// a step-up where there is a passkey.
    pub async fn enrol_totp(&self, ctx: &Ctx, session: Option<SessionId>) -> Result<TotpEnrolment> {
        let (id, session) = in_browser(ctx, session)?;
        let tenant = self.store.tenant(ctx);
        let user = tenant.users().get(id).await.map_err(named("user"))?;
        if user.totp_since.is_some() {
            return Err(totp_exists());
        }
        self.require_step_up_beside_a_factor(ctx, session, &user).await?;
        let secret = tenant.factors().enrol_totp(id).await.map_err(|error| match error {
            StoreError::Conflict { what: "totp" } => totp_exists(),
            other => other.into(),
        })?;
        let uri = otpauth(&user.email, &secret);
        Ok(TotpEnrolment { secret, uri })
    }

    /// The first right code: the app counts from now on, all sign-ins end, and this browser gets a new one.
    pub async fn confirm_totp(
        &self,
        ctx: &Ctx,
        session: Option<SessionId>,
        code: &SecretString,
        user_agent: Option<&str>,
    ) -> Result<Confirmed> {
        let (id, session) = in_browser(ctx, session)?;
        let tenant = self.store.tenant(ctx);
        let user = tenant.users().get(id).await.map_err(named("user"))?;
        // The secret may be older than the other factor, and whoever asked for it somebody else.
        self.require_step_up_beside_a_factor(ctx, session, &user).await?;
        admitted(self.store.admit_second_factor(id, None, ctx.now).await?, ctx.now)?;
        let confirmed = tenant.factors().confirm_totp(id, code.expose_secret()).await;
        let codes = confirmed.map_err(|error| match error {
            StoreError::NotFound => ServiceError::conflict(
                "nothing_to_confirm",
                "there is no new secret to confirm; ask for one first (`POST /api/v1/me/totp`)",
            ),
            other => other.into(),
        })?;
        let recovery_codes = codes.ok_or_else(|| wrong_field("code"))?;
        self.store.second_factor_succeeded(id, None).await?;
        info!(user.id = %id, "user `{id}` has a second factor");
        let user = tenant.users().get(id).await.map_err(named("user"))?;
        let signed_in = self.let_in(user, None, user_agent, ctx.now).await?;
        Ok(Confirmed { signed_in, recovery_codes })
    }

    /// Removes one's own authenticator app, and the recovery codes with the last factor; all other sign-ins end. Asks for a
    /// step-up.
    pub async fn remove_totp(&self, ctx: &Ctx, session: Option<SessionId>) -> Result<()> {
        let (user, session) = in_browser(ctx, session)?;
        self.require_step_up(ctx, Some(session), None).await?;
        self.store.tenant(ctx).factors().remove_totp(user, session).await.map_err(no_factor)?;
        info!(user.id = %user, "user `{user}` removed the authenticator app");
        Ok(())
    }

    /// New recovery codes in place of all former ones. Asks for a step-up.
    pub async fn renew_recovery_codes(
        &self,
        ctx: &Ctx,
        session: Option<SessionId>,
    ) -> Result<Vec<SecretString>> {
        let (user, session) = in_browser(ctx, session)?;
        self.require_step_up(ctx, Some(session), None).await?;
        let codes = self.store.tenant(ctx).factors().renew_recovery_codes(user).await.map_err(no_factor)?;
        info!(user.id = %user, "user `{user}` made new recovery codes");
        Ok(codes)
    }
}

/// The person and the session; a token has none.
pub(super) fn in_browser(ctx: &Ctx, session: Option<SessionId>) -> Result<(UserId, SessionId)> {
    ctx.actor.user.zip(session).ok_or_else(only_sessions)
}

/// The person of a right password: to take their code or passkey, and with no right yet.
pub(super) fn half_signed_in(user: &User, now: Time) -> Ctx {
    let actor = Actor {
        kind: ActorKind::Person,
        user: Some(user.id),
        token: None,
        name: user.email.clone(),
        permissions: Permissions::default(),
        clients: user.clients.clone(),
    };
    Ctx { tenant: user.tenant, actor, request_id: String::new(), now }
}

/// Codes of an app have six digits, recovery codes sixteen letters and digits.
fn is_recovery_code(code: &SecretString) -> bool {
    code.expose_secret().chars().filter(char::is_ascii_alphanumeric).count() > 8
}

/// What apps read from a picture: `otpauth://totp/Fleetgate:ada%40example.com?secret=…`.
fn otpauth(email: &str, secret: &SecretString) -> SecretString {
    let account: String = url::form_urlencoded::byte_serialize(email.as_bytes()).collect();
    let secret = secret.expose_secret();
    SecretString::from(format!(
        "otpauth://totp/{ISSUER}:{account}?secret={secret}&issuer={ISSUER}&algorithm=SHA1&digits=6&period=30"
    ))
}

fn challenge_is_over() -> ServiceError {
    ServiceError::Unauthenticated {
        code: "bad_challenge",
        message: "this sign-in is unknown, took longer than five minutes or had too many wrong codes; begin again with \
                  the password"
            .to_owned(),
    }
}

fn wrong_code() -> ServiceError {
    ServiceError::Unauthenticated { code: "bad_code", message: WRONG_CODE.to_owned() }
}

pub(super) fn wrong_field(field: &str) -> ServiceError {
    ServiceError::invalid(field, "wrong_code", WRONG_CODE)
}

const WRONG_CODE: &str = "the code is wrong or was used already; wait for the next one of the app, and see that the clock of \
                          its device is right";

fn totp_exists() -> ServiceError {
    ServiceError::conflict(
        "totp_exists",
        "there is an authenticator app already; remove it first (`DELETE /api/v1/me/totp`)",
    )
}

fn no_factor(error: StoreError) -> ServiceError {
    match error {
        StoreError::NotFound => ServiceError::conflict(
            "no_second_factor",
            "there is no second factor of this kind; enrol one first (`POST /api/v1/me/totp`, `POST /api/v1/me/passkeys`)",
        ),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apps_read_issuer_and_address() {
        let uri = otpauth("a+b@example.com", &"ABC".into());
        assert_eq!(
            uri.expose_secret(),
            "otpauth://totp/Fleetgate:a%2Bb%40example.com?secret=ABC&issuer=Fleetgate&algorithm=SHA1&digits=6&period=30"
        );
    }

    #[test]
    fn codes_are_told_apart_by_their_length() {
        for (code, expected) in
            [("123456", false), ("123 456", false), ("", false), ("abcd-efgh-2345-6767", true)]
        {
            assert_eq!(is_recovery_code(&code.into()), expected, "{code}");
        }
    }
}
