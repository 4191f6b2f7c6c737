//! Datto RMM.
//!
//! Inventory comes from version 2 of its API. What the API answers is known from its documents and from what public
//! clients saw; where these do not agree, or say nothing, everything here reads tolerantly and
//! `docs/providers/datto_rmm.md` says so. Nothing here writes to Datto RMM, and nothing is kept between calls.

mod api;
mod auth;
mod check;
mod hardware;
mod inventory;
mod mask;
mod normalize;
mod pages;
mod sentences;
mod url;
mod wire;

#[cfg(test)]
mod tests;

use std::time::Duration;

use async_trait::async_trait;
use provider::{
    AuthMode, CheckReport, Connection, Descriptor, Field, FieldKind, Inventory, Problem, Provider, RateLimit,
    ReadUrl, Result, SignedIn, SoftwareSource, StatusWords,
};
use secrecy::SecretString;

const OAUTH: &str = "oauth";
const KEY_HEADER: &str = "api_key_header";

const API_KEY: &str = "datto_rmm_api_key";
const API_SECRET: &str = "datto_rmm_api_secret";
const API_ROOT: &str = "datto_rmm_api_root";

/// A token lives a hundred hours, however much it is used. Five minutes are longer than any one call, and short enough
/// that a token whose life was shortened is not renewed all the time.
const RENEW_BEFORE: Duration = Duration::from_secs(5 * 60);

/// The provider: a value without state.
pub struct DattoRmm;

static DESCRIPTOR: Descriptor = Descriptor {
    id: "datto_rmm",
    name: "Datto RMM",
    icon: "datto_rmm",
    url_label: "API URL",
    url_alias: "base_url",
    url_example: "https://pinotage-api.centrastage.net",
    organization_words: ("site", "sites"),
    device_words: ("device", "devices"),
    auth_modes: &[
        AuthMode {
            id: OAUTH,
            label: "API key and secret",
            help: "Recommended. What Datto RMM shows when a user generates API keys.",
            fields: &[
                Field {
                    name: API_KEY,
                    label: "API Key",
                    kind: FieldKind::Secret,
                    required: true,
                    help: "In Datto RMM: Setup, Users, the user, Generate API Keys. Its rights are those of the user.",
                },
                Field {
                    name: API_SECRET,
                    label: "API Secret",
                    kind: FieldKind::Secret,
                    required: true,
                    help: "Shown once, together with the key.",
                },
            ],
            action_fields: &[],
            needs_sign_in: true,
            token_life: None,
            renew_before: Some(RENEW_BEFORE),
        },
        AuthMode {
            id: KEY_HEADER,
            label: "API key alone (untested)",
            help: "Only for an account that was given a single key without a secret, sent in the header `x-au-api-key`. \
                   Nobody has tried this with a real account yet.",
            fields: &[
                Field {
                    name: API_KEY,
                    label: "API Key",
                    kind: FieldKind::Secret,
                    required: true,
                    help: "Sent with every request, in the header `x-au-api-key`.",
                },
                Field {
                    name: API_ROOT,
                    label: "API root",
                    kind: FieldKind::Text,
                    required: false,
                    help: "The path at which the API begins. Leave it empty for `/api/v2`.",
                },
            ],
            action_fields: &[],
            needs_sign_in: false,
            token_life: None,
            renew_before: None,
        },
    ],
    token_secret: Some("datto_rmm_access_token"),
    account_field: Some(API_KEY),
    status_words: StatusWords::OnlineOffline,
    rate_limit: Some(RateLimit { window_s: 60, reads: 600, writes: Some(100), slow_from_percent: 90 }),
    settings: &[
        "rate_share_percent",
        "overdue_after_hours",
        "stale_after_days",
        "include_on_demand",
        "include_deleted",
        "custom_fields",
    ],
    documentation: "docs/providers/datto_rmm.md",
};

#[async_trait]
impl Provider for DattoRmm {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn read_url(&self, pasted: &str, hosts: &[String]) -> std::result::Result<ReadUrl, Problem> {
        url::read_url(pasted, hosts)
    }

    async fn check(&self, connection: &Connection, _code: Option<&SecretString>) -> CheckReport {
        check::check(connection).await
    }

    async fn sign_in(&self, connection: &Connection, _code: Option<&SecretString>) -> Result<SignedIn> {
        auth::sign_in(connection).await
    }

    /// Datto RMM has no way to end a token: it lives until its hundred hours are over, or its keys are made anew.
    async fn sign_out(&self, _connection: &Connection) -> Result<()> {
        Ok(())
    }

    fn inventory(&self) -> &dyn Inventory {
        self
    }

    fn software(&self) -> Option<&dyn SoftwareSource> {
        Some(self)
    }
}
