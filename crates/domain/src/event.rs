//! What happened: the history of assets, and the source of live updates.

use serde::Serialize;

use crate::{Time, id::IntegrationId};

/// Kinds of event, by their public names.
pub mod kind {
    /// An asset came into the register.
    pub const ASSET_CREATED: &str = "asset_created";
    /// Facts of an asset changed.
    pub const ASSET_UPDATED: &str = "asset_updated";
    /// A device went to another organization, its asset perhaps to another client.
    pub const ASSET_MOVED: &str = "asset_moved";
    /// A device is not listed any more.
    pub const ASSET_MISSING: &str = "asset_missing";
    /// A missing device came back.
    pub const ASSET_RETURNED: &str = "asset_returned";
    /// One of several RMMs does not list a machine any more.
    pub const SOURCE_MISSING: &str = "source_missing";
    /// One of several RMMs lists a machine again.
    pub const SOURCE_RETURNED: &str = "source_returned";
    /// Another asset was merged into this one.
    pub const ASSET_MERGED: &str = "asset_merged";
    /// This asset was merged into another one.
    pub const ASSET_MERGED_AWAY: &str = "asset_merged_away";
    /// An asset that had been merged into this one was split off.
    pub const ASSET_SPLIT: &str = "asset_split";
    /// This asset is one of its own again.
    pub const ASSET_RESTORED: &str = "asset_restored";
    /// Status went from one to another.
    pub const STATUS_CHANGED: &str = "status_changed";
    /// A proposal was made or decided.
    pub const PROPOSAL_CHANGED: &str = "proposal_changed";
    /// A client was created, renamed, merged or archived.
    pub const CLIENT_CHANGED: &str = "client_changed";
    /// An organization or its mapping changed.
    pub const ORGANIZATION_CHANGED: &str = "organization_changed";
    /// An integration changed.
    pub const INTEGRATION_CHANGED: &str = "integration_changed";
    /// A sync run was queued, went on or ended.
    pub const SYNC_RUN_CHANGED: &str = "sync_run_changed";
}

/// One thing that happened. Serialized for REST.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// Its place in the order of commits.
    pub seq: i64,
    /// When.
    pub at: Time,
    /// What, see [`kind`].
    pub kind: String,
    /// To whom: an id with its prefix.
    pub subject_id: String,
    /// Through which integration.
    pub integration_id: Option<IntegrationId>,
    /// What changed; small.
    pub data: Option<serde_json::Value>,
}
