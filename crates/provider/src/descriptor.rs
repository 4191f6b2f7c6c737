//! What a provider says about itself as data.

use std::time::Duration;

use serde::Serialize;
use url::Url;

use crate::{Problem, RateLimit};

/// Name, form, links. Serialized for REST, so that pages and the command line need no word of any vendor.
#[derive(Debug, Serialize)]
pub struct Descriptor {
    /// The stored name, also the `integration_type` of entity mappings.
    pub id: &'static str,
    /// For people.
    pub name: &'static str,
    /// Name of an icon.
    pub icon: &'static str,
    /// Label of the address field.
    pub url_label: &'static str,
    /// Second name of the address field, as the vendor's documents call it.
    pub url_alias: &'static str,
    /// Example of a right address.
    pub url_example: &'static str,
    /// What the provider calls an organization, one and many.
    pub organization_words: (&'static str, &'static str),
    /// What the provider calls a device, one and many.
    pub device_words: (&'static str, &'static str),
    /// Ways to authenticate, the recommended one first.
    pub auth_modes: &'static [AuthMode],
    /// Name under which the token of a sign-in is kept.
    pub token_secret: Option<&'static str>,
    /// Where several accounts live at one address: the field that tells them apart. None where an address is an account.
    pub account_field: Option<&'static str>,
    /// What the RMM's word for the status of a device is worth.
    pub status_words: StatusWords,
    /// How many requests it takes; none if it does not limit them.
    pub rate_limit: Option<RateLimit>,
    /// Settings beside those that every integration has, by name.
    pub settings: &'static [&'static str],
    /// Path of our document about this provider.
    pub documentation: &'static str,
}

/// A way to authenticate.
#[derive(Debug, Serialize)]
pub struct AuthMode {
    /// The stored name.
    pub id: &'static str,
    /// For people.
    pub label: &'static str,
    /// When to choose it, one sentence.
    pub help: &'static str,
    /// Form fields in order.
    pub fields: &'static [Field],
    /// Fields of a second credential, for actions alone, with names of their own; empty if there can be none.
    pub action_fields: &'static [Field],
    /// Must be signed in for a token before anything can be read.
    pub needs_sign_in: bool,
    /// How long a token lives at least after a use, where each use prolongs its life.
    pub token_life: Option<Duration>,
    /// A token that ends at a set time is renewed when less than this is left of it. Only where that needs nobody.
    pub renew_before: Option<Duration>,
}

/// What the RMM's word for the status of a device is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusWords {
    /// Online, offline and overdue, by thresholds that each device has.
    WithOverdue,
    /// Online and offline: a device that is offline becomes overdue after `overdue_after_hours` of the settings.
    OnlineOffline,
}

/// One field of a form.
#[derive(Debug, Serialize)]
pub struct Field {
    /// The secret's public name.
    pub name: &'static str,
    /// For people.
    pub label: &'static str,
    /// How it is typed and kept.
    pub kind: FieldKind,
    /// Must it be set?
    pub required: bool,
    /// One sentence.
    pub help: &'static str,
}

/// How a field is typed and kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldKind {
    /// Kept encrypted, never shown again.
    Secret,
    /// Kept encrypted like a secret, but may be seen while it is typed (a user name).
    Text,
    /// Used once and never kept.
    OneTimeCode,
}

impl Descriptor {
    /// The auth mode of this id.
    pub fn auth_mode(&self, id: &str) -> Option<&'static AuthMode> {
        self.auth_modes.iter().find(|mode| mode.id == id)
    }
}

/// What was made of a pasted address.
#[derive(Debug, Clone)]
pub struct ReadUrl {
    /// Root address of the API: scheme, host, port, path prefix if any; no query, no fragment, no user name.
    pub url: Url,
    /// What was changed, in sentences ("left out the path `/login`").
    pub notes: Vec<String>,
    /// Something to think about though the address can be tried.
    pub warning: Option<Problem>,
}
