//! Step-up: before what is dangerous, the person of a session proves again that it is they.
//!
//! A proof holds for five minutes, for one session and one client, or for settings where no client is named. Tokens cannot
//! give one: what asks for it is for people in a browser.

use domain::{
    Ctx, Time,
    id::{ClientId, SessionId},
};
use secrecy::{ExposeSecret, SecretString};

use super::{Accounts, AssertionResponse, admitted, factor};
use crate::error::{Result, ServiceError, named};

/// What proves who asks.
#[derive(Debug)]
pub enum Proof {
    /// The password.
    Password(SecretString),
    /// A code of the authenticator app.
    Code(SecretString),
    /// A passkey's answer to [`Accounts::step_up_options`].
    Passkey(AssertionResponse),
}

impl Accounts {
    /// Remembers for five minutes that the person of this session has proved who they are, for this client or, without one,
    /// for settings; answers until when. Wrong tries are braked as those of a sign-in.
    pub async fn step_up(
        &self,
        ctx: &Ctx,
        session: Option<SessionId>,
        client: Option<ClientId>,
        proof: Proof,
    ) -> Result<Time> {
        let (id, session) = factor::in_browser(ctx, session)?;
        let tenant = self.store.tenant(ctx);
        if let Some(client) = client {
            tenant.clients().get(client).await.map_err(named("client"))?;
        }
        let user = tenant.users().get(id).await.map_err(named("user"))?;
        match proof {
            Proof::Password(password) => {
                self.admit(&user.email, None, ctx.now).await?;
                let known = tenant.users().password_hash(id).await?;
                if !self.hasher.verify(password, Some(known)).await? {
                    let wrong = "the password is wrong; type the one that you sign in with";
                    return Err(ServiceError::invalid("password", "wrong_password", wrong));
                }
                self.store.sign_in_succeeded(&user.email, None).await?;
            }
            Proof::Code(_) if user.totp_since.is_none() => {
                return Err(ServiceError::conflict(
                    "no_second_factor",
                    "there is no authenticator app to make a code; send your password or a passkey instead",
                ));
            }
            Proof::Code(code) => {
                admitted(self.store.admit_second_factor(id, None, ctx.now).await?, ctx.now)?;
                if !tenant.factors().take_totp(id, code.expose_secret()).await? {
                    return Err(factor::wrong_field("code"));
                }
                self.store.second_factor_succeeded(id, None).await?;
            }
            Proof::Passkey(response) => {
                admitted(self.store.admit_second_factor(id, None, ctx.now).await?, ctx.now)?;
                self.prove_by_passkey(ctx, id, session, &response).await?;
                self.store.second_factor_succeeded(id, None).await?;
            }
        }
        tenant.sessions().step_up(session, client).await.map_err(named("session"))
    }

    /// Refuses with `step_up_needed` unless the person of this session has just proved who they are, for this client or,
    /// without one, for settings; with `not_a_person` where a token asks.
    pub async fn require_step_up(
        &self,
        ctx: &Ctx,
        session: Option<SessionId>,
        client: Option<ClientId>,
    ) -> Result<()> {
        let session = session.ok_or_else(only_sessions)?;
        if self.store.tenant(ctx).sessions().is_stepped_up(session, client).await? {
            return Ok(());
        }
        let with = client.map(|client| format!(" with `client_id` `{client}`")).unwrap_or_default();
        Err(ServiceError::ProofNeeded {
            code: "step_up_needed",
            message: format!(
                "prove first that it is you: send your password, a code or a passkey to `POST /api/v1/session/step-up`{with}, \
                 then repeat this within five minutes"
            ),
        })
    }
}

/// What a token cannot do.
pub(super) fn only_sessions() -> ServiceError {
    ServiceError::conflict(
        "not_a_person",
        "a token cannot do this, because it cannot prove that its owner is there; sign in in a browser and do it there",
    )
}
