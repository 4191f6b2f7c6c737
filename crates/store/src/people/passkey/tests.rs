use domain::{
    Actor, Ctx,
    audit::AuditFilter,
    auth::{Permissions, Role},
    page::PageRequest,
};
use futures::future::join_all;

use super::*;
use crate::{
    Store, on_both_engines,
    people::{InstallationKind, NewUser, RECOVERY_CODES, User},
    testing,
};

const NOON: Time = Time(1_800_000_000_000);

fn ctx(tenant: i64, now: Time) -> Ctx {
    Ctx { tenant: TenantId(tenant), actor: Actor::system(), request_id: String::new(), now }
}

async fn add_user(store: &Store, tenant: i64, email: &str) -> UserId {
    let new = NewUser { email, name: "Ada", role: Role::Admin.into(), password_hash: "hash" };
    store.tenant(&ctx(tenant, NOON)).users().create(&new).await.unwrap().id
}

async fn ada(store: &Store) -> UserId {
    store.installation(InstallationKind::Serve).await.unwrap();
    add_user(store, 1, "ada@example.com").await
}

fn new(credential_id: &str) -> NewPasskey<'_> {
    NewPasskey {
        rp_id: "fleet.example",
        credential_id,
        public_key: "a2V5",
        algorithm: -7,
        sign_count: 5,
        backup_eligible: true,
        backed_up: false,
        transports: &[],
        name: "Laptop",
    }
}

/// SHA-256 of a challenge as it is handed out.
fn hash(challenge: &PasskeyChallenge) -> [u8; 32] {
    let mut bytes = [0; 32];
    hex::decode_to_slice(digest(challenge.text.expose_secret()), &mut bytes).unwrap();
    bytes
}

/// What was written about factors, sorted, because all of it was at one moment.
async fn acts(tenant: &Tenant<'_>) -> Vec<String> {
    let page = PageRequest { limit: 200, cursor: None };
    let filter = AuditFilter { act: Some("second_factor".to_owned()), ..AuditFilter::default() };
    let listed = tenant.audit().list(&filter, &page).await.unwrap();
    let mut acts: Vec<String> = listed.items.into_iter().map(|entry| entry.act).collect();
    acts.sort();
    acts
}

on_both_engines! {
    async fn a_challenge_is_for_one_purpose_of_one_sign_in_and_is_taken_once(test) {
        let store = test.store;
        let id = ada(&store).await;
        let bob = add_user(&store, 1, "bob@example.com").await;
        let tenant = store.tenant(&ctx(1, NOON));
        let (here, there) = (
            tenant.sessions().create(id, None).await.unwrap().id,
            tenant.sessions().create(id, None).await.unwrap().id,
        );
        let passkeys = tenant.passkeys();
        let made = passkeys.challenge(id, ChallengeFor::Enrol(here)).await.unwrap();
        assert_eq!((made.text.expose_secret().len(), made.expires_at), (43, NOON + CHALLENGE_LIFETIME));
        for (user, other) in [
            (id, ChallengeFor::StepUp(here)),
            (id, ChallengeFor::Enrol(there)),
            (id, ChallengeFor::SignIn("fgc_x")),
            (bob, ChallengeFor::Enrol(here)),
        ] {
            assert_eq!(passkeys.take_challenge(user, other).await.unwrap(), None, "{other:?}");
        }
        let taken = passkeys.take_challenge(id, ChallengeFor::Enrol(here)).await.unwrap();
        assert_eq!(taken, Some(hash(&made)), "others left it there");
        assert_eq!(passkeys.take_challenge(id, ChallengeFor::Enrol(here)).await.unwrap(), None, "once");

        let first = passkeys.challenge(id, ChallengeFor::StepUp(here)).await.unwrap();
        let second = passkeys.challenge(id, ChallengeFor::StepUp(here)).await.unwrap();
        assert_ne!(hash(&first), hash(&second));
        let taken = join_all((0..8).map(|_| passkeys.take_challenge(id, ChallengeFor::StepUp(here)))).await;
        let taken: Vec<_> = taken.into_iter().filter_map(Result::unwrap).collect();
        assert_eq!(taken, [hash(&second)], "of many one, and the last in place of the first");

        passkeys.challenge(id, ChallengeFor::StepUp(here)).await.unwrap();
        let over = store.tenant(&ctx(1, NOON + CHALLENGE_LIFETIME));
        assert_eq!(over.passkeys().take_challenge(id, ChallengeFor::StepUp(here)).await.unwrap(), None, "too late");
        assert_eq!(passkeys.take_challenge(id, ChallengeFor::StepUp(here)).await.unwrap(), None, "and taken");
        let almost = store.tenant(&ctx(1, NOON + CHALLENGE_LIFETIME - Duration::from_millis(1)));
        passkeys.challenge(id, ChallengeFor::StepUp(here)).await.unwrap();
        assert!(almost.passkeys().take_challenge(id, ChallengeFor::StepUp(here)).await.unwrap().is_some());

        passkeys.challenge(id, ChallengeFor::StepUp(here)).await.unwrap();
        tenant.sessions().delete(id, here).await.unwrap();
        assert_eq!(passkeys.take_challenge(id, ChallengeFor::StepUp(here)).await.unwrap(), None, "gone with it");
        let ended = passkeys.challenge(id, ChallengeFor::StepUp(here)).await;
        assert!(matches!(ended, Err(StoreError::NotFound)));
        let of_another = passkeys.challenge(bob, ChallengeFor::StepUp(there)).await;
        assert!(matches!(of_another, Err(StoreError::NotFound)), "a session is its user's");
    }

    async fn a_challenge_of_a_sign_in_goes_with_it(test) {
        let store = test.store;
        let id = ada(&store).await;
        let tenant = store.tenant(&ctx(1, NOON));
        let user: User = tenant.users().get(id).await.unwrap();
        let passkeys = tenant.passkeys();
        let (login, _) = store.create_challenge(&user, NOON).await.unwrap();
        let purpose = ChallengeFor::SignIn(login.expose_secret());
        let made = passkeys.challenge(id, purpose).await.unwrap();
        let (other, _) = store.create_challenge(&user, NOON).await.unwrap();
        let elsewhere = passkeys.take_challenge(id, ChallengeFor::SignIn(other.expose_secret())).await.unwrap();
        assert_eq!(elsewhere, None);
        assert_eq!(passkeys.take_challenge(id, purpose).await.unwrap(), Some(hash(&made)));
        passkeys.challenge(id, purpose).await.unwrap();
        assert!(store.end_challenge(login.expose_secret()).await.unwrap());
        assert_eq!(passkeys.take_challenge(id, purpose).await.unwrap(), None, "the sign-in was finished");
        assert!(matches!(passkeys.challenge(id, purpose).await, Err(StoreError::NotFound)));
    }

    async fn a_passkey_counts_as_a_second_factor_and_is_of_one_user(test) {
        let store = test.store;
        let id = ada(&store).await;
        let bob = add_user(&store, 1, "bob@example.com").await;
        let tenant = store.tenant(&ctx(1, NOON));
        let (users, passkeys) = (tenant.users(), tenant.passkeys());
        let session = tenant.sessions().create(id, None).await.unwrap();
        passkeys.challenge(id, ChallengeFor::Enrol(session.id)).await.unwrap();
        assert!(!users.get(id).await.unwrap().has_second_factor());
        let transports = ["usb".to_owned()];
        let (key, codes) = passkeys.add(id, &NewPasskey { transports: &transports, ..new("one") }).await.unwrap();
        assert_eq!(codes.len(), RECOVERY_CODES);
        assert!(tenant.sessions().list_of(id).await.unwrap().is_empty(), "all sign-ins ended");
        let listed = passkeys.list_of(id).await.unwrap();
        let expected = Passkey {
            id: key,
            rp_id: "fleet.example".to_owned(),
            credential_id: "one".to_owned(),
            public_key: "a2V5".to_owned(),
            sign_count: 5,
            backup_eligible: true,
            backed_up: false,
            transports: transports.to_vec(),
            name: "Laptop".to_owned(),
            created_at: NOON,
            last_used_at: None,
        };
        assert_eq!(listed, [expected]);
        assert_eq!((users.get(id).await.unwrap().passkeys, users.get(bob).await.unwrap().passkeys), (1, 0));
        assert!(passkeys.list_of(bob).await.unwrap().is_empty());
        let taken = passkeys.add(bob, &new("one")).await;
        assert!(matches!(taken, Err(StoreError::Conflict { what: "passkey" })), "of one user in the tenant");
        let (second, codes) = passkeys.add(id, &new("two")).await.unwrap();
        assert!(codes.is_empty(), "the former ones stay good");
        assert_eq!(tenant.factors().recovery_codes_left(id).await.unwrap(), 10);
        let renamed = passkeys.rename(id, second, "Ring").await.unwrap();
        assert_eq!((renamed.name.as_str(), renamed.credential_id.as_str()), ("Ring", "two"));
        for theirs in [passkeys.rename(bob, key, "mine").await.map(drop), passkeys.remove(bob, key, session.id).await] {
            assert!(matches!(theirs, Err(StoreError::NotFound)));
        }
        assert!(!passkeys.note_use(bob, key, 99, false).await.unwrap());

        let here = tenant.sessions().create(id, None).await.unwrap();
        tenant.sessions().create(id, None).await.unwrap();
        passkeys.remove(id, key, here.id).await.unwrap();
        assert_eq!(tenant.sessions().list_of(id).await.unwrap().len(), 1, "all others ended");
        assert_eq!(tenant.factors().recovery_codes_left(id).await.unwrap(), 10, "there is one left");
        passkeys.remove(id, second, here.id).await.unwrap();
        assert_eq!(tenant.factors().recovery_codes_left(id).await.unwrap(), 0);
        assert!(matches!(passkeys.remove(id, second, here.id).await, Err(StoreError::NotFound)));
        let expected = [
            "second_factor.confirm",
            "second_factor.confirm",
            "second_factor.enrol",
            "second_factor.remove",
            "second_factor.remove",
            "second_factor.rename",
        ];
        assert_eq!(acts(&tenant).await, expected);
    }

    async fn counts_of_signatures_only_grow_and_of_two_at_once_one_is_taken(test) {
        let store = test.store;
        let id = ada(&store).await;
        let tenant = store.tenant(&ctx(1, NOON + Duration::from_secs(1)));
        let passkeys = tenant.passkeys();
        let (key, _) = passkeys.add(id, &new("one")).await.unwrap();
        for (count, grows) in [(5, false), (4, false), (0, false), (6, true), (6, false), (u32::MAX, true), (1, false)] {
            assert_eq!(passkeys.note_use(id, key, count, true).await.unwrap(), grows, "{count}");
        }
        let kept = passkeys.list_of(id).await.unwrap().remove(0);
        assert_eq!((kept.sign_count, kept.backed_up, kept.last_used_at), (u32::MAX, true, Some(tenant.now)));
        let (key, _) = passkeys.add(id, &new("two")).await.unwrap();
        let noted = join_all((0..8).map(|_| passkeys.note_use(id, key, 9, false))).await;
        assert_eq!(noted.into_iter().filter(|noted| *noted.as_ref().unwrap()).count(), 1);
        let (key, _) = passkeys.add(id, &NewPasskey { sign_count: 0, ..new("three") }).await.unwrap();
        for (count, grows) in [(0, true), (0, true), (1, true), (0, false)] {
            assert_eq!(passkeys.note_use(id, key, count, false).await.unwrap(), grows, "{count}");
        }
    }

    async fn there_are_ten_at_most_and_one_reset_takes_all(test) {
        let store = test.store;
        let id = ada(&store).await;
        let tenant = store.tenant(&ctx(1, NOON));
        let passkeys = tenant.passkeys();
        let names: Vec<String> = (0..12).map(|n| format!("key {n}")).collect();
        let keys: Vec<_> = names.iter().map(|name| new(name)).collect();
        let added = join_all(keys.iter().map(|key| passkeys.add(id, key))).await;
        let (added, refused): (Vec<_>, Vec<_>) = added.into_iter().partition(Result::is_ok);
        assert_eq!((added.len(), refused.len()), (MAX_PASSKEYS, 2));
        assert!(refused.iter().all(|one| matches!(one, Err(StoreError::Conflict { what: "passkeys" }))));
        let codes = added.into_iter().filter(|one| !one.as_ref().unwrap().1.is_empty()).count();
        assert_eq!(codes, 1, "one was the first");
        assert_eq!(tenant.users().get(id).await.unwrap().passkeys, 10);

        testing::second_tenant(&store).await;
        let theirs = store.tenant(&ctx(2, NOON));
        assert!(theirs.passkeys().list_of(id).await.unwrap().is_empty());
        let foreign = theirs.passkeys().rename(id, passkeys.list_of(id).await.unwrap()[0].id, "mine").await;
        assert!(matches!(foreign, Err(StoreError::NotFound)));
        let eve = add_user(&store, 2, "eve@example.com").await;
        theirs.passkeys().add(eve, &new("key 0")).await.unwrap();
        tenant.factors().reset(id, &Permissions::all()).await.unwrap();
        assert!(passkeys.list_of(id).await.unwrap().is_empty());
        assert_eq!(tenant.factors().recovery_codes_left(id).await.unwrap(), 0);
        assert_eq!(theirs.passkeys().list_of(eve).await.unwrap().len(), 1, "the other tenant's stays");
    }
}
