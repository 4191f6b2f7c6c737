use std::time::Duration;

use domain::{
    Actor, Ctx, Time,
    auth::{Permission, Permissions, Role, RoleInfo, RoleKey, TokenKind},
    id::{RoleId, SessionId, TenantId},
    scope::ClientScope,
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

fn to_role(role: impl Into<RoleKey>) -> UserChange {
    UserChange { role: Some(role.into()), ..UserChange::default() }
}

fn ada(role: Role) -> NewUser<'static> {
    NewUser { email: "Ada@Example.com", name: "Ada", role: role.into(), password_hash: "hash" }
}

fn reading() -> Permissions {
    Role::ReadOnly.permissions()
}

/// The id of an own role.
fn own(role: &RoleInfo) -> RoleId {
    let RoleKey::Own(id) = role.key else { panic!("{role:?} is built in") };
    id
}

#[track_caller]
fn conflict<T: std::fmt::Debug>(answer: crate::Result<T>, expected: &str) {
    assert!(matches!(answer, Err(StoreError::Conflict { what }) if what == expected), "{answer:?}");
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
        assert_eq!(user.role, Role::Admin.into());
        assert_eq!(store.setup_state().await.unwrap(), SetupState::Closed);
        assert!(store.create_setup_token().await.unwrap().is_none());
        let other = NewUser { email: "eve@example.com", ..ada(Role::Admin) };
        assert_eq!(store.complete_setup(&token, &other, NOON).await.unwrap(), Setup::Closed);
    }

    async fn codes_are_counted_apart_from_passwords(test) {
        let store = test.store;
        install(&store).await;
        let user = store.tenant(&ctx(1, NOON)).users().create(&ada(Role::Admin)).await.unwrap().id;
        let other: domain::id::UserId = crate::new_id(NOON);
        let admit = async |user, now| store.admit_second_factor(user, None, now).await.unwrap();
        for _ in 0..throttle::TRIES_PER_ACCOUNT {
            assert_eq!(admit(user, NOON).await, Admission::Admitted);
        }
        store.sign_in_succeeded("ada@example.com", None).await.unwrap();
        let until = NOON + throttle::FIRST_WAIT;
        assert_eq!(admit(user, NOON).await, Admission::Wait { until }, "a right password forgets no wrong code");
        assert_eq!(admit(other, NOON).await, Admission::Admitted);
        let password = store.admit_sign_in("ada@example.com", None, NOON).await.unwrap();
        assert_eq!(password, Admission::Admitted);
        store.second_factor_succeeded(user, None).await.unwrap();
        assert_eq!(admit(user, NOON).await, Admission::Admitted);
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
            foreign.update(user.id, &to_role(Role::ReadOnly), &Permissions::all()).await.map(drop),
            foreign.disable(user.id).await,
            foreign.enable(user.id).await,
        ];
        for answer in answers {
            assert!(matches!(answer, Err(StoreError::NotFound)), "{answer:?}");
        }
        assert!(store.tenant(&ctx(2, NOON)).sessions().create(user.id, None).await.is_err());
        assert_eq!(store.tenant(&ctx(1, NOON)).users().get(user.id).await.unwrap(), user);
    }

    async fn of_roles_and_sessions_of_another_tenant_nothing_is_found(test) {
        let store = test.store;
        install(&store).await;
        let (ours, theirs) = (store.tenant(&ctx(1, NOON)), store.tenant(&ctx(2, NOON)));
        let all = Permissions::all();
        let role = ours.roles().create("Night shift", &reading(), &all).await.unwrap();
        let user = ours.users().create(&ada(Role::Admin)).await.unwrap();
        let session = ours.sessions().create(user.id, None).await.unwrap();
        assert!(theirs.roles().list().await.unwrap().is_empty());
        assert!(theirs.roles().holders().await.unwrap().is_empty());
        assert!(theirs.sessions().list_of(user.id).await.unwrap().is_empty());
        let answers = [
            theirs.roles().update(own(&role), &RoleChange::default(), &all).await.map(drop),
            theirs.roles().delete(own(&role), &all).await,
            theirs.sessions().delete(user.id, session.id).await,
        ];
        for answer in answers {
            assert!(matches!(answer, Err(StoreError::NotFound)), "{answer:?}");
        }
        theirs.sessions().delete_all(user.id).await.unwrap();
        let eve = NewUser { email: "eve@example.com", role: role.key, ..ada(Role::Admin) };
        conflict(theirs.users().create(&eve).await, "role");
        let eve = theirs.users().create(&NewUser { role: Role::Admin.into(), ..eve }).await.unwrap();
        conflict(theirs.users().update(eve.id, &to_role(role.key), &all).await, "role");
        theirs.roles().create("Night shift", &reading(), &all).await.unwrap();
        assert_eq!(ours.roles().list().await.unwrap(), vec![role]);
        assert_eq!(ours.sessions().list_of(user.id).await.unwrap().len(), 1);
    }

    async fn an_own_role_counts_as_it_stands_now(test) {
        let store = test.store;
        install(&store).await;
        let tenant = store.tenant(&ctx(1, NOON));
        let all = Permissions::all();
        tenant.users().create(&ada(Role::Admin)).await.unwrap();
        let role = tenant.roles().create("Night shift", &Role::Technician.permissions(), &all).await.unwrap();
        let bob = NewUser { email: "bob@example.com", role: role.key, ..ada(Role::Admin) };
        let bob = tenant.users().create(&bob).await.unwrap();
        assert_eq!(bob.role, role);
        let new = NewToken { user: bob.id, kind: TokenKind::User, name: "t", permissions: all.clone(), expires_at: NOON + HOUR };
        let (_, text) = tenant.tokens().create(&new).await.unwrap();
        let session = tenant.sessions().create(bob.id, None).await.unwrap();
        let find = async || store.find_session(session.secret.expose_secret(), NOON).await.unwrap();
        let before = store.statements_run();
        assert_eq!(find().await.unwrap().user.role, role);
        assert_eq!(store.statements_run() - before, 2, "no more questions than for a built-in role");

        let renamed = RoleChange { name: Some("Nights".to_owned()), permissions: None };
        tenant.roles().update(own(&role), &renamed, &all).await.unwrap();
        assert_eq!(find().await.unwrap().user.role.name, "Nights");
        let narrowed = RoleChange { name: None, permissions: Some(reading()) };
        tenant.roles().update(own(&role), &narrowed, &all).await.unwrap();
        assert!(find().await.is_none(), "rights changed");
        let held = store.find_token(text.expose_secret()).await.unwrap().unwrap().user.role;
        assert_eq!(held, RoleInfo { key: role.key, name: "Nights".to_owned(), permissions: reading() });
        assert_eq!(tenant.users().get(bob.id).await.unwrap().role, held);
        assert_eq!(store.find_login("bob@example.com", NOON).await.unwrap().unwrap().0.role, held);

        assert_eq!(tenant.roles().holders().await.unwrap().get(&role.key), Some(&1));
        conflict(tenant.roles().delete(own(&role), &all).await, "role_in_use");
        tenant.users().update(bob.id, &to_role(Role::ReadOnly), &all).await.unwrap();
        tenant.roles().delete(own(&role), &all).await.unwrap();
        conflict(tenant.users().update(bob.id, &to_role(role.key), &all).await, "role");
    }

    async fn names_of_roles_are_there_once(test) {
        let store = test.store;
        install(&store).await;
        let roles = store.tenant(&ctx(1, NOON)).roles();
        let all = Permissions::all();
        let role = roles.create("Night shift", &reading(), &all).await.unwrap();
        let other = roles.create("Day shift", &reading(), &all).await.unwrap();
        for taken in ["night  SHIFT", "Admin", "read_only"] {
            conflict(roles.create(taken, &reading(), &all).await, "role_name");
            let change = RoleChange { name: Some(taken.to_owned()), permissions: None };
            conflict(roles.update(own(&other), &change, &all).await, "role_name");
        }
        let same = RoleChange { name: Some("NIGHT shift".to_owned()), permissions: None };
        assert_eq!(roles.update(own(&role), &same, &all).await.unwrap().name, "NIGHT shift");
    }

    async fn nobody_gives_or_touches_more_than_they_hold(test) {
        let store = test.store;
        install(&store).await;
        let tenant = store.tenant(&ctx(1, NOON));
        let (all, some) = (Permissions::all(), [Permission::UsersManage, Permission::AssetsRead].into_iter().collect());
        let admin = tenant.users().create(&ada(Role::Admin)).await.unwrap();
        let strong = tenant.roles().create("Strong", &Role::Technician.permissions(), &all).await.unwrap();
        let weak = tenant.roles().create("Weak", &some, &some).await.unwrap();
        let bob = NewUser { email: "bob@example.com", role: weak.key, ..ada(Role::Admin) };
        let bob = tenant.users().create_within(&bob, &ClientScope::All, &some).await.unwrap();
        let eve = |role| NewUser { email: "eve@example.com", role, ..ada(Role::Admin) };
        let widened = RoleChange { name: None, permissions: Some(reading()) };
        let emptied = RoleChange { name: None, permissions: Some(Permissions::default()) };
        let out = UserChange { disabled: Some(true), ..UserChange::default() };
        let answers = [
            tenant.roles().create("More", &reading(), &some).await.map(drop),
            tenant.roles().update(own(&weak), &widened, &some).await.map(drop),
            tenant.roles().update(own(&strong), &emptied, &some).await.map(drop),
            tenant.roles().delete(own(&strong), &some).await,
            tenant.users().create_within(&eve(strong.key), &ClientScope::All, &some).await.map(drop),
            tenant.users().create_within(&eve(Role::ReadOnly.into()), &ClientScope::All, &some).await.map(drop),
            tenant.users().update(bob.id, &to_role(Role::Admin), &some).await.map(drop),
            tenant.users().update(admin.id, &to_role(weak.key), &some).await.map(drop),
            tenant.users().update(admin.id, &out, &some).await.map(drop),
            tenant.users().set_password_within(admin.id, "mine", &some).await,
        ];
        for answer in answers {
            assert!(matches!(answer, Err(StoreError::Beyond(_))), "{answer:?}");
        }
        assert!(store.find_login("eve@example.com", NOON).await.unwrap().is_none());
        assert_eq!(tenant.users().get(bob.id).await.unwrap(), bob);
        assert_eq!(tenant.users().get(admin.id).await.unwrap(), admin);
        assert_eq!(tenant.users().password_hash(admin.id).await.unwrap(), "hash");
        assert_eq!(tenant.roles().list().await.unwrap(), vec![strong, weak]);
        tenant.users().set_password_within(bob.id, "new", &some).await.unwrap();
    }

    async fn the_last_admin_stays(test) {
        let store = test.store;
        install(&store).await;
        let tenant = store.tenant(&ctx(1, NOON));
        let all = Permissions::all();
        let users = tenant.users();
        let ruling: Permissions = [Permission::UsersManage, Permission::SystemSettings].into_iter().collect();
        let ruler = tenant.roles().create("Ruler", &ruling, &all).await.unwrap();
        let admin = users.create(&ada(Role::Admin)).await.unwrap();
        let out = UserChange { disabled: Some(true), ..UserChange::default() };
        let narrowed = RoleChange { name: None, permissions: Some(reading()) };
        // Of another tenant, and disabled: neither counts.
        store.tenant(&ctx(2, NOON)).users().create(&NewUser { email: "eve@example.com", ..ada(Role::Admin) }).await.unwrap();
        let bob = NewUser { email: "bob@example.com", role: ruler.key, ..ada(Role::Admin) };
        let bob = users.create(&bob).await.unwrap();
        users.update(bob.id, &out, &all).await.unwrap();
        conflict(users.update(admin.id, &out, &all).await, "last_admin");
        conflict(users.update(admin.id, &to_role(Role::Approver), &all).await, "last_admin");
        assert_eq!(users.get(admin.id).await.unwrap(), admin);

        let back = UserChange { disabled: Some(false), ..UserChange::default() };
        users.update(bob.id, &back, &all).await.unwrap();
        users.update(admin.id, &to_role(Role::Approver), &all).await.unwrap();
        conflict(tenant.roles().update(own(&ruler), &narrowed, &all).await, "last_admin");
        conflict(users.update(bob.id, &out, &all).await, "last_admin");
        let renamed = UserChange { name: Some("Bob".to_owned()), ..UserChange::default() };
        assert_eq!(users.update(bob.id, &renamed, &all).await.unwrap().role, ruler);
        // The console may: it can make another.
        users.disable(bob.id).await.unwrap();
        users.update(admin.id, &to_role(Role::ReadOnly), &all).await.unwrap();
    }

    async fn a_limit_counts_as_it_stands_now(test) {
        let store = test.store;
        install(&store).await;
        let tenant = store.tenant(&ctx(1, NOON));
        let all = Permissions::all();
        tenant.users().create(&ada(Role::Admin)).await.unwrap();
        let one = tenant.clients().create("One").await.unwrap().id;
        let two = tenant.clients().create("Two").await.unwrap().id;
        let bob = NewUser { email: "bob@example.com", ..ada(Role::Admin) };
        let bob = tenant.users().create_within(&bob, &ClientScope::only([two, one]), &all).await.unwrap();
        assert_eq!(bob.clients, ClientScope::only([one, two]));
        let new = NewToken { user: bob.id, kind: TokenKind::User, name: "t", permissions: all.clone(), expires_at: NOON + HOUR };
        let (_, text) = tenant.tokens().create(&new).await.unwrap();
        let session = async || tenant.sessions().create(bob.id, None).await.unwrap();
        let find = async |secret: &NewSession| store.find_session(secret.secret.expose_secret(), NOON).await.unwrap();
        let first = session().await;
        let before = store.statements_run();
        assert_eq!(find(&first).await.unwrap().user.clients, bob.clients);
        assert_eq!(store.statements_run() - before, 2, "no more questions than without a limit");

        let to = |clients| UserChange { clients: Some(clients), ..UserChange::default() };
        tenant.users().update(bob.id, &to(ClientScope::only([two, one, one])), &all).await.unwrap();
        assert!(find(&first).await.is_some(), "it is the same limit");
        for clients in [ClientScope::only([one]), ClientScope::only([]), ClientScope::All, ClientScope::only([two])] {
            let session = session().await;
            let changed = tenant.users().update(bob.id, &to(clients.clone()), &all).await.unwrap();
            assert_eq!(changed.clients, clients);
            assert!(find(&session).await.is_none(), "the limit changed");
            assert_eq!(store.find_token(text.expose_secret()).await.unwrap().unwrap().user.clients, clients);
            assert_eq!(tenant.users().get(bob.id).await.unwrap().clients, clients);
            assert_eq!(tenant.users().find_by_email("bob@example.com").await.unwrap().unwrap().clients, clients);
            assert_eq!(store.find_login("bob@example.com", NOON).await.unwrap().unwrap().0.clients, clients);
            let listed = tenant.users().list().await.unwrap();
            assert_eq!(listed.iter().find(|user| user.id == bob.id).unwrap().clients, clients);
        }
        let unknown = crate::new_id(NOON);
        conflict(tenant.users().update(bob.id, &to(ClientScope::only([one, unknown])), &all).await, "client");
        let theirs = store.tenant(&ctx(2, NOON)).clients().create("Theirs").await.unwrap().id;
        conflict(tenant.users().update(bob.id, &to(ClientScope::only([theirs])), &all).await, "client");
        assert_eq!(tenant.users().get(bob.id).await.unwrap().clients, ClientScope::only([two]));
    }

    async fn nobody_gives_or_touches_a_wider_limit_than_their_own(test) {
        let store = test.store;
        install(&store).await;
        let tenant = store.tenant(&ctx(1, NOON));
        let all = Permissions::all();
        let admin = tenant.users().create(&ada(Role::Admin)).await.unwrap();
        let one = tenant.clients().create("One").await.unwrap().id;
        let two = tenant.clients().create("Two").await.unwrap().id;
        let named = |email| NewUser { email, ..ada(Role::Admin) };
        let only = |clients: &[_]| ClientScope::only(clients.to_vec());
        let wide = tenant.users().create_within(&named("wide@example.com"), &only(&[one, two]), &all).await.unwrap();
        let role = tenant.roles().create("Held", &reading(), &all).await.unwrap();
        tenant.users().update(wide.id, &to_role(role.key), &all).await.unwrap();
        let wide = tenant.users().get(wide.id).await.unwrap();

        let actor = Actor { clients: only(&[one]), ..Actor::system() };
        let limited = store.tenant(&Ctx { actor, ..ctx(1, NOON) });
        let (users, eve) = (limited.users(), named("eve@example.com"));
        let to = |clients| UserChange { clients: Some(clients), ..UserChange::default() };
        let renamed = UserChange { name: Some("Mine".to_owned()), ..UserChange::default() };
        let changed = RoleChange { name: Some("Mine".to_owned()), permissions: None };
        let answers = [
            users.create_within(&eve, &ClientScope::All, &all).await.map(drop),
            users.update(admin.id, &renamed, &all).await.map(drop),
            users.update(admin.id, &to(only(&[one])), &all).await.map(drop),
            users.update(wide.id, &renamed, &all).await.map(drop),
            users.set_password_within(admin.id, "mine", &all).await,
            users.set_password_within(wide.id, "mine", &all).await,
            limited.roles().update(own(&role), &changed, &all).await.map(drop),
        ];
        for answer in answers {
            assert!(matches!(answer, Err(StoreError::BeyondClients)), "{answer:?}");
        }
        // One outside is like one that there is not.
        conflict(users.create_within(&eve, &only(&[two]), &all).await, "client");
        conflict(users.create_within(&eve, &only(&[crate::new_id(NOON)]), &all).await, "client");
        assert!(store.find_login("eve@example.com", NOON).await.unwrap().is_none());
        let eve = users.create_within(&eve, &only(&[one]), &all).await.unwrap();
        conflict(users.update(eve.id, &to(only(&[one, two])), &all).await, "client");
        assert!(matches!(users.update(eve.id, &to(ClientScope::All), &all).await, Err(StoreError::BeyondClients)));
        users.set_password_within(eve.id, "new", &all).await.unwrap();
        users.update(eve.id, &to(only(&[])), &all).await.unwrap();
        assert_eq!((tenant.users().get(admin.id).await.unwrap(), tenant.users().get(wide.id).await.unwrap()), (admin, wide));
    }

    async fn who_is_limited_does_not_rule_the_tenant(test) {
        let store = test.store;
        install(&store).await;
        let tenant = store.tenant(&ctx(1, NOON));
        let all = Permissions::all();
        let users = tenant.users();
        let bob = NewUser { email: "bob@example.com", ..ada(Role::Admin) };
        let bob = users.create_within(&bob, &ClientScope::only([]), &all).await.unwrap();
        assert_eq!(store.setup_state().await.unwrap(), SetupState::Open, "nobody can set up yet");
        let admin = users.create(&ada(Role::Admin)).await.unwrap();
        assert_eq!(store.setup_state().await.unwrap(), SetupState::Closed);
        let limited = UserChange { clients: Some(ClientScope::only([])), ..UserChange::default() };
        conflict(users.update(admin.id, &limited, &all).await, "last_admin");
        conflict(users.update(admin.id, &to_role(Role::ReadOnly), &all).await, "last_admin");
        let lifted = UserChange { clients: Some(ClientScope::All), ..UserChange::default() };
        users.update(bob.id, &lifted, &all).await.unwrap();
        users.update(admin.id, &limited, &all).await.unwrap();
    }

    async fn of_two_admins_who_demote_each_other_one_stays(test) {
        let store = test.store;
        install(&store).await;
        let tenant = store.tenant(&ctx(1, NOON));
        let all = Permissions::all();
        let users = tenant.users();
        let ada_id = users.create(&ada(Role::Admin)).await.unwrap().id;
        let bob = users.create(&NewUser { email: "bob@example.com", ..ada(Role::Admin) }).await.unwrap().id;
        let demoted = to_role(Role::ReadOnly);
        let (one, two) = tokio::join!(users.update(ada_id, &demoted, &all), users.update(bob, &demoted, &all));
        assert_eq!([one.is_ok(), two.is_ok()].iter().filter(|done| **done).count(), 1);
        conflict(if one.is_ok() { two } else { one }, "last_admin");
    }

    async fn sessions_are_listed_and_ended_one_by_one(test) {
        let store = test.store;
        install(&store).await;
        let tenant = store.tenant(&ctx(1, NOON));
        let user = tenant.users().create(&ada(Role::Admin)).await.unwrap().id;
        let bob = tenant.users().create(&NewUser { email: "bob@example.com", ..ada(Role::Admin) }).await.unwrap().id;
        let bobs = tenant.sessions().create(bob, None).await.unwrap();
        let mut made = Vec::new();
        for n in 0..3 {
            let later = store.tenant(&ctx(1, NOON + n * HOUR));
            made.push(later.sessions().create(user, Some("a browser")).await.unwrap().id);
        }
        let listed = async |at| -> Vec<SessionId> {
            let sessions = store.tenant(&ctx(1, at)).sessions().list_of(user).await.unwrap();
            sessions.into_iter().map(|session| session.id).collect()
        };
        assert_eq!(listed(NOON + 2 * HOUR).await, [made[2], made[1], made[0]]);
        assert_eq!(listed(NOON + 12 * HOUR).await, [made[2], made[1]], "one was idle for too long");
        assert!(matches!(tenant.sessions().delete(user, bobs.id).await, Err(StoreError::NotFound)));
        tenant.sessions().delete(user, made[1]).await.unwrap();
        assert!(matches!(tenant.sessions().delete(user, made[1]).await, Err(StoreError::NotFound)));
        tenant.sessions().delete_others(user, made[0]).await.unwrap();
        assert_eq!(listed(NOON).await, [made[0]]);
        tenant.sessions().delete_all(user).await.unwrap();
        assert!(listed(NOON).await.is_empty());
        assert_eq!(tenant.sessions().list_of(bob).await.unwrap().len(), 1);
    }

    async fn tenants_are_made_with_a_name_of_their_own(test) {
        let store = test.store;
        store.installation(InstallationKind::Serve).await.unwrap();
        let made = store.create_tenant("Northwind", NOON).await.unwrap();
        assert_eq!((made.id, made.name.as_str()), (TenantId(2), "Northwind"));
        conflict(store.create_tenant(" northWIND", NOON).await, "tenant_name");
        let (one, two) = tokio::join!(store.create_tenant("A", NOON), store.create_tenant("B", NOON));
        assert_ne!(one.unwrap().id, two.unwrap().id);
        assert_eq!(store.list_tenants().await.unwrap().len(), 4);
        let token = store.create_setup_token().await.unwrap().unwrap();
        store.tenant(&ctx(2, NOON)).users().create(&NewUser { email: "eve@example.com", ..ada(Role::Admin) }).await.unwrap();
        assert!(matches!(store.complete_setup(&token, &ada(Role::Admin), NOON).await.unwrap(), Setup::Done(_)));
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
        store.delete_session(one.secret.expose_secret(), NOON).await.unwrap();
        assert!(!works(&one).await && works(&two).await);
        tenant.users().set_password(user.id, "new hash").await.unwrap();
        assert!(!works(&two).await);
        assert_eq!(tenant.users().password_hash(user.id).await.unwrap(), "new hash");
        tenant.users().create(&NewUser { email: "eve@example.com", ..ada(Role::Admin) }).await.unwrap();
        for change in [Role::ReadOnly, Role::Admin] {
            let session = tenant.sessions().create(user.id, None).await.unwrap();
            tenant.users().update(user.id, &to_role(change), &Permissions::all()).await.unwrap();
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
