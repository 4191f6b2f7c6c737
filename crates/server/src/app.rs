//! What the routes work with.

use std::{future, ops::Deref, sync::Arc};

use service::Services;
use tokio::sync::{Semaphore, watch};

use crate::{edge::TrustedProxies, metrics, tls::Tls};

/// Streams of live updates at once in this process.
pub(crate) const MAX_EVENT_STREAMS: usize = 200;

/// Exports at once in this process.
pub(crate) const MAX_EXPORTS: usize = 8;

/// The services and how they are offered.
#[derive(Clone)]
pub struct App {
    /// The use cases.
    pub services: Services,
    /// How they are offered.
    pub options: ServerOptions,
}

/// How the server is reached.
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    /// The address people type, `https://fleet.example`; changes from a browser must come from there. None: from
    /// the host that was asked.
    pub public_url: Option<String>,
    /// Proxies whose word about caller and scheme counts.
    pub trusted_proxies: TrustedProxies,
    /// Certificate and key. None: plain http.
    pub tls: Option<Tls>,
}

impl ServerOptions {
    /// Whether people reach the server by https, whatever a request looks like: it encrypts itself, or its public
    /// address says so. The host that a request asks for says nothing.
    pub fn is_https(&self) -> bool {
        let is_public = self.public_url.as_ref().is_some_and(|url| url.starts_with("https://"));
        self.tls.is_some() || is_public
    }
}

/// What every handler gets; cheap to clone.
#[derive(Clone)]
pub(crate) struct AppState(Arc<Inner>);

/// See [`AppState`].
pub(crate) struct Inner {
    pub(crate) services: Services,
    pub(crate) options: ServerOptions,
    pub(crate) metrics: metrics::Handle,
    pub(crate) event_streams: Arc<Semaphore>,
    pub(crate) exports: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
}

impl AppState {
    pub(crate) fn new(app: App, stopping: watch::Receiver<bool>) -> AppState {
        AppState(Arc::new(Inner {
            services: app.services.served_at(app.options.public_url.as_deref()),
            options: app.options,
            metrics: metrics::install(),
            event_streams: Arc::new(Semaphore::new(MAX_EVENT_STREAMS)),
            exports: Arc::new(Semaphore::new(MAX_EXPORTS)),
            stopping,
        }))
    }

    /// Resolves when the server begins to stop; never, if nobody can tell.
    pub(crate) async fn stopping(&self) {
        let mut stopping = self.0.stopping.clone();
        if stopping.wait_for(|stops| *stops).await.is_err() {
            future::pending::<()>().await;
        }
    }
}

impl Deref for AppState {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}
