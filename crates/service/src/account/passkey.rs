//! Passkeys: a second factor that no false page can ask for, because it signs for one origin only.
//!
//! What is verified is in [`webauthn`]. Here: who may add, use and remove one. A challenge is taken before the answer is looked
//! at, so that each is answered once. A passkey counts like an authenticator app, and the tries at both are counted together.

pub(crate) mod webauthn;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{
    Ctx, Time,
    id::{PasskeyId, SessionId, TypedId, UserId},
};
use secrecy::SecretString;
pub use store::people::Passkey;
use store::{
    StoreError,
    audit::Act,
    people::{ChallengeFor, MAX_PASSKEYS, NewPasskey, User},
};
use tracing::{info, warn};
use webauthn::{Algorithm, Known};
pub use webauthn::{AssertionResponse, NoPasskeys, Refusal, RegistrationResponse, RelyingParty};

use super::{Accounts, SignedIn, admitted, check_name, factor::in_browser};
use crate::error::{Result, ServiceError, named};

/// A passkey as browsers look for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasskeyDescriptor {
    /// The authenticator's id, in base64url.
    pub credential_id: String,
    /// How a browser reaches it.
    pub transports: Vec<String>,
}

/// With what a browser makes a passkey.
#[derive(Debug)]
pub struct CreationOptions {
    /// Who asks.
    pub relying_party: RelyingParty,
    /// Whose it will be, for the authenticator: base64url, and says nothing about them.
    pub user_handle: String,
    /// The e-mail address.
    pub user_name: String,
    /// What people call them.
    pub display_name: String,
    /// What is to be answered, shown this once.
    pub challenge: SecretString,
    /// When it ends.
    pub expires_at: Time,
    /// COSE's numbers of the kinds of key that are accepted, the preferred one first.
    pub algorithms: Vec<i64>,
    /// Authenticators that have one already.
    pub exclude: Vec<PasskeyDescriptor>,
}

/// With what a browser uses a passkey.
#[derive(Debug)]
pub struct RequestOptions {
    /// The name that the passkeys are bound to.
    pub relying_party_id: String,
    /// What is to be answered, shown this once.
    pub challenge: SecretString,
    /// When it ends.
    pub expires_at: Time,
    /// Those of the user for this server.
    pub allow: Vec<PasskeyDescriptor>,
}

/// A passkey that counts from now on.
#[derive(Debug)]
pub struct ConfirmedPasskey {
    /// The passkey.
    pub passkey: Passkey,
    /// The sign-in that goes on; all former ones have ended.
    pub signed_in: SignedIn,
    /// For when all factors are lost, each good once; shown this once, and none if there are some already.
    pub recovery_codes: Vec<SecretString>,
}

impl Accounts {
    /// Begins to add a passkey to one's own account; it counts when [`Accounts::confirm_passkey`] has seen it. Asks for a step-up
    /// where there is a second factor already.
    pub async fn enrol_passkey(&self, ctx: &Ctx, session: Option<SessionId>) -> Result<CreationOptions> {
        let (id, session) = in_browser(ctx, session)?;
        let relying_party = self.relying_party()?.clone();
        let tenant = self.store.tenant(ctx);
        let user = tenant.users().get(id).await.map_err(named("user"))?;
        self.require_step_up_beside_a_factor(ctx, session, &user).await?;
        let passkeys = tenant.passkeys();
        let known = passkeys.list_of(id).await?;
        if known.len() >= MAX_PASSKEYS {
            return Err(too_many());
        }
        let challenge =
            passkeys.challenge(id, ChallengeFor::Enrol(session)).await.map_err(named("session"))?;
        Ok(CreationOptions {
            exclude: descriptors(known, &relying_party),
            relying_party,
            user_handle: URL_SAFE_NO_PAD.encode(handle_of(id)),
            user_name: user.email,
            display_name: user.name,
            challenge: challenge.text,
            expires_at: challenge.expires_at,
            algorithms: Algorithm::ALL.iter().map(|algorithm| algorithm.number()).collect(),
        })
    }

    /// Checks the passkey that the browser made: it counts from now on, all sign-ins end, and this browser gets a new one.
    pub async fn confirm_passkey(
        &self,
        ctx: &Ctx,
        session: Option<SessionId>,
        name: &str,
        response: &RegistrationResponse,
        user_agent: Option<&str>,
    ) -> Result<ConfirmedPasskey> {
        let (id, session) = in_browser(ctx, session)?;
        let rp = self.relying_party()?;
        let name = check_name(name)?;
        admitted(self.store.admit_second_factor(id, None, ctx.now).await?, ctx.now)?;
        let tenant = self.store.tenant(ctx);
        let passkeys = tenant.passkeys();
        let taken = passkeys.take_challenge(id, ChallengeFor::Enrol(session)).await?;
        let challenge = taken.ok_or_else(nothing_to_confirm)?;
        let made = webauthn::register(rp, &challenge, response).map_err(|refusal| {
            info!(user.id = %id, reason = %refusal, "a new passkey was refused");
            ServiceError::invalid(
                "credential",
                "wrong_passkey",
                format!("the passkey was refused: {refusal}. Ask for new options (`POST /api/v1/me/passkeys`) and try again"),
            )
        })?;
        let new = NewPasskey {
            rp_id: rp.id(),
            credential_id: &made.credential_id,
            public_key: &made.public_key,
            algorithm: made.algorithm.number(),
            sign_count: made.sign_count,
            backup_eligible: made.backup_eligible,
            backed_up: made.backed_up,
            transports: &made.transports,
            name: &name,
        };
        let (passkey, recovery_codes) = passkeys.add(id, &new).await.map_err(not_added)?;
        self.store.second_factor_succeeded(id, None).await?;
        info!(user.id = %id, passkey.id = %passkey, "user `{id}` has a new passkey");
        let user = tenant.users().get(id).await.map_err(named("user"))?;
        let passkey = self.passkey_of(ctx, id, passkey).await?;
        let signed_in = self.let_in(user, None, user_agent, ctx.now).await?;
        Ok(ConfirmedPasskey { passkey, signed_in, recovery_codes })
    }

    /// One's own passkeys, the first added first.
    pub async fn own_passkeys(&self, ctx: &Ctx) -> Result<Vec<Passkey>> {
        Ok(self.store.tenant(ctx).passkeys().list_of(super::person(ctx)?).await?)
    }

    /// Gives one of one's own passkeys another name.
    pub async fn rename_passkey(
        &self,
        ctx: &Ctx,
        session: Option<SessionId>,
        id: PasskeyId,
        name: &str,
    ) -> Result<Passkey> {
        self.passkey_of(ctx, super::person(ctx)?, id).await?;
        let (user, _) = in_browser(ctx, session)?;
        let name = check_name(name)?;
        self.store.tenant(ctx).passkeys().rename(user, id, &name).await.map_err(named("passkey"))
    }

    /// Removes one of one's own passkeys, and the recovery codes with the last factor; all other sign-ins end. Asks for a step-up.
    pub async fn remove_passkey(&self, ctx: &Ctx, session: Option<SessionId>, id: PasskeyId) -> Result<()> {
        self.passkey_of(ctx, super::person(ctx)?, id).await?;
        let (user, session) = in_browser(ctx, session)?;
        self.require_step_up(ctx, Some(session), None).await?;
        self.store.tenant(ctx).passkeys().remove(user, id, session).await.map_err(named("passkey"))?;
        info!(user.id = %user, passkey.id = %id, "user `{user}` removed a passkey");
        Ok(())
    }

    /// With what the person of this session can prove by a passkey who they are.
    pub async fn step_up_options(&self, ctx: &Ctx, session: Option<SessionId>) -> Result<RequestOptions> {
        let (user, session) = in_browser(ctx, session)?;
        self.relying_party()?;
        let options = self.request_options(ctx, user, ChallengeFor::StepUp(session)).await?;
        options.ok_or_else(no_passkey)
    }

    /// What a browser needs to use one of the user's passkeys here; none if there is none for this server, as it is configured.
    pub(super) async fn request_options(
        &self,
        ctx: &Ctx,
        user: UserId,
        purpose: ChallengeFor<'_>,
    ) -> Result<Option<RequestOptions>> {
        let Ok(rp) = self.relying_party.as_ref() else { return Ok(None) };
        let passkeys = self.store.tenant(ctx).passkeys();
        let allow = descriptors(passkeys.list_of(user).await?, rp);
        if allow.is_empty() {
            return Ok(None);
        }
        let challenge = passkeys.challenge(user, purpose).await.map_err(named("session"))?;
        Ok(Some(RequestOptions {
            relying_party_id: rp.id().to_owned(),
            challenge: challenge.text,
            expires_at: challenge.expires_at,
            allow,
        }))
    }

    /// Is it a good answer to the open challenge, by one of the user's passkeys? The challenge is taken, whatever the outcome.
    pub(super) async fn use_passkey(
        &self,
        ctx: &Ctx,
        user: UserId,
        purpose: ChallengeFor<'_>,
        response: &AssertionResponse,
    ) -> Result<std::result::Result<(), Refusal>> {
        let rp = self.relying_party()?;
        let passkeys = self.store.tenant(ctx).passkeys();
        let Some(challenge) = passkeys.take_challenge(user, purpose).await? else {
            return Ok(Err(Refusal::WrongChallenge));
        };
        let all = passkeys.list_of(user).await?;
        let found = all.iter().find(|one| one.credential_id == response.id && one.rp_id == rp.id());
        let Some(passkey) = found else { return Ok(Err(Refusal::Unknown)) };
        let known = Known {
            credential_id: &passkey.credential_id,
            public_key: &passkey.public_key,
            sign_count: passkey.sign_count,
            backup_eligible: passkey.backup_eligible,
            user_handle: &handle_of(user),
        };
        let checked = match webauthn::authenticate(rp, &challenge, &known, response) {
            Ok(used) if passkeys.note_use(user, passkey.id, used.sign_count, used.backed_up).await? => Ok(()),
            Ok(_) => Err(Refusal::Cloned),
            Err(refusal) => Err(refusal),
        };
        match &checked {
            Err(Refusal::Cloned) => {
                warn!(user.id = %user, passkey.id = %passkey.id, "a passkey of user `{user}` may have been copied");
            }
            Err(refusal) => info!(user.id = %user, reason = %refusal, "a passkey was refused"),
            Ok(()) => {}
        }
        Ok(checked)
    }

    /// The same as proof in a session: refused as a wrong field; a possible copy stands in the audit log.
    pub(super) async fn prove_by_passkey(
        &self,
        ctx: &Ctx,
        user: UserId,
        session: SessionId,
        response: &AssertionResponse,
    ) -> Result<()> {
        let Err(refusal) = self.use_passkey(ctx, user, ChallengeFor::StepUp(session), response).await? else {
            return Ok(());
        };
        if refusal == Refusal::Cloned {
            let act = Act::new("session.step_up").refused(CLONED).to(user).named(&ctx.actor.name);
            self.store.tenant(ctx).audit().note(act).await?;
        }
        let next = "Ask for new options (`POST /api/v1/session/step-up/options`) or send your password";
        Err(ServiceError::invalid(
            "passkey",
            "wrong_passkey",
            format!("the passkey was refused: {refusal}. {next}"),
        ))
    }

    /// Adding to the factors of somebody who has some asks for a step-up: whoever sits at an open browser must not add theirs.
    pub(super) async fn require_step_up_beside_a_factor(
        &self,
        ctx: &Ctx,
        session: SessionId,
        user: &User,
    ) -> Result<()> {
        if user.has_second_factor() { self.require_step_up(ctx, Some(session), None).await } else { Ok(()) }
    }

    async fn passkey_of(&self, ctx: &Ctx, user: UserId, id: PasskeyId) -> Result<Passkey> {
        let all = self.store.tenant(ctx).passkeys().list_of(user).await?;
        all.into_iter().find(|passkey| passkey.id == id).ok_or(ServiceError::NotFound { what: "passkey" })
    }

    /// Who asks for passkeys, or why there can be none.
    fn relying_party(&self) -> Result<&RelyingParty> {
        self.relying_party.as_ref().as_ref().map_err(|why| {
            ServiceError::conflict(
                "passkeys_unavailable",
                format!("{why}. Until then use an authenticator app or a recovery code"),
            )
        })
    }
}

/// For the audit log.
pub(super) const CLONED: &str = "cloned_passkey";

/// What the authenticator is told about whose it is: the bare id, which says nothing to others.
fn handle_of(user: UserId) -> [u8; 16] {
    user.uuid().into_bytes()
}

/// Those that work for this server.
fn descriptors(passkeys: Vec<Passkey>, rp: &RelyingParty) -> Vec<PasskeyDescriptor> {
    let here = passkeys.into_iter().filter(|passkey| passkey.rp_id == rp.id());
    here.map(|one| PasskeyDescriptor { credential_id: one.credential_id, transports: one.transports })
        .collect()
}

/// At a sign-in.
pub(super) fn bad_passkey(refusal: &Refusal) -> ServiceError {
    ServiceError::Unauthenticated {
        code: "bad_passkey",
        message: format!(
            "the passkey was refused: {refusal}. Begin again with the password, or send a code of the app or a recovery code"
        ),
    }
}

fn too_many() -> ServiceError {
    ServiceError::conflict(
        "too_many_passkeys",
        format!(
            "there are {MAX_PASSKEYS} passkeys already; remove one first (`DELETE /api/v1/me/passkeys/{{id}}`)"
        ),
    )
}

fn nothing_to_confirm() -> ServiceError {
    ServiceError::conflict(
        "nothing_to_confirm",
        "no passkey was asked for in this browser within five minutes; ask for options first (`POST /api/v1/me/passkeys`)",
    )
}

fn no_passkey() -> ServiceError {
    ServiceError::conflict(
        "no_second_factor",
        "there is no passkey for this server; send your password or a code of the app instead",
    )
}

fn not_added(error: StoreError) -> ServiceError {
    match error {
        StoreError::Conflict { what: "passkeys" } => too_many(),
        StoreError::Conflict { what: "passkey" } => ServiceError::conflict(
            "passkey_taken",
            "this passkey is in use here already; make one with another authenticator",
        ),
        other => other.into(),
    }
}
