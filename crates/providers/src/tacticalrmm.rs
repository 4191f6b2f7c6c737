//! Tactical RMM.
//!
//! Inventory comes from the stable API, which every server has; the beta API, where it is on, only makes the detail
//! pass cheaper. What Tactical really answers was recorded from a real server; the recordings are the fixtures of the
//! tests. Nothing here writes to Tactical, and nothing is kept between calls.

mod api;
mod auth;
mod check;
mod hardware;
mod inventory;
mod normalize;
mod sentences;
mod url;
mod wire;

#[cfg(test)]
mod tests;

use std::time::Duration;

use async_trait::async_trait;
use provider::{
    AuthMode, CheckReport, Connection, Descriptor, Field, FieldKind, Inventory, Problem, Provider, ReadUrl,
    Result, SignedIn, StatusWords,
};
use secrecy::SecretString;

const KEY_MODE: &str = "api_key";
const KNOX: &str = "knox";

const API_KEY: &str = "tacticalrmm_api_key";
const ACTION_API_KEY: &str = "action_tacticalrmm_api_key";
const USERNAME: &str = "tacticalrmm_username";
const PASSWORD: &str = "tacticalrmm_password";
const TOTP_CODE: &str = "tacticalrmm_totp_code";
const TOTP_SECRET: &str = "tacticalrmm_totp_secret";

/// The second credential is an API key, however the first one signs in.
static ACTION_FIELDS: [Field; 1] = [Field {
    name: ACTION_API_KEY,
    label: "API key for actions",
    kind: FieldKind::Secret,
    required: false,
    help: "A key of a user who may act on machines. Nothing uses it yet but Test Connection.",
}];

/// Each use moves the end of a token to five hours later, but it is written at most every ten minutes (Knox,
/// `TOKEN_TTL` and `MIN_REFRESH_INTERVAL`; measured 2026-11-21). A token that was announced with three minutes is one
/// like any other from its first use on.
const TOKEN_LIFE: Duration = Duration::from_secs((5 * 60 - 10) * 60);

/// The provider: a value without state.
pub struct TacticalRmm;

static DESCRIPTOR: Descriptor = Descriptor {
    id: "tacticalrmm",
    name: "Tactical RMM",
    icon: "tacticalrmm",
    url_label: "Instance URL",
    url_alias: "API host",
    url_example: "https://api.example.com",
    organization_words: ("client", "clients"),
    device_words: ("agent", "agents"),
    auth_modes: &[
        AuthMode {
            id: KEY_MODE,
            label: "API key",
            help: "Recommended. A key does not end by itself, needs no code, and its user's role decides what it may do.",
            fields: &[Field {
                name: API_KEY,
                label: "API key",
                kind: FieldKind::Secret,
                required: true,
                help: "In Tactical: Settings, Global Settings, API Keys. Choose a user whose role may only read.",
            }],
            action_fields: &ACTION_FIELDS,
            needs_sign_in: false,
            token_life: None,
            renew_before: None,
        },
        AuthMode {
            id: KNOX,
            label: "User name and password (Knox token)",
            help: "A sign-in ends after five hours without use. Then an account with a second factor needs a new code.",
            fields: &[
                Field {
                    name: USERNAME,
                    label: "User name",
                    kind: FieldKind::Text,
                    required: true,
                    help: "A user of Tactical itself. Users who sign in through SSO need an API key.",
                },
                Field {
                    name: PASSWORD,
                    label: "Password",
                    kind: FieldKind::Secret,
                    required: true,
                    help: "Kept encrypted, to sign in again when the token has ended.",
                },
                Field {
                    name: TOTP_CODE,
                    label: "Code of the authenticator app",
                    kind: FieldKind::OneTimeCode,
                    required: false,
                    help: "Only for accounts with a second factor. Used once and not kept.",
                },
                Field {
                    name: TOTP_SECRET,
                    label: "TOTP secret",
                    kind: FieldKind::Secret,
                    required: false,
                    help: "Leave this empty if you can. With it Fleetgate makes the codes itself and can sign in again \
                           without you. But password and second factor then lie in one place, which undoes the second \
                           factor. An API key is the better way.",
                },
            ],
            action_fields: &ACTION_FIELDS,
            needs_sign_in: true,
            token_life: Some(TOKEN_LIFE),
            renew_before: None,
        },
    ],
    token_secret: Some("tacticalrmm_knox_token"),
    account_field: None,
    status_words: StatusWords::WithOverdue,
    rate_limit: None,
    settings: &[],
    documentation: "docs/providers/tacticalrmm.md",
};

#[async_trait]
impl Provider for TacticalRmm {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn read_url(&self, pasted: &str, _hosts: &[String]) -> std::result::Result<ReadUrl, Problem> {
        url::read_url(pasted)
    }

    async fn check(&self, connection: &Connection, code: Option<&SecretString>) -> CheckReport {
        check::check(connection, code).await
    }

    async fn sign_in(&self, connection: &Connection, code: Option<&SecretString>) -> Result<SignedIn> {
        auth::sign_in(connection, code).await
    }

    async fn sign_out(&self, connection: &Connection) -> Result<()> {
        auth::sign_out(connection).await
    }

    fn inventory(&self) -> &dyn Inventory {
        self
    }
}
