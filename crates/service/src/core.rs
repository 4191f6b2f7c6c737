//! What the contexts share: the store, the providers, and integrations opened for use.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::{
    Actor, Ctx, Time,
    id::{IntegrationId, TypedId},
    integration::{ConnectionState, Integration},
};
use outbound::HttpClient;
use provider::{Connection, ErrorKind, Problem, Provider, ProviderError, Secrets};
use secrecy::SecretString;
use store::{Store, integration::TABLE, secret::SecretOwner};
use tracing::warn;
use url::Url;

use crate::{
    Options,
    budget::Desks,
    clock::Clock,
    error::{Result, ServiceError, named},
};

mod sign_in;

/// Shared by all contexts; cheap to clone.
#[derive(Clone)]
pub(crate) struct Core {
    pub(crate) store: Store,
    pub(crate) providers: &'static [&'static dyn Provider],
    pub(crate) http: HttpClient,
    pub(crate) clock: Clock,
    /// Names of hosts that credentials may be sent to beside the vendor's own.
    pub(crate) rmm_hosts: Arc<[String]>,
    /// Requests that RMMs still take.
    pub(crate) desks: Arc<Desks>,
    /// One sign-in at a time for each integration: ten jobs that find a dead token make one new one.
    sign_ins: Arc<Mutex<HashMap<IntegrationId, Arc<tokio::sync::Mutex<()>>>>>,
}

/// An integration opened for use.
pub(crate) struct Opened {
    pub(crate) integration: Integration,
    pub(crate) provider: &'static dyn Provider,
    pub(crate) connection: Connection,
    /// When the token was made, and when it ends if that is known; none without a token.
    pub(crate) token_times: Option<(Time, Option<Time>)>,
}

impl Core {
    pub(crate) fn new(
        store: Store,
        providers: &'static [&'static dyn Provider],
        http: HttpClient,
        options: Options,
    ) -> Core {
        let Options { clock, rmm_hosts } = options;
        let (rmm_hosts, desks) = (rmm_hosts.into(), Arc::default());
        Core { store, providers, http, clock, rmm_hosts, desks, sign_ins: Arc::default() }
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

    /// Decrypts an integration's secrets. Signs in for no token. Its address must still be one that credentials may be
    /// sent to.
    pub(crate) async fn open(&self, ctx: &Ctx, id: IntegrationId) -> Result<Opened> {
        let opened = self.open_for_change(ctx, id).await?;
        self.check_address(opened.provider, &opened.connection.base_url)?;
        Ok(opened)
    }

    /// The same whatever its address, for whoever looks at it before anything is sent.
    pub(crate) async fn open_for_change(&self, ctx: &Ctx, id: IntegrationId) -> Result<Opened> {
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
        let mut secrets = tenant.secrets().open_dated(SecretOwner { table: TABLE, row_id: &row_id }).await?;
        let token_name = provider.descriptor().token_secret;
        let token = secrets
            .iter()
            .position(|secret| Some(secret.name.as_str()) == token_name)
            .map(|at| secrets.swap_remove(at));
        // Of the value itself, not of the row of the integration, which may be older by now.
        let token_times = token.as_ref().map(|token| (token.set_at, token.expires_at));
        let base_url =
            Url::parse(&integration.instance_url).map_err(|error| ServiceError::Internal(Box::new(error)))?;
        let connection = Connection {
            integration: Some(id),
            base_url,
            auth_mode: integration.auth_mode.clone(),
            secrets: secrets.into_iter().map(|secret| (secret.name, secret.value)).collect::<Secrets>(),
            token: token.map(|token| token.value),
            settings: integration.settings.clone(),
            budget: self.desks.of(&self.store, ctx, id, provider.descriptor(), &integration.settings),
            http: self.http.clone(),
        };
        Ok(Opened { integration, provider, connection, token_times })
    }

    /// Where many accounts share the vendor's addresses, credentials go to these and to the operator's list alone. The list
    /// may be shorter today than when the integration was saved.
    pub(crate) fn check_address(&self, provider: &dyn Provider, url: &Url) -> Result<()> {
        let descriptor = provider.descriptor();
        if descriptor.account_field.is_none() {
            return Ok(());
        }
        let host = url.host_str().unwrap_or_default();
        let fix = match provider.read_url(url.as_str(), &self.rmm_hosts) {
            Ok(read) if read.url.origin() == url.origin() => return Ok(()),
            Ok(read) => format!("Change the address of the integration to `{}`.", read.url),
            Err(_) => format!(
                "Change the address of the integration; or, if `{host}` may have these credentials, add it to \
                 `outbound.rmm_hosts` in the configuration and restart Fleetgate."
            ),
        };
        let message =
            format!("`{host}` is not a host that credentials for {} may be sent to.", descriptor.name);
        let problem = Problem::new("address_not_allowed", message, fix);
        Err(ProviderError::new(ErrorKind::Denied, problem).into())
    }

    /// Calls the RMM of an integration for `ctx`. If it refuses the token and a new one needs nobody, it is called once
    /// more with that. The caller has checked that the actor may do this: the integration is opened also for somebody who
    /// may see some clients only.
    pub(crate) async fn call<T, F>(
        &self,
        ctx: &Ctx,
        id: IntegrationId,
        work: impl Fn(Arc<Opened>) -> F,
    ) -> Result<T>
    where
        F: Future<Output = provider::Result<T>>,
    {
        // A token that is renewed by the way is nobody's own act, and is for all clients.
        let ours = Ctx { actor: Actor::system(), ..ctx.clone() };
        let opened = Arc::new(Box::pin(self.open_signed_in(&ours, id)).await?.waited_for_in(self, ctx));
        let refused = match work(Arc::clone(&opened)).await {
            Err(error) if error.kind == ErrorKind::Unauthorized => error,
            other => return Ok(other?),
        };
        if !opened.needs_sign_in() {
            self.note_failure(&ours, id, &refused).await;
            return Err(refused.into());
        }
        let used = opened.connection.token.clone();
        let opened = self.open(&ours, id).await?;
        let renewed = if opened.has_other_token_than(used.as_ref()) {
            opened
        } else {
            Box::pin(self.sign_in(&ours, opened, None)).await?
        };
        let again = work(Arc::new(renewed.waited_for_in(self, ctx))).await;
        if let Err(error) = &again
            && error.kind == ErrorKind::Unauthorized
        {
            self.note_failure(&ours, id, error).await;
        }
        Ok(again?)
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
    /// The same for whoever waits in `ctx`: people come before work in the background.
    fn waited_for_in(mut self, core: &Core, ctx: &Ctx) -> Opened {
        let (descriptor, settings) = (self.provider.descriptor(), &self.integration.settings);
        self.connection.budget = core.desks.of(&core.store, ctx, self.integration.id, descriptor, settings);
        self
    }

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

#[cfg(test)]
mod tests;
