use std::time::Duration;

use secrecy::ExposeSecret;
use store::{
    people::InstallationKind,
    testing::{self, TestStore},
};

use super::*;

mod factor;
mod passkey;

const PASSWORD: &str = "correct horse battery";
const URL: &str = "https://fleet.example";
const BROWSER: &str = "192.0.2.1";

struct Fixture {
    accounts: Accounts,
    _store: TestStore,
    _folder: tempfile::TempDir,
}

/// An installation before set-up.
async fn fresh() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let test = testing::sqlite(folder.path()).await;
    test.store.installation(InstallationKind::Serve).await.unwrap();
    Fixture {
        accounts: Accounts::new(test.store.clone()).served_at(Some(URL)),
        _store: test,
        _folder: folder,
    }
}

fn account(email: &str, role: Role) -> NewAccount {
    NewAccount {
        email: email.to_owned(),
        name: "Ada".to_owned(),
        role: role.into(),
        clients: ClientScope::All,
        password: PASSWORD.into(),
    }
}

/// An installation with one user of this role, `ada@example.com`.
async fn with_user(role: Role) -> Fixture {
    let fixture = fresh().await;
    fixture.accounts.create_user(FIRST_TENANT, account("ada@example.com", role)).await.unwrap();
    fixture
}

async fn sign_in(accounts: &Accounts, email: &str, password: &str) -> Result<SignedIn> {
    match accounts.sign_in(email, password.into(), BROWSER, Some("a browser")).await? {
        SignIn::Done(signed_in) => Ok(*signed_in),
        SignIn::Challenged(challenge) => panic!("there is a second step: {challenge:?}"),
    }
}

fn ctx_of(found: Authenticated, now: Time) -> Ctx {
    Ctx { tenant: found.tenant, actor: found.actor, request_id: "test".to_owned(), now }
}

async fn session_ctx(accounts: &Accounts, signed_in: &SignedIn) -> Ctx {
    let now = clock::now();
    let found = accounts.authenticate_session(signed_in.secret.expose_secret(), now).await.unwrap().unwrap();
    assert_eq!(found.via, Via::Session(signed_in.session));
    ctx_of(found, now)
}

fn request(kind: TokenKind, permissions: &[&str]) -> TokenRequest {
    let permissions = Some(permissions.iter().map(|name| (*name).to_owned()).collect());
    TokenRequest { kind, name: "a token".to_owned(), permissions, days: 30 }
}

/// The stable code of the error.
fn code<T>(answer: Result<T>) -> &'static str {
    match answer.err().expect("it is refused") {
        ServiceError::Invalid { code, .. }
        | ServiceError::Conflict { code, .. }
        | ServiceError::ProofNeeded { code, .. }
        | ServiceError::Unauthenticated { code, .. } => code,
        ServiceError::NotFound { what } => what,
        ServiceError::Forbidden(permission) => permission.name(),
        ServiceError::Throttled { .. } => "throttled",
        other => panic!("unexpected: {other:?}"),
    }
}

#[tokio::test]
async fn set_up_makes_the_first_admin_and_closes() {
    let fixture = fresh().await;
    let accounts = &fixture.accounts;
    let token = accounts.setup_token().await.unwrap().unwrap();
    let set_up = async |token: &SecretString, email: &str, password: &str| {
        accounts.set_up(token, email, "Ada", password.into(), None).await
    };
    assert_eq!(code(set_up(&"wrong".into(), "ada@example.com", PASSWORD).await), "bad_setup_token");
    assert_eq!(code(set_up(&token, "ada@example.com", "short").await), "weak_password");
    assert_eq!(code(set_up(&token, "ada", PASSWORD).await), "invalid_email");
    let signed_in = set_up(&token, "ada@example.com", PASSWORD).await.unwrap();
    let ctx = session_ctx(accounts, &signed_in).await;
    assert_eq!(accounts.me(&ctx).await.unwrap().user.role, Role::Admin.into());
    assert_eq!(accounts.setup_state().await.unwrap(), SetupState::Closed);
    assert!(accounts.setup_token().await.unwrap().is_none());
    assert_eq!(code(set_up(&token, "eve@example.com", PASSWORD).await), "setup_closed");
}

#[tokio::test]
async fn who_may_not_sign_in_learns_nothing_else() {
    let fixture = with_user(Role::Admin).await;
    let accounts = &fixture.accounts;
    sign_in(accounts, " ADA@example.com", PASSWORD).await.unwrap();
    let wrong = sign_in(accounts, "ada@example.com", "wrong").await.unwrap_err().to_string();
    let unknown = sign_in(accounts, "bob@example.com", PASSWORD).await.unwrap_err().to_string();
    let endless = sign_in(accounts, "ada@example.com", &"x".repeat(100_000)).await.unwrap_err().to_string();
    accounts.disable_user("ada@example.com").await.unwrap();
    let disabled = sign_in(accounts, "ada@example.com", PASSWORD).await.unwrap_err().to_string();
    assert_eq!([&wrong; 3], [&unknown, &endless, &disabled]);
    accounts.enable_user("ada@example.com").await.unwrap();
    sign_in(accounts, "ada@example.com", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn guessing_is_braked_and_a_reset_lifts_the_brake() {
    let fixture = with_user(Role::Admin).await;
    let accounts = &fixture.accounts;
    let too_long = "x".repeat(257); // refused without hashing
    for _ in 0..10 {
        assert_eq!(code(sign_in(accounts, "ada@example.com", &too_long).await), "bad_credentials");
    }
    assert_eq!(code(sign_in(accounts, "ada@example.com", PASSWORD).await), "throttled");
    accounts.reset_password("ada@example.com", "another good password".into()).await.unwrap();
    sign_in(accounts, "ada@example.com", "another good password").await.unwrap();
}

#[tokio::test]
async fn signing_out_ends_the_session() {
    let fixture = with_user(Role::Technician).await;
    let accounts = &fixture.accounts;
    let signed_in = sign_in(accounts, "ada@example.com", PASSWORD).await.unwrap();
    let ctx = session_ctx(accounts, &signed_in).await;
    assert_eq!((ctx.actor.kind, ctx.actor.name.as_str()), (ActorKind::Person, "ada@example.com"));
    assert_eq!(ctx.actor.permissions, Role::Technician.permissions());
    assert_eq!(code(accounts.users(&ctx).await), "users:manage");
    accounts.sign_out(&signed_in.secret).await.unwrap();
    let found = accounts.authenticate_session(signed_in.secret.expose_secret(), clock::now()).await.unwrap();
    assert!(found.is_none());
}

#[tokio::test]
async fn a_disabled_user_is_out_at_once() {
    let fixture = with_user(Role::Admin).await;
    let accounts = &fixture.accounts;
    let signed_in = sign_in(accounts, "ada@example.com", PASSWORD).await.unwrap();
    let (_, text) = accounts
        .create_token_for("ada@example.com", &request(TokenKind::User, &["assets:read"]))
        .await
        .unwrap();
    accounts.disable_user("ada@example.com").await.unwrap();
    let now = clock::now();
    assert!(accounts.authenticate_session(signed_in.secret.expose_secret(), now).await.unwrap().is_none());
    assert_eq!(code(accounts.authenticate_token(text.expose_secret(), now).await), "bad_token");
}

#[tokio::test]
async fn a_new_password_ends_all_other_sessions() {
    let fixture = with_user(Role::ReadOnly).await;
    let accounts = &fixture.accounts;
    let here = sign_in(accounts, "ada@example.com", PASSWORD).await.unwrap();
    let there = sign_in(accounts, "ada@example.com", PASSWORD).await.unwrap();
    let ctx = session_ctx(accounts, &here).await;
    let change =
        async |old: &str, new: &str| accounts.change_password(&ctx, old.into(), new.into(), None).await;
    assert_eq!(code(change("wrong", "another good password").await), "wrong_password");
    assert_eq!(code(change(PASSWORD, "ada@example.com").await), "weak_password");
    let renewed = change(PASSWORD, "another good password").await.unwrap();
    for old in [&here, &there] {
        let found = accounts.authenticate_session(old.secret.expose_secret(), ctx.now).await.unwrap();
        assert!(found.is_none());
    }
    session_ctx(accounts, &renewed).await;
    assert_eq!(code(sign_in(accounts, "ada@example.com", PASSWORD).await), "bad_credentials");
    sign_in(accounts, "ada@example.com", "another good password").await.unwrap();
}

#[tokio::test]
async fn tokens_act_for_their_maker_until_they_expire() {
    let fixture = with_user(Role::Admin).await;
    let accounts = &fixture.accounts;
    let signed_in = sign_in(accounts, "ada@example.com", PASSWORD).await.unwrap();
    let ctx = session_ctx(accounts, &signed_in).await;
    for (kind, actor_kind, prefix) in
        [(TokenKind::User, ActorKind::Script, "fgu_"), (TokenKind::Agent, ActorKind::Agent, "fga_")]
    {
        let (info, text) =
            accounts.create_token(&ctx, &request(kind, &["assets:read", "alerts:read"])).await.unwrap();
        let text = text.expose_secret();
        assert!(text.starts_with(prefix));
        let found = accounts.authenticate_token(text, ctx.now).await.unwrap();
        assert_eq!(
            (found.token_kind(), found.actor.kind, found.actor.token),
            (Some(kind), actor_kind, Some(info.id))
        );
        assert_eq!(found.actor.user, ctx.actor.user);
        assert_eq!(found.actor.permissions.names(), vec!["assets:read", "alerts:read"]);
        let last = ctx.now + Duration::from_secs(30 * 86_400);
        assert_eq!(code(accounts.authenticate_token(text, last).await), "bad_token");
        let me = accounts.me(&ctx_of(found, ctx.now)).await.unwrap();
        assert_eq!((me.kind, me.user.email.as_str()), (actor_kind, "ada@example.com"));
    }
    let listed = accounts.list_tokens(&ctx).await.unwrap();
    assert!(listed.iter().all(|token| token.last_used_at.is_some()), "{listed:?}");
}

#[tokio::test]
async fn refused_tokens_are_all_alike() {
    let fixture = with_user(Role::Admin).await;
    let accounts = &fixture.accounts;
    let (info, text) = accounts
        .create_token_for("ada@example.com", &request(TokenKind::User, &["assets:read"]))
        .await
        .unwrap();
    let refused =
        async |text: &str, now| accounts.authenticate_token(text, now).await.unwrap_err().to_string();
    let now = clock::now();
    let expired = refused(text.expose_secret(), now + Duration::from_secs(31 * 86_400)).await;
    fixture._store.store.tenant(&console::console(FIRST_TENANT)).tokens().revoke(info.id).await.unwrap();
    let revoked = refused(text.expose_secret(), now).await;
    let unknown = refused("fgu_nonsense", now).await;
    let endless = refused(&"x".repeat(100_000), now).await;
    assert_eq!([&expired; 3], [&revoked, &unknown, &endless]);
}

#[tokio::test]
async fn rights_of_a_token_follow_those_of_its_user() {
    let fixture = with_user(Role::Admin).await;
    let accounts = &fixture.accounts;
    let (info, text) = accounts
        .create_token_for("ada@example.com", &request(TokenKind::User, &["assets:read", "users:manage"]))
        .await
        .unwrap();
    accounts.create_user(FIRST_TENANT, account("eve@example.com", Role::Admin)).await.unwrap();
    let demoted = UserPatch { role: Some(Role::ReadOnly.into()), ..UserPatch::default() };
    accounts.update_user(&console::console(FIRST_TENANT), info.user, demoted).await.unwrap();
    let found = accounts.authenticate_token(text.expose_secret(), clock::now()).await.unwrap();
    assert_eq!(found.actor.permissions.names(), vec!["assets:read"]);
}

#[tokio::test]
async fn agents_make_no_tokens_and_tokens_do_not_outlive_their_maker() {
    let fixture = with_user(Role::Admin).await;
    let accounts = &fixture.accounts;
    let now = clock::now();
    let make = async |kind| {
        let (info, text) =
            accounts.create_token_for("ada@example.com", &request(kind, &["assets:read"])).await.unwrap();
        (info, ctx_of(accounts.authenticate_token(text.expose_secret(), now).await.unwrap(), now))
    };
    let (agent_token, agent) = make(TokenKind::Agent).await;
    let long = TokenRequest { days: 366, ..request(TokenKind::User, &["assets:read"]) };
    assert_eq!(code(accounts.create_token(&agent, &long).await), "not_a_person");
    assert_eq!(code(accounts.revoke_token(&agent, agent_token.id).await), "token");
    let (maker, script) = make(TokenKind::User).await;
    let (made, _) = accounts.create_token(&script, &long).await.unwrap();
    assert_eq!(made.expires_at, maker.expires_at);
    let beyond = request(TokenKind::User, &["assets:write"]);
    assert_eq!(code(accounts.create_token(&script, &beyond).await), "invalid_permissions");
    for days in [0, 367] {
        let wrong = TokenRequest { days, ..long.clone() };
        assert_eq!(code(accounts.create_token(&script, &wrong).await), "invalid_expiry");
    }
}

#[tokio::test]
async fn tokens_of_others_are_seen_and_revoked_by_who_manages_users() {
    let fixture = with_user(Role::Admin).await;
    let accounts = &fixture.accounts;
    accounts.create_user(FIRST_TENANT, account("bob@example.com", Role::Technician)).await.unwrap();
    let read = request(TokenKind::User, &["assets:read"]);
    let (adas, _) = accounts.create_token_for("ada@example.com", &read).await.unwrap();
    let (bobs, _) = accounts.create_token_for("bob@example.com", &read).await.unwrap();
    let ada = session_ctx(accounts, &sign_in(accounts, "ada@example.com", PASSWORD).await.unwrap()).await;
    let bob = session_ctx(accounts, &sign_in(accounts, "bob@example.com", PASSWORD).await.unwrap()).await;
    assert_eq!(accounts.list_tokens(&bob).await.unwrap(), vec![bobs.clone()]);
    assert_eq!(accounts.list_tokens(&ada).await.unwrap().len(), 2);
    assert_eq!(code(accounts.revoke_token(&bob, adas.id).await), "token", "as if it did not exist");
    accounts.revoke_token(&bob, bobs.id).await.unwrap();
    accounts.revoke_token(&ada, bobs.id).await.unwrap();
    let foreign = Ctx { tenant: TenantId(2), ..ada.clone() };
    assert_eq!(code(accounts.revoke_token(&foreign, adas.id).await), "token");
    assert!(accounts.list_tokens(&foreign).await.unwrap().is_empty());
}

/// Ada, the admin, signed in; and Bob with an own role of Ada's making, signed in too.
struct Pair {
    fixture: Fixture,
    ada: Ctx,
    bob: SignedIn,
    role: domain::id::RoleId,
}

async fn pair(permissions: &[&str]) -> Pair {
    let fixture = with_user(Role::Admin).await;
    let accounts = &fixture.accounts;
    let ada = session_ctx(accounts, &sign_in(accounts, "ada@example.com", PASSWORD).await.unwrap()).await;
    let role = accounts.create_role(&ada, "Own", &texts(permissions)).await.unwrap().role.key;
    accounts.add_user(&ada, NewAccount { role, ..account("bob@example.com", Role::Admin) }).await.unwrap();
    accounts.reset_password("bob@example.com", PASSWORD.into()).await.unwrap(); // of his own choice
    let bob = sign_in(accounts, "bob@example.com", PASSWORD).await.unwrap();
    let RoleKey::Own(role) = role else { panic!("it is an own one") };
    Pair { fixture, ada, bob, role }
}

fn texts(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

async fn is_signed_in(accounts: &Accounts, signed_in: &SignedIn) -> bool {
    accounts.authenticate_session(signed_in.secret.expose_secret(), clock::now()).await.unwrap().is_some()
}

#[tokio::test]
async fn rights_of_an_own_role_reach_sessions_and_tokens_and_leave_them_at_once() {
    let Pair { fixture, ada, bob, role } = pair(&["assets:read", "assets:write"]).await;
    let accounts = &fixture.accounts;
    let bob_ctx = session_ctx(accounts, &bob).await;
    assert_eq!(bob_ctx.actor.permissions.names(), ["assets:read", "assets:write"]);
    let all = TokenRequest { permissions: None, ..request(TokenKind::User, &[]) };
    let (_, text) = accounts.create_token(&bob_ctx, &all).await.unwrap();
    let narrowed = RoleRequest { name: None, permissions: Some(texts(&["assets:read"])) };
    let changed = accounts.update_role(&ada, role, &narrowed).await.unwrap();
    assert_eq!((changed.users, changed.role.permissions.names()), (1, vec!["assets:read"]));
    assert!(!is_signed_in(accounts, &bob).await, "a change of rights needs a new sign-in");
    let held = accounts.authenticate_token(text.expose_secret(), clock::now()).await.unwrap();
    assert_eq!(held.actor.permissions.names(), ["assets:read"]);
    let again = sign_in(accounts, "bob@example.com", PASSWORD).await.unwrap();
    assert_eq!(session_ctx(accounts, &again).await.actor.permissions.names(), ["assets:read"]);
    let patch = UserPatch { role: Some(Role::Approver.into()), ..UserPatch::default() };
    accounts.update_user(&ada, bob.user.id, patch).await.unwrap();
    assert!(!is_signed_in(accounts, &again).await);
    let widened = RoleRequest { name: None, permissions: Some(texts(&["assets:read", "nonsense"])) };
    assert_eq!(code(accounts.update_role(&ada, role, &widened).await), "invalid_permissions");
    accounts.delete_role(&ada, role).await.unwrap();
    assert_eq!(code(accounts.delete_role(&ada, role).await), "role");
}

#[tokio::test]
async fn who_manages_users_gives_and_takes_no_more_than_they_hold() {
    let Pair { fixture, ada, bob, role } = pair(&["users:manage", "assets:read"]).await;
    let accounts = &fixture.accounts;
    let ctx = session_ctx(accounts, &bob).await;
    let ada_id = ada.actor.user.unwrap();
    let to = |role: RoleKey| UserPatch { role: Some(role), ..UserPatch::default() };
    let out = UserPatch { disabled: Some(true), ..UserPatch::default() };
    let wider = RoleRequest { name: None, permissions: Some(texts(&["users:manage", "freeze"])) };
    assert_eq!(
        code(accounts.update_user(&ctx, bob.user.id, to(Role::Admin.into())).await),
        "system_settings"
    );
    assert_eq!(code(accounts.update_user(&ctx, ada_id, out).await), "system_settings");
    assert_eq!(
        code(accounts.set_password_of(&ctx, ada_id, "another good password".into()).await),
        "system_settings"
    );
    assert_eq!(
        code(accounts.set_password_of(&ctx, bob.user.id, "another good password".into()).await),
        "own_password"
    );
    assert_eq!(
        code(accounts.add_user(&ctx, account("eve@example.com", Role::ReadOnly)).await),
        "integrations:read"
    );
    assert_eq!(code(accounts.create_role(&ctx, "More", &texts(&["freeze"])).await), "freeze");
    assert_eq!(code(accounts.reset_second_factor_of(&ctx, ada_id).await), "system_settings");
    let released =
        accounts.set_second_factor_of_role(&ctx, Role::Admin.into(), SecondFactorRule::Optional).await;
    assert_eq!(code(released), "system_settings");
    assert_eq!(code(accounts.update_role(&ctx, role, &wider).await), "freeze");
    sign_in(accounts, "ada@example.com", PASSWORD).await.unwrap();

    let carl = NewAccount { role: RoleKey::Own(role), ..account("carl@example.com", Role::Admin) };
    let carl = accounts.add_user(&ctx, carl).await.unwrap();
    accounts.set_password_of(&ctx, carl.id, "another good password".into()).await.unwrap();
    sign_in(accounts, "carl@example.com", "another good password").await.unwrap();
    // A token with less than its user counts as what it holds.
    let (_, text) = accounts.create_token(&ada, &request(TokenKind::User, &["users:manage"])).await.unwrap();
    let found = accounts.authenticate_token(text.expose_secret(), clock::now()).await.unwrap();
    let script = ctx_of(found, clock::now());
    assert_eq!(code(accounts.update_user(&script, carl.id, to(Role::ReadOnly.into())).await), "assets:read");
    assert_eq!(
        code(accounts.set_password_of(&script, ada_id, "another good password".into()).await),
        "own_password"
    );
}

#[tokio::test]
async fn the_last_admin_is_told_what_to_do_first() {
    let Pair { fixture, ada, role, .. } = pair(&["users:manage", "system_settings"]).await;
    let accounts = &fixture.accounts;
    let id = ada.actor.user.unwrap();
    accounts.disable_user("bob@example.com").await.unwrap();
    let out = UserPatch { disabled: Some(true), ..UserPatch::default() };
    let demoted = UserPatch { role: Some(Role::ReadOnly.into()), ..UserPatch::default() };
    assert_eq!(code(accounts.update_user(&ada, id, out).await), "last_admin");
    let error = accounts.update_user(&ada, id, demoted.clone()).await.unwrap_err().to_string();
    assert!(error.contains("`users:manage`") && error.contains("somebody else first"), "{error}");
    accounts.enable_user("bob@example.com").await.unwrap();
    accounts.update_user(&ada, id, demoted).await.unwrap();
    let bob = session_ctx(accounts, &sign_in(accounts, "bob@example.com", PASSWORD).await.unwrap()).await;
    let narrowed = RoleRequest { name: None, permissions: Some(texts(&["users:manage"])) };
    assert_eq!(code(accounts.update_role(&bob, role, &narrowed).await), "last_admin");
}

#[tokio::test]
async fn a_disabled_user_is_out_and_comes_back_without_the_old_session() {
    let Pair { fixture, ada, bob, .. } = pair(&["assets:read"]).await;
    let accounts = &fixture.accounts;
    let ctx = session_ctx(accounts, &bob).await;
    let (_, text) = accounts.create_token(&ctx, &request(TokenKind::User, &["assets:read"])).await.unwrap();
    let state = |disabled| UserPatch { disabled: Some(disabled), ..UserPatch::default() };
    let user = accounts.update_user(&ada, bob.user.id, state(true)).await.unwrap();
    assert!(user.disabled_at.is_some() && !is_signed_in(accounts, &bob).await);
    assert_eq!(code(accounts.authenticate_token(text.expose_secret(), clock::now()).await), "bad_token");
    assert_eq!(code(sign_in(accounts, "bob@example.com", PASSWORD).await), "bad_credentials");
    accounts.update_user(&ada, bob.user.id, state(false)).await.unwrap();
    assert!(!is_signed_in(accounts, &bob).await);
    accounts.authenticate_token(text.expose_secret(), clock::now()).await.unwrap();
}

#[tokio::test]
async fn sessions_are_ended_by_their_owner_and_by_who_manages_users() {
    let Pair { fixture, ada, bob, .. } = pair(&["assets:read"]).await;
    let accounts = &fixture.accounts;
    let ctx = session_ctx(accounts, &bob).await;
    let other = sign_in(accounts, "bob@example.com", PASSWORD).await.unwrap();
    assert_eq!(accounts.own_sessions(&ctx).await.unwrap().len(), 2);
    assert_eq!(code(accounts.sessions_of(&ctx, bob.user.id).await), "users:manage");
    assert_eq!(code(accounts.reset_second_factor_of(&ctx, bob.user.id).await), "users:manage");
    let guarded =
        accounts.set_second_factor_of_role(&ctx, Role::Admin.into(), SecondFactorRule::Optional).await;
    assert_eq!(code(guarded), "users:manage");
    assert_eq!(code(accounts.end_session_of(&ctx, bob.user.id, other.session).await), "users:manage");
    assert_eq!(code(accounts.end_own_session(&ada, other.session).await), "session", "not one of ada's own");
    accounts.end_other_sessions(&ctx, Some(bob.session)).await.unwrap();
    assert!(is_signed_in(accounts, &bob).await && !is_signed_in(accounts, &other).await);
    assert_eq!(accounts.sessions_of(&ada, bob.user.id).await.unwrap().len(), 1);
    accounts.end_session_of(&ada, bob.user.id, bob.session).await.unwrap();
    assert!(!is_signed_in(accounts, &bob).await);
    let foreign = Ctx { tenant: TenantId(2), ..ada.clone() };
    assert_eq!(code(accounts.sessions_of(&foreign, bob.user.id).await), "user");
    assert_eq!(code(accounts.end_sessions_of(&foreign, bob.user.id).await), "user");
}

#[tokio::test]
async fn the_console_finds_people_of_every_tenant() {
    let fixture = with_user(Role::Admin).await;
    let accounts = &fixture.accounts;
    let second = accounts.create_tenant(" Northwind ").await.unwrap();
    assert_eq!(code(accounts.create_tenant("northwind").await), "name_taken");
    let eve = accounts.create_user(second.id, account("eve@example.com", Role::Admin)).await.unwrap();
    assert_eq!(
        code(accounts.create_user(second.id, account("ada@example.com", Role::Admin)).await),
        "email_taken"
    );
    assert_eq!(accounts.find_user("EVE@example.com").await.unwrap(), eve);
    assert_eq!(accounts.list_users(second.id).await.unwrap(), vec![eve.clone()]);
    let (token, _) = accounts
        .create_token_for("eve@example.com", &request(TokenKind::User, &["assets:read"]))
        .await
        .unwrap();
    assert_eq!(token.tenant, second.id);
    assert!(accounts.disable_user("eve@example.com").await.unwrap().disabled_at.is_some());
}

#[tokio::test]
async fn the_console_says_what_is_wrong() {
    let fixture = with_user(Role::Admin).await;
    let accounts = &fixture.accounts;
    assert_eq!(
        code(accounts.create_user(FIRST_TENANT, account("ADA@example.com", Role::Admin)).await),
        "email_taken"
    );
    assert_eq!(code(accounts.reset_password("bob@example.com", PASSWORD.into()).await), "user");
    assert_eq!(
        code(accounts.create_token_for("bob@example.com", &request(TokenKind::User, &[])).await),
        "user"
    );
    let nameless = NewAccount { name: " ".to_owned(), ..account("bob@example.com", Role::Admin) };
    assert_eq!(code(accounts.create_user(FIRST_TENANT, nameless).await), "invalid_name");
    assert_eq!(accounts.list_users(FIRST_TENANT).await.unwrap().len(), 1);
    assert!(accounts.setup_token().await.unwrap().is_none(), "the first admin closed set-up");
}

#[track_caller]
fn check_address(email: &str, expected: Option<&str>) {
    assert_eq!(check_email(email).ok().as_deref(), expected, "{email}");
}

#[test]
fn addresses_are_trimmed_and_have_two_sides() {
    check_address(" ada@example.com ", Some("ada@example.com"));
    check_address("ada@localhost", Some("ada@localhost"));
    for wrong in ["", "ada", "@example.com", "ada@", "a@b@c", "a da@example.com", "ada@exam\nple.com"] {
        check_address(wrong, None);
    }
    check_address(
        &format!("{}@example.com", "a".repeat(242)),
        Some(&format!("{}@example.com", "a".repeat(242))),
    );
    check_address(&format!("{}@example.com", "a".repeat(243)), None);
}
