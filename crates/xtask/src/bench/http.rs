//! A small HTTP/1.1 client for loopback: keep-alive, JSON, one connection each.
//!
//! The load generator shares two cores with the server it loads, so it must cost little: no TLS, no pool, no
//! decompression, one buffer. It understands answers with a length and chunked ones, and nothing else.

use std::io;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

/// A server may close a connection that was silent for longer.
const SILENCE: Duration = Duration::from_secs(5);

/// An answer, whole.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; an answer of failure is an error that shows it.
    pub(crate) fn json(self, call: &str) -> Result<Value> {
        if !(200..300).contains(&self.status) {
            bail!("{call}: {} {}", self.status, String::from_utf8_lossy(&self.body));
        }
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.body).with_context(|| format!("{call}: not JSON"))
    }
}

/// One keep-alive connection.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
    authority: String,
    token: Option<String>,
    line: String,
}

impl Connection {
    /// Connects to `http://HOST:PORT`; requests carry the token, if there is one.
    pub(crate) async fn open(url: &str, token: Option<&str>) -> Result<Self> {
        let authority = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let stream =
            TcpStream::connect(&authority).await.with_context(|| format!("cannot connect to {url}"))?;
        stream.set_nodelay(true)?;
        let stream = BufReader::with_capacity(64 * 1024, stream);
        Ok(Self { stream, authority, token: token.map(str::to_owned), line: String::new() })
    }

    /// Sends a request and reads its whole answer.
    pub(crate) async fn send(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer> {
        let call = || format!("{method} {path}");
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.authority);
        if let Some(token) = &self.token {
            head.push_str(&format!("authorization: Bearer {token}\r\n"));
        }
        let body = body.map(ToString::to_string).unwrap_or_default();
        if !body.is_empty() {
            head.push_str("content-type: application/json\r\n");
        }
        if method != "GET" {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        head.push_str(&body);
        self.stream.get_mut().write_all(head.as_bytes()).await.with_context(call)?;
        self.read().await.with_context(call)
    }

    async fn read(&mut self) -> Result<Answer> {
        let first = self.next_line().await?;
        let status = first.split(' ').nth(1).and_then(|text| text.parse().ok());
        let status = status.with_context(|| format!("not an answer: `{first}`"))?;
        let (mut length, mut is_chunked) = (0, false);
        loop {
            let line = self.next_line().await?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            is_chunked |= line.starts_with("transfer-encoding:") && line.contains("chunked");
        }
        let mut body = Vec::new();
        if !is_chunked {
            self.append(&mut body, length).await?;
            return Ok(Answer { status, body });
        }
        loop {
            let size = usize::from_str_radix(self.next_line().await?.trim(), 16)?;
            self.append(&mut body, size).await?;
            self.next_line().await?;
            if size == 0 {
                return Ok(Answer { status, body });
            }
        }
    }

    async fn append(&mut self, body: &mut Vec<u8>, length: usize) -> io::Result<()> {
        let start = body.len();
        body.resize(start + length, 0);
        self.stream.read_exact(&mut body[start..]).await.map(drop)
    }

    /// Without its end.
    async fn next_line(&mut self) -> Result<&str> {
        self.line.clear();
        if self.stream.read_line(&mut self.line).await? == 0 {
            bail!("the connection ended");
        }
        Ok(self.line.trim_end())
    }
}

/// Calls one after the other, from code that is not async. A connection that broke or was silent is opened anew.
pub(crate) struct Client {
    runtime: Runtime,
    url: String,
    token: Option<String>,
    connection: Option<(Connection, Instant)>,
}

impl Client {
    pub(crate) fn new(url: &str, token: Option<&str>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, url: url.to_owned(), token: token.map(str::to_owned), connection: None })
    }

    /// `GET`, as JSON.
    pub(crate) fn get(&mut self, path: &str) -> Result<Value> {
        self.send("GET", path, None)?.json(path)
    }

    /// `POST`, as JSON.
    pub(crate) fn post(&mut self, path: &str, body: &Value) -> Result<Value> {
        self.send("POST", path, Some(body))?.json(path)
    }

    /// Any request, any answer.
    pub(crate) fn send(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer> {
        let mut connection = match self.connection.take() {
            Some((connection, used_at)) if used_at.elapsed() < SILENCE => connection,
            _ => self.runtime.block_on(Connection::open(&self.url, self.token.as_deref()))?,
        };
        let answer = self.runtime.block_on(connection.send(method, path, body));
        if answer.is_ok() {
            self.connection = Some((connection, Instant::now()));
        }
        answer
    }
}
