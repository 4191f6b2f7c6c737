//! Integrations: one account at a provider each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Time, id::IntegrationId};

/// One account at a provider, without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Integration {
    /// Its id.
    pub id: IntegrationId,
    /// The provider's id.
    pub provider: String,
    /// What people call it.
    pub name: String,
    /// Root address of the API.
    pub instance_url: String,
    /// How it authenticates.
    pub auth_mode: String,
    /// Connected by a person and not disconnected.
    pub is_active: bool,
    /// Where the connection stands.
    pub state: ConnectionState,
    /// JSON: the sentence of the last failure.
    pub problem: Option<String>,
    /// Settings.
    pub settings: IntegrationSettings,
    /// JSON: the report of the last test.
    pub last_check: Option<String>,
    /// When it was last tested.
    pub last_check_at: Option<Time>,
    /// The account, as far as the RMM tells.
    pub account: Option<String>,
    /// When the token ends if it is not used.
    pub token_expires_at: Option<Time>,
    /// Last successful sync of organizations.
    pub last_organization_sync_at: Option<Time>,
    /// Last successful sync of devices.
    pub last_device_sync_at: Option<Time>,
    /// Last successful presence pass.
    pub last_presence_at: Option<Time>,
    /// Last finished detail pass.
    pub last_detail_at: Option<Time>,
    /// Grows with every change: an update names the version it read.
    pub version: i64,
    /// When it was created.
    pub created_at: Time,
    /// When it last changed.
    pub updated_at: Time,
    /// When it was last connected.
    pub connected_at: Option<Time>,
    /// When it was disconnected.
    pub disconnected_at: Option<Time>,
}

/// Where an integration stands. Stored by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionState {
    /// Saved, never tested or used.
    New,
    /// The last contact went well.
    Connected,
    /// The RMM could not be reached or answered nonsense.
    Failing,
    /// A person has to sign in again (a one-time code is needed).
    NeedsCode,
    /// The RMM refused the credentials.
    Refused,
    /// Disconnected by a person: no secrets, no schedules.
    Disconnected,
}

impl ConnectionState {
    /// The stored and public name.
    pub const fn name(self) -> &'static str {
        match self {
            ConnectionState::New => "new",
            ConnectionState::Connected => "connected",
            ConnectionState::Failing => "failing",
            ConnectionState::NeedsCode => "needs_code",
            ConnectionState::Refused => "refused",
            ConnectionState::Disconnected => "disconnected",
        }
    }

    /// The state of this name.
    pub fn from_name(name: &str) -> Option<ConnectionState> {
        use ConnectionState::{Connected, Disconnected, Failing, NeedsCode, New, Refused};
        [New, Connected, Failing, NeedsCode, Refused, Disconnected]
            .into_iter()
            .find(|state| state.name() == name)
    }
}

/// Settings of an integration that are no secrets. Stored as JSON; each has a default, so that an older row reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IntegrationSettings {
    /// Plain `http://` was allowed for this integration by an admin.
    pub allow_plain_http: bool,
    /// Seconds between two presence passes.
    pub presence_interval_s: u32,
    /// Seconds between two full syncs of devices.
    pub sync_interval_s: u32,
    /// Hours of the day (UTC, 0–23) in which scheduled full syncs and details do not start.
    pub quiet_hours: Vec<u8>,
    /// Largest share of known devices, in per cent, that one run may mark missing.
    pub missing_brake_percent: u8,
    /// Run schedules at all.
    pub schedules_enabled: bool,
    /// Our share of the requests that the RMM takes, in per cent: other programs use the same account.
    pub rate_share_percent: u8,
    /// Hours without a sign of life after which a device that is offline is overdue.
    pub overdue_after_hours: u32,
    /// Days without a sign of life after which a device that is offline is stale as well.
    pub stale_after_days: u32,
    /// Take over machines that the RMM does not manage permanently.
    pub include_on_demand: bool,
    /// Take over machines that were deleted at the RMM.
    pub include_deleted: bool,
    /// Custom fields by the RMM's key (`udf3`): its name here, and whether its value may be seen.
    pub custom_fields: BTreeMap<String, CustomField>,
    /// Merge a machine by itself with one of another integration if serial number and a hardware address are the same.
    pub merge_exact: bool,
}

/// Settings that only some RMMs have; a provider names its own of these. The others every integration has.
pub const OF_SOME_PROVIDERS: [&str; 6] = [
    "rate_share_percent",
    "overdue_after_hours",
    "stale_after_days",
    "include_on_demand",
    "include_deleted",
    "custom_fields",
];

/// Most custom fields that are named or shown.
const MAX_CUSTOM_FIELDS: usize = 500;

/// Longest key of a custom field.
const MAX_KEY_CHARS: usize = 64;

/// Longest name of a custom field.
const MAX_FIELD_NAME_CHARS: usize = 100;

/// How a custom field of devices is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CustomField {
    /// What people call it; the RMM's key where there is none.
    pub name: Option<String>,
    /// Its value is kept and shown. Otherwise only that it is set: custom fields hold keys and passwords.
    pub shown: bool,
}

impl Default for IntegrationSettings {
    fn default() -> Self {
        IntegrationSettings {
            allow_plain_http: false,
            presence_interval_s: 180,
            sync_interval_s: 3_600,
            quiet_hours: Vec::new(),
            missing_brake_percent: 20,
            schedules_enabled: true,
            rate_share_percent: 50,
            overdue_after_hours: 24,
            stale_after_days: 30,
            include_on_demand: false,
            include_deleted: false,
            custom_fields: BTreeMap::new(),
            merge_exact: false,
        }
    }
}

/// A setting whose value cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnusableSetting {
    /// Its name.
    pub setting: &'static str,
    /// What to change.
    pub message: String,
}

impl IntegrationSettings {
    /// Refuses values that would hurt the RMM or never run.
    pub fn check(&self) -> Result<(), UnusableSetting> {
        let wrong = |setting, message: &str| Err(UnusableSetting { setting, message: message.to_owned() });
        if !(30..=86_400).contains(&self.presence_interval_s) {
            return wrong(
                "presence_interval_s",
                "`presence_interval_s` must be between 30 and 86400 seconds",
            );
        }
        if !(300..=604_800).contains(&self.sync_interval_s) {
            return wrong("sync_interval_s", "`sync_interval_s` must be between 300 and 604800 seconds");
        }
        if self.quiet_hours.iter().any(|hour| *hour > 23) {
            return wrong(
                "quiet_hours",
                "`quiet_hours` holds hours of the day in UTC, each from 0 to 23, as in [22, 23, 0]",
            );
        }
        if !(1..=100).contains(&self.missing_brake_percent) {
            return wrong("missing_brake_percent", "`missing_brake_percent` must be between 1 and 100");
        }
        if !(1..=90).contains(&self.rate_share_percent) {
            return wrong("rate_share_percent", "`rate_share_percent` must be between 1 and 90");
        }
        if !(1..=8_760).contains(&self.overdue_after_hours) {
            return wrong("overdue_after_hours", "`overdue_after_hours` must be between 1 and 8760 hours");
        }
        if !(1..=3_650).contains(&self.stale_after_days) {
            return wrong("stale_after_days", "`stale_after_days` must be between 1 and 3650 days");
        }
        self.check_custom_fields().map_err(|message| UnusableSetting { setting: "custom_fields", message })
    }

    fn check_custom_fields(&self) -> Result<(), String> {
        if self.custom_fields.len() > MAX_CUSTOM_FIELDS {
            return Err(format!(
                "`custom_fields` has room for {MAX_CUSTOM_FIELDS}; leave out what needs no name"
            ));
        }
        for (key, field) in &self.custom_fields {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
            if key.is_empty() || key.len() > MAX_KEY_CHARS || !key.chars().all(is_plain) {
                return Err(format!(
                    "keys of `custom_fields` are the RMM's own: 1 to {MAX_KEY_CHARS} letters, digits, `_`, `-` or `.`"
                ));
            }
            if field.name.as_ref().is_some_and(|name| name.chars().count() > MAX_FIELD_NAME_CHARS) {
                return Err(format!(
                    "the name of `{key}` is longer than {MAX_FIELD_NAME_CHARS} characters; shorten it"
                ));
            }
        }
        Ok(())
    }
}
