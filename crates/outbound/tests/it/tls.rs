//! Certificates, good and bad, and the two ways to mix up the schemes.

use std::time::Duration;

use outbound::{HttpClient, HttpErrorKind, Method, Request, Sent, Url};

use super::support::{
    Act, AfterGreeting, Authority, Script, answer, error_of, local_client, options, plain_server, rules,
    self_signed, tls_server,
};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn client_trusting(authority: &Authority) -> HttpClient {
    let mut options = options();
    options.extra_roots_pem = vec![authority.pem()];
    options.resolver_override = Some(Script::new(&[&["127.0.0.1"]]));
    HttpClient::new(rules(&["127.0.0.1/32"]), options).unwrap()
}

fn https(host: &str, port: u16) -> Request {
    Request::get(Url::parse(&format!("https://{host}:{port}/x?key=secret")).unwrap())
}

async fn check_refused(name: &str, years: (i32, i32), trusted: bool, expected: HttpErrorKind) {
    let authority = Authority::new("our authority");
    let other = Authority::new("another authority");
    let server = tls_server(authority.server(name, years.0, years.1), vec![answer(OK)]).await;
    let client = client_trusting(if trusted { &authority } else { &other });
    let error = error_of(&client, https("rmm.test", server.port())).await;
    assert_eq!((&error.kind, error.sent), (&expected, Sent::No), "{error:?}");
    assert!(!format!("{error:?}").contains("secret"));
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn private_authority_is_trusted_when_listed() {
    let authority = Authority::new("our authority");
    let server = tls_server(authority.server("rmm.test", 2020, 2100), vec![answer(OK)]).await;
    let client = client_trusting(&authority);
    let response = client.send(https("rmm.test", server.port())).await.unwrap();
    assert_eq!(response.bytes().await.unwrap(), "ok");
}

#[tokio::test]
async fn unknown_issuer_is_untrusted() {
    check_refused("rmm.test", (2020, 2100), false, HttpErrorKind::TlsUntrusted).await;
}

#[tokio::test]
async fn self_signed_certificates_are_untrusted() {
    for is_authority in [false, true] {
        let server = tls_server(self_signed("rmm.test", is_authority), vec![answer(OK)]).await;
        let client = client_trusting(&Authority::new("another authority"));
        let error = error_of(&client, https("rmm.test", server.port())).await;
        assert_eq!(error.kind, HttpErrorKind::TlsUntrusted, "{is_authority} {error:?}");
    }
}

#[tokio::test]
async fn authority_made_anew_under_its_old_name_is_untrusted() {
    let authority = Authority::new("our authority");
    let server = tls_server(authority.server("rmm.test", 2020, 2100), vec![answer(OK)]).await;
    let client = client_trusting(&Authority::new("our authority"));
    let error = error_of(&client, https("rmm.test", server.port())).await;
    assert_eq!(error.kind, HttpErrorKind::TlsUntrusted, "{error:?}");
}

#[tokio::test]
async fn expired_certificate_is_named_so() {
    check_refused("rmm.test", (2020, 2021), true, HttpErrorKind::TlsExpired).await;
}

#[tokio::test]
async fn certificate_of_the_future_is_named_so() {
    check_refused("rmm.test", (2090, 2100), true, HttpErrorKind::TlsNotYetValid).await;
}

#[tokio::test]
async fn certificate_for_another_name_shows_its_names() {
    let presented = vec!["other.test".to_owned()];
    check_refused("other.test", (2020, 2100), true, HttpErrorKind::TlsWrongName { presented }).await;
}

#[tokio::test]
async fn plain_http_to_a_tls_port_is_told() {
    let authority = Authority::new("our authority");
    let server = tls_server(authority.server("127.0.0.1", 2020, 2100), vec![answer(OK)]).await;
    let error = error_of(&local_client(), Request::get(server.url("/"))).await;
    assert_eq!(error.kind, HttpErrorKind::PlainHttpOnTls, "{error:?}");
}

#[tokio::test]
async fn other_protocol_is_not_http_nor_tls() {
    let server = plain_server(vec![answer("SSH-2.0-OpenSSH_9.6\r\n")]).await;
    let error = error_of(&local_client(), Request::get(server.url("/"))).await;
    assert_eq!(error.kind, HttpErrorKind::NotHttp, "{error:?}");
}

#[tokio::test]
async fn tls_port_that_closes_without_a_word_is_told() {
    let authority = Authority::new("our authority");
    let server = tls_server(authority.server("127.0.0.1", 2020, 2100), vec![Act::OnlyTls]).await;
    for method in [Method::GET, Method::POST] {
        let error = error_of(&local_client(), Request::new(method, server.url("/x?key=secret"))).await;
        assert_eq!(error.kind, HttpErrorKind::PlainHttpOnTls, "{error:?}");
    }
    assert_eq!(server.requests(), Vec::<String>::new(), "nothing but the greeting goes there");
}

#[tokio::test]
async fn who_speaks_first_does_not_speak_http() {
    for after in [AfterGreeting::Wait, AfterGreeting::Close] {
        let greeting = Act::Greet(b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), after);
        let server = plain_server(vec![greeting]).await;
        for _ in 0..10 {
            let error = error_of(&local_client(), Request::get(server.url("/"))).await;
            assert_eq!(error.kind, HttpErrorKind::NotHttp, "{error:?}");
            let error = error_of(&local_client(), https("127.0.0.1", server.port())).await;
            assert_eq!(error.kind, HttpErrorKind::TlsOnPlainHttp, "{error:?}");
        }
    }
}

#[tokio::test]
async fn who_closes_whatever_comes_is_not_taken_for_a_wrong_scheme() {
    let server = plain_server(vec![Act::Greet(Vec::new(), AfterGreeting::Close)]).await;
    for request in [Request::get(server.url("/")), https("127.0.0.1", server.port())] {
        let error = error_of(&local_client(), request).await;
        assert_eq!(error.kind, HttpErrorKind::Reset, "{error:?}");
    }
}

#[tokio::test]
async fn plain_port_that_closes_or_waits_when_greeted_with_tls_is_told() {
    for at_tls in [Act::Answer(Vec::new()), Act::Stall(Vec::new())] {
        let server = plain_server(vec![at_tls, answer(OK)]).await;
        let mut options = options();
        options.connect_timeout = Duration::from_millis(300);
        let client = HttpClient::new(rules(&["127.0.0.1/32"]), options).unwrap();
        let error = error_of(&client, https("127.0.0.1", server.port())).await;
        assert_eq!((&error.kind, error.sent), (&HttpErrorKind::TlsOnPlainHttp, Sent::No), "{error:?}");
        let asked = server.requests();
        assert!(asked.iter().all(|head| head.starts_with("HEAD / HTTP/1.1")), "{asked:?}");
    }
}

#[tokio::test]
async fn tls_port_that_answers_plain_http_with_400_is_not_called_plain() {
    let bad_request = answer("HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    let server = plain_server(vec![Act::Answer(Vec::new()), bad_request]).await;
    let error = error_of(&local_client(), https("127.0.0.1", server.port())).await;
    assert_eq!(error.kind, HttpErrorKind::Reset, "{error:?}");
}

#[tokio::test]
async fn https_to_a_plain_port_is_told() {
    let bad_request = answer("HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    let server = plain_server(vec![bad_request]).await;
    let error = error_of(&local_client(), https("127.0.0.1", server.port())).await;
    assert_eq!((&error.kind, error.sent), (&HttpErrorKind::TlsOnPlainHttp, Sent::No), "{error:?}");
}
