//! What the contexts share: the store, the providers, and integrations opened for use.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::{
    Ctx,
    id::{IntegrationId, TypedId},
    integration::{ConnectionState, Integration},
};
use outbound::HttpClient;
use provider::{Connection, ErrorKind, Provider, ProviderError, Secrets};
use secrecy::SecretString;
use store::{Store, integration::TABLE, secret::SecretOwner};
use tracing::warn;
use url::Url;

use crate::{
    clock::Clock,
    error::{Result, ServiceError, named},
};

/// Shared by all contexts; cheap to clone.
#[derive(Clone)]
pub(crate) struct Core {
    pub(crate) store: Store,
    pub(crate) providers: &'static [&'static dyn Provider],
    pub(crate) http: HttpClient,
    pub(crate) clock: Clock,
    /// One sign-in at a time for each integration: ten jobs that find a dead token make one new one.
    sign_ins: Arc<Mutex<HashMap<IntegrationId, Arc<tokio::sync::Mutex<()>>>>>,
}

/// An integration opened for use.
pub(crate) struct Opened {
    pub(crate) integration: Integration,
    pub(crate) provider: &'static dyn Provider,
    pub(crate) connection: Connection,
}

impl Core {
    pub(crate) fn new(
        store: Store,
        providers: &'static [&'static dyn Provider],
        http: HttpClient,
        clock: Clock,
    ) -> Core {
        Core { store, providers, http, clock, sign_ins: Arc::default() }
    }

    pub(crate) fn provider(&self, id: &str) -> Result<&'static dyn Provider> {
        self.providers.iter().copied().find(|p| p.descriptor().id == id).ok_or_else(|| {
            let known: Vec<&str> = self.providers.iter().map(|p| p.descriptor().id).collect();
            ServiceError::invalid(
                "provider",
                "provider_unknown",
                format!("there is no provider `{id}`; choose one of: {}", known.join(", ")),
            )
        })
    }

    /// Decrypts an integration's secrets. Signs in for no token.
    pub(crate) async fn open(&self, ctx: &Ctx, id: IntegrationId) -> Result<Opened> {
        let tenant = self.store.tenant(ctx);
        let integration = tenant.integrations().get(id).await.map_err(named("integration"))?;
        if !integration.is_active {
            return Err(ServiceError::conflict(
                "disconnected",
                format!("`{}` is disconnected; reconnect it with its credentials first", integration.name),
            ));
        }
        let provider = self.provider(&integration.provider)?;
        let row_id = id.to_db();
        let mut secrets: Vec<(String, SecretString)> =
            tenant.secrets().open_all(SecretOwner { table: TABLE, row_id: &row_id }).await?;
        let token_name = provider.descriptor().token_secret;
        let token = secrets
            .iter()
            .position(|(name, _)| Some(name.as_str()) == token_name)
            .map(|at| secrets.swap_remove(at).1);
        let base_url =
            Url::parse(&integration.instance_url).map_err(|error| ServiceError::Internal(Box::new(error)))?;
        let connection = Connection {
            integration: Some(id),
            base_url,
            auth_mode: integration.auth_mode.clone(),
            secrets: secrets.into_iter().collect::<Secrets>(),
            token,
            settings: integration.settings.clone(),
            budget: Arc::new(provider::Unlimited),
            http: self.http.clone(),
        };
        Ok(Opened { integration, provider, connection })
    }

    /// Opens an integration and makes sure that it has a token where it needs one.
    pub(crate) async fn open_signed_in(&self, ctx: &Ctx, id: IntegrationId) -> Result<Opened> {
        let opened = self.open(ctx, id).await?;
        if opened.connection.token.is_some() || !opened.needs_sign_in() {
            return Ok(opened);
        }
        self.sign_in(ctx, opened, None).await
    }

    /// Signs in anew and keeps the token. If another job did so meanwhile, its token is used.
    pub(crate) async fn sign_in(
        &self,
        ctx: &Ctx,
        opened: Opened,
        code: Option<&SecretString>,
    ) -> Result<Opened> {
        let id = opened.integration.id;
        let turn = self.turn(id);
        let _held = turn.lock().await;
        let fresh = self.open(ctx, id).await?;
        if code.is_none() && fresh.has_other_token_than(opened.connection.token.as_ref()) {
            return Ok(fresh);
        }
        match fresh.provider.sign_in(&fresh.connection, code).await {
            Ok(signed_in) => {
                let tenant = self.store.tenant(ctx);
                if let Some(name) = fresh.provider.descriptor().token_secret {
                    let integrations = tenant.integrations();
                    integrations.put_token(id, name, &signed_in.token, signed_in.expires_at).await?;
                }
                let state = ConnectionState::Connected;
                tenant.integrations().set_state(id, state, None, signed_in.account).await?;
                self.retire_token(&fresh).await;
                self.open(ctx, id).await
            }
            Err(error) => {
                self.note_failure(ctx, id, &error).await;
                Err(error.into())
            }
        }
    }

    /// The replaced token is ended at the RMM, so that none is left behind. A failure changes nothing for us.
    async fn retire_token(&self, old: &Opened) {
        if old.connection.token.is_none() {
            return;
        }
        if let Err(error) = old.provider.sign_out(&old.connection).await {
            let id = old.integration.id;
            warn!(integration.id = %id, error = &error as &dyn std::error::Error, "an old token of `{id}` was not ended");
        }
    }

    fn turn(&self, id: IntegrationId) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.sign_ins.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(id).or_default())
    }

    /// Keeps the sentence of a failure with the integration; shown until something goes well.
    pub(crate) async fn note_failure(&self, ctx: &Ctx, id: IntegrationId, error: &ProviderError) {
        let state = match error.kind {
            ErrorKind::CodeNeeded => ConnectionState::NeedsCode,
            ErrorKind::Unauthorized => ConnectionState::Refused,
            ErrorKind::Forbidden
            | ErrorKind::NotAnApi
            | ErrorKind::FeatureOff
            | ErrorKind::RateLimited
            | ErrorKind::Unavailable
            | ErrorKind::Denied
            | ErrorKind::Ambiguous
            | ErrorKind::NotFound
            | ErrorKind::Rejected
            | ErrorKind::Malformed => ConnectionState::Failing,
        };
        let problem = serde_json::to_string(&error.problem).ok();
        let noted = self.store.tenant(ctx).integrations().set_state(id, state, problem, None).await;
        if let Err(error) = noted {
            warn!(integration.id = %id, error = &error as &dyn std::error::Error, "the state of `{id}` was not noted");
        }
    }
}

impl Opened {
    pub(crate) fn needs_sign_in(&self) -> bool {
        let mode = self.provider.descriptor().auth_mode(&self.connection.auth_mode);
        mode.is_some_and(|mode| mode.needs_sign_in)
    }

    /// The name of the token in use and how long it lives at least after a use; none if use prolongs nothing.
    pub(crate) fn token_life(&self) -> Option<(&'static str, Duration)> {
        self.connection.token.as_ref()?;
        let descriptor = self.provider.descriptor();
        let mode = descriptor.auth_mode(&self.connection.auth_mode)?;
        Some((descriptor.token_secret?, mode.token_life?))
    }

    /// Is there a token, and not this one? Then someone else signed in meanwhile.
    pub(crate) fn has_other_token_than(&self, used: Option<&SecretString>) -> bool {
        use secrecy::ExposeSecret;
        match (&self.connection.token, used) {
            (Some(mine), Some(theirs)) => mine.expose_secret() != theirs.expose_secret(),
            (Some(_), None) => true,
            (None, _) => false,
        }
    }
}
