use std::time::Duration;

use domain::{
    Actor, Ctx,
    budget::{Account, Answer, Ask, LEASE, Lane, TRAVEL, Terms},
    id::{IntegrationId, TenantId},
    integration::{ConnectionState, Integration, IntegrationSettings},
};

use super::*;
use crate::{Store, db::Text, integration::SecretChanges, new_id, on_both_engines, people::InstallationKind};

const NOON: Time = Time(1_800_000_000_000);
const TERMS: Terms =
    Terms { window_s: 60, reads: 100, writes: None, slow_from_percent: 90, share_percent: 50 };

fn ctx(tenant: i64) -> Ctx {
    Ctx { tenant: TenantId(tenant), actor: Actor::system(), request_id: String::new(), now: NOON }
}

fn asks(people: u32, background: u32) -> Ask {
    Ask { lane: Lane::Reads, people, background }
}

async fn install(store: &Store) {
    store.installation(InstallationKind::Serve).await.unwrap();
    let second = Text::Composed("INSERT INTO tenants (id, name, created_at) VALUES (2, 'two', 0)".to_owned());
    store.db.write(second, args![]).await.unwrap();
}

async fn integration(store: &Store, ctx: &Ctx) -> IntegrationId {
    let new = Integration {
        id: new_id(ctx.now),
        provider: "any".to_owned(),
        name: "One".to_owned(),
        instance_url: "https://rmm.example.com/".to_owned(),
        auth_mode: "key".to_owned(),
        is_active: true,
        state: ConnectionState::New,
        problem: None,
        settings: IntegrationSettings::default(),
        last_check: None,
        last_check_at: None,
        account: None,
        token_expires_at: None,
        last_organization_sync_at: None,
        last_device_sync_at: None,
        last_presence_at: None,
        last_detail_at: None,
        version: 0,
        created_at: ctx.now,
        updated_at: ctx.now,
        connected_at: None,
        disconnected_at: None,
    };
    store.tenant(ctx).integrations().create(&new, &SecretChanges::default()).await.unwrap();
    new.id
}

async fn lease(store: &Store, ctx: &Ctx, id: IntegrationId, moment: Moment, ask: Ask) -> u32 {
    let answer =
        store.tenant(ctx).budgets().change(id, moment, |account, now| account.lease(&TERMS, now, &ask)).await;
    match answer.unwrap() {
        Answer::Granted(grant) => grant.people + grant.background,
        Answer::Full { .. } => 0,
        Answer::Paused { problem, .. } => panic!("{problem}"),
    }
}

on_both_engines! {
    async fn account_is_of_one_tenant_and_one_integration(test) {
        let store = &test.store;
        install(store).await;
        let (mine, other) = (integration(store, &ctx(1)).await, integration(store, &ctx(1)).await);
        let foreign = integration(store, &ctx(2)).await;
        for (tenant, id) in [(1, mine), (1, other), (2, foreign)] {
            assert_eq!(lease(store, &ctx(tenant), id, Moment::At(NOON), asks(500, 0)).await, 50);
            assert_eq!(lease(store, &ctx(tenant), id, Moment::At(NOON), asks(1, 0)).await, 0);
        }
        let count = async |tenant: i64| store.tenant(&ctx(tenant)).budgets().list().await.unwrap().len();
        assert_eq!((count(1).await, count(2).await), (2, 1));
        assert_eq!(store.tenant(&ctx(2)).budgets().find(mine).await.unwrap(), None);
        let none = store.tenant(&ctx(2)).budgets().change(mine, Moment::At(NOON), |_, _| ()).await;
        assert!(none.is_err(), "there is no such integration of that tenant");
        let account = store.tenant(&ctx(1)).budgets().find(mine).await.unwrap().unwrap();
        assert_eq!(account.view(&TERMS, NOON).reads.ours, 50);
    }

    async fn two_nodes_that_ask_at_once_share_what_there_is(test) {
        let other = Store::open(&test.location, &test.root_key).await.unwrap();
        install(&test.store).await;
        let ctx = ctx(1);
        let id = integration(&test.store, &ctx).await;
        let nodes = [&test.store, &other];
        let leases = (0..40).map(|n| lease(nodes[n % 2], &ctx, id, Moment::OfDatabase, asks(1, 1)));
        let given: u32 = futures::future::join_all(leases).await.into_iter().sum();
        assert_eq!(given, 50);
        other.close().await;
    }

    async fn no_window_of_the_rmm_sees_more_than_the_share_of_three_nodes(test) {
        let (store, ctx) = (&test.store, ctx(1));
        install(store).await;
        let id = integration(store, &ctx).await;
        let mut arrived: Vec<Time> = Vec::new();
        let latest = LEASE + TRAVEL - Duration::from_millis(1);
        // Each node uses all it gets: the first at once, the second in the middle, the third as late as it may.
        for second in 0..200 {
            for (node, late) in [Duration::ZERO, LEASE / 2, latest].into_iter().enumerate() {
                let now = NOON + Duration::from_millis(second * 1_000 + 150 * node as u64);
                let ask = if node == 1 { asks(2, 3) } else { asks(0, 4) };
                let given = lease(store, &ctx, id, Moment::At(now), ask).await;
                arrived.extend((0..given).map(|_| now + late));
            }
        }
        arrived.sort();
        let most = arrived
            .iter()
            .map(|end| arrived.iter().filter(|at| **at <= *end && **at > *end - Duration::from_secs(60)).count())
            .max();
        assert!(most.is_some_and(|most| most <= 50), "{most:?}");
        assert!(arrived.len() >= 50 * 3 * 9 / 10, "{} in 200 seconds", arrived.len());
    }

    async fn pause_is_for_all_nodes_and_survives_them(test) {
        let ctx = ctx(1);
        install(&test.store).await;
        let id = integration(&test.store, &ctx).await;
        let wait = Duration::from_secs(300);
        let pause = |account: &mut Account, now| account.pause(&TERMS, now, wait, "shut out");
        test.store.tenant(&ctx).budgets().change(id, Moment::OfDatabase, pause).await.unwrap();
        let other = Store::open(&test.location, &test.root_key).await.unwrap();
        let ask = |account: &mut Account, now| account.lease(&TERMS, now, &asks(1, 0));
        let told = other.tenant(&ctx).budgets().change(id, Moment::OfDatabase, ask).await.unwrap();
        let Answer::Paused { wait, problem } = told else { panic!("{told:?}") };
        assert!(problem == "shut out" && wait > Duration::from_secs(280) && wait <= Duration::from_secs(300));
        other.close().await;
    }

    async fn one_node_signs_in_at_a_time(test) {
        let (store, ctx) = (&test.store, ctx(1));
        install(store).await;
        let id = integration(store, &ctx).await;
        let tenant = store.tenant(&ctx);
        let minute = Duration::from_secs(60);
        assert!(tenant.integrations().claim_sign_in(id, "a", minute).await.unwrap());
        assert!(!tenant.integrations().claim_sign_in(id, "b", minute).await.unwrap());
        tenant.integrations().release_sign_in(id, "b").await.unwrap();
        assert!(!tenant.integrations().claim_sign_in(id, "b", minute).await.unwrap(), "it was not theirs");
        tenant.integrations().release_sign_in(id, "a").await.unwrap();
        assert!(tenant.integrations().claim_sign_in(id, "b", Duration::ZERO).await.unwrap());
        assert!(tenant.integrations().claim_sign_in(id, "c", minute).await.unwrap(), "that one had ended");
        let version = tenant.integrations().get(id).await.unwrap().version;
        let token = secrecy::SecretString::from("t");
        tenant.integrations().put_token(id, version, "token", &token, None).await.unwrap();
        let stale = tenant.integrations().put_token(id, version - 1, "token", &token, None).await;
        assert!(matches!(stale, Err(StoreError::Stale)));
    }
}
