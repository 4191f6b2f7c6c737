//! The token: asked for as clients do, and every refusal told apart.

use provider::{Connection, ErrorKind, Provider, ProviderError};
use secrecy::{ExposeSecret, SecretString};

use super::{Book, Ledger, connection, reply};
use crate::{
    datto_rmm::{API_KEY, API_SECRET, DattoRmm, KEY_HEADER},
    fake::{Fake, Reply},
};

const TOKEN: &str = "POST /auth/oauth/token";

async fn error(connection: &Connection) -> ProviderError {
    let error = DattoRmm.sign_in(connection, None).await.expect_err("must fail");
    let everything = format!("{error:?} {error}");
    assert!(!everything.contains("CANARY") && !everything.contains("Bad credentials"), "{everything}");
    error
}

async fn refusal(reply: Reply) -> (ErrorKind, String) {
    let fake = Fake::start(&[(TOKEN, reply)]);
    let error = error(&connection(&fake.url)).await;
    assert_eq!(error.problem.endpoint.as_deref(), Some(TOKEN));
    assert_eq!(fake.lines().len(), 1, "a sign-in is never tried twice");
    (error.kind, error.problem.code)
}

#[tokio::test]
async fn token_is_asked_for_by_password_grant_of_the_public_client() {
    let fake = Fake::start(&[(TOKEN, reply("token"))]);
    let connection = connection(&fake.url);
    let before = crate::clock::unix_seconds();
    let signed_in = DattoRmm.sign_in(&connection, None).await.unwrap();
    assert_eq!(signed_in.token.expose_secret(), "eyJhbGciOiJub25lIn0.e30.fixture");
    let lives_s = u64::try_from(signed_in.expires_at.unwrap().0 / 1_000).unwrap() - before;
    assert!((360_000..360_010).contains(&lives_s), "{lives_s}");
    let asked = &fake.asked()[0];
    assert_eq!(asked.headers["authorization"], "Basic cHVibGljLWNsaWVudDpwdWJsaWM=");
    assert_eq!(asked.headers["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(
        asked.body,
        "grant_type=password&username=CANARYKEY0CANARYKEY0&password=CANARY+secret%2Bwith%26signs%3D"
    );
}

#[tokio::test]
async fn token_requests_stay_out_of_the_budget() {
    let fake = Fake::start(&[(TOKEN, reply("token"))]);
    let ledger = Ledger::of(Book::default());
    let connection = Connection { budget: ledger.clone(), ..connection(&fake.url) };
    DattoRmm.sign_in(&connection, None).await.unwrap();
    assert_eq!(ledger.book().taken, 0);
}

#[tokio::test]
async fn each_refusal_has_its_own_sentence() {
    let refused = || (ErrorKind::Unauthorized, "login_refused".to_owned());
    assert_eq!(refusal(reply("token-refused")).await, refused());
    assert_eq!(refusal(Reply::new(401, "application/json", "{}")).await, refused());
    assert_eq!(refusal(reply("token-page")).await, (ErrorKind::Unavailable, "sign_in_page".to_owned()));
    assert_eq!(refusal(Reply::html(400)).await, (ErrorKind::Unavailable, "sign_in_page".to_owned()));
    assert_eq!(refusal(Reply::html(404)).await, (ErrorKind::NotAnApi, "sign_in_not_here".to_owned()));
    assert_eq!(refusal(Reply::html(503)).await, (ErrorKind::Unavailable, "gateway_error".to_owned()));
    assert_eq!(refusal(Reply::html(500)).await, (ErrorKind::Unavailable, "server_error".to_owned()));
    assert_eq!(refusal(Reply::json("{}")).await, (ErrorKind::Malformed, "answer_shape".to_owned()));
    let empty = Reply::json("{\"access_token\": \" \", \"expires_in\": 5}");
    assert_eq!(refusal(empty).await, (ErrorKind::Malformed, "answer_shape".to_owned()));
    let cut = Reply::json("{\"access_token\": \"CANARY");
    assert_eq!(refusal(cut).await, (ErrorKind::Malformed, "answer_cut".to_owned()));
    let elsewhere = Reply::html(302).header("Location", "https://login.example.com/CANARY");
    assert_eq!(refusal(elsewhere).await, (ErrorKind::NotAnApi, "redirected".to_owned()));
    let odd = Reply::new(418, "application/json", "{}");
    assert_eq!(refusal(odd).await, (ErrorKind::Rejected, "refused".to_owned()));
}

#[tokio::test]
async fn throttled_and_shut_out_sign_ins_say_how_long() {
    let fake = Fake::start(&[(TOKEN, Reply::new(429, "application/json", "{}").header("Retry-After", "7"))]);
    let throttled = error(&connection(&fake.url)).await;
    assert_eq!((throttled.problem.code.as_str(), throttled.problem.wait_s), ("login_throttled", Some(7)));
    let fake = Fake::start(&[(TOKEN, reply("shut-out"))]);
    let ledger = Ledger::of(Book::default());
    let connection = Connection { budget: ledger.clone(), ..connection(&fake.url) };
    let blocked = error(&connection).await;
    assert_eq!((blocked.kind, blocked.problem.wait_s), (ErrorKind::RateLimited, Some(300)));
    assert_eq!(ledger.book().pauses.len(), 1, "everything else stops as well");
}

#[tokio::test]
async fn token_without_an_end_is_taken_without_one() {
    let fake = Fake::start(&[(TOKEN, Reply::json("{\"access_token\": \"t\", \"token_type\": null}"))]);
    let signed_in = DattoRmm.sign_in(&connection(&fake.url), None).await.unwrap();
    assert_eq!(signed_in.expires_at, None);
}

#[tokio::test]
async fn nothing_is_sent_that_cannot_go_well() {
    let fake = Fake::start(&[(TOKEN, reply("token"))]);
    for name in [API_KEY, API_SECRET] {
        let mut connection = connection(&fake.url);
        connection.secrets.set(name, SecretString::from(" ".to_owned()));
        assert_eq!(error(&connection).await.problem.code, "login_incomplete");
    }
    let mut header = connection(&fake.url);
    header.auth_mode = KEY_HEADER.to_owned();
    assert_eq!(error(&header).await.problem.code, "no_sign_in");
    let mut plain = connection(&fake.url);
    plain.settings.allow_plain_http = false;
    assert_eq!(error(&plain).await.problem.code, "plain_http");
    assert_eq!(fake.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn signing_out_asks_nobody() {
    let fake = Fake::start(&[]);
    DattoRmm.sign_out(&connection(&fake.url)).await.unwrap();
    assert_eq!(fake.lines(), Vec::<String>::new());
}
