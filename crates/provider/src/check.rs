//! The report of Test Connection.

use serde::{Deserialize, Serialize};

use crate::{Offer, Problem};

/// How one line of the report ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineState {
    /// Works: the answer had the right status, content type and shape.
    Ok,
    /// Works, but something should be known.
    Warning,
    /// A right is missing or a feature is off; the rest works without.
    Missing,
    /// Does not work.
    Failed,
    /// Not tried, because something before it failed.
    Skipped,
}

/// One capability or permission.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CheckLine {
    /// Stable id: `clients`, `agents` …
    pub id: String,
    /// For people.
    pub label: String,
    /// How it ended.
    pub state: LineState,
    /// What was found, one sentence.
    pub message: String,
    /// What to do, where something is to be done.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fix: Option<String>,
    /// The missing right by the vendor's name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub right: Option<String>,
    /// The route that was asked, without host and query, where the request to it failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub endpoint: Option<String>,
    /// Which credential was used: `read` or `action`.
    pub credential: String,
}

/// The whole report. Serialized for REST and stored as the last test of the integration.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CheckReport {
    /// Reading of inventory works: the integration can be saved and synced.
    pub ok: bool,
    /// The address used.
    pub url: String,
    /// What was made of the pasted address.
    pub notes: Vec<String>,
    /// The account as far as the RMM tells.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub account: Option<String>,
    /// Version as far as the RMM tells, in the vendor's words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
    /// Median time of the answers, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub latency_ms: Option<u64>,
    /// The RMM's clock minus ours, in seconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub clock_skew_s: Option<i64>,
    /// What stopped the test, if something did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub problem: Option<Problem>,
    /// Line by line.
    pub lines: Vec<CheckLine>,
    /// Clicks that may mend things.
    pub offers: Vec<Offer>,
    /// A token gained while testing a draft: handed to the saving of that draft, never serialized.
    #[serde(skip)]
    pub signed_in: Option<crate::SignedIn>,
}
