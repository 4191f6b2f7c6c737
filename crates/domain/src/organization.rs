//! Organizations: the provider's grouping of devices, and what they are mapped to.

use serde::{Deserialize, Serialize};

use crate::{
    Time,
    id::{ClientId, IntegrationId, OrganizationId},
};

/// An organization with its mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// Its id.
    pub id: OrganizationId,
    /// Whose.
    pub integration_id: IntegrationId,
    /// The provider's id.
    pub external_id: String,
    /// Its name at the provider.
    pub name: String,
    /// Its sites.
    pub sites: Vec<OrganizationSite>,
    /// Devices, as the provider counts.
    pub device_count: Option<u64>,
    /// The company it stands for, where the provider is tied to a system of customers.
    pub company: Option<Company>,
    /// What was decided.
    pub state: MappingState,
    /// The client, if mapped.
    pub client_id: Option<ClientId>,
    /// The client's name.
    pub client_name: Option<String>,
    /// Are its devices synced?
    pub auto_sync: bool,
    /// Can the last change be undone?
    pub can_undo: bool,
    /// Not in the provider's list since.
    pub vanished_at: Option<Time>,
    /// Last complete look at its devices.
    pub observed_at: Option<Time>,
    /// When it was first seen.
    pub created_at: Time,
    /// When it last changed.
    pub updated_at: Time,
}

/// A company as a system of customers (a PSA) knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Company {
    /// Its id there.
    pub id: Option<String>,
    /// Its name there.
    pub name: String,
}

/// What a person decided about an organization. Stored by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MappingState {
    /// Nothing yet: its devices are not imported.
    Unmapped,
    /// Belongs to a client.
    Mapped,
    /// Shall never be imported.
    Excluded,
}

impl MappingState {
    /// The stored and public name.
    pub const fn name(self) -> &'static str {
        match self {
            MappingState::Unmapped => "unmapped",
            MappingState::Mapped => "mapped",
            MappingState::Excluded => "excluded",
        }
    }

    /// The state of this name.
    pub fn from_name(name: &str) -> Option<MappingState> {
        [MappingState::Unmapped, MappingState::Mapped, MappingState::Excluded]
            .into_iter()
            .find(|state| state.name() == name)
    }
}

/// A site at the provider. Stored as JSON with its organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationSite {
    /// The provider's id.
    pub external_id: String,
    /// Its name.
    pub name: String,
    /// Devices there, as the provider counts.
    pub device_count: Option<u32>,
}
