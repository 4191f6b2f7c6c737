//! Second factors, step-up and limited sign-ins, by the rules alone; what goes over the wire is tried with the program.

use std::cell::Cell;

use totp_rs::{Algorithm, Builder};

use super::*;

/// Codes as an app makes them.
pub(super) struct App {
    secret: SecretString,
    /// The step of the last code.
    last: Cell<i64>,
}

impl App {
    pub(super) fn new(secret: SecretString) -> App {
        App { secret, last: Cell::new(0) }
    }

    /// A code that was not shown before: no step is taken twice, and three can be taken around one moment.
    pub(super) fn next(&self) -> SecretString {
        let now = clock::now().0 / 30_000;
        self.last.set((self.last.get() + 1).max(now - 1));
        assert!(self.last.get() <= now + 1, "too many codes at once");
        self.again()
    }

    /// The last code once more.
    pub(super) fn again(&self) -> SecretString {
        let letters = self.secret.expose_secret().to_lowercase();
        let bits: String = letters
            .chars()
            .map(|letter| format!("{:05b}", "abcdefghijklmnopqrstuvwxyz234567".find(letter).unwrap()))
            .collect();
        let mut key = [0_u8; 20];
        for (byte, bits) in key.iter_mut().zip(bits.as_bytes().chunks(8)) {
            *byte = u8::from_str_radix(str::from_utf8(bits).unwrap(), 2).unwrap();
        }
        let totp = Builder::new().with_algorithm(Algorithm::SHA1).with_digits(6).with_secret(key);
        let seconds = u64::try_from(self.last.get() * 30).unwrap();
        SecretString::from(totp.build().unwrap().generate(seconds).to_string())
    }
}

/// Ada with an app that counts, and her session after it.
async fn enrolled(fixture: &Fixture) -> (App, Confirmed) {
    let accounts = &fixture.accounts;
    let signed_in = sign_in(accounts, "ada@example.com", PASSWORD).await.unwrap();
    let ctx = session_ctx(accounts, &signed_in).await;
    let session = Some(signed_in.session);
    let enrolment = accounts.enrol_totp(&ctx, session).await.unwrap();
    assert!(enrolment.uri.expose_secret().contains(enrolment.secret.expose_secret()));
    let app = App::new(enrolment.secret);
    let confirmed = accounts.confirm_totp(&ctx, session, &app.next(), None).await.unwrap();
    assert!(!is_signed_in(accounts, &signed_in).await, "there is a new session");
    (app, confirmed)
}

/// The first step of Ada's sign-in.
async fn challenge(accounts: &Accounts) -> SecretString {
    match accounts.sign_in("ada@example.com", PASSWORD.into(), BROWSER, None).await.unwrap() {
        SignIn::Challenged(challenge) => {
            assert_eq!(challenge.factors, [Factor::Totp]);
            challenge.secret
        }
        SignIn::Done(_) => panic!("there is a second step"),
    }
}

async fn second_step(accounts: &Accounts, challenge: &SecretString, code: &SecretString) -> Result<SignedIn> {
    accounts.second_step(challenge, &SecondProof::Code(code.clone()), BROWSER, Some("a browser")).await
}

#[tokio::test]
async fn who_has_a_second_factor_needs_it_to_come_in() {
    let fixture = with_user(Role::Admin).await;
    let accounts = &fixture.accounts;
    let (app, confirmed) = enrolled(&fixture).await;
    assert!(is_signed_in(accounts, &confirmed.signed_in).await);
    assert_eq!(
        code(accounts.sign_in("ada@example.com", "wrong".into(), BROWSER, None).await),
        "bad_credentials"
    );
    let first = challenge(accounts).await;
    assert_eq!(code(second_step(accounts, &first, &"000 000".into()).await), "bad_code");
    assert_eq!(code(second_step(accounts, &first, &app.again()).await), "bad_code", "it was taken");
    let signed_in = second_step(accounts, &first, &app.next()).await.unwrap();
    assert!(is_signed_in(accounts, &signed_in).await);
    assert_eq!(code(second_step(accounts, &first, &app.again()).await), "bad_challenge", "it was met");
    assert_eq!(code(second_step(accounts, &challenge(accounts).await, &app.again()).await), "bad_code");

    let recovery = &confirmed.recovery_codes[0];
    second_step(accounts, &challenge(accounts).await, recovery).await.unwrap();
    assert_eq!(code(second_step(accounts, &challenge(accounts).await, recovery).await), "bad_code");
    for wrong in ["", "fgc_x", &"x".repeat(100_000)] {
        assert_eq!(code(second_step(accounts, &wrong.into(), &app.again()).await), "bad_challenge");
    }
    let last = challenge(accounts).await;
    accounts.disable_user("ada@example.com").await.unwrap();
    assert_eq!(code(second_step(accounts, &last, &app.next()).await), "bad_challenge");
}

#[tokio::test]
async fn a_challenge_is_of_one_user_alone() {
    let fixture = with_user(Role::Admin).await;
    let accounts = &fixture.accounts;
    let (_, confirmed) = enrolled(&fixture).await;
    accounts.create_user(FIRST_TENANT, account("bob@example.com", Role::Admin)).await.unwrap();
    let bob = sign_in(accounts, "bob@example.com", PASSWORD).await.unwrap();
    let ctx = session_ctx(accounts, &bob).await;
    let app = App::new(accounts.enrol_totp(&ctx, Some(bob.session)).await.unwrap().secret);
    let bobs = accounts.confirm_totp(&ctx, Some(bob.session), &app.next(), None).await.unwrap();
    let of_ada = challenge(accounts).await;
    assert_eq!(code(second_step(accounts, &of_ada, &app.next()).await), "bad_code");
    assert_eq!(code(second_step(accounts, &of_ada, &bobs.recovery_codes[0]).await), "bad_code");
    let signed_in = second_step(accounts, &of_ada, &confirmed.recovery_codes[0]).await.unwrap();
    assert_eq!(signed_in.user.email, "ada@example.com");
}

#[tokio::test]
async fn guessing_codes_ends_the_challenge_and_is_braked_whatever_passwords_do() {
    let fixture = with_user(Role::Admin).await;
    let accounts = &fixture.accounts;
    let (app, _) = enrolled(&fixture).await;
    for round in 0..2 {
        let guessed = challenge(accounts).await;
        for _ in 0..5 {
            assert_eq!(code(second_step(accounts, &guessed, &"000000".into()).await), "bad_code", "{round}");
        }
        assert_eq!(code(second_step(accounts, &guessed, &app.again()).await), "bad_challenge");
    }
    let fresh = challenge(accounts).await;
    assert_eq!(code(second_step(accounts, &fresh, &app.next()).await), "throttled");
    accounts.reset_second_factor("ada@example.com").await.unwrap();
    sign_in(accounts, "ada@example.com", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn what_weakens_an_account_asks_for_a_step_up() {
    let fixture = with_user(Role::Admin).await;
    let accounts = &fixture.accounts;
    let (app, confirmed) = enrolled(&fixture).await;
    let here = confirmed.signed_in;
    let ctx = session_ctx(accounts, &here).await;
    let session = Some(here.session);
    assert_eq!(code(accounts.remove_totp(&ctx, session).await), "step_up_needed");
    assert_eq!(code(accounts.renew_recovery_codes(&ctx, session).await), "step_up_needed");
    let step_up = |proof| accounts.step_up(&ctx, session, None, proof);
    assert_eq!(code(step_up(Proof::Password("wrong".into())).await), "wrong_password");
    assert_eq!(code(step_up(Proof::Code("000000".into())).await), "wrong_code");
    assert_eq!(code(step_up(Proof::Code(app.again())).await), "wrong_code");
    let until = step_up(Proof::Code(app.next())).await.unwrap();
    assert_eq!(until, ctx.now + Duration::from_secs(300));
    let codes = accounts.renew_recovery_codes(&ctx, session).await.unwrap();
    assert_eq!(codes.len(), 10);
    let there = second_step(accounts, &challenge(accounts).await, &codes[0]).await.unwrap();
    let elsewhere = session_ctx(accounts, &there).await;
    assert_eq!(code(accounts.remove_totp(&elsewhere, Some(there.session)).await), "step_up_needed");
    let later = ctx.at(until);
    assert_eq!(code(accounts.remove_totp(&later, session).await), "step_up_needed");
    accounts.remove_totp(&ctx, session).await.unwrap();
    assert!(is_signed_in(accounts, &here).await && !is_signed_in(accounts, &there).await);
    assert_eq!(code(accounts.remove_totp(&ctx, session).await), "no_second_factor");
    assert_eq!(code(accounts.renew_recovery_codes(&ctx, session).await), "no_second_factor");
    sign_in(accounts, "ada@example.com", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_step_up_is_for_one_client_and_wrong_proofs_are_braked() {
    let fixture = with_user(Role::Admin).await;
    let accounts = &fixture.accounts;
    let here = sign_in(accounts, "ada@example.com", PASSWORD).await.unwrap();
    let ctx = session_ctx(accounts, &here).await;
    let session = Some(here.session);
    let client = fixture._store.store.tenant(&ctx).clients().create("Acme").await.unwrap().id;
    let password = || Proof::Password(PASSWORD.into());
    let nobodys: domain::id::ClientId = "cli_0192aaaaaaaa7aaa8aaaaaaaaaaaaaaa".parse().unwrap();
    assert_eq!(code(accounts.step_up(&ctx, session, Some(nobodys), password()).await), "client");
    let coded = Proof::Code("123456".into());
    assert_eq!(code(accounts.step_up(&ctx, session, None, coded).await), "no_second_factor");
    accounts.step_up(&ctx, session, Some(client), password()).await.unwrap();
    accounts.require_step_up(&ctx, session, Some(client)).await.unwrap();
    assert_eq!(code(accounts.require_step_up(&ctx, session, None).await), "step_up_needed");
    assert_eq!(code(accounts.require_step_up(&ctx, None, Some(client)).await), "not_a_person");
    let endless = || Proof::Password("x".repeat(257).into()); // refused without hashing
    for _ in 0..10 {
        assert_eq!(code(accounts.step_up(&ctx, session, None, endless()).await), "wrong_password");
    }
    assert_eq!(code(accounts.step_up(&ctx, session, None, password()).await), "throttled");
}

#[tokio::test]
async fn a_token_neither_enrols_nor_removes_nor_steps_up() {
    let fixture = with_user(Role::Admin).await;
    let accounts = &fixture.accounts;
    let made =
        accounts.create_token_for("ada@example.com", &request(TokenKind::User, &["users:manage"])).await;
    let found = accounts.authenticate_token(made.unwrap().1.expose_secret(), clock::now()).await.unwrap();
    let ctx = ctx_of(found, clock::now());
    assert_eq!(code(accounts.enrol_totp(&ctx, None).await), "not_a_person");
    assert_eq!(code(accounts.confirm_totp(&ctx, None, &"123456".into(), None).await), "not_a_person");
    assert_eq!(code(accounts.remove_totp(&ctx, None).await), "not_a_person");
    assert_eq!(code(accounts.renew_recovery_codes(&ctx, None).await), "not_a_person");
    let proof = Proof::Password(PASSWORD.into());
    assert_eq!(code(accounts.step_up(&ctx, None, None, proof).await), "not_a_person");
    let own = ctx.actor.user.unwrap();
    assert_eq!(code(accounts.reset_second_factor_of(&ctx, own).await), "own_second_factor");
}

#[tokio::test]
async fn a_limited_sign_in_holds_no_right_until_it_is_mended() {
    let fixture = with_user(Role::Admin).await;
    let accounts = &fixture.accounts;
    let here = sign_in(accounts, "ada@example.com", PASSWORD).await.unwrap();
    let ctx = session_ctx(accounts, &here).await;
    let admin = domain::auth::RoleKey::BuiltIn(Role::Admin);
    let role = accounts.set_second_factor_of_role(&ctx, admin, SecondFactorRule::Required).await.unwrap();
    assert_eq!(role.second_factor, SecondFactorRule::Required);
    let limit = async |signed_in: &SignedIn| {
        let secret = signed_in.secret.expose_secret();
        let found = accounts.authenticate_session(secret, clock::now()).await.unwrap().unwrap();
        assert_eq!(found.limit.is_some(), found.actor.permissions.names().is_empty());
        found.limit
    };
    assert_eq!(limit(&here).await, Some(Limit::EnrolSecondFactor), "at once");
    let (_, confirmed) = enrolled(&fixture).await;
    assert_eq!(limit(&confirmed.signed_in).await, None);
    let ctx = session_ctx(accounts, &confirmed.signed_in).await;

    let bob = accounts.add_user(&ctx, account("bob@example.com", Role::Admin)).await.unwrap();
    let bobs = sign_in(accounts, "bob@example.com", PASSWORD).await.unwrap();
    assert_eq!(limit(&bobs).await, Some(Limit::ChangePassword), "first of the two");
    let as_bob = session_ctx(accounts, &bobs).await;
    let same = accounts.change_password(&as_bob, PASSWORD.into(), PASSWORD.into(), None).await;
    assert_eq!(code(same), "weak_password");
    let changed = accounts.change_password(&as_bob, PASSWORD.into(), "bobs own password".into(), None).await;
    assert_eq!(limit(&changed.unwrap()).await, Some(Limit::EnrolSecondFactor));
    accounts.set_second_factor_of_role(&ctx, admin, SecondFactorRule::Optional).await.unwrap();
    let bobs = sign_in(accounts, "bob@example.com", "bobs own password").await.unwrap();
    assert_eq!(limit(&bobs).await, None);
    accounts.set_password_of(&ctx, bob.id, "given by ada again".into()).await.unwrap();
    let bobs = sign_in(accounts, "bob@example.com", "given by ada again").await.unwrap();
    assert_eq!(limit(&bobs).await, Some(Limit::ChangePassword));
}

#[tokio::test]
async fn who_makes_the_first_admin_at_the_console_makes_their_own_account() {
    let fixture = fresh().await;
    let accounts = &fixture.accounts;
    let ada = accounts.create_user_for(FIRST_TENANT, account("ada@example.com", Role::Admin)).await.unwrap();
    assert_eq!(ada.limit(), None);
    let bob = accounts.create_user_for(FIRST_TENANT, account("bob@example.com", Role::Admin)).await.unwrap();
    assert_eq!(bob.limit(), Some(Limit::ChangePassword));
    let password = || SecretString::from("another good password");
    let reset = accounts.reset_password("bob@example.com", password()).await.unwrap();
    assert_eq!(reset.limit(), None);
    let reset = accounts.reset_password_for("ada@example.com", password()).await.unwrap();
    assert_eq!(reset.limit(), Some(Limit::ChangePassword));
}
