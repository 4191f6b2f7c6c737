//! The contract with an RMM.
//!
//! A provider is a stateless value; all that varies comes with the call as a [`Connection`]. It sees neither the
//! database nor HTTP routes. Capabilities are accessors, so that what is declared and what exists cannot differ.
//!
//! Errors carry two things: the [`ErrorKind`], which decides retry and state in one place, and a [`Problem`], the
//! sentence that a person reads and the fix. Services show the sentence and never write one for a vendor.

mod budget;
mod check;
mod connection;
mod descriptor;
mod error;
mod record;

use async_trait::async_trait;
pub use domain::organization::Company;
use futures::stream::BoxStream;
use secrecy::SecretString;

pub use budget::{Budget, RateCount, RateLimit, RateStatus, RequestKind, Unlimited};
pub use check::{CheckLine, CheckReport, LineState};
pub use connection::{Connection, Secrets};
pub use descriptor::{AuthMode, Descriptor, Field, FieldKind, ReadUrl, StatusWords};
pub use error::{ErrorKind, Offer, Problem, ProviderError, Result};
pub use record::{
    AccountDevice, AccountPage, DetailRecord, DeviceLocation, DevicePage, DeviceRecord, DeviceRef,
    OrganizationRecord, RejectedRow, SignedIn, SoftwareRecord, WalkEnd,
};

/// An RMM.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Name, form fields, limits, links: all that pages and services show without knowing the vendor.
    fn descriptor(&self) -> &'static Descriptor;

    /// Reads what a person pasted as the address. Pure: no network. Answers the root address of the API and what was
    /// made of the text, or the sentence that says what a right address looks like. `hosts` are names that the operator
    /// allows beside the vendor's own, for a provider that sends credentials to known hosts only.
    fn read_url(&self, pasted: &str, hosts: &[String]) -> std::result::Result<ReadUrl, Problem>;

    /// Test Connection: each capability and permission on its own line. Never fails as a whole: what goes wrong is in
    /// the report. Sends no credential anywhere but to the connection's own host. `code` is a one-time code as for
    /// [`Provider::sign_in`].
    async fn check(&self, connection: &Connection, code: Option<&SecretString>) -> CheckReport;

    /// Signs in for a token where the auth mode needs one ([`AuthMode::needs_sign_in`]). `code` is the one-time code a
    /// person just typed; it is used once and never kept. Without one, a stored secret for codes is used if there is one.
    /// `ErrorKind::CodeNeeded` when only a person can go on.
    async fn sign_in(&self, connection: &Connection, code: Option<&SecretString>) -> Result<SignedIn>;

    /// Ends the connection's token at the RMM, as far as it can; called on disconnect and when a token is replaced.
    async fn sign_out(&self, connection: &Connection) -> Result<()>;

    /// Organizations and devices: what every RMM must offer.
    fn inventory(&self) -> &dyn Inventory;

    /// Installed software, where the RMM tells it.
    fn software(&self) -> Option<&dyn SoftwareSource> {
        None
    }
}

/// Installed software. All calls only read.
#[async_trait]
pub trait SoftwareSource: Send + Sync {
    /// What is installed on one device, as the RMM knows it; asks the machine nothing.
    async fn installed(&self, connection: &Connection, device: &DeviceRef<'_>)
    -> Result<Vec<SoftwareRecord>>;
}

/// Organizations and devices. All calls only read.
#[async_trait]
pub trait Inventory: Send + Sync {
    /// All organizations the credential sees, with their sites and device counts.
    async fn organizations(&self, connection: &Connection) -> Result<Vec<OrganizationRecord>>;

    /// What the records of [`Inventory::devices`] need to be understood and does not come with them (names of custom
    /// fields). Fetched once a run and handed back with each call. A right that is missing is no error: the answer
    /// is then poorer.
    async fn dictionary(&self, connection: &Connection) -> Result<Dictionary>;

    /// The devices of one organization, in pages of at most `page_size`. A row that cannot be read is in the page's
    /// `rejected` and never fails its neighbours. Where the RMM answers one body, nothing is yielded before the whole
    /// body was read and understood, so that a cut answer saves nothing.
    fn devices<'a>(
        &'a self,
        connection: &'a Connection,
        organization: &'a str,
        dictionary: &'a Dictionary,
        page_size: usize,
    ) -> BoxStream<'a, Result<DevicePage>>;

    /// The devices of all organizations together, where the RMM lists them so in far fewer calls; `None` otherwise. Pages
    /// come as soon as they are read, a device at most once, and the last one carries [`AccountPage::end`]. A stream
    /// that ends without it was cut off: what it had may be kept, nothing is known of what it lacks.
    fn account_devices<'a>(
        &'a self,
        _connection: &'a Connection,
        _dictionary: &'a Dictionary,
    ) -> Option<BoxStream<'a, Result<AccountPage>>> {
        None
    }

    /// Where these devices are now, asked in one call if the RMM can. Devices that do not exist any more are left out.
    /// Used before devices are marked missing: one that went to an organization that is not mapped is not gone.
    async fn locate(&self, connection: &Connection, devices: &[String]) -> Result<Vec<DeviceLocation>>;

    /// The detail of one device.
    async fn detail(&self, connection: &Connection, device: &DeviceRef<'_>) -> Result<DetailRecord>;

    /// Details of many devices page by page, where the RMM has a cheaper way than one by one at this moment; `None`
    /// otherwise. Both ways give the same records.
    async fn bulk_details<'a>(
        &'a self,
        connection: &'a Connection,
    ) -> Result<Option<BoxStream<'a, Result<Vec<DetailRecord>>>>>;

    /// How many [`Inventory::detail`] calls may run at once against one server.
    fn detail_concurrency(&self) -> usize {
        2
    }
}

/// Names for numbers in device records: number of a custom field → its name.
#[derive(Clone, Debug, Default)]
pub struct Dictionary {
    /// Custom fields of devices by the provider's key.
    pub custom_fields: std::collections::BTreeMap<String, String>,
}
