//! Logging in with name and password, in two steps, and out.

use http::header;
use serde_json::json;

use crate::answer::Answer;
use crate::clock::{iso, timestamp};
use crate::tacticalrmm::accounts::Login;
use crate::tacticalrmm::call::{Call, key};
use crate::tacticalrmm::reply::{self, Reply};
use crate::tacticalrmm::routes::View;

/// Answers the login paths.
pub(crate) fn answer(call: &Call) -> Reply {
    match (call.route.view, call.method.as_str()) {
        (View::CheckCreds, "POST") => check_credentials(call),
        (View::Login, "POST") => login(call),
        (View::Logout, "POST") => {
            let token = call.token.as_deref().ok_or_else(reply::crash)?;
            call.sim.access().logout(token);
            Ok(Answer::empty(204))
        }
        (View::LogoutAll, "POST") => {
            call.sim.access().logout_all(call.user());
            Ok(Answer::empty(204))
        }
        _ => Err(call.method_not_allowed()),
    }
}

/// Step 1: is a one-time code wanted? An account without one gets its token here.
fn check_credentials(call: &Call) -> Reply {
    let body = call.json()?;
    let name = key(&body, "username")?.as_str().unwrap_or("");
    let password = body.get("password").and_then(|value| value.as_str()).unwrap_or("");
    let login = call.sim.access().check_password(name, password);
    match login {
        Login::Refused => Err(reply::refusal("Bad credentials")),
        Login::WantsCode => Ok(reply::ok(&json!({"totp": true}))),
        Login::Plain => {
            let (token, expiry) = issue(call, name, true)?;
            Ok(with_session(call, reply::ok(&json!({"expiry": iso(expiry), "token": token, "totp": false}))))
        }
    }
}

/// Step 2: password and code together.
fn login(call: &Call) -> Reply {
    let body = call.json()?;
    for field in ["username", "password"] {
        if body.get(field).is_none() {
            return Err(reply::invalid(field, "This field is required."));
        }
    }
    let text = |name: &str| body.get(name).and_then(|value| value.as_str());
    let (name, password) = (text("username").unwrap_or(""), text("password").unwrap_or(""));
    if !call.sim.access().password_fits(name, password) {
        return Err(reply::invalid("non_field_errors", "Unable to log in with provided credentials."));
    }
    let login = call.sim.access().check_password(name, password);
    match login {
        Login::Refused => return Err(reply::refusal("Bad credentials")),
        // Without a secret to compare with, the real server crashes.
        Login::Plain => return Err(reply::crash()),
        Login::WantsCode => {}
    }
    let code = key(&body, "twofactor")?.as_str().unwrap_or("");
    let times = [call.sim.clock.real_now() / 1_000_000, call.sim.clock.wall_now() / 1_000_000];
    if !call.sim.access().check_code(name, code, &times) {
        return Err(reply::refusal("Bad credentials"));
    }
    let (token, expiry) = issue(call, name, false)?;
    let body = json!({"expiry": iso(expiry), "token": token, "username": name, "name": null});
    Ok(with_session(call, reply::ok(&body)))
}

fn issue(call: &Call, name: &str, is_short: bool) -> Result<(String, i64), Answer> {
    call.sim.access().issue(name, is_short, call.sim.clock.wall_now()).map_err(|_| reply::crash())
}

/// A login also sets a session cookie, which the API does not accept as authentication.
fn with_session(call: &Call, answer: Answer) -> Answer {
    let until =
        timestamp(call.sim.clock.wall_now() + 14 * 86_400 * 1_000_000).strftime("%a, %d %b %Y %H:%M:%S GMT");
    let mut rng = crate::rng::Rng::at(3, 9, u64::try_from(call.sim.clock.wall_now()).unwrap_or(0));
    let session = rng.text("abcdefghijklmnopqrstuvwxyz0123456789", 32);
    let attributes = "HttpOnly; Max-Age=1209600; Path=/; SameSite=Lax; Secure";
    answer.header(
        header::SET_COOKIE,
        format!("sessionid={session}; Domain=example.com; expires={until}; {attributes}"),
    )
}
