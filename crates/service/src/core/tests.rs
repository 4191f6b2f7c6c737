//! Tokens and addresses, with two servers over one database.

use std::sync::atomic::Ordering;

use domain::{
    Time,
    scope::ClientScope,
    sync::{RunKind, RunState, SyncRun},
};
use futures::future::join_all;
use secrecy::ExposeSecret;
use serde_json::json;
use store::{
    job::{Claim, Queue},
    on_both_engines,
    sync_run::LIST_JOB,
};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    Services,
    fake::{Pair, ctx, draft, in_hours, node},
    integration::Draft,
    job::{JobControl, Outcome},
};

fn at(now: Time) -> Ctx {
    ctx().at(now)
}

async fn open_on_both(pair: &Pair, now: Time) -> Vec<String> {
    let ctx = at(now);
    let opening = (0..10).map(|n| pair.nodes[n % 2].core.open_signed_in(&ctx, pair.id));
    let opened = join_all(opening).await;
    opened
        .into_iter()
        .map(|opened| opened.unwrap().connection.token.unwrap().expose_secret().to_owned())
        .collect()
}

async fn ask(node: &Services, pair: &Pair) -> Result<()> {
    node.core.call(&ctx(), pair.id, |opened| async move { pair.fake.ask(&opened.connection).await }).await
}

fn sign_ins(pair: &Pair) -> u32 {
    pair.fake.count(&pair.fake.sign_ins)
}

/// Asks for a run of organizations and works until it is over, as a runner does.
async fn run(pair: &Pair) -> SyncRun {
    let node = &pair.nodes[0];
    let run = node.sync.request(&ctx(), pair.id, RunKind::Organizations, false).await.unwrap();
    let queue: Arc<dyn Queue> = Arc::new(pair.test.store.clone());
    let handler = node.handlers().into_iter().find(|handler| handler.kind() == LIST_JOB).unwrap();
    let lease = Duration::from_secs(60);
    for _ in 0..10 {
        let claim = Claim { owner: "test", kinds: &[LIST_JOB], most: 1, lease };
        let Some(job) = queue.claim(&claim, in_hours(1)).await.unwrap().pop() else { break };
        let control = JobControl::new(Arc::clone(&queue), "test", job.id, lease, CancellationToken::new());
        match handler.run(&job, &control).await {
            Outcome::Done => queue.done("test", job.id).await.unwrap(),
            Outcome::Retry { error, .. } => queue.retry("test", job.id, crate::now(), &error).await.unwrap(),
            other => panic!("{other:?}"),
        };
    }
    node.sync.get(&ctx(), run.id).await.unwrap()
}

on_both_engines! {
    async fn token_is_renewed_before_it_ends_once_for_two_servers(test) {
        let pair = Pair::new(test, None).await;
        assert_eq!(open_on_both(&pair, in_hours(70)).await, vec!["token-0"; 10]);
        assert_eq!(sign_ins(&pair), 1, "thirty hours are left");
        let tokens = open_on_both(&pair, in_hours(80)).await;
        assert_eq!(sign_ins(&pair), 2);
        assert!(tokens.iter().any(|token| token == "token-1"), "{tokens:?}");
        assert!(tokens.iter().all(|token| token == "token-0" || token == "token-1"), "both are good");
        assert_eq!(open_on_both(&pair, in_hours(70)).await, vec!["token-1"; 10]);
        assert_eq!((sign_ins(&pair), pair.fake.count(&pair.fake.sign_outs)), (2, 0), "others may still use it");
    }

    async fn dead_token_is_replaced_once_for_two_servers(test) {
        let pair = Pair::new(test, None).await;
        for round in 2..5 {
            pair.fake.kill_tokens();
            let asked = join_all((0..10).map(|n| ask(&pair.nodes[n % 2], &pair))).await;
            assert!(asked.iter().all(std::result::Result::is_ok), "{asked:?}");
            assert_eq!(sign_ins(&pair), round);
        }
    }

    async fn token_that_has_ended_is_replaced_once_and_all_wait_for_the_new_one(test) {
        let pair = Pair::new(test, None).await;
        pair.fake.kill_tokens();
        pair.fake.token_life_s.store(300 * 3_600, Ordering::SeqCst);
        let tokens = open_on_both(&pair, in_hours(100)).await;
        assert_eq!((tokens, sign_ins(&pair)), (vec!["token-1".to_owned(); 10], 2));
    }

    async fn short_token_is_not_renewed_at_each_use(test) {
        let pair = Pair::new(test, None).await;
        pair.fake.token_life_s.store(400, Ordering::SeqCst);
        let change = Draft { fields: draft("key-2").fields, ..Draft::default() };
        pair.nodes[0].integrations.update(&ctx(), pair.id, change, None).await.unwrap();
        assert_eq!(sign_ins(&pair), 2);
        let soon = |seconds| crate::now() + Duration::from_secs(seconds);
        open_on_both(&pair, soon(200)).await;
        assert_eq!(sign_ins(&pair), 2, "half of its life is left");
        open_on_both(&pair, soon(350)).await;
        assert_eq!(sign_ins(&pair), 3);
    }

    async fn renewal_that_fails_harms_nothing_while_the_old_token_is_good(test) {
        let pair = Pair::new(test, None).await;
        *pair.fake.sign_in_refusal.lock().unwrap() = Some(ErrorKind::Unavailable);
        assert_eq!(open_on_both(&pair, in_hours(80)).await, vec!["token-0"; 10]);
        let late = pair.nodes[0].core.open_signed_in(&at(in_hours(101)), pair.id).await;
        assert!(matches!(late, Err(ServiceError::Provider(error)) if error.kind == ErrorKind::Unavailable));
        *pair.fake.sign_in_refusal.lock().unwrap() = None;
        pair.fake.token_life_s.store(300 * 3_600, Ordering::SeqCst);
        let healed = open_on_both(&pair, in_hours(101)).await;
        assert!(healed.iter().all(|token| *token == healed[0] && token != "token-0"), "{healed:?}");
    }

    async fn call_that_is_refused_is_made_once_more_and_not_again(test) {
        let pair = Pair::new(test, None).await;
        *pair.fake.refusal.lock().unwrap() = Some(ErrorKind::Unauthorized);
        let refused = ask(&pair.nodes[0], &pair).await.unwrap_err();
        assert_eq!(refused.problem().unwrap().code, "fake_refusal");
        assert_eq!((pair.fake.count(&pair.fake.requests), sign_ins(&pair)), (2, 2));
        let view = pair.nodes[0].integrations.get(&ctx(), pair.id).await.unwrap();
        assert_eq!(view.integration.state, ConnectionState::Refused);
        *pair.fake.refusal.lock().unwrap() = Some(ErrorKind::NotFound);
        assert!(ask(&pair.nodes[0], &pair).await.is_err());
        assert_eq!((pair.fake.count(&pair.fake.requests), sign_ins(&pair)), (3, 2), "of one device, not of the token");
        let header = Draft { auth_mode: Some("header".to_owned()), fields: draft("key-1").fields, ..Draft::default() };
        pair.nodes[0].integrations.update(&ctx(), pair.id, header, None).await.unwrap();
        *pair.fake.refusal.lock().unwrap() = Some(ErrorKind::Unauthorized);
        assert!(ask(&pair.nodes[0], &pair).await.is_err());
        assert_eq!((pair.fake.count(&pair.fake.requests), sign_ins(&pair)), (4, 2), "a key is not renewed");
    }

    async fn call_works_for_somebody_who_sees_some_clients_only(test) {
        let pair = Pair::new(test, None).await;
        let mut limited = ctx();
        limited.actor.clients = ClientScope::only([]);
        assert!(pair.nodes[0].integrations.get(&limited, pair.id).await.is_err());
        let fake = pair.fake;
        let work = |opened: Arc<Opened>| async move { fake.ask(&opened.connection).await };
        pair.fake.kill_tokens();
        pair.nodes[0].core.call(&limited, pair.id, work).await.unwrap();
        assert_eq!(sign_ins(&pair), 2);
        let page = domain::page::PageRequest { limit: 50, cursor: None };
        let entries = pair.nodes[0].audit.list(&ctx(), &Default::default(), &page).await.unwrap().items;
        let count = entries.iter().filter(|entry| entry.act == "integration.sign_in").count();
        assert_eq!(count, 1, "that of who connected it: {entries:?}");
    }

    async fn run_gets_one_new_token_and_fails_with_the_reason_if_that_is_refused_too(test) {
        let pair = Pair::new(test, None).await;
        pair.fake.kill_tokens();
        let healed = run(&pair).await;
        assert_eq!((healed.state, sign_ins(&pair)), (RunState::Succeeded, 2));
        *pair.fake.refusal.lock().unwrap() = Some(ErrorKind::Unauthorized);
        let before = pair.fake.count(&pair.fake.requests);
        let failed = run(&pair).await;
        assert_eq!((failed.state, sign_ins(&pair)), (RunState::Failed, 3));
        assert!(failed.problem.unwrap().contains("fake_refusal"));
        assert_eq!(pair.fake.count(&pair.fake.requests) - before, 2);
    }

    async fn token_of_credentials_that_changed_meanwhile_is_not_kept(test) {
        let pair = Pair::new(test, None).await;
        let core = &pair.nodes[0].core;
        let opened = core.open(&ctx(), pair.id).await.unwrap();
        pair.fake.kill_tokens();
        let header = Draft { auth_mode: Some("header".to_owned()), fields: draft("key-2").fields, ..Draft::default() };
        let (context, held) = (ctx(), pair.fake.gate.lock().await);
        let change = async {
            while sign_ins(&pair) < 2 {
                tokio::task::yield_now().await;
            }
            pair.nodes[1].integrations.update(&context, pair.id, header, None).await.unwrap();
            drop(held);
        };
        let (signed_in, ()) = futures::join!(core.sign_in(&context, opened, None), change);
        assert!(matches!(signed_in, Err(ServiceError::Conflict { code: "stale", .. })));
        assert!(core.open(&ctx(), pair.id).await.unwrap().connection.token.is_none());
    }

    async fn address_that_is_not_allowed_any_more_gets_nothing(test) {
        let pair = Pair::new(test, None).await;
        let wide = node(&pair.test.store, pair.fake, &["rmm.test"]);
        let elsewhere = Draft { url: Some("https://rmm.test/".to_owned()), ..draft("key-2") };
        let refused = pair.nodes[0].integrations.create(&ctx(), Draft { url: elsewhere.url.clone(), ..draft("key-2") }).await;
        assert!(matches!(refused, Err(ServiceError::Invalid { code: "url_unusable", .. })));
        let id = wide.integrations.create(&ctx(), elsewhere).await.unwrap().integration.id;
        let before = pair.fake.count(&pair.fake.requests);
        let narrow = &pair.nodes[0].integrations;
        let opened = pair.nodes[0].core.open_signed_in(&ctx(), id).await.map(drop).unwrap_err();
        let tested = narrow.test(&ctx(), id, Draft::default()).await.map(drop).unwrap_err();
        for error in [opened, tested] {
            let problem = error.problem().unwrap();
            assert_eq!(problem.code, "address_not_allowed");
            assert!(problem.message.contains("rmm.test") && problem.fix.contains("outbound.rmm_hosts"), "{problem:?}");
        }
        assert_eq!(pair.fake.count(&pair.fake.requests), before);
        // It can be renamed, moved and disconnected.
        let named = Draft { name: Some("Elsewhere".to_owned()), ..Draft::default() };
        assert_eq!(narrow.update(&ctx(), id, named, None).await.unwrap().integration.name, "Elsewhere");
        let back = Draft { provider: None, settings: None, ..draft("key-3") };
        narrow.update(&ctx(), id, back, None).await.unwrap();
        pair.nodes[0].core.open_signed_in(&ctx(), id).await.map(drop).unwrap();
        narrow.disconnect(&ctx(), id).await.unwrap();
    }

    async fn accounts_at_one_address_are_told_apart_by_the_field_that_names_them(test) {
        let pair = Pair::new(test, None).await;
        let integrations = &pair.nodes[0].integrations;
        let code = |refused: Result<crate::integration::IntegrationView>| match refused {
            Err(ServiceError::Conflict { code, message }) => {
                assert!(!message.contains("key-"), "{message}");
                code
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(code(integrations.create(&ctx(), draft("key-1")).await), "already_connected");
        let second = integrations.create(&ctx(), draft("key-2")).await.unwrap().integration.id;
        let key = |key: &str| Draft { fields: draft(key).fields, ..Draft::default() };
        assert_eq!(code(integrations.update(&ctx(), second, key("key-1"), None).await), "already_connected");
        integrations.update(&ctx(), second, key("key-2"), None).await.unwrap();
        integrations.disconnect(&ctx(), second).await.unwrap();
        let again = |key: &str| Draft { provider: None, ..draft(key) };
        assert_eq!(code(integrations.reconnect(&ctx(), second, again("key-1")).await), "already_connected");
        integrations.reconnect(&ctx(), second, again("key-3")).await.unwrap();
    }

    async fn custom_field_that_is_shown_is_told_in_the_audit_log_by_its_key(test) {
        let pair = Pair::new(test, None).await;
        let integrations = &pair.nodes[0].integrations;
        let set = |fields| Draft { settings: Some(json!({ "custom_fields": fields })), ..Draft::default() };
        integrations.update(&ctx(), pair.id, set(json!({ "udf3": { "shown": true, "name": "Tag" } })), None).await.unwrap();
        integrations.update(&ctx(), pair.id, set(json!({ "udf3": { "shown": false } })), None).await.unwrap();
        let page = domain::page::PageRequest { limit: 50, cursor: None };
        let entries = pair.nodes[0].audit.list(&ctx(), &Default::default(), &page).await.unwrap().items;
        let text = format!("{entries:?}");
        assert!(text.contains("fields_shown") && text.contains("fields_hidden") && text.contains("udf3"), "{text}");
        let mut without = ctx();
        without.actor.permissions = [domain::auth::Permission::IntegrationsRead].into_iter().collect();
        let refused = integrations.update(&without, pair.id, set(json!({ "udf4": { "shown": true } })), None).await;
        assert!(matches!(refused, Err(ServiceError::Forbidden(domain::auth::Permission::SystemSettings))));
    }
}
