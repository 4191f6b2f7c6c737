//! Providers: what pages and programs need to build a form without knowing any RMM.

use axum::{Json as Answer, extract::State};
use serde::Serialize;
use service::provider_types as provider;
use utoipa::ToSchema;

use crate::{app::AppState, ctx::Caller, error::ApiResult, page::List};

/// One word for one, one for many.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Words {
    /// One.
    one: &'static str,
    /// Many.
    many: &'static str,
}

/// An RMM that can be connected.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProviderView {
    /// Its id, as in `provider` elsewhere.
    id: &'static str,
    /// For people.
    name: &'static str,
    /// Name of an icon.
    icon: &'static str,
    /// Label of the address field.
    url_label: &'static str,
    /// What the RMM's own documents call that field.
    url_alias: &'static str,
    /// Example of a right address.
    url_example: &'static str,
    /// What it calls an organization.
    organization_words: Words,
    /// What it calls a device.
    device_words: Words,
    /// Ways to authenticate, the recommended one first.
    auth_modes: Vec<AuthModeView>,
    /// The field that tells accounts at one address apart; null where an address is an account.
    account_field: Option<&'static str>,
    /// What its word for the status of a device is worth.
    status_words: StatusWords,
    /// How many requests it takes by its documents; null if it does not limit them.
    rate_limit: Option<RateLimitView>,
    /// Settings that it has beside those of every integration.
    settings: Vec<&'static str>,
    /// Path of our document about it.
    documentation: &'static str,
}

/// What an RMM's word for the status of a device is worth.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StatusWords {
    /// Online, offline and overdue.
    WithOverdue,
    /// Online and offline: overdue follows from `overdue_after_hours` of the settings.
    OnlineOffline,
}

/// How many requests an RMM takes from all who use an account together.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RateLimitView {
    /// Length of the rolling window, in seconds.
    window_s: u32,
    /// Reads in one window; all requests where writes are not counted apart.
    reads: u32,
    /// Writes in one window; null where they are not counted apart.
    writes: Option<u32>,
    /// Share of the limit, in per cent, from which on it slows answers down.
    slow_from_percent: u8,
}

/// A way to authenticate.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuthModeView {
    /// Its id, as in `auth_mode` elsewhere.
    id: &'static str,
    /// For people.
    label: &'static str,
    /// When to choose it.
    help: &'static str,
    /// Fields of the form, in order; those of a second credential last.
    fields: Vec<FieldView>,
    /// Must be signed in before anything can be read.
    needs_sign_in: bool,
}

/// A field of a form.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FieldView {
    /// Its name, as in `fields` elsewhere.
    name: &'static str,
    /// For people.
    label: &'static str,
    /// How it is typed and kept.
    kind: FieldKind,
    /// Must it be set?
    required: bool,
    /// One sentence.
    help: &'static str,
    /// What the credential it belongs to is for: `read` or `action`.
    credential: &'static str,
}

/// How a field is typed and kept.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FieldKind {
    /// Kept encrypted, never shown again.
    Secret,
    /// Kept encrypted, may be shown while it is typed.
    Text,
    /// Used once, never kept.
    OneTimeCode,
}

impl From<&'static provider::Descriptor> for ProviderView {
    fn from(descriptor: &'static provider::Descriptor) -> Self {
        let words = |(one, many)| Words { one, many };
        ProviderView {
            id: descriptor.id,
            name: descriptor.name,
            icon: descriptor.icon,
            url_label: descriptor.url_label,
            url_alias: descriptor.url_alias,
            url_example: descriptor.url_example,
            organization_words: words(descriptor.organization_words),
            device_words: words(descriptor.device_words),
            auth_modes: descriptor.auth_modes.iter().map(Into::into).collect(),
            account_field: descriptor.account_field,
            status_words: match descriptor.status_words {
                provider::StatusWords::WithOverdue => StatusWords::WithOverdue,
                provider::StatusWords::OnlineOffline => StatusWords::OnlineOffline,
            },
            rate_limit: descriptor.rate_limit.map(|limit| RateLimitView {
                window_s: limit.window_s,
                reads: limit.reads,
                writes: limit.writes,
                slow_from_percent: limit.slow_from_percent,
            }),
            settings: descriptor.settings.to_vec(),
            documentation: descriptor.documentation,
        }
    }
}

impl From<&'static provider::AuthMode> for AuthModeView {
    fn from(mode: &'static provider::AuthMode) -> Self {
        AuthModeView {
            id: mode.id,
            label: mode.label,
            help: mode.help,
            fields: mode
                .fields
                .iter()
                .map(|field| FieldView::of("read", field))
                .chain(mode.action_fields.iter().map(|field| FieldView::of("action", field)))
                .collect(),
            needs_sign_in: mode.needs_sign_in,
        }
    }
}

impl FieldView {
    fn of(credential: &'static str, field: &'static provider::Field) -> FieldView {
        let kind = match field.kind {
            provider::FieldKind::Secret => FieldKind::Secret,
            provider::FieldKind::Text => FieldKind::Text,
            provider::FieldKind::OneTimeCode => FieldKind::OneTimeCode,
        };
        FieldView {
            name: field.name,
            label: field.label,
            kind,
            required: field.required,
            help: field.help,
            credential,
        }
    }
}

/// RMMs that can be connected
#[utoipa::path(
    get, path = "/api/v1/providers", tag = "integrations",
    responses((status = 200, description = "All of them", body = List<ProviderView>))
)]
pub(crate) async fn list_providers(
    State(app): State<AppState>,
    _: Caller,
) -> ApiResult<Answer<List<ProviderView>>> {
    let providers = app.services.integrations.providers();
    Ok(Answer(List::whole(providers.into_iter().map(Into::into).collect())))
}
