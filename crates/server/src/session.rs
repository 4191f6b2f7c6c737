//! Credentials of a request: the cookie of a browser or a bearer token, never both.
//!
//! A request with an `Authorization` header is judged by that alone. A cookie counts for changes only when the browser
//! says that the page is ours (`Sec-Fetch-Site`, else `Origin`): what cannot be decided is refused.

use axum::http::HeaderMap;
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use domain::{ActorKind, Ctx};
use http::header;
use secrecy::{ExposeSecret, SecretString};
use service::account::Via;

use crate::{
    app::AppState,
    ctx::{Caller, RequestMeta},
    edge::Arrival,
    error::ApiError,
};

/// What proves who calls. Silent in `Debug`, like the secret in it.
#[derive(Clone, Debug)]
pub(crate) enum Credential {
    /// A sign-in of a browser.
    Cookie(SecretString),
    /// A token.
    Bearer(SecretString),
}

/// Finds the credential and the party it belongs to.
pub(crate) async fn authenticate(
    app: &AppState,
    headers: &HeaderMap,
    meta: &RequestMeta,
) -> Result<Caller, ApiError> {
    let credential = credential(headers, meta.arrival)?.ok_or_else(ApiError::not_signed_in)?;
    identify(app, credential, meta).await
}

/// The party a credential belongs to at this moment.
pub(crate) async fn identify(
    app: &AppState,
    credential: Credential,
    meta: &RequestMeta,
) -> Result<Caller, ApiError> {
    let accounts = &app.services.accounts;
    let found = match &credential {
        Credential::Cookie(secret) => {
            let session = accounts.authenticate_session(secret.expose_secret(), meta.now).await?;
            session.ok_or_else(ApiError::not_signed_in)?
        }
        Credential::Bearer(secret) => accounts.authenticate_token(secret.expose_secret(), meta.now).await?,
    };
    match found.actor.kind {
        ActorKind::Person | ActorKind::Script => {}
        ActorKind::Agent | ActorKind::Operator | ActorKind::System => {
            return Err(ApiError::token_not_accepted());
        }
    }
    let ctx = Ctx { tenant: found.tenant, actor: found.actor, request_id: meta.id.clone(), now: meta.now };
    let session = match found.via {
        Via::Session(id) => Some(id),
        Via::Token(_) => None,
    };
    Ok(Caller { ctx, session, credential, limit: found.limit })
}

/// The credential of a request, if it has one.
fn credential(headers: &HeaderMap, arrival: Arrival) -> Result<Option<Credential>, ApiError> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let token = value.to_str().ok().and_then(bearer).ok_or_else(ApiError::not_signed_in)?;
        return Ok(Some(Credential::Bearer(SecretString::from(token))));
    }
    let jar = CookieJar::from_headers(headers);
    Ok(jar.get(cookie_name(arrival)).map(|cookie| Credential::Cookie(SecretString::from(cookie.value()))))
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

/// Refuses a change that a page of another origin may have sent. Tokens are exempt: no page can add them.
pub(crate) fn check_origin(
    headers: &HeaderMap,
    public_url: Option<&str>,
    arrival: Arrival,
) -> Result<(), ApiError> {
    if headers.contains_key(header::AUTHORIZATION) {
        return Ok(());
    }
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("unreadable"));
    let origin = text("origin");
    if let Some(site) = text("sec-fetch-site") {
        let ours = matches!(site, "same-origin" | "none");
        return if ours {
            Ok(())
        } else {
            Err(ApiError::cross_site("this came from a page of another site"))
        };
    }
    match (origin, headers.contains_key(header::COOKIE)) {
        (Some(origin), _) if is_own(origin, text("host"), public_url, arrival) => Ok(()),
        (Some(_), _) => Err(ApiError::cross_site("the `Origin` of this request is not this server")),
        (None, false) => Ok(()),
        (None, true) => Err(ApiError::cross_site(
            "a change with a cookie needs `Sec-Fetch-Site` or `Origin`; programs send a token instead",
        )),
    }
}

/// Does `origin` name this server? Where the public address is known, only that does. Else it must be the host that the
/// same request asks for, which no page can choose for a browser; and https if the request came by https.
fn is_own(origin: &str, host: Option<&str>, public_url: Option<&str>, arrival: Arrival) -> bool {
    if let Some(public) = public_url {
        return public_origin(public).eq_ignore_ascii_case(origin);
    }
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let is_as_safe = !arrival.is_https || scheme.eq_ignore_ascii_case("https");
    is_as_safe && host.is_some_and(|host| authority.eq_ignore_ascii_case(host))
}

/// `https://fleet.example/path` → `https://fleet.example`.
fn public_origin(url: &str) -> &str {
    let authority_at = url.find("://").map_or(0, |at| at + 3);
    let path_at = url.get(authority_at..).and_then(|rest| rest.find('/')).map(|at| authority_at + at);
    path_at.and_then(|at| url.get(..at)).unwrap_or(url)
}

/// The `__Host-` prefix binds a cookie to https and this host; browsers refuse it over plain http.
pub(crate) const SECURE_COOKIE: &str = "__Host-fleetgate";

const PLAIN_COOKIE: &str = "fleetgate";

fn cookie_name(arrival: Arrival) -> &'static str {
    if arrival.is_https { SECURE_COOKIE } else { PLAIN_COOKIE }
}

/// The cookie of a new sign-in. It ends with the browser; the server ends it earlier.
pub(crate) fn cookie(secret: &SecretString, arrival: Arrival) -> Cookie<'static> {
    Cookie::build((cookie_name(arrival), secret.expose_secret().to_owned()))
        .http_only(true)
        .secure(arrival.is_https)
        .same_site(SameSite::Strict)
        .path("/")
        .build()
}

/// What takes the cookie away again.
pub(crate) fn gone_cookie(arrival: Arrival) -> Cookie<'static> {
    let mut cookie = cookie(&SecretString::from(""), arrival);
    cookie.make_removal();
    cookie
}

#[cfg(test)]
mod tests {
    use super::*;

    const HTTP: Arrival = Arrival { client: None, is_https: false };
    const HTTPS: Arrival = Arrival { client: None, is_https: true };

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[track_caller]
    fn check(pairs: &[(&'static str, &str)], accepted: bool) {
        check_at(Some("https://fleet.example/app"), HTTPS, pairs, accepted);
    }

    #[track_caller]
    fn check_at(public_url: Option<&str>, arrival: Arrival, pairs: &[(&'static str, &str)], accepted: bool) {
        let result = check_origin(&headers(pairs), public_url, arrival);
        assert_eq!(result.is_ok(), accepted, "{pairs:?}");
        if let Err(error) = result {
            assert_eq!((error.status.as_u16(), error.code.as_str()), (403, "cross_site"));
        }
    }

    #[test]
    fn the_browsers_word_decides_first() {
        check(&[("cookie", "a=b"), ("sec-fetch-site", "same-origin")], true);
        check(&[("cookie", "a=b"), ("sec-fetch-site", "none")], true);
        for site in ["cross-site", "same-site", "", "nonsense"] {
            let own = [("cookie", "a=b"), ("sec-fetch-site", site), ("origin", "https://fleet.example")];
            check(&own, false);
        }
    }

    #[test]
    fn else_the_origin_must_be_ours() {
        let from = |origin| [("cookie", "a=b"), ("host", "10.0.0.5:8080"), ("origin", origin)];
        check(&from("https://fleet.example"), true);
        let others = ["https://fleet.example.evil", "http://fleet.example", "http://10.0.0.5", "null", ""];
        for origin in others.into_iter().chain(["http://10.0.0.5:8080", "https://10.0.0.5:8080"]) {
            check(&from(origin), false);
        }
    }

    #[test]
    fn without_a_public_address_the_origin_is_the_host_asked() {
        let from = |origin| [("cookie", "a=b"), ("host", "10.0.0.5:8080"), ("origin", origin)];
        for (arrival, origin, accepted) in [
            (HTTP, "http://10.0.0.5:8080", true),
            (HTTP, "https://10.0.0.5:8080", true),
            (HTTPS, "https://10.0.0.5:8080", true),
            (HTTPS, "http://10.0.0.5:8080", false),
            (HTTP, "http://10.0.0.5", false),
            (HTTP, "http://evil.example", false),
            (HTTP, "null", false),
        ] {
            check_at(None, arrival, &from(origin), accepted);
        }
        check_at(None, HTTP, &[("cookie", "a=b"), ("origin", "http://10.0.0.5:8080")], false);
    }

    #[test]
    fn a_cookie_without_any_word_is_refused() {
        check(&[("cookie", "a=b"), ("host", "fleet.example")], false);
        check(&[("host", "fleet.example")], true);
    }

    #[test]
    fn tokens_are_exempt() {
        check(&[("authorization", "Bearer fgu_x"), ("sec-fetch-site", "cross-site")], true);
    }

    #[test]
    fn a_token_hides_the_cookie() {
        let find = |pairs: &[(&'static str, &str)]| credential(&headers(pairs), HTTPS);
        let both = [("authorization", "Bearer fgu_x"), ("cookie", "__Host-fleetgate=s")];
        assert!(
            matches!(find(&both), Ok(Some(Credential::Bearer(token))) if token.expose_secret() == "fgu_x")
        );
        let cookie = [("cookie", "x=y; __Host-fleetgate=s")];
        assert!(
            matches!(find(&cookie), Ok(Some(Credential::Cookie(secret))) if secret.expose_secret() == "s")
        );
        assert!(matches!(find(&[("cookie", "fleetgate=s")]), Ok(None)));
        assert!(find(&[("authorization", "Basic YTpi"), ("cookie", "__Host-fleetgate=s")]).is_err());
    }

    #[test]
    fn cookies_are_out_of_reach_of_scripts_and_other_sites() {
        let text = cookie(&SecretString::from("s"), HTTPS).to_string();
        assert_eq!(text, "__Host-fleetgate=s; HttpOnly; SameSite=Strict; Secure; Path=/");
        let plain = cookie(&SecretString::from("s"), HTTP).to_string();
        assert_eq!(plain, "fleetgate=s; HttpOnly; SameSite=Strict; Path=/");
        assert!(gone_cookie(HTTP).to_string().contains("Max-Age=0"));
    }
}
