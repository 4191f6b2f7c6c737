//! Every answer that is not the wanted one has its own code, wherever it comes from.

use futures::StreamExt;
use provider::{Connection, Dictionary, ErrorKind, Inventory, ProviderError};

use super::{
    connection,
    fake::{Fake, Reply},
    recorded_body, with_secret,
};
use crate::tacticalrmm::{API_KEY, KNOX, TacticalRmm};

async fn clients_error(connection: &Connection) -> ProviderError {
    TacticalRmm.organizations(connection).await.expect_err("must fail")
}

#[track_caller]
fn assert_code(error: &ProviderError, kind: ErrorKind, code: &str) {
    assert_eq!((error.kind, error.problem.code.as_str()), (kind, code));
    assert_eq!(error.problem.endpoint.as_deref(), Some("GET /clients/"), "{code}");
    assert!(!error.problem.fix.is_empty(), "{code}");
    let everything = format!("{error:?} {error}");
    assert!(!everything.contains("CANARY"), "{everything}");
}

async fn check(reply: Reply, kind: ErrorKind, code: &str) -> ProviderError {
    let fake = Fake::start(&[("GET /clients/", reply)]);
    let error = clients_error(&connection(&fake.url)).await;
    assert_code(&error, kind, code);
    error
}

#[tokio::test]
async fn recorded_refusals_are_kept_apart() {
    let unauthorized = ErrorKind::Unauthorized;
    check(Reply::recorded("auth-apikey-invalid"), unauthorized, "key_wrong").await;
    check(Reply::recorded("auth-apikey-expired"), unauthorized, "key_expired").await;
    check(Reply::recorded("auth-apikey-inactive"), unauthorized, "user_inactive").await;
    check(Reply::recorded("auth-apikey-empty"), unauthorized, "credentials_missing").await;
    check(Reply::recorded("auth-wrong-host-header"), ErrorKind::NotAnApi, "wrong_host").await;
    check(Reply::recorded("error-unknown-path"), ErrorKind::NotAnApi, "unknown_path").await;
    check(Reply::recorded("error-method-not-allowed"), ErrorKind::Unavailable, "server_error").await;
    let missing =
        check(Reply::recorded("auth-apikey-no-permission"), ErrorKind::Forbidden, "right_missing").await;
    assert!(missing.problem.message.contains("`can_list_clients`"));
    let redirect =
        Reply::recorded("agents-no-trailing-slash-get").header("Location", "https://login.example.com/x?y=1");
    check(redirect, ErrorKind::NotAnApi, "redirected").await;
}

#[tokio::test]
async fn strange_answers_are_kept_apart() {
    check(Reply::html(200), ErrorKind::NotAnApi, "dashboard_host").await;
    check(Reply::new(200, "text/plain", "[]"), ErrorKind::NotAnApi, "answer_not_json").await;
    check(Reply::json("{}"), ErrorKind::Malformed, "answer_shape").await;
    check(Reply::json("[{\"id\": \"one\"}]"), ErrorKind::Malformed, "answer_shape").await;
    check(Reply::json("<html>"), ErrorKind::Malformed, "answer_shape").await;
    check(Reply::json(""), ErrorKind::Malformed, "answer_cut").await;
    check(Reply::json("[{\"id\": 1, \"name\": \"Con"), ErrorKind::Malformed, "answer_cut").await;
    check(Reply::json("[{\"id\": 1").cut(), ErrorKind::Malformed, "answer_cut").await;
    check(Reply::new(401, "text/plain", "no"), ErrorKind::NotAnApi, "login_in_front").await;
    check(Reply::html(403), ErrorKind::NotAnApi, "blocked_in_front").await;
    check(Reply::new(418, "application/json", "{}"), ErrorKind::Rejected, "refused").await;
    check(Reply::html(302).header("Location", "https://sso.example.com/"), ErrorKind::NotAnApi, "redirected")
        .await;
    let page = "<title>400</title>The plain HTTP request was sent to HTTPS port";
    check(Reply::new(400, "text/html", page), ErrorKind::Unavailable, "http_on_tls_port").await;
    let text = "Client sent an HTTP request to an HTTPS server.\n";
    check(Reply::new(400, "text/plain", text), ErrorKind::Unavailable, "http_on_tls_port").await;
}

#[tokio::test]
async fn redirect_names_the_host_and_nothing_else_of_the_target() {
    let reply = Reply::html(302).header("Location", "https://sso.example.com/secret-path?token=abc");
    let error = check(reply, ErrorKind::NotAnApi, "redirected").await;
    assert!(error.problem.message.contains("`sso.example.com`"));
    assert!(!error.problem.message.contains("secret-path"));
}

#[tokio::test]
async fn passing_trouble_is_tried_three_times_and_then_told() {
    let fake = Fake::start(&[("GET /clients/", Reply::html(502))]);
    assert_code(&clients_error(&connection(&fake.url)).await, ErrorKind::Unavailable, "gateway_error");
    assert_eq!(fake.lines().len(), 3);
    let busy =
        Reply::new(429, "application/json", "{\"detail\": \"Slow down.\"}").header("Retry-After", "3600");
    let error = check(busy, ErrorKind::RateLimited, "rate_limited").await;
    assert_eq!(error.problem.wait_s, Some(3600));
}

#[tokio::test]
async fn ended_token_is_not_called_a_wrong_key() {
    let fake = Fake::start(&[("GET /clients/", Reply::recorded("auth-token-invalid"))]);
    let mut connection = connection(&fake.url);
    connection.auth_mode = KNOX.to_owned();
    assert_eq!(clients_error(&connection).await.problem.code, "not_signed_in");
    connection.token = Some("0000".to_owned().into());
    assert_code(&clients_error(&connection).await, ErrorKind::Unauthorized, "token_lapsed");
    assert_eq!(fake.asked()[0].headers["authorization"], "Token 0000");
}

#[tokio::test]
async fn missing_and_unusable_keys_are_not_sent() {
    let fake = Fake::start(&[("GET /clients/", Reply::recorded("clients-list"))]);
    let unset = with_secret(connection(&fake.url), API_KEY, " ");
    assert_eq!(clients_error(&unset).await.problem.code, "key_not_set");
    let broken = with_secret(connection(&fake.url), API_KEY, "ab\ncd");
    assert_eq!(clients_error(&broken).await.problem.code, "key_unusable");
    assert_eq!(fake.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn plain_http_is_refused_unless_allowed() {
    let fake = Fake::start(&[("GET /clients/", Reply::recorded("clients-list"))]);
    let mut connection = connection(&fake.url);
    connection.settings.allow_plain_http = false;
    assert_code(&clients_error(&connection).await, ErrorKind::Denied, "plain_http");
    assert_eq!(fake.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn cut_list_saves_nothing() {
    let whole = recorded_body("agents-list");
    for end in [whole.len() / 3, whole.len() - 1] {
        let fake = Fake::start(&[("GET /agents/?client=1", Reply::json(whole.as_bytes()[..end].to_vec()))]);
        let connection = connection(&fake.url);
        let dictionary = Dictionary::default();
        let mut pages = TacticalRmm.devices(&connection, "1", &dictionary, 5);
        let first = pages.next().await.unwrap();
        assert_eq!(first.unwrap_err().problem.code, "answer_cut");
        assert!(pages.next().await.is_none());
    }
}
