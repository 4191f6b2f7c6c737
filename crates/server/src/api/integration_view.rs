//! How an integration looks on the wire: no secret is in here, only that it is set.

use std::collections::BTreeMap;

use domain::{
    budget::LaneView,
    integration::{CustomField, IntegrationSettings},
};
use serde::Serialize;
use service::{
    SecretInfo,
    integration::{IntegrationView as Known, RateBudget},
    provider_types as provider,
};
use utoipa::ToSchema;

use crate::wire;

/// What went wrong with an RMM, and what to do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProblemView {
    /// Stable: programs decide by this.
    code: String,
    /// What happened.
    message: String,
    /// What to do.
    fix: String,
    /// The route of the RMM that was called.
    endpoint: Option<String>,
    /// One click that may mend it.
    offer: Option<wire::Offer>,
    /// Seconds to wait.
    wait_s: Option<u64>,
}

impl From<provider::Problem> for ProblemView {
    fn from(problem: provider::Problem) -> Self {
        ProblemView {
            code: problem.code,
            message: problem.message,
            fix: problem.fix,
            endpoint: problem.endpoint,
            offer: problem.offer.map(Into::into),
            wait_s: problem.wait_s,
        }
    }
}

impl ProblemView {
    /// A problem as runs store it; of another shape only that there was one is told.
    pub(crate) fn from_stored(json: &str) -> ProblemView {
        let stored: Option<provider::Problem> = serde_json::from_str(json).ok();
        stored.map(Into::into).unwrap_or_else(|| {
            provider::Problem::new("unknown", "something stopped it", "look into the log of the server")
                .into()
        })
    }
}

/// One capability or right of a connection.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CheckLineView {
    /// Stable id.
    id: String,
    /// For people.
    label: String,
    /// How it ended.
    state: wire::LineState,
    /// What was found.
    message: String,
    /// What to do.
    fix: Option<String>,
    /// The missing right, as the RMM calls it.
    right: Option<String>,
    /// The route of the RMM whose request failed.
    endpoint: Option<String>,
    /// Which credential was used: `read` or `action`.
    credential: String,
}

/// The report of a test.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CheckView {
    /// It can be saved and synced.
    ok: bool,
    /// The address used.
    url: String,
    /// What was made of the pasted address.
    notes: Vec<String>,
    /// The account, as far as the RMM tells.
    account: Option<String>,
    /// The RMM's version, as far as it tells.
    version: Option<String>,
    /// Median time of the answers in milliseconds.
    latency_ms: Option<u64>,
    /// The RMM's clock minus ours in seconds.
    clock_skew_s: Option<i64>,
    /// What stopped the test.
    problem: Option<ProblemView>,
    /// Line by line.
    lines: Vec<CheckLineView>,
    /// Clicks that may mend things.
    offers: Vec<wire::Offer>,
}

impl From<provider::CheckReport> for CheckView {
    fn from(report: provider::CheckReport) -> Self {
        CheckView {
            ok: report.ok,
            url: report.url,
            notes: report.notes,
            account: report.account,
            version: report.version,
            latency_ms: report.latency_ms,
            clock_skew_s: report.clock_skew_s,
            problem: report.problem.map(Into::into),
            lines: report.lines.into_iter().map(Into::into).collect(),
            offers: report.offers.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<provider::CheckLine> for CheckLineView {
    fn from(line: provider::CheckLine) -> Self {
        CheckLineView {
            id: line.id,
            label: line.label,
            state: line.state.into(),
            message: line.message,
            fix: line.fix,
            right: line.right,
            endpoint: line.endpoint,
            credential: line.credential,
        }
    }
}

/// A secret that is set; never its value.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SecretView {
    /// Its name, as in `fields`.
    name: String,
    /// Always true.
    set: bool,
    /// Its last four characters, if it is long enough to show them.
    last_four: Option<String>,
    /// When it was set.
    set_at: wire::Time,
    /// Who set it.
    set_by: String,
    /// When it stops working, if that is known.
    expires_at: Option<wire::Time>,
}

impl From<SecretInfo> for SecretView {
    fn from(secret: SecretInfo) -> Self {
        SecretView {
            name: secret.name,
            set: true,
            last_four: secret.last_four,
            set_at: secret.set_at.into(),
            set_by: secret.set_by,
            expires_at: secret.expires_at.map(Into::into),
        }
    }
}

/// Settings of an integration.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SettingsView {
    /// Plain `http://` is allowed.
    allow_plain_http: bool,
    /// Seconds between two presence passes.
    presence_interval_s: u32,
    /// Seconds between two full syncs of devices.
    sync_interval_s: u32,
    /// Hours of the day (UTC) in which scheduled syncs do not start.
    quiet_hours: Vec<u8>,
    /// Largest share of devices, in per cent, that one run may mark missing.
    missing_brake_percent: u8,
    /// Schedules run.
    schedules_enabled: bool,
    /// A machine is merged by itself with one of another integration if serial number and a hardware address are the same.
    merge_exact: bool,
    /// Our share of the requests that the RMM takes, in per cent; null where it does not limit them.
    rate_share_percent: Option<u8>,
    /// Hours of silence after which a device that is offline is overdue; null where the RMM itself says which are.
    overdue_after_hours: Option<u32>,
    /// Days of silence after which a device that is offline is stale as well; null where the RMM has no such setting.
    stale_after_days: Option<u32>,
    /// Machines that the RMM does not manage permanently are taken over; null where it has none.
    include_on_demand: Option<bool>,
    /// Machines that were deleted at the RMM are taken over; null where it tells of none.
    include_deleted: Option<bool>,
    /// Custom fields that have a name here or are shown, by the RMM's key; null where it has none that can be masked.
    custom_fields: Option<BTreeMap<String, CustomFieldView>>,
}

/// How a custom field of devices is shown.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CustomFieldView {
    /// What people call it; null: the RMM's key.
    name: Option<String>,
    /// Its value is kept and shown. Otherwise only that it is set.
    shown: bool,
}

impl From<CustomField> for CustomFieldView {
    fn from(field: CustomField) -> Self {
        CustomFieldView { name: field.name, shown: field.shown }
    }
}

impl SettingsView {
    /// Those that the RMM does not have are null.
    fn of(settings: IntegrationSettings, own: &[&str]) -> SettingsView {
        let has = |name: &str| own.contains(&name);
        let custom_fields = settings.custom_fields.into_iter().map(|(key, field)| (key, field.into()));
        SettingsView {
            merge_exact: settings.merge_exact,
            rate_share_percent: has("rate_share_percent").then_some(settings.rate_share_percent),
            overdue_after_hours: has("overdue_after_hours").then_some(settings.overdue_after_hours),
            stale_after_days: has("stale_after_days").then_some(settings.stale_after_days),
            include_on_demand: has("include_on_demand").then_some(settings.include_on_demand),
            include_deleted: has("include_deleted").then_some(settings.include_deleted),
            custom_fields: has("custom_fields").then(|| custom_fields.collect()),
            allow_plain_http: settings.allow_plain_http,
            presence_interval_s: settings.presence_interval_s,
            sync_interval_s: settings.sync_interval_s,
            quiet_hours: settings.quiet_hours,
            missing_brake_percent: settings.missing_brake_percent,
            schedules_enabled: settings.schedules_enabled,
        }
    }
}

/// How many requests the RMM takes, and who uses them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RateBudgetView {
    /// Length of the rolling window, in seconds.
    window_s: u32,
    /// Reads; all requests where writes are not counted apart.
    reads: RateLaneView,
    /// Writes; null where they are not counted apart.
    writes: Option<RateLaneView>,
    /// Until when the RMM shuts us out; null if it does not.
    paused_until: Option<wire::Time>,
    /// Why it does.
    problem: Option<ProblemView>,
    /// When the RMM last told its counters.
    observed_at: Option<wire::Time>,
}

/// Requests in one window.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RateLaneView {
    /// How many the RMM takes, from all who use the account.
    limit: u32,
    /// Ours in the last window.
    ours: u32,
    /// Those of others when the RMM last told; null if that is not known or long ago.
    others: Option<u32>,
    /// Our share: we never send more than this in any window.
    share: u32,
}

impl From<LaneView> for RateLaneView {
    fn from(lane: LaneView) -> Self {
        RateLaneView { limit: lane.limit, ours: lane.ours, others: lane.others, share: lane.share }
    }
}

impl From<RateBudget> for RateBudgetView {
    fn from(budget: RateBudget) -> Self {
        let view = budget.view;
        RateBudgetView {
            window_s: view.window_s,
            reads: view.reads.into(),
            writes: view.writes.map(Into::into),
            paused_until: view.paused_until.map(wire::Time),
            problem: budget.problem.map(Into::into),
            observed_at: view.observed_at.map(wire::Time),
        }
    }
}

/// One account at an RMM.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IntegrationView {
    /// Its id.
    id: wire::IntegrationId,
    /// The RMM.
    provider: String,
    /// What people call it.
    name: String,
    /// Root address of the API.
    url: String,
    /// How it authenticates.
    auth_mode: String,
    /// Connected, and not disconnected.
    is_active: bool,
    /// Where the connection stands.
    state: wire::ConnectionState,
    /// The last failure.
    problem: Option<ProblemView>,
    /// What should be known though it works.
    warnings: Vec<ProblemView>,
    /// Secrets that are set.
    secrets: Vec<SecretView>,
    /// Settings.
    settings: SettingsView,
    /// Requests that the RMM takes; null if it does not limit them.
    rate_budget: Option<RateBudgetView>,
    /// The last test.
    last_check: Option<CheckView>,
    /// When it was last tested.
    last_check_at: Option<wire::Time>,
    /// The account, as far as the RMM tells.
    account: Option<String>,
    /// The token of a sign-in lives at least until then. Where each use prolongs it, this follows successful syncs.
    token_expires_at: Option<wire::Time>,
    /// Last successful sync of organizations.
    last_organization_sync_at: Option<wire::Time>,
    /// Last successful sync of devices.
    last_device_sync_at: Option<wire::Time>,
    /// Last successful presence pass.
    last_presence_at: Option<wire::Time>,
    /// Last finished detail pass.
    last_detail_at: Option<wire::Time>,
    /// Grows with every change; send it with a change to be told when somebody else was faster.
    version: i64,
    /// When it was created.
    created_at: wire::Time,
    /// When it last changed.
    updated_at: wire::Time,
    /// When it was last connected.
    connected_at: Option<wire::Time>,
    /// When it was disconnected.
    disconnected_at: Option<wire::Time>,
}

impl From<Known> for IntegrationView {
    fn from(known: Known) -> Self {
        let integration = known.integration;
        let time = |time: Option<domain::Time>| time.map(wire::Time);
        IntegrationView {
            id: integration.id.into(),
            provider: integration.provider,
            name: integration.name,
            url: integration.instance_url,
            auth_mode: integration.auth_mode,
            is_active: integration.is_active,
            state: integration.state.into(),
            problem: known.problem.map(Into::into),
            warnings: known.warnings.into_iter().map(Into::into).collect(),
            secrets: known.secrets.into_iter().map(Into::into).collect(),
            settings: SettingsView::of(integration.settings, known.own_settings),
            rate_budget: known.rate_budget.map(Into::into),
            last_check: known.last_check.map(Into::into),
            last_check_at: time(integration.last_check_at),
            account: integration.account,
            token_expires_at: time(integration.token_expires_at),
            last_organization_sync_at: time(integration.last_organization_sync_at),
            last_device_sync_at: time(integration.last_device_sync_at),
            last_presence_at: time(integration.last_presence_at),
            last_detail_at: time(integration.last_detail_at),
            version: integration.version,
            created_at: integration.created_at.into(),
            updated_at: integration.updated_at.into(),
            connected_at: time(integration.connected_at),
            disconnected_at: time(integration.disconnected_at),
        }
    }
}
