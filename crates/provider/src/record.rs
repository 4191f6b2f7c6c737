//! Canonical records: what providers hand over.

use std::fmt;

use domain::{
    Time,
    asset::AssetType,
    device::{DeviceDetail, DeviceFacts, Presence},
    organization::{Company, OrganizationSite},
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
    /// The company it stands for in a system of customers that the RMM is tied to; helps to find the client.
    pub company: Option<Company>,
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
    /// When the RMM last renewed what [`crate::Inventory::detail`] gives, where the list says so: the detail is looked at
    /// again when this moves, and only then.
    pub detail_as_of: Option<Time>,
    /// The row as it came, without values that are masked.
    pub raw: Box<RawValue>,
}

/// A device in the list of the whole account.
#[derive(Debug)]
pub struct AccountDevice {
    /// The provider's id of its organization.
    pub organization: String,
    /// The device.
    pub record: DeviceRecord,
}

/// Part of the list of the whole account.
#[derive(Debug, Default)]
pub struct AccountPage {
    /// Rows that could be read.
    pub devices: Vec<AccountDevice>,
    /// Rows that could not.
    pub rejected: Vec<RejectedRow>,
    /// Requests that it took.
    pub calls: u64,
    /// With the last page: how the walk ended.
    pub end: Option<WalkEnd>,
}

/// How a walk over the whole account ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkEnd {
    /// Devices met, each once, with those left out on purpose and those that could not be read.
    pub listed: u64,
    /// How many the RMM says there are, if it says.
    pub total: Option<u64>,
    /// Every device was met, as far as the RMM's own count can prove it. Only then is a device that was not met absent.
    pub is_complete: bool,
}

/// A device to be asked about.
#[derive(Clone, Copy, Debug)]
pub struct DeviceRef<'a> {
    /// The provider's id.
    pub external_id: &'a str,
    /// What it is, as the list said.
    pub device_type: AssetType,
}

/// One installed software.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoftwareRecord {
    /// Its name, as the RMM writes it.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// Who publishes it.
    pub publisher: Option<String>,
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
