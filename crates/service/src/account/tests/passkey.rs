//! Passkeys as a person meets them: adding, signing in, proving again who is there, removing.

use domain::{audit::AuditFilter, page::PageRequest};
use store::people::MAX_PASSKEYS;

use super::*;
use crate::account::passkey::webauthn::authenticator::Authenticator;

fn authenticator() -> Authenticator {
    Authenticator::es256("fleet.example", URL)
}

struct Here {
    ctx: Ctx,
    session: Option<SessionId>,
    signed_in: SignedIn,
}

async fn here(accounts: &Accounts, signed_in: SignedIn) -> Here {
    Here { ctx: session_ctx(accounts, &signed_in).await, session: Some(signed_in.session), signed_in }
}

async fn stepped_up(accounts: &Accounts, here: &Here) {
    let proof = Proof::Password(PASSWORD.into());
    accounts.step_up(&here.ctx, here.session, None, proof).await.unwrap();
}

async fn add(accounts: &Accounts, here: &Here, key: &Authenticator) -> Result<ConfirmedPasskey> {
    let options = accounts.enrol_passkey(&here.ctx, here.session).await?;
    let made = key.create(options.challenge.expose_secret());
    accounts.confirm_passkey(&here.ctx, here.session, " Laptop ", &made, None).await
}

/// Ada with a passkey, and where she is signed in after it.
async fn with_passkey(accounts: &Accounts) -> (Authenticator, Here, Vec<SecretString>, Passkey) {
    let first = here(accounts, sign_in(accounts, "ada@example.com", PASSWORD).await.unwrap()).await;
    let key = authenticator();
    let added = add(accounts, &first, &key).await.unwrap();
    assert!(!is_signed_in(accounts, &first.signed_in).await, "there is a new session");
    (key, here(accounts, added.signed_in).await, added.recovery_codes, added.passkey)
}

async fn challenged(accounts: &Accounts) -> Challenge {
    match accounts.sign_in("ada@example.com", PASSWORD.into(), BROWSER, None).await.unwrap() {
        SignIn::Challenged(challenge) => challenge,
        SignIn::Done(_) => panic!("there is a second step"),
    }
}

async fn finish(accounts: &Accounts, challenge: &Challenge, answer: AssertionResponse) -> Result<SignedIn> {
    let proof = SecondProof::Passkey(answer);
    accounts.second_step(&challenge.secret, &proof, BROWSER, Some("a browser")).await
}

fn asked(options: Option<&RequestOptions>) -> String {
    options.expect("there is a passkey for this server").challenge.expose_secret().to_owned()
}

async fn refusals(here: &Here, accounts: &Accounts) -> Vec<String> {
    let filter = AuditFilter { outcome: Some(domain::audit::Outcome::Refused), ..AuditFilter::default() };
    let page = PageRequest { limit: 100, cursor: None };
    let listed = accounts.store.tenant(&here.ctx).audit().list(&filter, &page).await.unwrap();
    let mut rules: Vec<_> =
        listed.items.into_iter().map(|e| format!("{} {}", e.act, e.rule.unwrap())).collect();
    rules.sort();
    rules
}

#[tokio::test]
async fn a_passkey_finishes_a_sign_in() {
    let fixture = with_user(Role::Admin).await;
    let accounts = &fixture.accounts;
    let (mut key, now, codes, passkey) = with_passkey(accounts).await;
    assert_eq!((codes.len(), passkey.name.as_str(), passkey.rp_id.as_str()), (10, "Laptop", "fleet.example"));
    let me = accounts.me(&now.ctx).await.unwrap();
    assert_eq!((Factor::of(&me.user), me.recovery_codes_left), (vec![Factor::Passkey], 10));

    let first = challenged(accounts).await;
    assert_eq!(first.factors, [Factor::Passkey]);
    let options = first.passkey.as_ref().unwrap();
    assert_eq!((options.relying_party_id.as_str(), options.expires_at), ("fleet.example", first.expires_at));
    let allowed = PasskeyDescriptor {
        credential_id: passkey.credential_id.clone(),
        transports: vec!["hybrid".into(), "internal".into()],
    };
    assert_eq!(options.allow, [allowed]);
    let answer = key.get(&asked(first.passkey.as_ref()));
    let signed_in = finish(accounts, &first, answer.clone()).await.unwrap();
    assert!(is_signed_in(accounts, &signed_in).await);
    assert_eq!(code(finish(accounts, &first, answer.clone()).await), "bad_challenge", "it was met");
    let used = accounts.own_passkeys(&now.ctx).await.unwrap();
    assert!(used[0].last_used_at.is_some());

    let other = challenged(accounts).await;
    assert_eq!(code(finish(accounts, &other, answer).await), "bad_passkey", "an old answer");
    let late = key.get(&asked(other.passkey.as_ref()));
    assert_eq!(code(finish(accounts, &other, late).await), "bad_passkey", "each challenge is answered once");
    let recovery = SecondProof::Code(codes[0].clone());
    accounts.second_step(&other.secret, &recovery, BROWSER, None).await.unwrap();

    key.origin = "https://fleet.example.evil".to_owned();
    let phished = challenged(accounts).await;
    let error = finish(accounts, &phished, key.get(&asked(phished.passkey.as_ref()))).await.unwrap_err();
    assert!(error.to_string().contains("open the server by that address"), "{error}");
    let stranger = challenged(accounts).await;
    let answer = authenticator().get(&asked(stranger.passkey.as_ref()));
    assert_eq!(code(finish(accounts, &stranger, answer).await), "bad_passkey");
}

#[tokio::test]
async fn a_passkey_is_good_for_its_owner_alone() {
    let fixture = with_user(Role::Admin).await;
    let accounts = &fixture.accounts;
    let (key, now, _, passkey) = with_passkey(accounts).await;
    accounts.create_user(FIRST_TENANT, account("bob@example.com", Role::Admin)).await.unwrap();
    let bob = here(accounts, sign_in(accounts, "bob@example.com", PASSWORD).await.unwrap()).await;
    assert_eq!(code(add(accounts, &bob, &key).await), "passkey_taken");
    let bobs = authenticator();
    let bob = here(accounts, add(accounts, &bob, &bobs).await.unwrap().signed_in).await;
    let of_ada = challenged(accounts).await;
    let answer = bobs.get(&asked(of_ada.passkey.as_ref()));
    assert_eq!(code(finish(accounts, &of_ada, answer).await), "bad_passkey");
    stepped_up(accounts, &bob).await;
    assert_eq!(code(accounts.remove_passkey(&bob.ctx, bob.session, passkey.id).await), "passkey");
    assert_eq!(code(accounts.rename_passkey(&bob.ctx, bob.session, passkey.id, "x").await), "passkey");
    assert_eq!(code(accounts.rename_passkey(&now.ctx, now.session, passkey.id, " ").await), "invalid_name");
    let renamed = accounts.rename_passkey(&now.ctx, now.session, passkey.id, "Ring").await.unwrap();
    assert_eq!(renamed, Passkey { name: "Ring".to_owned(), ..passkey });
}

#[tokio::test]
async fn a_new_passkey_is_asked_for_here_and_now() {
    let fixture = with_user(Role::Admin).await;
    let accounts = &fixture.accounts;
    let now = here(accounts, sign_in(accounts, "ada@example.com", PASSWORD).await.unwrap()).await;
    let there = here(accounts, sign_in(accounts, "ada@example.com", PASSWORD).await.unwrap()).await;
    let key = authenticator();
    let options = accounts.enrol_passkey(&now.ctx, now.session).await.unwrap();
    assert_eq!((options.user_name.as_str(), options.display_name.as_str()), ("ada@example.com", "Ada"));
    assert_eq!((options.algorithms.as_slice(), options.exclude.len()), ([-7, -8, -257].as_slice(), 0));
    let made = key.create(options.challenge.expose_secret());
    let confirm = async |at: &Here, ctx: &Ctx, name: &str, made: &RegistrationResponse| {
        code(accounts.confirm_passkey(ctx, at.session, name, made, None).await)
    };
    assert_eq!(confirm(&there, &now.ctx, "x", &made).await, "nothing_to_confirm", "another browser");
    assert_eq!(confirm(&now, &now.ctx, "", &made).await, "invalid_name");
    let options = accounts.enrol_passkey(&now.ctx, now.session).await.unwrap();
    assert_eq!(confirm(&now, &now.ctx, "x", &made).await, "wrong_passkey", "an old answer");
    let again = key.create(options.challenge.expose_secret());
    assert_eq!(confirm(&now, &now.ctx, "x", &again).await, "nothing_to_confirm", "one answer each");
    let mut unverified = authenticator();
    unverified.flags = 1;
    let options = accounts.enrol_passkey(&now.ctx, now.session).await.unwrap();
    let made = unverified.create(options.challenge.expose_secret());
    let told = accounts.confirm_passkey(&now.ctx, now.session, "x", &made, None).await.unwrap_err();
    assert!(told.to_string().contains("use one with a PIN"), "{told}");
    assert!(accounts.own_passkeys(&now.ctx).await.unwrap().is_empty());
    assert!(is_signed_in(accounts, &there.signed_in).await, "nothing has changed");
    let options = accounts.enrol_passkey(&now.ctx, now.session).await.unwrap();
    let late = now.ctx.at(options.expires_at);
    let made = key.create(options.challenge.expose_secret());
    assert_eq!(confirm(&now, &late, "x", &made).await, "nothing_to_confirm", "too late");
}

#[tokio::test]
async fn a_passkey_steps_up_and_one_factor_beside_another_asks_for_that() {
    let fixture = with_user(Role::Admin).await;
    let accounts = &fixture.accounts;
    let (key, now, codes, passkey) = with_passkey(accounts).await;
    let second = authenticator();
    assert_eq!(code(add(accounts, &now, &second).await), "step_up_needed");
    assert_eq!(code(accounts.enrol_totp(&now.ctx, now.session).await), "step_up_needed");
    assert_eq!(code(accounts.remove_passkey(&now.ctx, now.session, passkey.id).await), "step_up_needed");

    let step_up = async |answer| accounts.step_up(&now.ctx, now.session, None, Proof::Passkey(answer)).await;
    let options = accounts.step_up_options(&now.ctx, now.session).await.unwrap();
    let for_sign_in = asked(challenged(accounts).await.passkey.as_ref());
    assert_eq!(code(step_up(key.get(&for_sign_in)).await), "wrong_passkey", "for another purpose");
    assert_eq!(code(step_up(key.get(&asked(Some(&options)))).await), "wrong_passkey", "taken by that");
    let options = accounts.step_up_options(&now.ctx, now.session).await.unwrap();
    let until = step_up(key.get(&asked(Some(&options)))).await.unwrap();
    assert_eq!(until, now.ctx.now + Duration::from_secs(300));

    let added = add(accounts, &now, &second).await.unwrap();
    assert!(added.recovery_codes.is_empty(), "the former ones stay good");
    let now = here(accounts, added.signed_in).await;
    assert_eq!(
        code(accounts.remove_passkey(&now.ctx, now.session, passkey.id).await),
        "step_up_needed",
        "a new session"
    );
    stepped_up(accounts, &now).await;
    accounts.remove_passkey(&now.ctx, now.session, passkey.id).await.unwrap();
    assert_eq!(accounts.me(&now.ctx).await.unwrap().recovery_codes_left, 10);
    let challenge = challenged(accounts).await;
    let gone = finish(accounts, &challenge, key.get(&asked(challenge.passkey.as_ref()))).await;
    assert_eq!(code(gone), "bad_passkey");
    let challenge = challenged(accounts).await;
    finish(accounts, &challenge, second.get(&asked(challenge.passkey.as_ref()))).await.unwrap();
    accounts.remove_passkey(&now.ctx, now.session, added.passkey.id).await.unwrap();
    assert_eq!(accounts.me(&now.ctx).await.unwrap().recovery_codes_left, 0, "the last one takes them along");
    assert_eq!(code(accounts.step_up_options(&now.ctx, now.session).await), "no_second_factor");
    sign_in(accounts, "ada@example.com", PASSWORD).await.unwrap();
    assert_eq!(codes.len(), 10);
}

#[tokio::test]
async fn an_app_and_a_passkey_stand_beside_each_other() {
    let fixture = with_user(Role::Admin).await;
    let accounts = &fixture.accounts;
    let (key, now, _, passkey) = with_passkey(accounts).await;
    stepped_up(accounts, &now).await;
    let app = super::factor::App::new(accounts.enrol_totp(&now.ctx, now.session).await.unwrap().secret);
    let elsewhere = challenged(accounts).await;
    let elsewhere = finish(accounts, &elsewhere, key.get(&asked(elsewhere.passkey.as_ref()))).await.unwrap();
    let elsewhere = here(accounts, elsewhere).await;
    let stolen = accounts.confirm_totp(&elsewhere.ctx, elsewhere.session, &app.next(), None).await;
    assert_eq!(code(stolen), "step_up_needed", "whoever had the secret of a sign-in before");
    assert_eq!(challenged(accounts).await.factors, [Factor::Passkey], "not before it is confirmed");
    let confirmed = accounts.confirm_totp(&now.ctx, now.session, &app.again(), None).await.unwrap();
    assert!(confirmed.recovery_codes.is_empty(), "the former ones stay good");
    let now = here(accounts, confirmed.signed_in).await;
    let both = challenged(accounts).await;
    assert_eq!(both.factors, [Factor::Totp, Factor::Passkey]);
    accounts.second_step(&both.secret, &SecondProof::Code(app.next()), BROWSER, None).await.unwrap();
    stepped_up(accounts, &now).await;
    accounts.remove_totp(&now.ctx, now.session).await.unwrap();
    assert_eq!(accounts.me(&now.ctx).await.unwrap().recovery_codes_left, 10, "a passkey is left");
    assert_eq!(code(accounts.remove_totp(&now.ctx, now.session).await), "no_second_factor");
    accounts.remove_passkey(&now.ctx, now.session, passkey.id).await.unwrap();
    assert_eq!(accounts.me(&now.ctx).await.unwrap().recovery_codes_left, 0);
}

#[tokio::test]
async fn a_possible_copy_is_refused_and_stands_in_the_audit_log() {
    let fixture = with_user(Role::Admin).await;
    let accounts = &fixture.accounts;
    let (mut key, now, codes, _) = with_passkey(accounts).await;
    key.count = 7;
    let challenge = challenged(accounts).await;
    finish(accounts, &challenge, key.get(&asked(challenge.passkey.as_ref()))).await.unwrap();
    key.count = 6;
    let challenge = challenged(accounts).await;
    let told = finish(accounts, &challenge, key.get(&asked(challenge.passkey.as_ref()))).await.unwrap_err();
    assert!(told.to_string().contains("a copy of it may be in use"), "{told}");
    let options = accounts.step_up_options(&now.ctx, now.session).await.unwrap();
    let proof = Proof::Passkey(key.get(&asked(Some(&options))));
    let later = now.ctx.at(clock::now());
    assert_eq!(code(accounts.step_up(&later, now.session, None, proof).await), "wrong_passkey");
    assert_eq!(
        refusals(&now, accounts).await,
        ["session.create cloned_passkey", "session.step_up cloned_passkey"]
    );
    let recovery = SecondProof::Code(codes[0].clone());
    accounts.second_step(&challenge.secret, &recovery, BROWSER, None).await.unwrap();
}

#[tokio::test]
async fn wrong_passkeys_are_braked_like_wrong_codes() {
    let fixture = with_user(Role::Admin).await;
    let accounts = &fixture.accounts;
    let (key, now, _, _) = with_passkey(accounts).await;
    for _ in 0..2 {
        let challenge = challenged(accounts).await;
        for _ in 0..5 {
            let answer = key.get("bm90IHdoYXQgd2FzIGFza2Vk");
            assert_eq!(code(finish(accounts, &challenge, answer).await), "bad_passkey");
        }
        assert_eq!(code(finish(accounts, &challenge, key.get("x")).await), "bad_challenge", "five tries");
    }
    let challenge = challenged(accounts).await;
    let good = key.get(&asked(challenge.passkey.as_ref()));
    assert_eq!(code(finish(accounts, &challenge, good).await), "throttled");
    let proof = SecondProof::Code("123456".into());
    let with_a_code = accounts.second_step(&challenge.secret, &proof, BROWSER, None).await;
    assert_eq!(code(with_a_code), "throttled", "counted together");
    assert_eq!(refusals(&now, accounts).await, ["session.create wrong_second_factor"; 10]);
}

#[tokio::test]
async fn a_passkey_meets_what_a_role_asks_for() {
    let fixture = with_user(Role::Admin).await;
    let accounts = &fixture.accounts;
    let now = here(accounts, sign_in(accounts, "ada@example.com", PASSWORD).await.unwrap()).await;
    let admin = domain::auth::RoleKey::BuiltIn(Role::Admin);
    accounts.set_second_factor_of_role(&now.ctx, admin, SecondFactorRule::Required).await.unwrap();
    let limit = async |signed_in: &SignedIn| {
        let secret = signed_in.secret.expose_secret();
        accounts.authenticate_session(secret, clock::now()).await.unwrap().unwrap().limit
    };
    assert_eq!(limit(&now.signed_in).await, Some(Limit::EnrolSecondFactor));
    let added = add(accounts, &now, &authenticator()).await.unwrap();
    assert_eq!(limit(&added.signed_in).await, None);
    let user = accounts.reset_second_factor("ada@example.com").await.unwrap();
    assert_eq!((user.passkeys, user.limit()), (0, Some(Limit::EnrolSecondFactor)));
    assert!(!is_signed_in(accounts, &added.signed_in).await);
}

#[tokio::test]
async fn ten_passkeys_are_enough() {
    let fixture = with_user(Role::Admin).await;
    let accounts = &fixture.accounts;
    let mut now = here(accounts, sign_in(accounts, "ada@example.com", PASSWORD).await.unwrap()).await;
    for n in 0..MAX_PASSKEYS {
        if n > 0 {
            stepped_up(accounts, &now).await;
            let options = accounts.enrol_passkey(&now.ctx, now.session).await.unwrap();
            assert_eq!(options.exclude.len(), n);
        }
        let added = add(accounts, &now, &authenticator()).await.unwrap();
        now = here(accounts, added.signed_in).await;
    }
    stepped_up(accounts, &now).await;
    assert_eq!(code(accounts.enrol_passkey(&now.ctx, now.session).await), "too_many_passkeys");
}

#[tokio::test]
async fn without_a_fitting_address_there_are_no_passkeys_and_the_password_alone_never_does() {
    let fixture = with_user(Role::Admin).await;
    let (key, now, codes, _) = with_passkey(&fixture.accounts).await;
    for (url, part) in [
        (None, "set `public_url`"),
        (Some("http://fleet.example"), "over https only"),
        (Some("https://10.0.0.5"), "set it to a name"),
    ] {
        let accounts = &fixture.accounts.clone().served_at(url);
        let told = accounts.enrol_passkey(&now.ctx, now.session).await.unwrap_err().to_string();
        assert!(
            told.contains(part) && told.contains("use an authenticator app or a recovery code"),
            "{told}"
        );
        let challenge = challenged(accounts).await;
        assert_eq!(
            (challenge.factors.as_slice(), challenge.passkey.is_none()),
            ([Factor::Passkey].as_slice(), true)
        );
        assert_eq!(code(finish(accounts, &challenge, key.get("x")).await), "passkeys_unavailable");
        assert_eq!(code(accounts.step_up_options(&now.ctx, now.session).await), "passkeys_unavailable");
    }
    let moved = &fixture.accounts.clone().served_at(Some("https://elsewhere.example"));
    let challenge = challenged(moved).await;
    assert!(challenge.passkey.is_none(), "the passkey is of the former name");
    assert_eq!(code(finish(moved, &challenge, key.get("x")).await), "bad_passkey");
    let recovery = SecondProof::Code(codes[0].clone());
    moved.second_step(&challenge.secret, &recovery, BROWSER, None).await.unwrap();
}

#[tokio::test]
async fn a_token_has_nothing_to_do_with_passkeys() {
    let fixture = with_user(Role::Admin).await;
    let accounts = &fixture.accounts;
    let (key, now, _, passkey) = with_passkey(accounts).await;
    let made =
        accounts.create_token_for("ada@example.com", &request(TokenKind::User, &["users:manage"])).await;
    let found = accounts.authenticate_token(made.unwrap().1.expose_secret(), clock::now()).await.unwrap();
    let ctx = ctx_of(found, clock::now());
    assert_eq!(code(accounts.enrol_passkey(&ctx, None).await), "not_a_person");
    let confirmed = accounts.confirm_passkey(&ctx, None, "x", &key.create("x"), None).await;
    assert_eq!(code(confirmed), "not_a_person");
    assert_eq!(code(accounts.rename_passkey(&ctx, None, passkey.id, "x").await), "not_a_person");
    assert_eq!(code(accounts.remove_passkey(&ctx, None, passkey.id).await), "not_a_person");
    assert_eq!(code(accounts.step_up_options(&ctx, None).await), "not_a_person");
    let proof = Proof::Passkey(key.get("x"));
    assert_eq!(code(accounts.step_up(&ctx, None, None, proof).await), "not_a_person");
    assert_eq!(accounts.own_passkeys(&ctx).await.unwrap(), accounts.own_passkeys(&now.ctx).await.unwrap());
}
