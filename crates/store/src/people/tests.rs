use std::time::Duration;

use domain::{
    Actor, Ctx, Time,
    auth::{Permission, Permissions, Role, TokenKind},
    id::TenantId,
};
use secrecy::{ExposeSecret, SecretString};

use super::{throttle::Admission, *};
use crate::{
    Store, StoreError,
    db::{Text, args},
    on_both_engines,
};

const NOON: Time = Time(1_800_000_000_000);
const HOUR: Duration = Duration::from_secs(3_600);

fn ctx(tenant: i64, now: Time) -> Ctx {
    Ctx { tenant: TenantId(tenant), actor: Actor::system(), request_id: String::new(), now }
}

fn ada(role: Role) -> NewUser<'static> {
    NewUser { email: "Ada@Example.com", name: "Ada", role, password_hash: "hash" }
}

/// An installation with tenants 1 and 2.
async fn install(store: &Store) {
    store.installation(InstallationKind::Serve).await.unwrap();
    let second = Text::Composed("INSERT INTO tenants (id, name, created_at) VALUES (2, 'two', 0)".to_owned());
    store.db.write(second, args![]).await.unwrap();
}

on_both_engines! {
    async fn demo_and_real_data_never_mix(test) {
        let store = test.store;
        let made = store.installation(InstallationKind::Demo).await.unwrap();
        assert_eq!(store.installation(InstallationKind::Demo).await.unwrap(), made);
        let refused = store.installation(InstallationKind::Serve).await.unwrap_err();
        assert!(matches!(refused, StoreError::OtherInstallation { found: "demo", wanted: "serve" }), "{refused}");
    }

    async fn set_up_needs_the_last_token_and_closes_for_good(test) {
        let store = test.store;
        store.installation(InstallationKind::Serve).await.unwrap();
        assert_eq!(store.setup_state().await.unwrap(), SetupState::Open);
        let nobody = store.complete_setup(&"".into(), &ada(Role::Admin), NOON).await.unwrap();
        assert_eq!(nobody, Setup::WrongToken, "before a token was made");
        let first = store.create_setup_token().await.unwrap().unwrap();
        let token = store.create_setup_token().await.unwrap().unwrap();
        assert!(!store.is_setup_token(&first).await.unwrap());
        assert_eq!(store.complete_setup(&first, &ada(Role::Admin), NOON).await.unwrap(), Setup::WrongToken);
        let Setup::Done(user) = store.complete_setup(&token, &ada(Role::ReadOnly), NOON).await.unwrap() else {
            panic!("the token fits");
        };
        assert_eq!(user.role, Role::Admin);
        assert_eq!(store.setup_state().await.unwrap(), SetupState::Closed);
        assert!(store.create_setup_token().await.unwrap().is_none());
        let other = NewUser { email: "eve@example.com", ..ada(Role::Admin) };
        assert_eq!(store.complete_setup(&token, &other, NOON).await.unwrap(), Setup::Closed);
    }

    async fn of_two_set_ups_at_once_one_succeeds(test) {
        let store = test.store;
        store.installation(InstallationKind::Serve).await.unwrap();
        let token = store.create_setup_token().await.unwrap().unwrap();
        let other = NewUser { email: "eve@example.com", ..ada(Role::Admin) };
        let ada = ada(Role::Admin);
        let (one, two) = tokio::join!(
            store.complete_setup(&token, &ada, NOON),
            store.complete_setup(&token, &other, NOON),
        );
        let ends = [one.unwrap(), two.unwrap()];
        assert_eq!(ends.iter().filter(|end| matches!(end, Setup::Done(_))).count(), 1);
        assert!(ends.contains(&Setup::Closed));
        assert_eq!(store.tenant(&ctx(1, NOON)).users().list().await.unwrap().len(), 1);
    }

    async fn an_admin_made_at_the_console_closes_set_up(test) {
        let store = test.store;
        store.installation(InstallationKind::Serve).await.unwrap();
        let token = store.create_setup_token().await.unwrap().unwrap();
        let users = store.tenant(&ctx(1, NOON)).users();
        let reader = NewUser { email: "bob@example.com", ..ada(Role::ReadOnly) };
        users.create(&reader).await.unwrap();
        assert_eq!(store.setup_state().await.unwrap(), SetupState::Open);
        users.create(&ada(Role::Admin)).await.unwrap();
        let other = NewUser { email: "eve@example.com", ..ada(Role::Admin) };
        assert_eq!(store.complete_setup(&token, &other, NOON).await.unwrap(), Setup::Closed);
    }

    async fn an_address_names_one_account_whatever_its_case(test) {
        let store = test.store;
        install(&store).await;
        let user = store.tenant(&ctx(1, NOON)).users().create(&ada(Role::Admin)).await.unwrap();
        let again = NewUser { email: " ada@EXAMPLE.com ", ..ada(Role::Admin) };
        for tenant in [1, 2] {
            let taken = store.tenant(&ctx(tenant, NOON)).users().create(&again).await.unwrap_err();
            assert!(matches!(taken, StoreError::Conflict { what: "email" }), "{taken}");
            assert_eq!(store.tenant(&ctx(tenant, NOON)).users().list().await.unwrap().len(), usize::from(tenant == 1));
        }
        let (found, hash) = store.find_login("ADA@example.com", NOON).await.unwrap().unwrap();
        assert_eq!((found, hash.as_str()), (user, "hash"));
        assert!(store.find_login("bob@example.com", NOON).await.unwrap().is_none());
    }

    async fn users_of_another_tenant_are_not_found(test) {
        let store = test.store;
        install(&store).await;
        let user = store.tenant(&ctx(1, NOON)).users().create(&ada(Role::Admin)).await.unwrap();
        let foreign = store.tenant(&ctx(2, NOON)).users();
        assert!(foreign.list().await.unwrap().is_empty());
        assert!(foreign.find_by_email("ada@example.com").await.unwrap().is_none());
        let answers = [
            foreign.get(user.id).await.map(drop),
            foreign.password_hash(user.id).await.map(drop),
            foreign.set_password(user.id, "other").await,
            foreign.set_role(user.id, Role::ReadOnly).await,
            foreign.disable(user.id).await,
            foreign.enable(user.id).await,
        ];
        for answer in answers {
            assert!(matches!(answer, Err(StoreError::NotFound)), "{answer:?}");
        }
        assert!(store.tenant(&ctx(2, NOON)).sessions().create(user.id, None).await.is_err());
        assert_eq!(store.tenant(&ctx(1, NOON)).users().get(user.id).await.unwrap(), user);
    }

    async fn sessions_end_when_idle_and_after_a_week(test) {
        let store = test.store;
        install(&store).await;
        let tenant = store.tenant(&ctx(1, NOON));
        let user = tenant.users().create(&ada(Role::Admin)).await.unwrap();
        let idle = tenant.sessions().create(user.id, Some("a browser")).await.unwrap();
        let busy = tenant.sessions().create(user.id, None).await.unwrap();
        let find = async |session: &NewSession, at| {
            store.find_session(session.secret.expose_secret(), at).await.unwrap().map(|found| found.user.id)
        };
        let mut now = NOON;
        for _ in 0..16 {
            now = now + 10 * HOUR;
            assert_eq!(find(&busy, now).await, Some(user.id));
        }
        assert_eq!(find(&idle, NOON + 12 * HOUR).await, None);
        assert_eq!(find(&busy, NOON + 168 * HOUR).await, None, "a week is over");
        assert!(store.find_session("nonsense", NOON).await.unwrap().is_none());
        assert_eq!(store.sweep_people(NOON + 12 * HOUR).await.unwrap(), 1);
        assert_eq!(store.sweep_people(NOON + 168 * HOUR).await.unwrap(), 1);
    }

    async fn use_of_a_session_is_noted_once_a_minute(test) {
        let store = test.store;
        install(&store).await;
        let tenant = store.tenant(&ctx(1, NOON));
        let user = tenant.users().create(&ada(Role::Admin)).await.unwrap();
        let session = tenant.sessions().create(user.id, None).await.unwrap();
        let statements_for = async |seconds| {
            let before = store.statements_run();
            let at = NOON + Duration::from_secs(seconds);
            store.find_session(session.secret.expose_secret(), at).await.unwrap().unwrap();
            store.statements_run() - before
        };
        assert_eq!(statements_for(59).await, 2);
        assert_eq!(statements_for(60).await, 3);
        assert_eq!(statements_for(119).await, 2);
    }

    async fn signing_out_ends_one_session_and_a_new_password_all(test) {
        let store = test.store;
        install(&store).await;
        let tenant = store.tenant(&ctx(1, NOON));
        let user = tenant.users().create(&ada(Role::Admin)).await.unwrap();
        let one = tenant.sessions().create(user.id, None).await.unwrap();
        let two = tenant.sessions().create(user.id, None).await.unwrap();
        let works = async |session: &NewSession| {
            store.find_session(session.secret.expose_secret(), NOON).await.unwrap().is_some()
        };
        store.delete_session(one.secret.expose_secret()).await.unwrap();
        assert!(!works(&one).await && works(&two).await);
        tenant.users().set_password(user.id, "new hash").await.unwrap();
        assert!(!works(&two).await);
        assert_eq!(tenant.users().password_hash(user.id).await.unwrap(), "new hash");
        for change in [Role::ReadOnly, Role::Admin] {
            let session = tenant.sessions().create(user.id, None).await.unwrap();
            tenant.users().set_role(user.id, change).await.unwrap();
            assert!(!works(&session).await, "rights changed");
        }
    }

    async fn tokens_are_found_by_their_text_and_kept_as_a_hash(test) {
        let store = test.store;
        install(&store).await;
        let tenant = store.tenant(&ctx(1, NOON));
        let user = tenant.users().create(&ada(Role::Admin)).await.unwrap();
        let permissions: Permissions = [Permission::AssetsRead].into_iter().collect();
        let new = NewToken { user: user.id, kind: TokenKind::Agent, name: "helper", permissions, expires_at: NOON + HOUR };
        let (info, secret) = tenant.tokens().create(&new).await.unwrap();
        let text = secret.expose_secret();
        assert!(text.starts_with("fga_") && text.len() == 47 && text.ends_with(&info.last_four));
        let found = store.find_token(text).await.unwrap().unwrap();
        assert_eq!((&found.token, found.user.id), (&info, user.id));
        assert!(store.find_token(&text.to_uppercase()).await.unwrap().is_none());
        assert!(store.find_token("fga_").await.unwrap().is_none());

        store.touch_token(&info, NOON).await;
        let touched = tenant.tokens().get(info.id).await.unwrap();
        assert_eq!(touched.last_used_at, Some(NOON));
        store.touch_token(&touched, NOON + Duration::from_secs(59)).await;
        assert_eq!(tenant.tokens().get(info.id).await.unwrap().last_used_at, Some(NOON));
        store.touch_token(&touched, NOON + Duration::from_secs(60)).await;
        assert_ne!(tenant.tokens().get(info.id).await.unwrap().last_used_at, Some(NOON));

        let foreign = store.tenant(&ctx(2, NOON)).tokens();
        assert!(matches!(foreign.get(info.id).await, Err(StoreError::NotFound)));
        assert!(matches!(foreign.revoke(info.id).await, Err(StoreError::NotFound)));
        assert!(foreign.list().await.unwrap().is_empty());
        tenant.tokens().revoke(info.id).await.unwrap();
        store.tenant(&ctx(1, NOON + HOUR)).tokens().revoke(info.id).await.unwrap();
        let listed = tenant.tokens().list_of(user.id).await.unwrap();
        assert_eq!(listed[0].revoked_at, Some(NOON), "the first time counts");
        assert_eq!(tenant.tokens().list().await.unwrap(), listed);
    }

    async fn tries_are_counted_before_they_are_made(test) {
        let store = test.store;
        let tries = (0..20).map(|_| store.admit_sign_in("ada@example.com", Some("192.0.2.1"), NOON));
        let mut admitted = 0;
        for answer in join_all(tries).await {
            admitted += u32::from(answer == Admission::Admitted);
        }
        assert_eq!(admitted, throttle::TRIES_PER_ACCOUNT, "also of tries at once");
        let other = store.admit_sign_in("bob@example.com", Some("192.0.2.1"), NOON).await.unwrap();
        assert_eq!(other, Admission::Admitted, "others at the same address may still try");
        let later = NOON + throttle::FIRST_WAIT;
        assert_eq!(store.admit_sign_in("ADA@example.com ", None, later).await.unwrap(), Admission::Admitted);
        store.sign_in_succeeded("ada@example.com", Some("192.0.2.1")).await.unwrap();
        for _ in 0..throttle::TRIES_PER_ACCOUNT {
            assert_eq!(store.admit_sign_in("ada@example.com", None, later).await.unwrap(), Admission::Admitted);
        }
        assert!(matches!(store.admit_sign_in("ada@example.com", None, later).await.unwrap(), Admission::Wait { .. }));
        assert!(store.sweep_people(later + 2 * HOUR).await.unwrap() >= 3);
    }

    async fn an_address_that_tries_many_accounts_has_to_wait(test) {
        let store = test.store;
        for n in 0..throttle::TRIES_PER_ADDRESS {
            let answer = store.admit_sign_in(&format!("user{n}@example.com"), Some("192.0.2.1"), NOON).await.unwrap();
            assert_eq!(answer, Admission::Admitted);
        }
        let until = NOON + throttle::FIRST_WAIT;
        let refused = store.admit_sign_in("ada@example.com", Some("192.0.2.1"), NOON).await.unwrap();
        assert_eq!(refused, Admission::Wait { until });
        let elsewhere = store.admit_sign_in("ada@example.com", Some("192.0.2.2"), NOON).await.unwrap();
        assert_eq!(elsewhere, Admission::Admitted);
    }
}

/// Runs all at once.
async fn join_all<T>(all: impl Iterator<Item = impl Future<Output = crate::Result<T>>>) -> Vec<T> {
    let mut all: Vec<_> = all.map(|one| (Box::pin(one), None)).collect();
    std::future::poll_fn(|context| {
        let mut waiting = false;
        for (future, answer) in &mut all {
            if answer.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *answer = Some(value.unwrap()),
                    std::task::Poll::Pending => waiting = true,
                }
            }
        }
        if waiting { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    all.into_iter().map(|(_, answer)| answer.unwrap()).collect()
}

#[test]
fn opaque_texts_are_long_and_never_twice_the_same() {
    let texts: Vec<SecretString> = (0..100).map(|_| opaque::generate("fgu_")).collect();
    let distinct: std::collections::BTreeSet<&str> = texts.iter().map(|text| text.expose_secret()).collect();
    assert_eq!(distinct.len(), 100);
    assert!(distinct.iter().all(|text| text.len() == 47));
    assert_eq!(format!("{:?}", texts[0]), "SecretBox<str>([REDACTED])");
}
