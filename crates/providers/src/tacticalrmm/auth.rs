//! Credentials: which one a request carries, signing in, signing out.
//!
//! A sign-in is never tried twice by itself: Tactical counts each one, right or wrong. One-time codes are used and
//! forgotten. The session cookie that comes along is ignored.

use domain::Time;
use outbound::Method;
use provider::{Connection, ErrorKind, ProviderError, Result, SignedIn};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use totp_rs::{Algorithm, Builder};

use super::{
    API_KEY, KNOX, PASSWORD, TOTP_SECRET, USERNAME,
    api::{Api, Route},
    sentences,
    wire::Login,
};
use crate::clock;

const CHECKCREDS: Route = Route::login("POST /v2/checkcreds/");
const LOGIN: Route = Route::login("POST /v2/login/");
const LOGOUT: Route = Route::small("POST /logout/", None);

#[derive(Serialize)]
struct PasswordBody<'a> {
    username: &'a str,
    password: &'a str,
}

/// All three keys, always: Tactical answers 500 when one is missing. `twofactor` is text, a number is refused.
#[derive(Serialize)]
struct CodeBody<'a> {
    username: &'a str,
    password: &'a str,
    twofactor: &'a str,
}

/// Where a code comes from decides who can mend a wrong one.
enum Code {
    Typed(String),
    FromSecret(String),
}

/// Signs in: first the password, then the code if the account has a second factor.
///
/// An account without one is served by the first step alone; the second would answer 500.
pub(super) async fn sign_in(connection: &Connection, code: Option<&SecretString>) -> Result<SignedIn> {
    if connection.auth_mode != KNOX {
        return Err(sentences::no_sign_in());
    }
    let (Some(username), Some(password)) =
        (connection.secrets.get(USERNAME), connection.secrets.get(PASSWORD))
    else {
        return Err(sentences::login_incomplete());
    };
    let (username, password) = (username.expose_secret().trim(), password.expose_secret());
    // A code that cannot be right is refused before a try is spent on it.
    let typed = code.map(|code| typed_code(code.expose_secret())).transpose()?;

    let api = Api::anonymous(connection);
    let body = PasswordBody { username, password };
    let answer = api.send_json(&CHECKCREDS, Method::POST, &["v2", "checkcreds"], &body).await;
    let answer = answer.map_err(refused_password)?;
    let first: Login<'_> = answer.object()?;
    if first.totp.0 != Some(true) {
        return signed_in(&first, username, &CHECKCREDS);
    }
    let code = match typed {
        Some(typed) => Code::Typed(typed),
        None => Code::FromSecret(code_from_secret(connection)?),
    };
    let (Code::Typed(twofactor) | Code::FromSecret(twofactor)) = &code;
    let body = CodeBody { username, password, twofactor };
    let answer = api.send_json(&LOGIN, Method::POST, &["v2", "login"], &body).await;
    let answer = answer.map_err(|error| refused_code(error, &code))?;
    let second: Login<'_> = answer.object()?;
    signed_in(&second, username, &LOGIN)
}

/// Ends the token. One that is dead already is as good.
pub(super) async fn sign_out(connection: &Connection) -> Result<()> {
    if connection.token.is_none() {
        return Ok(());
    }
    let api = Api::reading(connection)?;
    match api.send_empty(&LOGOUT, Method::POST, &["logout"]).await {
        Ok(()) => Ok(()),
        Err(error) if error.kind == ErrorKind::Unauthorized => Ok(()),
        Err(error) => Err(error),
    }
}

/// The API key for reading, or none in the other mode.
pub(super) fn api_key(connection: &Connection) -> Option<&SecretString> {
    connection.secrets.get(API_KEY).filter(|key| !key.expose_secret().trim().is_empty())
}

fn signed_in(login: &Login<'_>, username: &str, route: &Route) -> Result<SignedIn> {
    let token = login.token.as_str().map(str::trim).filter(|token| !token.is_empty());
    let Some(token) = token else {
        let problem = sentences::answer_shape().at(route.name);
        return Err(ProviderError::new(ErrorKind::Malformed, problem));
    };
    let account = login.username.as_str().unwrap_or(username);
    Ok(SignedIn {
        token: SecretString::from(token.to_owned()),
        expires_at: login.expiry.as_str().and_then(|text| text.parse::<Time>().ok()),
        account: domain::device::clean_text(account),
    })
}

/// The only 400 of the first step is its refusal.
fn refused_password(error: ProviderError) -> ProviderError {
    if error.kind == ErrorKind::Rejected { at(sentences::login_refused(), &CHECKCREDS) } else { error }
}

/// The second step answers text for a wrong code and an object for a wrong password. The password was right a moment
/// ago, so both mean the code in practice.
fn refused_code(error: ProviderError, code: &Code) -> ProviderError {
    if error.kind != ErrorKind::Rejected {
        return error;
    }
    match code {
        Code::Typed(_) => at(sentences::totp_wrong(), &LOGIN),
        Code::FromSecret(_) => at(sentences::totp_secret_wrong(), &LOGIN),
    }
}

fn at(mut error: ProviderError, route: &Route) -> ProviderError {
    error.problem.endpoint = Some(route.name.to_owned());
    error
}

fn typed_code(text: &str) -> Result<String> {
    let digits: String = text.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
    let six_digits = digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_digit());
    if six_digits { Ok(digits) } else { Err(sentences::totp_malformed()) }
}

fn code_from_secret(connection: &Connection) -> Result<String> {
    let secret = connection.secrets.get(TOTP_SECRET).map(|secret| secret.expose_secret().trim());
    match secret {
        None | Some("") => Err(sentences::totp_needed()),
        Some(secret) => code_at(secret, clock::unix_seconds()).ok_or_else(sentences::totp_secret_unusable),
    }
}

/// The code of this secret at this time: SHA-1, six digits, 30 seconds, as Tactical checks it.
pub(super) fn code_at(secret: &str, unix_seconds: u64) -> Option<String> {
    let key = decode_base32(secret)?;
    let totp =
        Builder::new().with_algorithm(Algorithm::SHA1).with_digits(6).with_step_duration(30).with_secret(key);
    Some(totp.build().ok()?.generate(unix_seconds).to_string())
}

/// Twenty bytes in base32: the one form of secret that Tactical makes.
fn decode_base32(text: &str) -> Option<[u8; 20]> {
    let mut key = [0u8; 20];
    let (mut filled, mut buffer, mut bits) = (0usize, 0u32, 0u32);
    for c in text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '-' | '=')) {
        let value = match c.to_ascii_uppercase() {
            letter @ 'A'..='Z' => u32::from(letter) - u32::from('A'),
            digit @ '2'..='7' => u32::from(digit) - u32::from('2') + 26,
            _ => return None,
        };
        buffer = (buffer << 5 | value) & 0xfff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            *key.get_mut(filled)? = u8::try_from(buffer >> bits & 0xff).ok()?;
            filled += 1;
        }
    }
    (filled == key.len()).then_some(key)
}
