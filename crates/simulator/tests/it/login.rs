//! Logging in: codes, tokens and their life, and the throttle.

use serde_json::json;
use simulator::tacticalrmm::Server;

use crate::client::{Sim, send};

/// The one-time code of the TOTP account, so many seconds from now.
pub(crate) fn code(server: &Server, offset_s: i64) -> String {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let letters = server.accounts().totp_secret.chars().map(|letter| alphabet.find(letter).unwrap());
    let bits: Vec<u8> =
        letters.flat_map(|five| (0..5).rev().map(move |bit| (five >> bit & 1) as u8)).collect();
    let secret: Vec<u8> = bits.chunks(8).map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | bit)).collect();
    let secret: [u8; 20] = secret.try_into().unwrap();
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let totp = totp_rs::Builder::new().with_secret(secret).build_noncompliant();
    totp.generate(since_1970.checked_add_signed(offset_s).unwrap()).to_string()
}

/// A token of the TOTP account.
pub(crate) async fn token(sim: &Sim) -> String {
    let accounts = sim.server.accounts();
    let body = json!({
        "username": accounts.username, "password": accounts.password, "twofactor": code(&sim.server, 0),
    });
    let got = send(sim.request("POST", "/v2/login/").json(&body)).await.unwrap();
    assert_eq!(got.status, 200, "{}", got.text);
    got.json()["token"].as_str().unwrap().to_owned()
}

/// A token of the account without TOTP.
pub(crate) async fn plain_token(sim: &Sim) -> String {
    let accounts = sim.server.accounts();
    let body = json!({"username": accounts.plain_username, "password": accounts.plain_password});
    let got = send(sim.request("POST", "/v2/checkcreds/").json(&body)).await.unwrap();
    assert_eq!(got.status, 200, "{}", got.text);
    got.json()["token"].as_str().unwrap().to_owned()
}

async fn status_with(sim: &Sim, token: &str) -> u16 {
    let request = sim.request("GET", "/core/version/").header("Authorization", format!("Token {token}"));
    send(request).await.unwrap().status
}

#[tokio::test]
async fn a_token_that_is_used_lives_on_and_an_idle_one_lapses() {
    let sim = Sim::of(30).await;
    let control = sim.server.control();
    let token = token(&sim).await;
    for _ in 0..3 {
        control.advance(4 * 3600);
        assert_eq!(status_with(&sim, &token).await, 200);
    }
    control.advance(5 * 3600 + 1);
    assert_eq!(status_with(&sim, &token).await, 401);
}

#[tokio::test]
async fn a_short_token_slides_once_it_was_used() {
    let sim = Sim::of(30).await;
    let control = sim.server.control();
    let (used, idle) = (plain_token(&sim).await, plain_token(&sim).await);
    assert_eq!(status_with(&sim, &used).await, 200);
    control.advance(181);
    assert_eq!(status_with(&sim, &used).await, 200);
    assert_eq!(status_with(&sim, &idle).await, 401);
}

#[tokio::test]
async fn logging_out_everywhere_ends_all_tokens_of_the_user() {
    let sim = Sim::of(30).await;
    let (one, two, other) = (token(&sim).await, token(&sim).await, plain_token(&sim).await);
    let request = sim.request("POST", "/logoutall/").header("Authorization", format!("Token {one}"));
    assert_eq!(send(request).await.unwrap().status, 204);
    assert_eq!((status_with(&sim, &two).await, status_with(&sim, &other).await), (401, 200));
}

#[tokio::test]
async fn the_eleventh_login_within_a_minute_is_throttled_for_each_path_alone() {
    let sim = Sim::of(30).await;
    let body = json!({"username": "x", "password": "y", "twofactor": "000000"});
    let attempt = async |path: &str| send(sim.request("POST", path).json(&body)).await.unwrap();
    for _ in 0..10 {
        assert_eq!(attempt("/v2/login/").await.status, 400);
    }
    let throttled = attempt("/v2/login/").await;
    assert_eq!(throttled.status, 429);
    let seconds: u64 = throttled.header("retry-after").unwrap().parse().unwrap();
    assert!((50..=60).contains(&seconds), "{seconds}");
    assert_eq!(attempt("/v2/checkcreds/").await.status, 400);
    sim.server.control().advance(60);
    assert_eq!(attempt("/v2/login/").await.status, 400);
}

#[tokio::test]
async fn a_code_is_accepted_ten_steps_off_and_no_more() {
    let sim = Sim::of(30).await;
    let accounts = sim.server.accounts();
    for (offset, status) in [(-290, 200), (290, 200), (-345, 400), (345, 400)] {
        let code = code(&sim.server, offset);
        let body = json!({"username": accounts.username, "password": accounts.password, "twofactor": code});
        let got = send(sim.request("POST", "/v2/login/").json(&body)).await.unwrap();
        assert_eq!(got.status, status, "{offset}");
    }
}
