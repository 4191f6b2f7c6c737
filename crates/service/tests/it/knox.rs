//! Signing in with user and password, and what is said of credentials that do not work.

use domain::{
    Time,
    integration::ConnectionState,
    sync::{RunKind, RunState},
};
use service::{
    ServiceError,
    integration::{Draft, IntegrationView},
};
use simulator::{
    fleet::FleetSpec,
    tacticalrmm::{Config, Server},
};
use store::{on_both_engines, testing::TestStore};

use crate::world::{HOUR, World, draft, key_draft, lane, secret};

const USER: &str = "tacticalrmm_username";
const PASSWORD: &str = "tacticalrmm_password";
const TOTP: &str = "tacticalrmm_totp_secret";

async fn server() -> Server {
    let fleet = FleetSpec { seed: 1, agents: 20, clients: 2 };
    simulator::tacticalrmm::start(Config { fleet, time_scale: 0.01, ..Config::default() }).await.unwrap()
}

/// The one-time code of the account with a second factor.
fn code(server: &Server) -> String {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let letters = server.accounts().totp_secret.chars().map(|letter| alphabet.find(letter).unwrap());
    let bits: Vec<u8> =
        letters.flat_map(|five| (0..5).rev().map(move |bit| (five >> bit & 1) as u8)).collect();
    let key: Vec<u8> = bits.chunks(8).map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | bit)).collect();
    let key: [u8; 20] = key.try_into().unwrap();
    let totp = totp_rs::Builder::new().with_secret(key).build_noncompliant();
    totp.generate(u64::try_from(service::now().as_ms() / 1_000).unwrap()).to_string()
}

async fn signed_in(test: TestStore, has_secret: bool, with_code: bool) -> World {
    let server = server().await;
    let accounts = server.accounts().clone();
    let mut fields = vec![(USER, accounts.username.as_str()), (PASSWORD, accounts.password.as_str())];
    if has_secret {
        fields.push((TOTP, &accounts.totp_secret));
    }
    let mut draft = draft(&server, "knox", &fields);
    draft.code = with_code.then(|| secret(&code(&server)));
    let world = World::with(test, server, draft).await;
    if has_secret || with_code {
        world.run(RunKind::Organizations).await;
        world.map_all().await;
    }
    world
}

async fn view(world: &World) -> IntegrationView {
    world.services.integrations.get(&world.ctx(), world.id).await.unwrap()
}

async fn end(world: &World) -> Time {
    view(world).await.integration.token_expires_at.unwrap()
}

async fn state(world: &World) -> (ConnectionState, Option<String>) {
    let view = view(world).await;
    (view.integration.state, view.problem.map(|problem| problem.code))
}

on_both_engines! {
    async fn key_for_actions_goes_with_a_sign_in_by_password(test) {
        let world = signed_in(test, true, false).await;
        assert!(view(&world).await.warnings.iter().any(|warning| warning.code == "one_credential"));
        let key = ("action_tacticalrmm_api_key".to_owned(), secret(&world.server.accounts().api_key));
        let draft = Draft { fields: [key].into(), ..Draft::default() };
        world.services.integrations.update(&world.ctx(), world.id, draft, None).await.unwrap();
        let view = view(&world).await;
        assert!(view.warnings.iter().all(|warning| warning.code != "one_credential"));
        assert!(view.secrets.iter().any(|secret| secret.name == "action_tacticalrmm_api_key"));
        let unknown = ("action_tacticalrmm_password".to_owned(), secret("x"));
        let draft = Draft { fields: [unknown].into(), ..Draft::default() };
        let refused = world.services.integrations.update(&world.ctx(), world.id, draft, None).await.unwrap_err();
        assert!(matches!(refused, ServiceError::Invalid { code: "field_unknown", .. }), "{refused:?}");
    }

    async fn stored_totp_secret_signs_in_and_renews_a_dead_token_by_itself(test) {
        let world = signed_in(test, true, false).await;
        assert_eq!(state(&world).await, (ConnectionState::Connected, None));
        assert_eq!(view(&world).await.integration.account.as_ref(), Some(&world.server.accounts().username));
        assert_eq!(world.run(RunKind::Devices).await.counts.created, 20);
        assert_eq!(world.control().counts().tokens_issued, 1);
        world.control().expire_tokens();
        let run = world.run(RunKind::Presence).await;
        assert_eq!((run.state, run.counts.unchanged), (RunState::Succeeded, 20));
        assert_eq!(world.control().counts().tokens_issued, 2);
        assert_eq!(state(&world).await, (ConnectionState::Connected, None));
        let names: Vec<String> = view(&world).await.secrets.into_iter().map(|secret| secret.name).collect();
        assert_eq!(names, [PASSWORD, TOTP, USER], "the token is nobody's business");
    }

    async fn typed_code_signs_in_and_a_dead_token_asks_for_a_new_one(test) {
        let world = signed_in(test, false, true).await;
        assert_eq!(state(&world).await, (ConnectionState::Connected, None));
        assert_eq!(world.run(RunKind::Devices).await.counts.created, 20);
        world.control().expire_tokens();
        let run = world.run(RunKind::Devices).await;
        assert_eq!(run.state, RunState::Failed);
        assert!(run.problem.unwrap().contains("totp_needed"));
        assert_eq!(state(&world).await, (ConnectionState::NeedsCode, Some("totp_needed".to_owned())));
        let wrong = world.services.integrations.sign_in(&world.ctx(), world.id, Some(secret("12 34"))).await;
        assert_eq!(wrong.unwrap_err().problem().unwrap().code, "totp_malformed");
        let typed = Some(secret(&code(&world.server)));
        let healed = world.services.integrations.sign_in(&world.ctx(), world.id, typed).await.unwrap();
        assert_eq!((healed.integration.state, healed.problem), (ConnectionState::Connected, None));
        assert_eq!(world.run(RunKind::Devices).await.state, RunState::Succeeded);
    }

    async fn account_with_a_second_factor_and_no_code_is_saved_and_waits_for_one(test) {
        let world = signed_in(test, false, false).await;
        assert_eq!(state(&world).await, (ConnectionState::NeedsCode, Some("totp_needed".to_owned())));
        let offer = view(&world).await.problem.unwrap().offer;
        assert_eq!(offer, Some(service::provider_types::Offer::AskCode));
        let change = Draft { code: Some(secret(&code(&world.server))), ..Draft::default() };
        world.services.integrations.update(&world.ctx(), world.id, change, None).await.unwrap();
        assert_eq!(state(&world).await, (ConnectionState::Connected, None));
    }

    async fn account_without_a_second_factor_needs_nobody(test) {
        let server = server().await;
        let accounts = server.accounts().clone();
        let fields = [(USER, accounts.plain_username.as_str()), (PASSWORD, accounts.plain_password.as_str())];
        let draft = draft(&server, "knox", &fields);
        let world = World::with(test, server, draft).await;
        assert_eq!(state(&world).await, (ConnectionState::Connected, None));
        world.control().expire_tokens();
        assert_eq!(world.run(RunKind::Organizations).await.state, RunState::Succeeded);
        world.services.integrations.disconnect(&world.ctx(), world.id).await.unwrap();
        assert_eq!(world.control().counts().of("POST /logout/"), 2, "the dead one, and the last one");
    }

    async fn end_of_a_token_moves_with_its_use_and_is_never_shown_too_late(test) {
        let world = signed_in(test, true, false).await;
        let announced = end(&world).await;
        assert_eq!(announced.since(world.time()).as_secs() / HOUR, 4, "five hours, less a moment");
        world.pass(HOUR);
        world.run(RunKind::Presence).await;
        let moved = end(&world).await;
        assert!(moved > announced && moved.since(world.time()).as_secs() <= 5 * HOUR - 600);
        world.pass(120);
        world.run(RunKind::Presence).await;
        assert_eq!(end(&world).await, moved, "not written for two minutes");
        for _ in 0..3 {
            // Up to the last minute that is shown, long after the end that was announced.
            world.pass(end(&world).await.since(world.time()).as_secs() - 60);
            assert_eq!(world.run(RunKind::Presence).await.state, RunState::Succeeded);
        }
        assert!(world.time() > announced);
        assert_eq!(world.control().counts().tokens_issued, 1, "it lived all the time");
    }

    async fn token_announced_with_three_minutes_lives_for_hours_once_it_is_used(test) {
        let server = server().await;
        let accounts = server.accounts().clone();
        let fields = [(USER, accounts.plain_username.as_str()), (PASSWORD, accounts.plain_password.as_str())];
        let draft = draft(&server, "knox", &fields);
        let world = World::with(test, server, draft).await;
        assert!(end(&world).await.since(world.time()).as_secs() <= 180);
        world.run(RunKind::Organizations).await;
        assert_eq!(end(&world).await.since(world.time()).as_secs(), 5 * HOUR - 600);
        world.pass(4 * HOUR);
        assert_eq!(world.run(RunKind::Organizations).await.state, RunState::Succeeded);
        assert_eq!(world.control().counts().tokens_issued, 1);
        world.control().expire_tokens();
        let shown = end(&world).await;
        world.control().block_login(&accounts.plain_username, true).unwrap();
        world.pass(HOUR);
        assert_eq!(world.run(RunKind::Organizations).await.state, RunState::Failed);
        assert_eq!(end(&world).await, shown, "a use that was refused moves nothing");
    }

    async fn wrong_password_is_refused_and_throttling_tells_how_long_to_wait(test) {
        let server = server().await;
        let name = server.accounts().username.clone();
        let draft = draft(&server, "knox", &[(USER, &name), (PASSWORD, "wrong")]);
        let world = World::with(test, server, draft).await;
        assert_eq!(state(&world).await, (ConnectionState::Refused, Some("login_refused".to_owned())));
        let mut last = None;
        for _ in 0..10 {
            last = world.services.integrations.sign_in(&world.ctx(), world.id, None).await.err();
        }
        let Some(ServiceError::Provider(throttled)) = last else { panic!("{last:?}") };
        assert!(throttled.problem.wait_s.is_some_and(|wait| wait > 0 && wait <= 60), "{throttled:?}");
        assert_eq!(view(&world).await.problem.unwrap().wait_s, throttled.problem.wait_s);
        world.control().reset_throttle();
        let password = world.server.accounts().password.clone();
        let fields = [(PASSWORD.to_owned(), secret(&password))].into();
        let right = Draft { fields, code: Some(secret(&code(&world.server))), ..Draft::default() };
        world.services.integrations.update(&world.ctx(), world.id, right, None).await.unwrap();
        assert_eq!(state(&world).await, (ConnectionState::Connected, None));
    }

    async fn two_jobs_that_find_a_dead_token_make_one_new_one(test) {
        let world = signed_in(test, true, false).await;
        world.run(RunKind::Devices).await;
        world.control().expire_tokens();
        world.control().reset_counts();
        let ctx = world.ctx();
        for kind in [RunKind::Details, RunKind::Presence] {
            world.services.sync.request(&ctx, world.id, kind, false).await.unwrap();
        }
        tokio::join!(world.work(lane(RunKind::Details)), world.work(lane(RunKind::Presence)));
        assert_eq!(world.control().counts().tokens_issued, 1);
        let filter = service::sync::RunFilter { state: Some(RunState::Failed), ..Default::default() };
        let failed = world.services.sync.list(&ctx, filter, crate::world::ALL).await.unwrap();
        assert!(failed.items.is_empty(), "{failed:?}");
    }

    async fn sign_in_with_a_key_is_refused_with_the_reason(test) {
        let world = World::connected(test).await;
        let error = world.services.integrations.sign_in(&world.ctx(), world.id, None).await.unwrap_err();
        assert!(matches!(error, ServiceError::Conflict { code: "no_sign_in_needed", .. }));
    }

    async fn keys_that_do_not_work_have_a_state_and_a_sentence(test) {
        let server = server().await;
        let accounts = server.accounts().clone();
        let keys = [
            ("WRONGWRONGWRONG".to_owned(), ConnectionState::Refused, "key_wrong"),
            (accounts.expired_key.clone(), ConnectionState::Refused, "key_expired"),
            (accounts.inactive_key.clone(), ConnectionState::Refused, "user_inactive"),
            (accounts.norole_key.clone(), ConnectionState::Failing, "right_missing"),
        ];
        let draft = key_draft(&server, &accounts.api_key);
        let world = World::with(test, server, draft).await;
        for (key, expected, problem) in keys {
            let fields = [("tacticalrmm_api_key".to_owned(), secret(&key))].into();
            let change = Draft { fields, ..Draft::default() };
            world.services.integrations.update(&world.ctx(), world.id, change, None).await.unwrap();
            assert_eq!(state(&world).await, (ConnectionState::New, None));
            let run = world.run(RunKind::Organizations).await;
            assert_eq!(run.state, RunState::Failed);
            assert!(run.problem.unwrap().contains(problem));
            assert_eq!(state(&world).await, (expected, Some(problem.to_owned())));
            let said = view(&world).await.problem.unwrap();
            assert!(!said.message.is_empty() && !said.fix.is_empty());
        }
    }
}
