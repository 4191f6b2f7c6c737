//! The rules of a device sync: what changed, what is missing, when to stop.
//!
//! A sync never deletes and never overwrites newer with older. An absence counts only after a complete pass.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    device::Presence,
    id::{AssetId, DeviceId, IntegrationId, OrganizationId, SyncRunId},
    status::Status,
    time::Time,
};

/// What a sync run does. Stored by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// Fetches organizations into mappings (Sync Clients).
    Organizations,
    /// The list pass over the devices of mapped organizations (Sync Devices).
    Devices,
    /// The detail pass in the background.
    Details,
    /// The same list, only to keep status fresh.
    Presence,
}

impl RunKind {
    /// Every kind.
    pub const ALL: [RunKind; 4] =
        [RunKind::Organizations, RunKind::Devices, RunKind::Details, RunKind::Presence];

    /// The stored and public name.
    pub const fn name(self) -> &'static str {
        match self {
            RunKind::Organizations => "organizations",
            RunKind::Devices => "devices",
            RunKind::Details => "details",
            RunKind::Presence => "presence",
        }
    }

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<RunKind> {
        RunKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Where a sync run stands. Stored by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Waits for its turn.
    Queued,
    /// At work.
    Running,
    /// Done, everything read.
    Succeeded,
    /// Done, but some rows or organizations could not be read; the items say which.
    Partial,
    /// Stopped by an error.
    Failed,
    /// Stopped by a person.
    Cancelled,
}

impl RunState {
    /// Every state.
    pub const ALL: [RunState; 6] = [
        RunState::Queued,
        RunState::Running,
        RunState::Succeeded,
        RunState::Partial,
        RunState::Failed,
        RunState::Cancelled,
    ];

    /// The stored and public name.
    pub const fn name(self) -> &'static str {
        match self {
            RunState::Queued => "queued",
            RunState::Running => "running",
            RunState::Succeeded => "succeeded",
            RunState::Partial => "partial",
            RunState::Failed => "failed",
            RunState::Cancelled => "cancelled",
        }
    }

    /// The state of this name.
    pub fn from_name(name: &str) -> Option<RunState> {
        RunState::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Has the run ended, one way or another?
    pub const fn is_over(self) -> bool {
        matches!(self, RunState::Succeeded | RunState::Partial | RunState::Failed | RunState::Cancelled)
    }
}

/// One execution of a sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncRun {
    /// Its id.
    pub id: SyncRunId,
    /// Whose.
    pub integration_id: IntegrationId,
    /// What it does.
    pub kind: RunKind,
    /// Where it stands.
    pub state: RunState,
    /// Only looks and tells what would change.
    pub preview: bool,
    /// Who asked: an e-mail address or `system`.
    pub requested_by: String,
    /// What it does right now, for people.
    pub stage: String,
    /// Units done.
    pub done: u64,
    /// Units in all, once known.
    pub total: Option<u64>,
    /// JSON: where to go on after a crash.
    pub cursor_state: Option<String>,
    /// What it did.
    pub counts: RunCounts,
    /// JSON: the sentence that stopped it.
    pub problem: Option<String>,
    /// A person asked to stop.
    pub cancel_requested: bool,
    /// When it was asked for.
    pub created_at: Time,
    /// When it began.
    pub started_at: Option<Time>,
    /// When it ended.
    pub ended_at: Option<Time>,
}

/// One item of a run: a row that failed, an organization that was skipped, or in a preview what would happen to a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunItem {
    /// Position.
    pub n: i64,
    /// `failed`, `skipped`; in a preview `created`, `updated`, `moved`, `absent`, `missing`.
    pub action: String,
    /// The provider's id.
    pub external_id: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// What happened, for people.
    pub message: String,
}

/// What a run did, or in a preview would do. Serialized into the `counts` column and for REST.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunCounts {
    /// Rows read from the RMM.
    pub read: u64,
    /// New.
    pub created: u64,
    /// Changed content.
    pub updated: u64,
    /// Nothing to write but perhaps presence.
    pub unchanged: u64,
    /// Went to another organization.
    pub moved: u64,
    /// Came back after being marked missing.
    pub returned: u64,
    /// Newly marked missing.
    pub missing: u64,
    /// Rows that could not be read.
    pub failed: u64,
    /// Organizations whose list was not complete; 1 if a list of all devices together was not.
    pub incomplete: u64,
    /// Status transitions, of changed and unchanged devices.
    pub status_changes: u64,
    /// Known devices that the lists lacked. They count as missing after [`MISSING_AFTER_PASSES`] and [`MISSING_AFTER`].
    pub absent: u64,
    /// Organizations that stopped being synced during the run: the rest of their list was left out.
    pub skipped: u64,
    /// HTTP calls made.
    pub calls: u64,
}

/// What the store knows of a device before the look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownDevice {
    /// Its id.
    pub device_id: DeviceId,
    /// The asset it belongs to.
    pub asset_id: AssetId,
    /// Where it was.
    pub organization_id: OrganizationId,
    /// The hash of its facts.
    pub content_hash: String,
    /// The presence row.
    pub presence: Presence,
    /// Status at the last look.
    pub status: Status,
    /// Since when it is marked missing.
    pub missing_since: Option<Time>,
    /// Complete passes without it.
    pub absent_passes: u32,
    /// The last look at its organization lacked it.
    pub is_unlisted: bool,
}

/// What one look says about a known device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The facts differ: device, payload and asset are written.
    pub content: bool,
    /// It is in another organization.
    pub moved: bool,
    /// It had been absent: the count of absences is cleared.
    pub absent_before: bool,
    /// It had been marked missing.
    pub returned: bool,
    /// The presence row has to be written.
    pub presence: bool,
}

/// Compares what is known with what the look shows.
pub fn compare(
    known: &KnownDevice,
    organization: OrganizationId,
    hash: &str,
    presence: &Presence,
) -> Difference {
    Difference {
        content: known.content_hash != hash,
        moved: known.organization_id != organization,
        absent_before: known.absent_passes > 0 || known.is_unlisted,
        returned: known.missing_since.is_some(),
        presence: known.presence != *presence && !is_older(presence, &known.presence),
    }
}

/// A list that was rendered before the one we have must not turn the clock back.
fn is_older(new: &Presence, old: &Presence) -> bool {
    matches!((new.last_seen, old.last_seen), (Some(new), Some(old)) if new < old)
}

/// Complete passes without a device before it counts as missing.
pub const MISSING_AFTER_PASSES: u32 = 3;

/// Time since it was last listed before a device counts as missing.
pub const MISSING_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// Is an organization's list complete: as long as the count fetched right after it?
pub fn is_complete(listed: u64, counted_after: Option<u64>) -> bool {
    counted_after == Some(listed)
}

/// How many devices one run may mark missing: a share of those known, but always a handful.
pub fn missing_allowance(known: u64, brake_percent: u8) -> u64 {
    (known * u64::from(brake_percent) / 100).max(3)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::id::TypedId;

    fn known() -> KnownDevice {
        KnownDevice {
            device_id: DeviceId::from_uuid(Uuid::from_u128(1)),
            asset_id: AssetId::from_uuid(Uuid::from_u128(2)),
            organization_id: OrganizationId::from_uuid(Uuid::from_u128(3)),
            content_hash: "a".to_owned(),
            presence: Presence { last_seen: Some(Time(1_000)), ..Presence::default() },
            status: Status::Online,
            missing_since: None,
            absent_passes: 0,
            is_unlisted: false,
        }
    }

    #[test]
    fn same_look_writes_nothing() {
        let known = known();
        let difference = compare(&known, known.organization_id, "a", &known.presence);
        let nothing = Difference {
            content: false,
            moved: false,
            absent_before: false,
            returned: false,
            presence: false,
        };
        assert_eq!(difference, nothing);
    }

    #[test]
    fn older_presence_does_not_overwrite_newer() {
        let known = known();
        let older = Presence { last_seen: Some(Time(999)), ..Presence::default() };
        assert!(!compare(&known, known.organization_id, "a", &older).presence);
        let newer = Presence { last_seen: Some(Time(1_001)), ..Presence::default() };
        assert!(compare(&known, known.organization_id, "a", &newer).presence);
    }

    #[test]
    fn unknown_count_is_never_complete() {
        assert!(!is_complete(5, None));
        assert!(!is_complete(5, Some(6)));
        assert!(is_complete(0, Some(0)));
    }

    #[test]
    fn brake_lets_a_handful_through() {
        assert_eq!(missing_allowance(10, 20), 3);
        assert_eq!(missing_allowance(1_000, 20), 200);
    }
}
