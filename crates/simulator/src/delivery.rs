//! Sending webhooks: HTTP/1.1 by hand, to loopback only.

use std::net::IpAddr;
use std::time::Duration;

use http::Uri;
use serde_json::{Map, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A webhook ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Webhook {
    pub(crate) method: String,
    pub(crate) url: String,
    /// The vendor's `User-Agent`.
    pub(crate) agent: &'static str,
    pub(crate) headers: Map<String, Value>,
    /// `None` for GET and DELETE.
    pub(crate) body: Option<String>,
}

/// What came of it: status and text of the answer, or 500 and the words of an exception.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delivered {
    pub(crate) status: i64,
    pub(crate) text: String,
}

/// The vendor that was recorded waits so long for a receiver.
const PATIENCE: Duration = Duration::from_secs(8);

/// Sends it, once.
pub(crate) async fn send(webhook: &Webhook) -> Delivered {
    let failed = |text: String| Delivered { status: 500, text };
    let Some(target) = Target::parse(&webhook.url) else {
        return failed(format!("Invalid URL '{}'", webhook.url));
    };
    if !target.is_loopback() {
        return failed(target.complaint("a simulator sends to loopback only"));
    }
    match tokio::time::timeout(PATIENCE, exchange(webhook, &target)).await {
        Ok(Ok(delivered)) => delivered,
        Ok(Err(e)) if e.kind() == std::io::ErrorKind::ConnectionRefused => {
            failed(target.complaint("[Errno 111] Connection refused"))
        }
        Ok(Err(e)) => failed(format!("('Connection aborted.', {e})")),
        Err(_) => {
            let (host, port) = (&target.host, target.port);
            failed(format!(
                "HTTPConnectionPool(host='{host}', port={port}): Read timed out. (read timeout=8)"
            ))
        }
    }
}

struct Target {
    host: String,
    port: u16,
    path: String,
}

impl Target {
    fn parse(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let path = uri.path_and_query().map_or("/".to_owned(), ToString::to_string);
        let is_plain = uri.scheme_str() == Some("http");
        is_plain.then_some(Self { host: uri.host()?.to_owned(), port: uri.port_u16().unwrap_or(80), path })
    }

    fn is_loopback(&self) -> bool {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    }

    /// The words of Python's `requests` for a connection that does not come about.
    fn complaint(&self, why: &str) -> String {
        let Self { host, port, path } = self;
        let pool = format!("host='{host}', port={port}");
        format!(
            "HTTPConnectionPool({pool}): Max retries exceeded with url: {path} (Caused by \
             NewConnectionError(\"HTTPConnection({pool}): Failed to establish a new connection: {why}\"))"
        )
    }
}

async fn exchange(webhook: &Webhook, target: &Target) -> std::io::Result<Delivered> {
    let mut stream = TcpStream::connect((target.host.as_str(), target.port)).await?;
    let mut head = format!(
        "{} {} HTTP/1.1\r\nHost: {}:{}\r\nUser-Agent: {}\r\n\
         Accept-Encoding: gzip, deflate, br\r\nAccept: */*\r\nConnection: keep-alive\r\n",
        webhook.method.to_uppercase(),
        target.path,
        target.host,
        target.port,
        webhook.agent
    );
    for (name, value) in &webhook.headers {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        head.push_str(&format!("{name}: {}\r\n", value.replace(['\r', '\n'], " ")));
    }
    if let Some(body) = &webhook.body {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(webhook.body.as_deref().unwrap_or("").as_bytes()).await?;
    read_answer(&mut stream).await
}

/// Reads an answer with a length, or up to the end of the connection, or in chunks.
async fn read_answer(stream: &mut TcpStream) -> std::io::Result<Delivered> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        if let Some(delivered) = complete(&bytes, false) {
            return Ok(delivered);
        }
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            let closed = || {
                std::io::Error::other("RemoteDisconnected('Remote end closed connection without response')")
            };
            return complete(&bytes, true).ok_or_else(closed);
        }
        bytes.extend_from_slice(&buffer[..count]);
    }
}

fn complete(bytes: &[u8], is_closed: bool) -> Option<Delivered> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let header = |wanted: &str| {
        let pairs = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        pairs.filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim()).next()
    };
    let done = |text: String| Some(Delivered { status, text });
    if header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        return if body.ends_with("0\r\n\r\n") || is_closed { done(dechunked(body)) } else { None };
    }
    match header("content-length").and_then(|length| length.parse::<usize>().ok()) {
        Some(length) if body.len() >= length => done(body.to_owned()),
        None if is_closed || status == 204 => done(body.to_owned()),
        Some(_) | None => None,
    }
}

fn dechunked(body: &str) -> String {
    let mut out = String::new();
    let mut rest = body;
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 {
            break;
        }
        out.push_str(after.get(..size).unwrap_or(after));
        rest = after.get(size + 2..).unwrap_or("");
    }
    out
}
