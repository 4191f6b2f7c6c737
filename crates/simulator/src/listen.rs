//! Connections of a simulated server, and the query strings of its requests.

use std::future::Future;
use std::net::IpAddr;

use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// The handler's error: it makes the HTTP library close the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection was closed on purpose")]
pub(crate) struct ClosedOnPurpose;

/// Accepts connections for ever, each request of which goes to `handle` with the caller's address.
pub(crate) async fn serve<F, Fut>(listener: TcpListener, handle: F)
where
    F: Fn(IpAddr, Request<Incoming>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Result<Response<Body>, ClosedOnPurpose>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, peer)) = accepted {
                    connections.spawn(connection(stream, peer.ip(), handle.clone()));
                }
            }
            Some(_ended) = connections.join_next() => {}
        }
    }
}

async fn connection<F, Fut>(stream: TcpStream, peer: IpAddr, handle: F)
where
    F: Fn(IpAddr, Request<Incoming>) -> Fut,
    Fut: Future<Output = Result<Response<Body>, ClosedOnPurpose>>,
{
    let _is_only_about_speed = stream.set_nodelay(true);
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service_fn(move |request| handle(peer, request)))
        .await;
    if let Err(e) = served {
        tracing::debug!("connection of `{peer}` ended: {e}");
    }
}

/// Pairs of a query string or a form, decoded.
pub(crate) fn parse_query(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (decode(key), decode(value)))
        .collect()
}

/// Percent decoding of a query's key or value.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let hex = bytes.get(index + 1..index + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match (bytes[index], hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                index += 2;
            }
            (b'+', _) => decoded.push(b' '),
            (byte, _) => decoded.push(byte),
        }
        index += 1;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
