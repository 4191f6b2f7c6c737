//! Connections: accepted, guarded against slow senders, and brought to an end when the server stops.

use std::{future::Future, io, net::SocketAddr, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo};
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{interval, sleep},
};
use tower::ServiceExt;
use tracing::{debug, warn};

use crate::{App, metrics, router, spawn};

/// Time for the head of a request to arrive, also the longest silence between two.
const HEADER_TIME: Duration = Duration::from_secs(10);

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
    let router = router::build(app, stopped.clone());
    let mut tasks = spawn::Tasks::default();
    tasks.add(upkeep(stopped.clone()));
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            () = tasks.reap() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => tasks.add(connection(stream, peer, router.clone(), stopped.clone())),
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

async fn connection(stream: TcpStream, peer: SocketAddr, router: Router, mut stopped: watch::Receiver<bool>) {
    let _ = stream.set_nodelay(true);
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
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_that_says_nothing_ends_with_the_server() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let client = TcpStream::connect(address).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        stop.send(true).unwrap();
        connection(stream, peer, Router::new(), stopped).await;
        drop(client);
    }
}
