use std::time::Duration;

use domain::{
    Actor, Ctx, Time,
    auth::{Permissions, Role},
    id::{ClientId, SessionId, TenantId},
    scope::ClientScope,
};

use super::*;
use crate::{
    Store, new_id, on_both_engines,
    people::{CHALLENGE_TRIES, InstallationKind, Limit, NewUser, STEP_UP_LIFETIME, SecondFactorRule},
    testing,
};

const NOON: Time = Time(1_800_000_000_000);
const STEP: Duration = Duration::from_secs(STEP_S);

fn ctx(tenant: i64, now: Time) -> Ctx {
    Ctx { tenant: TenantId(tenant), actor: Actor::system(), request_id: String::new(), now }
}

async fn user(store: &Store) -> UserId {
    store.installation(InstallationKind::Serve).await.unwrap();
    let ada =
        NewUser { email: "ada@example.com", name: "Ada", role: Role::Admin.into(), password_hash: "hash" };
    store.tenant(&ctx(1, NOON)).users().create(&ada).await.unwrap().id
}

/// What an app that knows the secret shows.
fn code(secret: &SecretString, at: Time) -> String {
    let letters = secret.expose_secret().to_lowercase();
    let mut bits = String::new();
    for letter in letters.chars() {
        let value = "abcdefghijklmnopqrstuvwxyz234567".find(letter).unwrap();
        bits.push_str(&format!("{value:05b}"));
    }
    let bytes: Vec<u8> = bits
        .as_bytes()
        .chunks(8)
        .map(|byte| u8::from_str_radix(str::from_utf8(byte).unwrap(), 2).unwrap())
        .collect();
    let kept = SecretString::from(hex::encode(bytes));
    totp(&kept).unwrap().generate(u64::try_from(at.0 / 1_000).unwrap()).to_string()
}

/// A user whose app counts, with its secret and the recovery codes.
async fn enrolled(store: &Store) -> (UserId, SecretString, Vec<SecretString>) {
    let id = user(store).await;
    let tenant = store.tenant(&ctx(1, NOON));
    let secret = tenant.factors().enrol_totp(id).await.unwrap();
    let codes = tenant.factors().confirm_totp(id, &code(&secret, NOON)).await.unwrap().unwrap();
    (id, secret, codes)
}

#[test]
fn codes_are_those_of_rfc_6238() {
    let kept = SecretString::from(hex::encode("12345678901234567890"));
    for (seconds, expected) in [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")] {
        assert_eq!(totp(&kept).unwrap().generate(seconds).to_string(), expected);
    }
}

on_both_engines! {
    async fn an_app_counts_from_its_first_right_code(test) {
        let store = test.store;
        let id = user(&store).await;
        let tenant = store.tenant(&ctx(1, NOON));
        let factors = tenant.factors();
        assert!(matches!(factors.confirm_totp(id, "123456").await, Err(StoreError::NotFound)));
        let first = factors.enrol_totp(id).await.unwrap();
        let secret = factors.enrol_totp(id).await.unwrap();
        assert_ne!(first.expose_secret(), secret.expose_secret());
        assert_eq!(secret.expose_secret().len(), 32);
        assert!(tenant.users().get(id).await.unwrap().totp_since.is_none());
        assert!(!factors.take_totp(id, &code(&secret, NOON)).await.unwrap(), "not before it is confirmed");
        assert!(factors.confirm_totp(id, &code(&first, NOON)).await.unwrap().is_none(), "the first was replaced");
        let session = tenant.sessions().create(id, None).await.unwrap();
        let codes = factors.confirm_totp(id, &code(&secret, NOON)).await.unwrap().unwrap();
        assert_eq!(codes.len(), RECOVERY_CODES);
        assert_eq!(tenant.users().get(id).await.unwrap().totp_since, Some(NOON));
        assert!(store.find_session(session.secret.expose_secret(), NOON).await.unwrap().is_none());
        assert!(matches!(factors.enrol_totp(id).await, Err(StoreError::Conflict { what: "totp" })));
        assert!(matches!(factors.confirm_totp(id, &code(&secret, NOON)).await, Err(StoreError::NotFound)));
        let told = tenant.secrets().describe(owner(&id.to_db())).await.unwrap();
        assert_eq!((told.len(), told[0].last_four.as_deref()), (1, None));
    }

    async fn a_code_counts_once_and_a_step_around_its_time(test) {
        let store = test.store;
        let (id, secret, _) = enrolled(&store).await;
        let take = async |code: String, now: Time| {
            store.tenant(&ctx(1, now)).factors().take_totp(id, &code).await.unwrap()
        };
        assert!(!take(code(&secret, NOON), NOON).await, "it confirmed the app");
        assert!(!take(code(&secret, NOON - STEP), NOON).await, "none before the last");
        let now = NOON + STEP * 4;
        assert!(!take(code(&secret, now - STEP * 2), now).await);
        assert!(!take(code(&secret, now + STEP * 2), now).await);
        assert!(take(code(&secret, now - STEP), now).await);
        let spaced = code(&secret, now);
        assert!(take(format!(" {} {} ", &spaced[..3], &spaced[3..]), now).await);
        assert!(!take(code(&secret, now - STEP), now).await, "an earlier step is over");
        assert!(take(code(&secret, now + STEP), now).await);
        for nonsense in ["", "12345", "1234567", "abcdef", "-12345", "１２３４５６"] {
            assert!(!take(nonsense.to_owned(), now + STEP * 3).await, "{nonsense}");
        }
    }

    async fn of_many_who_take_one_code_at_once_one_gets_it(test) {
        let store = test.store;
        let (id, secret, codes) = enrolled(&store).await;
        let now = NOON + STEP * 2;
        let app = code(&secret, now);
        let tenant = store.tenant(&ctx(1, now));
        let factors = tenant.factors();
        let taken = futures::future::join_all((0..8).map(|_| factors.take_totp(id, &app))).await;
        assert_eq!(taken.into_iter().filter(|taken| *taken.as_ref().unwrap()).count(), 1);
        let recovery = codes[0].expose_secret();
        let taken = futures::future::join_all((0..8).map(|_| factors.take_recovery_code(id, recovery))).await;
        assert_eq!(taken.into_iter().filter(|taken| *taken.as_ref().unwrap()).count(), 1);
    }

    async fn a_recovery_code_is_good_once_and_for_its_user(test) {
        let store = test.store;
        let (id, _, codes) = enrolled(&store).await;
        let tenant = store.tenant(&ctx(1, NOON));
        let factors = tenant.factors();
        let bob = NewUser { email: "bob@example.com", name: "Bob", role: Role::Admin.into(), password_hash: "x" };
        let bob = tenant.users().create(&bob).await.unwrap().id;
        let typed = codes[3].expose_secret().to_uppercase().replace('-', " ");
        assert!(!factors.take_recovery_code(bob, &typed).await.unwrap());
        assert!(factors.take_recovery_code(id, &typed).await.unwrap());
        assert!(!factors.take_recovery_code(id, &typed).await.unwrap());
        assert_eq!(factors.recovery_codes_left(id).await.unwrap(), 9);
        let renewed = factors.renew_recovery_codes(id).await.unwrap();
        assert_eq!((renewed.len(), factors.recovery_codes_left(id).await.unwrap()), (10, 10));
        assert!(!factors.take_recovery_code(id, codes[4].expose_secret()).await.unwrap());
        assert!(factors.take_recovery_code(id, renewed[0].expose_secret()).await.unwrap());
        assert!(matches!(factors.renew_recovery_codes(bob).await, Err(StoreError::NotFound)));
    }

    async fn who_removes_a_factor_keeps_one_session_and_who_resets_it_leaves_none(test) {
        let store = test.store;
        let (id, _, codes) = enrolled(&store).await;
        let tenant = store.tenant(&ctx(1, NOON));
        let factors = tenant.factors();
        let here = tenant.sessions().create(id, None).await.unwrap();
        tenant.sessions().create(id, None).await.unwrap();
        let user = tenant.users().get(id).await.unwrap();
        let (challenge, _) = store.create_challenge(&user, NOON).await.unwrap();
        factors.remove_totp(id, here.id).await.unwrap();
        assert_eq!(tenant.sessions().list_of(id).await.unwrap().len(), 1);
        assert!(store.find_challenge(challenge.expose_secret(), NOON).await.unwrap().is_none());
        assert!(!factors.take_recovery_code(id, codes[0].expose_secret()).await.unwrap());
        assert!(tenant.secrets().open_all(owner(&id.to_db())).await.unwrap().is_empty());
        assert!(matches!(factors.remove_totp(id, here.id).await, Err(StoreError::NotFound)));

        let secret = factors.enrol_totp(id).await.unwrap();
        factors.confirm_totp(id, &code(&secret, NOON)).await.unwrap().unwrap();
        tenant.sessions().create(id, None).await.unwrap();
        let weak = Role::Technician.permissions();
        assert!(matches!(factors.reset(id, &weak).await, Err(StoreError::Beyond(_))));
        factors.reset(id, &Permissions::all()).await.unwrap();
        factors.reset(id, &Permissions::all()).await.unwrap();
        assert!(tenant.sessions().list_of(id).await.unwrap().is_empty());
        assert!(tenant.users().get(id).await.unwrap().totp_since.is_none());
        testing::second_tenant(&store).await;
        let theirs = store.tenant(&ctx(2, NOON)).factors().reset(id, &Permissions::all()).await;
        assert!(matches!(theirs, Err(StoreError::NotFound)));
    }

    async fn a_challenge_has_few_tries_and_five_minutes(test) {
        let store = test.store;
        let id = user(&store).await;
        let ada = store.tenant(&ctx(1, NOON)).users().get(id).await.unwrap();
        let (challenge, expires_at) = store.create_challenge(&ada, NOON).await.unwrap();
        let text = challenge.expose_secret();
        assert_eq!(store.find_challenge(text, NOON).await.unwrap().unwrap().id, id);
        assert!(store.find_challenge(text, expires_at).await.unwrap().is_none());
        assert!(!store.count_challenge_try(text, expires_at).await.unwrap());
        for _ in 0..CHALLENGE_TRIES {
            assert!(store.count_challenge_try(text, NOON).await.unwrap());
        }
        assert!(!store.count_challenge_try(text, NOON).await.unwrap());
        assert!(store.find_challenge(text, NOON).await.unwrap().is_none());
        assert_eq!(store.sweep_people(NOON).await.unwrap(), 1);
        let (other, _) = store.create_challenge(&ada, NOON).await.unwrap();
        assert!(store.end_challenge(other.expose_secret()).await.unwrap());
        assert!(!store.end_challenge(other.expose_secret()).await.unwrap(), "once");
        let (last, _) = store.create_challenge(&ada, NOON).await.unwrap();
        store.tenant(&ctx(1, NOON)).users().set_password(id, "other").await.unwrap();
        assert!(store.find_challenge(last.expose_secret(), NOON).await.unwrap().is_none());
    }

    async fn a_proof_holds_for_its_session_and_client_for_five_minutes(test) {
        let store = test.store;
        let id = user(&store).await;
        let tenant = store.tenant(&ctx(1, NOON));
        let sessions = tenant.sessions();
        let (here, there) =
            (sessions.create(id, None).await.unwrap().id, sessions.create(id, None).await.unwrap().id);
        let client: ClientId = new_id(NOON);
        assert_eq!(sessions.step_up(here, Some(client)).await.unwrap(), NOON + STEP_UP_LIFETIME);
        assert!(sessions.is_stepped_up(here, Some(client)).await.unwrap());
        assert!(!sessions.is_stepped_up(here, None).await.unwrap());
        assert!(!sessions.is_stepped_up(there, Some(client)).await.unwrap());
        sessions.step_up(here, None).await.unwrap();
        assert!(sessions.is_stepped_up(here, None).await.unwrap());
        let almost = store.tenant(&ctx(1, NOON + STEP_UP_LIFETIME - Duration::from_millis(1)));
        assert!(almost.sessions().is_stepped_up(here, None).await.unwrap());
        let over = store.tenant(&ctx(1, NOON + STEP_UP_LIFETIME));
        assert!(!over.sessions().is_stepped_up(here, None).await.unwrap());
        over.sessions().step_up(here, None).await.unwrap();
        assert!(over.sessions().is_stepped_up(here, None).await.unwrap(), "proved again");
        sessions.delete(id, here).await.unwrap();
        assert!(!over.sessions().is_stepped_up(here, None).await.unwrap(), "it went with the session");
        let ended: SessionId = here;
        assert!(matches!(sessions.step_up(ended, None).await, Err(StoreError::NotFound)));
    }

    async fn a_role_asks_for_a_second_factor_until_there_is_one(test) {
        let store = test.store;
        let id = user(&store).await;
        let tenant = store.tenant(&ctx(1, NOON));
        let (users, roles, all) = (tenant.users(), tenant.roles(), Permissions::all());
        let session = tenant.sessions().create(id, None).await.unwrap();
        let limit = async || {
            let found = store.find_session(session.secret.expose_secret(), NOON).await.unwrap();
            found.unwrap().user.limit()
        };
        assert_eq!(limit().await, None);
        let weak = Role::Technician.permissions();
        let set = |rule, at_most| roles.set_second_factor(Role::Admin.into(), rule, at_most);
        assert!(matches!(set(SecondFactorRule::Required, &weak).await, Err(StoreError::Beyond(_))));
        set(SecondFactorRule::Required, &all).await.unwrap();
        set(SecondFactorRule::Required, &all).await.unwrap();
        assert_eq!(limit().await, Some(Limit::EnrolSecondFactor), "at once");
        assert!(roles.with_second_factor().await.unwrap().contains(&Role::Admin.into()));
        testing::second_tenant(&store).await;
        assert!(store.tenant(&ctx(2, NOON)).roles().with_second_factor().await.unwrap().is_empty());
        let secret = tenant.factors().enrol_totp(id).await.unwrap();
        tenant.factors().confirm_totp(id, &code(&secret, NOON)).await.unwrap().unwrap();
        assert_eq!(users.get(id).await.unwrap().limit(), None);
        tenant.factors().reset(id, &all).await.unwrap();
        assert_eq!(users.list().await.unwrap()[0].limit(), Some(Limit::EnrolSecondFactor));
        set(SecondFactorRule::Optional, &all).await.unwrap();
        assert_eq!(users.get(id).await.unwrap().limit(), None);

        let own = roles.create("Own", &weak, &all).await.unwrap();
        roles.set_second_factor(own.key, SecondFactorRule::Required, &all).await.unwrap();
        let domain::auth::RoleKey::Own(own_id) = own.key else { panic!("an own role") };
        roles.delete(own_id, &all).await.unwrap();
        assert!(roles.with_second_factor().await.unwrap().is_empty());
        let gone = roles.set_second_factor(own.key, SecondFactorRule::Required, &all).await;
        assert!(matches!(gone, Err(StoreError::NotFound)));
    }

    async fn a_password_by_somebody_else_is_to_be_changed(test) {
        let store = test.store;
        let id = user(&store).await;
        let tenant = store.tenant(&ctx(1, NOON));
        let (users, all) = (tenant.users(), Permissions::all());
        let bob = NewUser { email: "bob@example.com", name: "Bob", role: Role::Admin.into(), password_hash: "x" };
        let made = users.create_within(&bob, &ClientScope::All, &all).await.unwrap();
        assert_eq!((made.password_given_at, made.limit()), (Some(NOON), Some(Limit::ChangePassword)));
        users.set_password(made.id, "own").await.unwrap();
        assert_eq!(users.get(made.id).await.unwrap().limit(), None);
        assert_eq!(users.get(id).await.unwrap().limit(), None);
        users.set_password_within(id, "given", &all).await.unwrap();
        assert_eq!(users.get(id).await.unwrap().limit(), Some(Limit::ChangePassword));
    }
}
