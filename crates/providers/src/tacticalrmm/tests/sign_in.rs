//! Signing in as recorded.

use provider::{Connection, ErrorKind, Offer, Provider, ProviderError, SignedIn};
use secrecy::{ExposeSecret, SecretString};

use super::{
    connection,
    fake::{Fake, Reply},
    recorded_body, with_secret,
};
use crate::tacticalrmm::{KNOX, PASSWORD, TOTP_SECRET, TacticalRmm, USERNAME, auth::code_at};

const CHECKCREDS: &str = "POST /v2/checkcreds/";
const LOGIN: &str = "POST /v2/login/";

fn knox(fake: &Fake) -> Connection {
    let mut connection = with_secret(connection(&fake.url), USERNAME, "root");
    connection = with_secret(connection, PASSWORD, "CANARY-password");
    connection.auth_mode = KNOX.to_owned();
    connection
}

async fn sign_in(fake: &Fake, code: Option<&str>) -> Result<SignedIn, ProviderError> {
    let code = code.map(|code| SecretString::from(code.to_owned()));
    TacticalRmm.sign_in(&knox(fake), code.as_ref()).await
}

#[track_caller]
fn assert_code(result: Result<SignedIn, ProviderError>, kind: ErrorKind, code: &str) -> ProviderError {
    let error = result.expect_err(code);
    assert_eq!((error.kind, error.problem.code.as_str()), (kind, code));
    assert!(!format!("{error:?}").contains("CANARY"));
    error
}

fn with_totp(login: &str) -> Fake {
    Fake::start(&[
        (CHECKCREDS, Reply::recorded("auth-checkcreds-totp-user")),
        (LOGIN, Reply::recorded(login)),
    ])
}

#[tokio::test]
async fn account_without_second_factor_signs_in_with_the_first_step_alone() {
    let fake = Fake::start(&[(CHECKCREDS, Reply::recorded("auth-checkcreds-no-totp-user"))]);
    let signed_in = sign_in(&fake, None).await.unwrap();
    assert!(recorded_body("auth-checkcreds-no-totp-user").contains(signed_in.token.expose_secret()));
    assert_eq!(signed_in.account.as_deref(), Some("root"));
    assert_eq!(signed_in.expires_at.unwrap().to_string(), "2026-11-21T21:53:11.022Z");
    assert_eq!(fake.lines(), [CHECKCREDS]);
}

#[tokio::test]
async fn account_with_second_factor_needs_the_code_and_sends_it_as_text() {
    let fake = with_totp("auth-login-totp-ok");
    let error = assert_code(sign_in(&fake, None).await, ErrorKind::CodeNeeded, "totp_needed");
    assert_eq!(error.problem.offer, Some(Offer::AskCode));
    let signed_in = sign_in(&fake, Some(" 524 318 ")).await.unwrap();
    assert!(recorded_body("auth-login-totp-ok").contains(signed_in.token.expose_secret()));
    let body = fake.asked().pop().unwrap().body;
    assert!(body.contains("\"twofactor\":\"524318\""), "{body}");
}

#[tokio::test]
async fn each_refusal_has_its_own_sentence() {
    let refused = Fake::start(&[(CHECKCREDS, Reply::recorded("auth-checkcreds-wrong-password"))]);
    assert_code(sign_in(&refused, None).await, ErrorKind::Unauthorized, "login_refused");
    let wrong = with_totp("auth-login-totp-wrong");
    assert_code(sign_in(&wrong, Some("000000")).await, ErrorKind::CodeNeeded, "totp_wrong");
    let throttled = with_totp("auth-login-throttled");
    let error =
        assert_code(sign_in(&throttled, Some("524318")).await, ErrorKind::RateLimited, "login_throttled");
    assert_eq!(error.problem.wait_s, Some(53));
    assert_eq!(throttled.lines(), [CHECKCREDS, LOGIN], "a throttled login is not repeated");
    let broken = Fake::start(&[(CHECKCREDS, Reply::recorded("auth-checkcreds-missing-username"))]);
    assert_code(sign_in(&broken, None).await, ErrorKind::Unavailable, "server_error");
    let shapeless = Fake::start(&[(CHECKCREDS, Reply::json("{}"))]);
    assert_code(sign_in(&shapeless, None).await, ErrorKind::Malformed, "answer_shape");
}

#[tokio::test]
async fn wait_is_read_from_the_text_where_the_header_is_missing() {
    let body = "{\"detail\": \"Request was throttled. Expected available in 17 seconds.\"}";
    let fake = Fake::start(&[(CHECKCREDS, Reply::new(429, "application/json", body))]);
    let error = assert_code(sign_in(&fake, None).await, ErrorKind::RateLimited, "login_throttled");
    assert_eq!(error.problem.wait_s, Some(17));
    assert!(error.problem.fix.contains("17 seconds"));
}

#[tokio::test]
async fn nothing_is_sent_that_cannot_go_well() {
    let fake = with_totp("auth-login-totp-ok");
    for code in ["12345", "1234567", "abcdef", "", "١٢٣٤٥٦"] {
        assert_code(sign_in(&fake, Some(code)).await, ErrorKind::CodeNeeded, "totp_malformed");
    }
    let mut nobody = connection(&fake.url);
    nobody.auth_mode = KNOX.to_owned();
    assert_code(TacticalRmm.sign_in(&nobody, None).await, ErrorKind::Unauthorized, "login_incomplete");
    assert_code(TacticalRmm.sign_in(&connection(&fake.url), None).await, ErrorKind::Rejected, "no_sign_in");
    assert_eq!(fake.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn stored_secret_makes_the_code_and_is_blamed_when_it_is_wrong() {
    let secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
    let fake = with_totp("auth-login-totp-ok");
    let connection = with_secret(knox(&fake), TOTP_SECRET, secret);
    TacticalRmm.sign_in(&connection, None).await.unwrap();
    let wrong = with_totp("auth-login-totp-wrong");
    let connection = with_secret(knox(&wrong), TOTP_SECRET, secret);
    let result = TacticalRmm.sign_in(&connection, None).await;
    assert_code(result, ErrorKind::CodeNeeded, "totp_secret_wrong");
    let connection = with_secret(knox(&wrong), TOTP_SECRET, "123456");
    let result = TacticalRmm.sign_in(&connection, None).await;
    assert_code(result, ErrorKind::CodeNeeded, "totp_secret_unusable");
}

/// RFC 6238, appendix B, cut to six digits.
#[test]
fn codes_are_those_of_the_standard() {
    let secret = "gezd gnbv gy3t qojq gezd gnbv gy3t qojq";
    assert_eq!(code_at(secret, 59).as_deref(), Some("287082"));
    assert_eq!(code_at(secret, 1_111_111_109).as_deref(), Some("081804"));
    for unusable in [
        "",
        "123456",
        "GEZDGNBVGY3TQOJQ",
        "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZD",
        "!EZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
    ] {
        assert_eq!(code_at(unusable, 59), None, "{unusable}");
    }
}

#[tokio::test]
async fn sign_out_ends_the_token_and_a_dead_one_is_as_good() {
    let fake = Fake::start(&[("POST /logout/", Reply::recorded("auth-logout"))]);
    TacticalRmm.sign_out(&knox(&fake)).await.unwrap();
    assert_eq!(fake.lines(), Vec::<String>::new());
    let mut connection = knox(&fake);
    connection.token = Some("abc".to_owned().into());
    TacticalRmm.sign_out(&connection).await.unwrap();
    assert_eq!(fake.asked()[0].headers["authorization"], "Token abc");
    let dead = Fake::start(&[("POST /logout/", Reply::recorded("auth-token-after-logout"))]);
    let mut connection = knox(&dead);
    connection.token = Some("abc".to_owned().into());
    TacticalRmm.sign_out(&connection).await.unwrap();
}
