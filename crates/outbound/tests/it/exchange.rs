//! Limits, broken answers, redirects and repetition.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use outbound::{
    HttpClient, HttpErrorKind, Method, Request, RetryPolicy, Sent, StatusCode, Url, header, send_with_retries,
};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::support::{
    Act, NoNames, Script, Seen, Silent, answer, error_of, local_client, options, plain_server, rules,
};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\ncontent-length: 2\r\n\r\n{}";
const BUSY: &str = "HTTP/1.1 503 Busy\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n";

const QUICK: RetryPolicy = RetryPolicy {
    tries: 3,
    base_delay: Duration::from_millis(2),
    max_delay: Duration::from_millis(5),
    max_retry_after: Duration::from_secs(2),
};

/// Nothing listens there.
async fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

fn get(addr: SocketAddr) -> Request {
    Request::get(Url::parse(&format!("http://{addr}/")).unwrap())
}

async fn body_error(request: Request) -> HttpErrorKind {
    let response = local_client().send(request).await.unwrap();
    response.bytes().await.unwrap_err().kind
}

#[tokio::test]
async fn answer_is_read_with_its_head() {
    let server = plain_server(vec![answer(OK)]).await;
    let client = local_client();
    let mut request = Request::json(Method::POST, server.url("/a?b=c"), &["x"]).unwrap();
    request = request.secret_header(header::AUTHORIZATION, "Token 123").unwrap();
    assert!(!format!("{request:?}").contains("123"));
    let response = client.send(request).await.unwrap();
    assert_eq!(response.status, StatusCode::OK);
    assert!(response.is_json() && !response.is_html());
    assert_eq!(
        response.date().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs(),
        784_111_777
    );
    assert_eq!(response.bytes().await.unwrap(), "{}");
    let sent = server.requests()[0].to_ascii_lowercase();
    assert!(sent.starts_with("post /a?b=c http/1.1\r\n"), "{sent}");
    for line in ["authorization: token 123", "user-agent: fleetgate/", "content-type: application/json"] {
        assert!(sent.contains(line), "{line} in {sent}");
    }
    assert!(!sent.contains("referer") && !sent.contains("cookie"), "{sent}");
}

#[tokio::test]
async fn refused_connection_was_never_sent() {
    let error = error_of(&local_client(), get(closed_port().await)).await;
    assert_eq!((&error.kind, error.sent), (&HttpErrorKind::Refused, Sent::No), "{error:?}");
    assert!(error.kind.is_transient());
}

#[tokio::test]
async fn unknown_name_is_named() {
    let mut options = options();
    options.resolver_override = Some(Arc::new(NoNames));
    let client = HttpClient::new(rules(&[]), options).unwrap();
    let error = error_of(&client, Request::get(Url::parse("https://rmm.test/?key=secret").unwrap())).await;
    assert_eq!((&error.kind, error.sent), (&HttpErrorKind::Dns { host: "rmm.test".into() }, Sent::No));
    assert_eq!(error.to_string(), "`rmm.test` could not be resolved");
    assert!(!format!("{error:?}").contains("secret"));
}

#[tokio::test]
async fn silent_resolver_runs_into_the_connect_timeout() {
    let mut options = options();
    options.resolver_override = Some(Arc::new(Silent));
    options.connect_timeout = Duration::from_millis(50);
    let client = HttpClient::new(rules(&[]), options).unwrap();
    let error = error_of(&client, Request::get(Url::parse("https://rmm.test/").unwrap())).await;
    assert_eq!((&error.kind, error.sent), (&HttpErrorKind::ConnectTimeout, Sent::No), "{error:?}");
}

#[tokio::test]
async fn full_backlog_runs_into_the_connect_timeout() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut held = Vec::new();
    let is_full = loop {
        match tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(addr)).await {
            Ok(stream) => held.push(stream.unwrap()),
            Err(_) => break true,
        }
        if held.len() > 64 {
            break false;
        }
    };
    assert!(is_full, "the kernel took more connections than the backlog");
    let mut options = options();
    options.connect_timeout = Duration::from_millis(100);
    let client = HttpClient::new(rules(&["127.0.0.1"]), options).unwrap();
    let error = error_of(&client, get(addr)).await;
    assert_eq!((&error.kind, error.sent), (&HttpErrorKind::ConnectTimeout, Sent::No), "{error:?}");
}

#[tokio::test]
async fn silence_before_the_head_is_a_read_timeout() {
    let server = plain_server(vec![Act::Stall(Vec::new())]).await;
    let mut options = options();
    options.connect_timeout = Duration::from_millis(50);
    let client = HttpClient::new(rules(&["127.0.0.1"]), options).unwrap();
    let mut request = Request::get(server.url("/"));
    request.read_timeout = Duration::from_millis(50);
    let error = error_of(&client, request).await;
    assert_eq!((&error.kind, error.sent), (&HttpErrorKind::ReadTimeout, Sent::Maybe));
}

#[tokio::test]
async fn no_byte_of_an_answer_is_silence_even_when_all_time_is_up() {
    let server = plain_server(vec![Act::Stall(Vec::new())]).await;
    let mut options = options();
    options.connect_timeout = Duration::from_millis(50);
    let client = HttpClient::new(rules(&["127.0.0.1"]), options).unwrap();
    let mut request = Request::get(server.url("/"));
    request.total_timeout = Duration::from_millis(80);
    assert_eq!(error_of(&client, request).await.kind, HttpErrorKind::ReadTimeout);
}

#[tokio::test]
async fn silence_in_the_body_is_a_read_timeout() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc".to_vec();
    let server = plain_server(vec![Act::Stall(head)]).await;
    let mut request = Request::get(server.url("/"));
    request.read_timeout = Duration::from_millis(50);
    assert_eq!(body_error(request).await, HttpErrorKind::ReadTimeout);
}

#[tokio::test]
async fn dripping_body_runs_into_the_total_timeout() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n".to_vec();
    let server = plain_server(vec![Act::Drip(head, Duration::from_millis(10))]).await;
    let mut request = Request::get(server.url("/"));
    request.total_timeout = Duration::from_millis(300);
    assert_eq!(body_error(request).await, HttpErrorKind::TotalTimeout);
}

#[tokio::test]
async fn announced_length_over_the_limit_is_refused_at_once() {
    let server =
        plain_server(vec![Act::Stall(b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n".to_vec())]).await;
    let mut request = Request::get(server.url("/"));
    request.max_body_bytes = 1000;
    assert_eq!(body_error(request).await, HttpErrorKind::BodyTooLarge { limit: 1000 });
}

#[tokio::test]
async fn body_of_exactly_the_limit_is_read() {
    let text = format!("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n{}", "x".repeat(100_000));
    let server = plain_server(vec![answer(&text)]).await;
    let mut request = Request::get(server.url("/"));
    request.max_body_bytes = 100_000;
    let response = local_client().send(request).await.unwrap();
    assert_eq!(response.bytes().await.unwrap().len(), 100_000);
}

#[tokio::test]
async fn unannounced_body_is_cut_off_at_the_limit() {
    let text = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", "x".repeat(5000));
    let server = plain_server(vec![answer(&text)]).await;
    let mut request = Request::get(server.url("/"));
    request.max_body_bytes = 1000;
    assert_eq!(body_error(request).await, HttpErrorKind::BodyTooLarge { limit: 1000 });
}

/// 256 KiB of zeros in a few hundred bytes of gzip, written out as stored by `gzip -9n`.
const ZEROS_GZ: &[u8] = include_bytes!("zeros-256k.gz");

fn gzip_answer(body: &[u8]) -> Act {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", body.len());
    Act::Answer([head.as_bytes(), body].concat())
}

#[tokio::test]
async fn compressed_body_is_unpacked() {
    let server = plain_server(vec![gzip_answer(ZEROS_GZ)]).await;
    let response = local_client().send(Request::get(server.url("/"))).await.unwrap();
    assert_eq!(response.bytes().await.unwrap(), vec![0u8; 256 * 1024]);
    assert!(server.requests()[0].to_ascii_lowercase().contains("accept-encoding: gzip"));
}

#[tokio::test]
async fn zip_bomb_is_measured_after_unpacking() {
    let server = plain_server(vec![gzip_answer(ZEROS_GZ)]).await;
    let mut request = Request::get(server.url("/"));
    request.max_body_bytes = 10_000;
    assert_eq!(body_error(request).await, HttpErrorKind::BodyTooLarge { limit: 10_000 });
}

#[tokio::test]
async fn cut_bodies_are_noticed() {
    let cut_gzip = gzip_answer(&ZEROS_GZ[..ZEROS_GZ.len() / 2]);
    let acts = [
        answer("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"),
        answer("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n5\r\nab"),
        answer("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcde\r\nzz"),
        cut_gzip,
    ];
    for act in acts {
        let server = plain_server(vec![act]).await;
        assert_eq!(body_error(Request::get(server.url("/"))).await, HttpErrorKind::BodyCut);
    }
}

#[tokio::test]
async fn connection_closed_without_answer_may_have_been_sent() {
    let server = plain_server(vec![Act::Answer(Vec::new())]).await;
    let error = error_of(&local_client(), Request::new(Method::POST, server.url("/"))).await;
    assert_eq!((&error.kind, error.sent), (&HttpErrorKind::Reset, Sent::Maybe), "{error:?}");
    assert_eq!(server.requests().len(), 1, "what looks for TLS is no request");
}

#[tokio::test]
async fn redirect_is_an_answer_and_nothing_follows() {
    let elsewhere = plain_server(vec![answer(OK)]).await;
    let redirect =
        format!("HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", elsewhere.url("/x"));
    let server = plain_server(vec![answer(&redirect)]).await;
    let response = local_client().send(Request::get(server.url("/"))).await.unwrap();
    assert_eq!(response.status, StatusCode::FOUND);
    assert_eq!(response.location(), Some(elsewhere.url("/x").as_str()));
    assert_eq!((server.connections(), elsewhere.connections()), (1, 0));
}

#[tokio::test]
async fn read_is_tried_again_until_it_works() {
    let server = plain_server(vec![answer(BUSY), Act::Answer(Vec::new()), answer(OK)]).await;
    let response = send_with_retries(&local_client(), Request::get(server.url("/")), QUICK).await.unwrap();
    assert_eq!((response.status, server.connections()), (StatusCode::OK, 3));
}

#[tokio::test]
async fn last_answer_is_handed_back_when_tries_are_used_up() {
    let server = plain_server(vec![answer(BUSY)]).await;
    let response = send_with_retries(&local_client(), Request::get(server.url("/")), QUICK).await.unwrap();
    assert_eq!((response.status, server.connections()), (StatusCode::SERVICE_UNAVAILABLE, 3));
}

#[tokio::test]
async fn retry_after_is_obeyed() {
    let busy = "HTTP/1.1 429 Slow down\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";
    let server = plain_server(vec![answer(busy), answer(OK)]).await;
    let started = Instant::now();
    let response = send_with_retries(&local_client(), Request::get(server.url("/")), QUICK).await.unwrap();
    assert_eq!((response.status, server.connections()), (StatusCode::OK, 2));
    assert!(started.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn retry_after_beyond_the_cap_is_handed_back() {
    let busy = "HTTP/1.1 429 Slow down\r\nretry-after: 53\r\ncontent-length: 0\r\n\r\n";
    let server = plain_server(vec![answer(busy)]).await;
    let response = send_with_retries(&local_client(), Request::get(server.url("/")), QUICK).await.unwrap();
    assert_eq!((response.status, server.connections()), (StatusCode::TOO_MANY_REQUESTS, 1));
    assert_eq!(response.retry_after(), Some(Duration::from_secs(53)));
}

async fn tries(request: impl FnOnce(&Seen) -> Request, act: Act) -> usize {
    let server = plain_server(vec![act]).await;
    let _ = send_with_retries(&local_client(), request(&server), QUICK).await;
    server.requests().len()
}

#[tokio::test]
async fn writes_are_never_repeated() {
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        let request = |server: &Seen| Request::new(method.clone(), server.url("/"));
        assert_eq!(tries(request, answer(BUSY)).await, 1, "{method}");
        assert_eq!(tries(request, Act::Answer(Vec::new())).await, 1, "{method}");
    }
}

#[tokio::test]
async fn read_by_another_method_is_repeated_when_marked() {
    let request = |server: &Seen| Request::new(Method::PATCH, server.url("/")).repeatable();
    assert_eq!(tries(request, answer(BUSY)).await, 3);
}

#[tokio::test]
async fn answers_that_stand_are_not_asked_again() {
    for status in ["400 Bad Request", "401 Unauthorized", "404 Not Found", "500 Oops", "301 Moved"] {
        let text = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(tries(|server| Request::get(server.url("/")), answer(&text)).await, 1, "{status}");
    }
}

#[tokio::test]
async fn refused_address_is_not_tried_again() {
    let script = Script::new(&[&["10.0.0.1"]]);
    let mut options = options();
    options.resolver_override = Some(script.clone());
    let client = HttpClient::new(rules(&[]), options).unwrap();
    let request = Request::get(Url::parse("https://rmm.test/").unwrap());
    let error = send_with_retries(&client, request, QUICK).await.unwrap_err();
    assert!(matches!(error.kind, HttpErrorKind::Denied(_)), "{error:?}");
    assert_eq!(script.asked(), 1);
}

#[test]
fn error_can_cross_threads_and_become_io() {
    fn check<T: Send + Sync + 'static>() {}
    check::<outbound::HttpError>();
    check::<HttpClient>();
    check::<outbound::Response>();
    check::<io::Error>();
}
