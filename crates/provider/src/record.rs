//! Canonical records: what providers hand over.

use std::fmt;

use domain::{
    Time,
    device::{DeviceDetail, DeviceFacts, Presence},
    organization::OrganizationSite,
};
use secrecy::SecretString;
use serde_json::value::RawValue;

/// An organization at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrganizationRecord {
    /// The provider's id.
    pub external_id: String,
    /// Its name.
    pub name: String,
    /// Its sites.
    pub sites: Vec<OrganizationSite>,
    /// Devices, as the provider counts; none if it does not say.
    pub device_count: Option<u64>,
}

/// A device as one list row gives it.
#[derive(Debug)]
pub struct DeviceRecord {
    /// The provider's id of the device: with the integration, its identity.
    pub external_id: String,
    /// What does not move.
    pub facts: DeviceFacts,
    /// What moves.
    pub presence: Presence,
    /// The row as it came.
    pub raw: Box<RawValue>,
}

/// Part of a list.
#[derive(Debug, Default)]
pub struct DevicePage {
    /// Rows that could be read.
    pub records: Vec<DeviceRecord>,
    /// Rows that could not.
    pub rejected: Vec<RejectedRow>,
    /// Is this the last page of the organization?
    pub last: bool,
}

/// A row that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRow {
    /// Its id, if at least that was readable: the device is then known to exist.
    pub external_id: Option<String>,
    /// Its name, if readable.
    pub name: Option<String>,
    /// Why, for people; no part of the body.
    pub reason: String,
}

/// Where a device is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceLocation {
    /// The provider's id of the device.
    pub external_id: String,
    /// Name of the organization.
    pub organization_name: String,
    /// Name of the site.
    pub site_name: Option<String>,
}

/// A device as the detail look gives it.
#[derive(Debug)]
pub struct DetailRecord {
    /// The provider's id of the device.
    pub external_id: String,
    /// What only this look gives.
    pub detail: DeviceDetail,
}

/// A token from a sign-in.
#[derive(Clone)]
pub struct SignedIn {
    /// The token.
    pub token: SecretString,
    /// When it ends if it is not used.
    pub expires_at: Option<Time>,
    /// The account's name.
    pub account: Option<String>,
}

impl fmt::Debug for SignedIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedIn").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}
