//! Connections: accepted, encrypted if there is a certificate, guarded against slow senders, and brought to an end when
//! the server stops.

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo};
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::{interval, sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tower::ServiceExt;
use tracing::{debug, warn};

use crate::{App, metrics, router, spawn, tls::Tls};

/// Time for the head of a request to arrive, also the longest silence between two.
const HEADER_TIME: Duration = Duration::from_secs(10);

/// Time for agreeing on keys, the wait for a turn included.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// Handshakes at once: each costs a signature, and whoever asks has shown nothing yet.
const MAX_HANDSHAKES: usize = 256;

/// Time for requests at work to end when the server stops.
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// How often measurements are folded.
const UPKEEP_EVERY: Duration = Duration::from_secs(30);

/// Serves until `shutdown` resolves; then ends live updates, lets other requests finish, and gives up the rest.
pub async fn serve(
    listener: TcpListener,
    app: App,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let (stop, stopped) = watch::channel(false);
    let door = app.options.tls.as_ref().map(Door::new);
    let mut tasks = spawn::Tasks::default();
    if let Some(tls) = app.options.tls.clone() {
        tasks.add(tls.keep_up(stopped.clone()));
    }
    let router = router::build(app, stopped.clone());
    tasks.add(upkeep(stopped.clone()));
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            () = tasks.reap() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let _ = stream.set_nodelay(true);
                    let (router, stopped) = (router.clone(), stopped.clone());
                    match &door {
                        Some(door) => tasks.add(encrypted(stream, peer, door.clone(), router, stopped)),
                        None => tasks.add(connection(stream, peer, router, stopped)),
                    }
                }
                Err(error) => after_failed_accept(&error).await,
            },
        }
    }
    drop(listener);
    let _ = stop.send(true);
    let left = tasks.finish(DRAIN_TIME).await;
    if left > 0 {
        warn!(left, "gave up {left} connections that did not end in time");
    }
    Ok(())
}

/// A caller that hung up is nothing; out of file handles, waiting is all that helps.
async fn after_failed_accept(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        return;
    }
    warn!(error = error as &dyn std::error::Error, "cannot accept connections: {error}");
    sleep(Duration::from_secs(1)).await;
}

/// Where connections become encrypted.
#[derive(Clone)]
struct Door {
    acceptor: TlsAcceptor,
    turns: Arc<Semaphore>,
}

impl Door {
    fn new(tls: &Tls) -> Door {
        Door { acceptor: tls.acceptor(), turns: Arc::new(Semaphore::new(MAX_HANDSHAKES)) }
    }

    async fn enter(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let handshake = async {
            let _turn = self.turns.acquire().await.map_err(io::Error::other)?;
            self.acceptor.accept(stream).await
        };
        timeout(HANDSHAKE_TIME, handshake).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

/// A connection that begins with a handshake. One that fails is the caller's affair: scanners and old programs do it
/// all the time.
async fn encrypted(
    stream: TcpStream,
    peer: SocketAddr,
    door: Door,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) {
    let entered = tokio::select! {
        entered = door.enter(stream) => entered,
        _ = stopped.wait_for(|stops| *stops) => return,
    };
    match entered {
        Ok(stream) => connection(stream, peer, router, stopped).await,
        Err(error) => {
            debug!(%peer, error = &error as &dyn std::error::Error, "a TLS handshake failed: {error}");
        }
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let stops = async {
        let _ = stopped.wait_for(|stops| *stops).await;
    };
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stops => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        debug!(error = &error as &dyn std::error::Error, "a connection ended early: {error}");
    }
}

async fn upkeep(mut stopped: watch::Receiver<bool>) {
    let handle = metrics::install();
    let mut ticks = interval(UPKEEP_EVERY);
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stops| *stops) => return,
            _ = ticks.tick() => handle.upkeep(),
        }
    }
}

#[cfg(test)]
mod tests;
