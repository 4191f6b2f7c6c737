//! Loopback servers for the tests: raw TCP that answers with given bytes, TLS with given certificates.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outbound::{ClientOptions, EgressRules, HttpClient, HttpError, Lookup, LookupFuture, Request, Url};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

#[expect(clippy::disallowed_methods, reason = "the tests' servers end with the test's runtime")]
fn spawn(future: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(future);
}

/// A server on loopback and what it has seen.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) addr: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Seen {
    pub(crate) fn port(&self) -> u16 {
        self.addr.port()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://{}{path}", self.addr)).unwrap()
    }
}

/// What a server does after reading the head of a request.
#[derive(Clone)]
pub(crate) enum Act {
    /// Writes these bytes and closes.
    Answer(Vec<u8>),
    /// Writes these bytes and then stays silent.
    Stall(Vec<u8>),
    /// Writes these bytes every few milliseconds until the client goes.
    Drip(Vec<u8>, Duration),
    /// Writes these bytes before anything was asked, and closes at once or never.
    Greet(Vec<u8>, AfterGreeting),
    /// Closes a connection that begins with anything but TLS, without a word.
    OnlyTls,
}

/// What comes after a greeting.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterGreeting {
    Close,
    Wait,
}

pub(crate) fn answer(text: &str) -> Act {
    Act::Answer(text.as_bytes().to_vec())
}

/// A plain server; the n-th connection gets the n-th act, further ones the last.
pub(crate) async fn plain_server(acts: Vec<Act>) -> Seen {
    serve(acts, None).await
}

pub(crate) async fn tls_server(config: ServerConfig, acts: Vec<Act>) -> Seen {
    serve(acts, Some(TlsAcceptor::from(Arc::new(config)))).await
}

async fn serve(acts: Vec<Act>, tls: Option<TlsAcceptor>) -> Seen {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let seen =
        Seen { addr: listener.local_addr().unwrap(), connections: Arc::default(), requests: Arc::default() };
    let server = seen.clone();
    spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { return };
            let n = server.connections.fetch_add(1, Ordering::SeqCst);
            let act = acts[n.min(acts.len() - 1)].clone();
            spawn(connection(stream, tls.clone(), act, server.clone()));
        }
    });
    seen
}

async fn connection(mut stream: TcpStream, tls: Option<TlsAcceptor>, act: Act, seen: Seen) {
    if let Act::Greet(bytes, after) = &act {
        let _ = stream.write_all(bytes).await;
        if *after == AfterGreeting::Wait {
            std::future::pending::<()>().await;
        }
        return;
    }
    let mut first = [0u8];
    if matches!(act, Act::OnlyTls) && (stream.peek(&mut first).await.is_err() || first != [0x16]) {
        return;
    }
    match tls {
        Some(acceptor) => {
            if let Ok(stream) = acceptor.accept(stream).await {
                exchange(stream, act, seen).await;
            }
        }
        None => exchange(stream, act, seen).await,
    }
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, act: Act, seen: Seen) {
    let mut head = Vec::new();
    let mut buffer = [0u8; 4096];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(n) => head.extend_from_slice(&buffer[..n]),
        }
        // A TLS greeting where plain text is expected.
        if head[0] == 0x16 {
            break;
        }
    }
    if head[0] != 0x16 {
        seen.requests.lock().unwrap().push(String::from_utf8_lossy(&head).into_owned());
    }
    match act {
        Act::Greet(..) | Act::OnlyTls => {}
        Act::Answer(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Act::Stall(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.flush().await;
            std::future::pending::<()>().await;
        }
        Act::Drip(bytes, pause) => {
            let _ = stream.write_all(&bytes).await;
            loop {
                tokio::time::sleep(pause).await;
                if stream.write_all(b".").await.is_err() || stream.flush().await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Answers look-ups in turn, the last one for ever.
pub(crate) struct Script {
    turns: Vec<Vec<IpAddr>>,
    asked: AtomicUsize,
}

impl Script {
    pub(crate) fn new(turns: &[&[&str]]) -> Arc<Self> {
        let parse = |ips: &&[&str]| ips.iter().map(|ip| ip.parse().unwrap()).collect();
        Arc::new(Self { turns: turns.iter().map(parse).collect(), asked: AtomicUsize::new(0) })
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Lookup for Script {
    fn lookup(&self, _host: &str) -> LookupFuture {
        let n = self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = self.turns[n.min(self.turns.len() - 1)].clone();
        Box::pin(std::future::ready(Ok(answer)))
    }
}

/// No name resolves.
pub(crate) struct NoNames;

impl Lookup for NoNames {
    fn lookup(&self, _host: &str) -> LookupFuture {
        Box::pin(std::future::ready(Err(io::Error::other("no such host"))))
    }
}

/// Never answers.
pub(crate) struct Silent;

impl Lookup for Silent {
    fn lookup(&self, _host: &str) -> LookupFuture {
        Box::pin(std::future::pending())
    }
}

pub(crate) fn rules(lines: &[&str]) -> EgressRules {
    EgressRules::new(lines.iter().map(|line| line.parse().unwrap()).collect())
}

pub(crate) fn options() -> ClientOptions {
    ClientOptions { connect_timeout: Duration::from_secs(5), ..ClientOptions::default() }
}

/// May reach all of loopback.
pub(crate) fn local_client() -> HttpClient {
    HttpClient::new(rules(&["127.0.0.0/8"]), options()).unwrap()
}

pub(crate) async fn error_of(client: &HttpClient, request: Request) -> HttpError {
    match client.send(request).await {
        Ok(response) => panic!("answered {}", response.status),
        Err(error) => error,
    }
}

/// A private authority.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer }
    }

    pub(crate) fn pem(&self) -> Vec<u8> {
        self.issuer.pem().into_bytes()
    }

    /// A server certificate for `name`, valid in these years.
    pub(crate) fn server(&self, name: &str, from_year: i32, to_year: i32) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(from_year, 1, 1);
        params.not_after = date_time_ymd(to_year, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        server_config(&certificate, &key)
    }
}

/// A server that made its own certificate.
pub(crate) fn self_signed(name: &str, is_authority: bool) -> ServerConfig {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    if is_authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    server_config(&params.self_signed(&key).unwrap(), &key)
}

fn server_config(certificate: &Certificate, key: &KeyPair) -> ServerConfig {
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap()
}
