//! Every answer that is not the wanted one has its own code, and the budget hears of those that concern it.

use std::{sync::Arc, time::Duration};

use domain::asset::AssetType;
use provider::{Connection, ErrorKind, Inventory, ProviderError};

use super::{Book, Ledger, connection, device, reply};
use crate::{
    datto_rmm::{API_KEY, API_ROOT, DattoRmm, KEY_HEADER},
    fake::{Fake, Reply},
};

const SITES: &str = "GET /api/v2/account/sites?page=0&max=250";

async fn sites_error(connection: &Connection) -> ProviderError {
    let error = DattoRmm.organizations(connection).await.expect_err("must fail");
    let everything = format!("{error:?} {error}");
    assert!(!everything.contains("CANARY"), "{everything}");
    error
}

#[track_caller]
fn assert_code(error: &ProviderError, kind: ErrorKind, code: &str) {
    assert_eq!((error.kind, error.problem.code.as_str()), (kind, code));
    assert_eq!(error.problem.endpoint.as_deref(), Some("GET /account/sites"), "{code}");
    assert!(!error.problem.fix.is_empty(), "{code}");
}

/// The error, and what the budget was told.
async fn failed(reply: Reply, book: Book) -> (ProviderError, Book) {
    let fake = Fake::start(&[(SITES, reply)]);
    let ledger = Ledger::of(book);
    let connection = Connection { budget: ledger.clone(), ..connection(&fake.url) };
    let error = sites_error(&connection).await;
    assert_eq!(ledger.book().taken as usize, fake.lines().len(), "each try is counted");
    (error, ledger.book())
}

async fn check(reply: Reply, kind: ErrorKind, code: &str) {
    let (error, book) = failed(reply, Book::default()).await;
    assert_code(&error, kind, code);
    assert_eq!(book.pauses, Vec::new(), "{code}");
}

#[tokio::test]
async fn refusals_are_kept_apart() {
    check(reply("token-ended"), ErrorKind::Unauthorized, "token_lapsed").await;
    check(reply("right-missing"), ErrorKind::Forbidden, "right_missing").await;
    check(Reply::new(403, "text/plain", ""), ErrorKind::Forbidden, "right_missing").await;
    check(reply("unknown-route"), ErrorKind::NotAnApi, "unknown_route").await;
    check(Reply::html(404), ErrorKind::NotAnApi, "unknown_route").await;
    check(reply("device-unknown"), ErrorKind::NotFound, "not_found").await;
    check(reply("wrong-class"), ErrorKind::Rejected, "bad_request").await;
    check(Reply::new(409, "application/json", "{}"), ErrorKind::Rejected, "conflict").await;
    check(Reply::new(418, "application/json", "{}"), ErrorKind::Rejected, "refused").await;
    check(
        Reply::new(500, "application/json", "{\"error\":\"CANARY\"}"),
        ErrorKind::Unavailable,
        "server_error",
    )
    .await;
}

#[tokio::test]
async fn strange_answers_are_kept_apart() {
    check(Reply::html(200), ErrorKind::NotAnApi, "answer_not_json").await;
    check(Reply::new(200, "text/plain", "[]"), ErrorKind::NotAnApi, "answer_not_json").await;
    check(Reply::json("[]"), ErrorKind::Malformed, "answer_shape").await;
    check(Reply::json("{}"), ErrorKind::Malformed, "answer_shape").await;
    check(Reply::json("{\"pageDetails\": {}}"), ErrorKind::Malformed, "answer_shape").await;
    check(Reply::json("{\"sites\": []}"), ErrorKind::Malformed, "answer_shape").await;
    check(Reply::json("{\"pageDetails\": {}, \"sites\": null}"), ErrorKind::Malformed, "answer_shape").await;
    check(
        Reply::json("{\"pageDetails\": {}, \"sites\": [{\"uid\": 7}]}"),
        ErrorKind::Malformed,
        "answer_shape",
    )
    .await;
    check(Reply::json("{\"pageDetails\": {}, \"sites\": [{}]}"), ErrorKind::Malformed, "answer_shape").await;
    check(Reply::json(""), ErrorKind::Malformed, "answer_cut").await;
    check(Reply::json("{\"pageDetails\": {\"totalC"), ErrorKind::Malformed, "answer_cut").await;
    let redirect = Reply::html(302).header("Location", "https://sso.example.com/CANARY?token=CANARY");
    check(redirect, ErrorKind::NotAnApi, "redirected").await;
}

#[tokio::test]
async fn passing_trouble_is_tried_three_times_and_counted_each_time() {
    let (error, book) = failed(Reply::html(504), Book::default()).await;
    assert_code(&error, ErrorKind::Unavailable, "gateway_error");
    assert_eq!(book.taken, 3);
    let cut = Reply::json("{\"pageDetails\": {}").cut();
    let (error, book) = failed(cut, Book::default()).await;
    assert_code(&error, ErrorKind::Malformed, "answer_cut");
    assert_eq!(book.taken, 3);
    let fake = Fake::start(&[(SITES, Reply::html(502)), (SITES, reply("sites"))]);
    assert_eq!(DattoRmm.organizations(&connection(&fake.url)).await.unwrap().len(), 3);
}

#[tokio::test]
async fn too_many_requests_stop_everybody_and_are_not_repeated() {
    let (error, book) = failed(reply("too-many"), Book::default()).await;
    assert_code(&error, ErrorKind::RateLimited, "rate_limited");
    assert_eq!(error.problem.wait_s, Some(17));
    assert_eq!((book.taken, book.pauses), (1, vec![(Duration::from_secs(17), "rate_limited".to_owned())]));
    for (header, wait_s) in [(None, 60), (Some("0"), 1), (Some("soon"), 60), (Some("999999"), 3_600)] {
        let mut busy = Reply::new(429, "application/json", "{}");
        if let Some(value) = header {
            busy = busy.header("Retry-After", value);
        }
        let (error, book) = failed(busy, Book::default()).await;
        assert_eq!(error.problem.wait_s, Some(wait_s), "{header:?}");
        assert_eq!(book.pauses.len(), 1);
    }
}

#[tokio::test]
async fn forbidden_that_is_a_block_stops_everything_for_five_minutes() {
    let plain = || Reply::new(403, "application/json", "{\"errorMessage\": \"Access is denied\"}");
    let words = "{\"message\": \"Your IP address was temporarily Blocked\"}";
    let after = |ago_s| Book { refused_ago: Some(Duration::from_secs(ago_s)), ..Book::default() };
    for (reply, book, wait_s) in [
        (reply("shut-out"), Book::default(), 300),
        (Reply::new(403, "text/plain", "Request denied by firewall"), Book::default(), 300),
        (Reply::new(403, "application/json", words), Book::default(), 300),
        (plain().header("Retry-After", "20"), Book::default(), 300),
        (plain().header("Retry-After", "900"), Book::default(), 900),
        (plain(), after(299), 300),
    ] {
        let (error, book) = failed(reply, book).await;
        assert_code(&error, ErrorKind::RateLimited, "blocked");
        assert_eq!(error.problem.wait_s, Some(wait_s));
        assert_eq!(book.pauses, [(Duration::from_secs(wait_s), "blocked".to_owned())]);
        assert_eq!(book.taken, 1);
    }
    let (error, book) = failed(plain(), after(301)).await;
    assert_code(&error, ErrorKind::Forbidden, "right_missing");
    assert_eq!(book.pauses, Vec::new());
}

#[tokio::test]
async fn shut_budget_sends_nothing() {
    struct Shut;
    #[async_trait::async_trait]
    impl provider::Budget for Shut {
        async fn take(&self, _: provider::RequestKind) -> provider::Result<()> {
            Err(crate::datto_rmm::sentences::blocked(Duration::from_secs(120)))
        }
        async fn observed(&self, _: provider::RateStatus) {}
        async fn wants_status(&self) -> bool {
            true
        }
        async fn pause(&self, _: Duration, _: &provider::Problem) {}
    }
    let fake = Fake::start(&[(SITES, reply("sites"))]);
    let connection = Connection { budget: Arc::new(Shut), ..connection(&fake.url) };
    let error = sites_error(&connection).await;
    assert_eq!((error.kind, error.problem.wait_s), (ErrorKind::RateLimited, Some(120)));
    assert_eq!(fake.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn counters_are_asked_for_when_the_budget_wants_them() {
    for (name, reads, writes) in
        [("request-rate", (18, 600), Some((2, 600))), ("request-rate-older", (571, 600), None)]
    {
        let fake = Fake::start(&[(SITES, reply("sites")), ("GET /api/v2/system/request_rate", reply(name))]);
        let ledger = Ledger::of(Book { wants_status: true, ..Book::default() });
        let connection = Connection { budget: ledger.clone(), ..connection(&fake.url) };
        DattoRmm.organizations(&connection).await.unwrap();
        let book = ledger.book();
        let status = book.observed[0];
        assert_eq!((status.reads.used, status.reads.limit), reads);
        assert_eq!(status.writes.map(|writes| (writes.used, writes.limit)), writes);
        assert_eq!((status.window, status.slow_from_percent), (Duration::from_secs(60), Some(90)));
        assert_eq!((book.observed.len(), book.taken), (1, 2), "asking for counters counts");
    }
    // What is no status of theirs is none, and the list is read all the same.
    let fake =
        Fake::start(&[(SITES, reply("sites")), ("GET /api/v2/system/request_rate", Reply::json("{}"))]);
    let ledger = Ledger::of(Book { wants_status: true, ..Book::default() });
    let connection = Connection { budget: ledger.clone(), ..connection(&fake.url) };
    DattoRmm.organizations(&connection).await.unwrap();
    assert_eq!(ledger.book().observed, Vec::new());
}

#[tokio::test]
async fn credential_goes_in_the_header_of_its_mode() {
    let fake = Fake::start(&[("*", reply("sites"))]);
    let mut connection = connection(&fake.url);
    DattoRmm.organizations(&connection).await.unwrap();
    connection.auth_mode = KEY_HEADER.to_owned();
    DattoRmm.organizations(&connection).await.unwrap();
    connection.secrets.set(API_ROOT, " /rmm/v1/ ".to_owned().into());
    DattoRmm.organizations(&connection).await.unwrap();
    let asked = fake.asked();
    assert_eq!(asked[0].headers["authorization"], "Bearer CANARYTOKEN.1");
    assert!(!asked[0].headers.contains_key("x-au-api-key"));
    assert_eq!(asked[1].headers["x-au-api-key"], "CANARYKEY0CANARYKEY0");
    assert!(!asked[1].headers.contains_key("authorization"));
    assert_eq!(asked[1].line, SITES);
    assert_eq!(asked[2].line, "GET /rmm/v1/account/sites?page=0&max=250");
}

#[tokio::test]
async fn what_cannot_be_sent_is_not_sent() {
    let fake = Fake::start(&[("*", reply("sites"))]);
    let mut connection = connection(&fake.url);
    connection.settings.allow_plain_http = false;
    assert_code(&sites_error(&connection).await, ErrorKind::Denied, "plain_http");
    connection.settings.allow_plain_http = true;
    connection.token = Some("ab\ncd".to_owned().into());
    assert_eq!(sites_error(&connection).await.problem.code, "key_unusable");
    connection.token = None;
    assert_eq!(sites_error(&connection).await.problem.code, "not_signed_in");
    connection.auth_mode = KEY_HEADER.to_owned();
    for root in ["https://evil.example", "..", "api/../x", "api//v2", "a?b", "/."] {
        connection.secrets.set(API_ROOT, root.to_owned().into());
        assert_eq!(sites_error(&connection).await.problem.code, "root_unusable", "{root}");
    }
    connection.secrets.set(API_ROOT, String::new().into());
    connection.secrets.set(API_KEY, " ".to_owned().into());
    assert_eq!(sites_error(&connection).await.problem.code, "key_not_set");
    assert_eq!(fake.lines(), Vec::<String>::new());
}

/// An id comes from the server and goes into a path: it must not lead anywhere else.
#[tokio::test]
async fn id_of_a_device_cannot_change_the_route() {
    let fake = Fake::start(&[("*", reply("device-unknown"))]);
    let connection = connection(&fake.url);
    for id in ["..", ".", "", "..."] {
        let error = DattoRmm.detail(&connection, &device(id, AssetType::Server)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound, "{id}");
    }
    assert_eq!(fake.lines(), Vec::<String>::new());
    for id in ["../../user/resetApiKeys", "a/b?c#d", "a%2fb"] {
        DattoRmm.detail(&connection, &device(id, AssetType::Server)).await.unwrap_err();
    }
    for line in fake.lines() {
        assert_eq!(line.matches('/').count(), 5, "{line}");
        assert!(line.starts_with("GET /api/v2/audit/device/") && !line.contains('?'), "{line}");
    }
}

#[tokio::test]
async fn refused_key_in_the_header_is_not_called_an_ended_token() {
    let fake = Fake::start(&[("*", reply("token-ended"))]);
    let mut connection = connection(&fake.url);
    connection.auth_mode = KEY_HEADER.to_owned();
    assert_code(&sites_error(&connection).await, ErrorKind::Unauthorized, "key_refused");
}
