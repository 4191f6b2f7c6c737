//! Tokens, rights and the single key (§3).

use std::time::Duration;

use simulator::datto_rmm::Config;

use crate::client::send;
use crate::datto::{Datto, form_of};

/// §3: Basic with the public client, the password grant, right key and secret; each wrong in its own way.
#[tokio::test]
async fn the_token_endpoint_wants_the_public_client_the_grant_and_the_pair() {
    let sim = Datto::of(30).await;
    let accounts = sim.server.accounts();
    let form =
        [("grant_type", "password"), ("username", &accounts.api_key), ("password", &accounts.api_secret)];
    let right = sim.ask_token(&form).await;
    assert_eq!((right.status, right.json()["expires_in"].as_i64()), (200, Some(360_000)), "100 hours");
    let request = sim.request("POST", "/auth/oauth/token").basic_auth("someone", Some("else"));
    let wrong_client = send(form_of(request, &form)).await.unwrap();
    assert_eq!((wrong_client.status, wrong_client.json()["error"].as_str()), (401, Some("unauthorized")));
    let checks: [(&[(&str, &str)], &str); 4] = [
        (&[("grant_type", "client_credentials")], "unsupported_grant_type"),
        (&[], "invalid_request"),
        (&[("grant_type", "password"), ("username", &accounts.api_key), ("password", "no")], "invalid_grant"),
        (
            &[("grant_type", "password"), ("username", "no"), ("password", &accounts.api_secret)],
            "invalid_grant",
        ),
    ];
    for (form, error) in checks {
        let got = sim.ask_token(form).await;
        assert_eq!((got.status, got.json()["error"].as_str()), (400, Some(error)));
    }
    assert_eq!(sim.server.control().counts().tokens_issued, 2, "the one of the start, and one more");
}

/// §3: values that are not percent-encoded arrive as others.
#[tokio::test]
async fn a_secret_that_is_not_encoded_is_wrong() {
    let sim = Datto::of(30).await;
    let accounts = sim.server.accounts();
    assert!(accounts.api_secret.contains('+'));
    let body = format!("grant_type=password&username={}&password={}", accounts.api_key, accounts.api_secret);
    let request = sim
        .request("POST", "/auth/oauth/token")
        .basic_auth("public-client", Some("public"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body);
    assert_eq!(send(request).await.unwrap().json()["error"], "invalid_grant");
}

/// §3: after the lifetime 401; several tokens are valid at once; §14: a revoked one is 401.
#[tokio::test]
async fn tokens_end_by_time_and_by_revocation() {
    let mut sim = Datto::start(Config { token_life: Duration::from_secs(600), ..Config::sized(30) }).await;
    let accounts = sim.server.accounts().clone();
    let control = sim.server.control();
    let first = sim.token.clone();
    sim.sign_in(&accounts.api_key, &accounts.api_secret).await;
    let second = std::mem::replace(&mut sim.token, first);
    assert_eq!(control.valid_tokens(), 2);
    assert_eq!(sim.get("/v2/account").await.status, 200);
    control.advance(599);
    assert_eq!(sim.get("/v2/account").await.status, 200);
    control.advance(1);
    let expired = sim.get("/v2/account").await;
    assert_eq!(
        (expired.status, expired.json()["error_description"].as_str()),
        (401, Some("Access token expired"))
    );
    sim.token = second;
    assert_eq!(sim.get("/v2/account").await.status, 401, "made at the same time, ended at the same time");
    sim.sign_in(&accounts.api_key, &accounts.api_secret).await;
    assert_eq!(sim.get("/v2/account").await.status, 200);
    control.revoke_tokens();
    assert_eq!(sim.get("/v2/account").await.status, 401);
}

/// §3: 403 on one endpoint and 200 on others is normal; activity logs need the administrator's level.
#[tokio::test]
async fn rights_are_refused_one_by_one() {
    let mut sim = Datto::of(60).await;
    let accounts = sim.server.accounts().clone();
    let paths = [
        "/v2/account",
        "/v2/account/devices",
        "/v2/account/alerts/open",
        "/v2/account/components",
        "/v2/activity-logs",
    ];
    for (key, secret, expected) in [
        (&accounts.api_key, &accounts.api_secret, [200, 200, 200, 200, 200]),
        (&accounts.technician_key, &accounts.technician_secret, [200, 200, 200, 200, 403]),
        (&accounts.inventory_key, &accounts.inventory_secret, [200, 200, 403, 403, 403]),
    ] {
        sim.sign_in(key, secret).await;
        let mut statuses = Vec::new();
        for path in paths {
            statuses.push(sim.get(path).await.status);
        }
        assert_eq!(statuses, expected);
    }
    sim.server.control().set_right("inventory", "devices", false).unwrap();
    assert_eq!(sim.get("/v2/account/devices").await.status, 403);
}

/// §3: the security level decides which sites are seen.
#[tokio::test]
async fn a_user_of_one_site_sees_no_other() {
    let mut sim = Datto::of(300).await;
    let accounts = sim.server.accounts().clone();
    let all = sim.walk("/v2/account/devices", "devices").await.len();
    sim.sign_in(&accounts.one_site_key, &accounts.one_site_secret).await;
    let sites = sim.walk("/v2/account/sites", "sites").await;
    assert_eq!(sites.len(), 1);
    let devices = sim.walk("/v2/account/devices", "devices").await;
    assert!(!devices.is_empty() && devices.len() < all);
    assert!(devices.iter().all(|device| device["siteUid"] == sites[0]["uid"]));
    let foreign = sim.server.control().devices(Some(2))[0]["uid"].as_str().unwrap().to_owned();
    assert_eq!(sim.get(&format!("/v2/device/{foreign}")).await.status, 404);
}

/// §1 and §3: one key in the header `x-au-api-key`, at a root that the admin gives.
#[tokio::test]
async fn the_single_key_works_at_its_root() {
    let sim = Datto::start(Config { header_root: "/legacy/rmm".to_owned(), ..Config::sized(30) }).await;
    let key = &sim.server.accounts().header_key;
    for path in ["/legacy/rmm/account", "/legacy/rmm/v2/account/sites", "/api/v2/account"] {
        assert_eq!(
            send(sim.request("GET", path).header("x-au-api-key", key)).await.unwrap().status,
            200,
            "{path}"
        );
        assert_eq!(send(sim.request("GET", path).header("x-au-api-key", "no")).await.unwrap().status, 401);
    }
    let without = send(sim.request("GET", "/legacy/rmm/account")).await.unwrap();
    assert_eq!(without.status, 404, "the root is for that key only");
}

/// §3: only the status of the system needs no token; §12: an unknown path is the framework's 404.
#[tokio::test]
async fn everything_else_wants_a_token_and_unknown_paths_say_so() {
    let sim = Datto::of(30).await;
    assert_eq!(send(sim.request("GET", "/api/v2/system/status")).await.unwrap().status, 200);
    assert_eq!(send(sim.request("GET", "/api/v2/system/pagination")).await.unwrap().status, 401);
    let unknown = sim.get("/v2/sites/all").await;
    assert_eq!(
        (unknown.status, unknown.json()["errorMessage"].as_str()),
        (404, Some("No static resource api/v2/sites/all."))
    );
    // §6: creation is PUT; the other way round is the commonest mistake.
    assert_eq!(sim.write("POST", "/v2/site", &serde_json::json!({ "name": "x" })).await.unwrap().status, 405);
}

/// §3: a new pair comes in the body, and the old one is dead.
#[tokio::test]
async fn keys_can_be_reset_by_their_owner() {
    let mut sim = Datto::of(30).await;
    let got = sim.write("POST", "/v2/user/resetApiKeys", &serde_json::Value::Null).await.unwrap().json();
    assert_eq!(sim.get("/v2/account").await.status, 401);
    let text = |name: &str| got[name].as_str().unwrap().to_owned();
    sim.sign_in(&text("apiAccessKey"), &text("apiSecretKey")).await;
    assert_eq!(sim.get("/v2/account").await.status, 200);
}

/// §2: each platform is a server of its own, where a key of another one is unknown.
#[tokio::test]
async fn a_key_of_another_platform_is_unknown() {
    let (here, there) = (Datto::of(30).await, Datto::of(30).await);
    let accounts = there.server.accounts();
    let form =
        [("grant_type", "password"), ("username", &accounts.api_key), ("password", &accounts.api_secret)];
    assert_eq!(here.ask_token(&form).await.json()["error"], "invalid_grant");
    assert_eq!(there.ask_token(&form).await.status, 200);
    let strange = here.request("GET", "/api/v2/account").bearer_auth(&there.token);
    assert_eq!(send(strange).await.unwrap().status, 401, "and so is its token");
}
