use axum::routing::get;
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, ProtocolVersion, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
    version,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsConnector, client};

use super::*;
use crate::tls::{Look, TlsFiles};

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

/// An encrypted server in a folder with its certificate.
struct Encrypted {
    folder: tempfile::TempDir,
    tls: Tls,
    door: Door,
    listener: TcpListener,
    stop: watch::Sender<bool>,
    tasks: spawn::Tasks,
}

impl Encrypted {
    async fn start() -> Encrypted {
        let folder = tempfile::tempdir().unwrap();
        write_pair(folder.path());
        let files = TlsFiles { certificate: folder.path().join("c.pem"), key: folder.path().join("k.pem") };
        let tls = Tls::load(files).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stop = watch::channel(false).0;
        Encrypted { door: Door::new(&tls), folder, tls, listener, stop, tasks: spawn::Tasks::default() }
    }

    /// A connection that the server has taken.
    async fn connect(&mut self) -> TcpStream {
        let client = TcpStream::connect(self.listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = self.listener.accept().await.unwrap();
        let router = Router::new().route("/", get(|| async { "hello" }));
        self.tasks.add(encrypted(stream, peer, self.door.clone(), router, self.stop.subscribe()));
        client
    }

    /// Greets as a client that trusts the certificate that is in the folder at the moment.
    async fn greet(
        &mut self,
        versions: &[&'static rustls::SupportedProtocolVersion],
        alpn: &[&str],
    ) -> io::Result<client::TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.folder.path().join("c.pem")).unwrap()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = self.connect().await;
        TlsConnector::from(Arc::new(config))
            .connect(ServerName::try_from("fleet.example").unwrap(), stream)
            .await
    }

    async fn check_serves(&mut self) {
        let mut stream = self.greet(rustls::ALL_VERSIONS, &["http/1.1"]).await.unwrap();
        let asked = b"GET / HTTP/1.1\r\nhost: fleet.example\r\nconnection: close\r\n\r\n";
        stream.write_all(asked).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
    }
}

fn write_pair(folder: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["fleet.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(folder.join("c.pem"), certificate.pem()).unwrap();
    let draft = folder.join("draft");
    std::fs::write(&draft, key.serialize_pem()).unwrap();
    std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::rename(draft, folder.join("k.pem")).unwrap();
}

#[tokio::test]
async fn both_versions_of_tls_are_spoken_and_http_1_is_agreed() {
    let mut server = Encrypted::start().await;
    for (version, expected) in
        [(&version::TLS12, ProtocolVersion::TLSv1_2), (&version::TLS13, ProtocolVersion::TLSv1_3)]
    {
        let stream = server.greet(&[version], &["h2", "http/1.1"]).await.unwrap();
        let (_, session) = stream.get_ref();
        assert_eq!(session.protocol_version(), Some(expected));
        assert_eq!(session.alpn_protocol(), Some(&b"http/1.1"[..]));
    }
    assert!(server.greet(rustls::ALL_VERSIONS, &["h2"]).await.is_err(), "what is not spoken is not agreed");
    server.check_serves().await;
}

#[tokio::test]
async fn a_failed_handshake_harms_nobody_else() {
    let mut server = Encrypted::start().await;
    let mut plain = server.connect().await;
    plain.write_all(b"GET / HTTP/1.1\r\nhost: fleet.example\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _reset_or_closed = plain.read_to_end(&mut answer).await;
    assert!(!String::from_utf8_lossy(&answer).contains("hello"));
    drop(server.connect().await);
    let silent = server.connect().await;
    server.check_serves().await;
    drop(silent);
}

#[tokio::test]
async fn a_handshake_that_never_begins_ends_with_the_server() {
    let mut server = Encrypted::start().await;
    let silent = server.connect().await;
    server.stop.send(true).unwrap();
    assert_eq!(server.tasks.finish(Duration::from_secs(5)).await, 0);
    drop(silent);
}

#[tokio::test]
async fn handshakes_wait_for_a_turn() {
    let mut server = Encrypted::start().await;
    let turns = server.door.turns.clone();
    let taken = turns.clone().acquire_many_owned(u32::try_from(MAX_HANDSHAKES).unwrap()).await.unwrap();
    let waiting = server.greet(rustls::ALL_VERSIONS, &[]);
    tokio::pin!(waiting);
    assert!(timeout(Duration::from_millis(100), waiting.as_mut()).await.is_err());
    drop(taken);
    waiting.await.unwrap();
    let all = turns.acquire_many(u32::try_from(MAX_HANDSHAKES).unwrap());
    assert!(timeout(Duration::from_secs(5), all).await.is_ok(), "each turn is given back");
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_the_next_who_connects() {
    let mut server = Encrypted::start().await;
    server.check_serves().await;
    write_pair(server.folder.path());
    assert!(
        server.greet(rustls::ALL_VERSIONS, &[]).await.is_err(),
        "the old one is shown until the files are looked at"
    );
    assert!(matches!(server.tls.look(), Look::Same));
    assert!(matches!(server.tls.look(), Look::Reloaded));
    server.check_serves().await;
}
