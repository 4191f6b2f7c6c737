//! What a walk brings, made into pages to be written: devices of synced organizations, each once. Of all others it keeps
//! the id alone.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use domain::organization::Organization;
use futures::{StreamExt, stream::BoxStream};
use provider::{AccountDevice, AccountPage, ErrorKind, Problem, ProviderError, RejectedRow, WalkEnd};

use crate::{
    job::JobControl,
    sync::{Stopped, page::PAGE_SIZE},
};

/// Rows after which a page is given even if it is not full, so that a run shows its progress and can be cancelled.
const MOST_ROWS: u64 = 4_000;

/// A page to be written.
#[derive(Default)]
pub(super) struct WalkPage {
    /// Devices of synced organizations.
    pub(super) devices: Vec<AccountDevice>,
    /// Rows that could not be read.
    pub(super) rejected: Vec<RejectedRow>,
    /// Requests that it took.
    pub(super) calls: u64,
    /// Rows that it took, with those of other organizations.
    pub(super) met: u64,
}

/// Reads a walk.
pub(super) struct Collector<'a> {
    pages: BoxStream<'a, provider::Result<AccountPage>>,
    control: &'a JobControl,
    /// Synced organizations, by the provider's id.
    synced: HashSet<String>,
    /// Synced organizations that the list of organizations lacked: a device met there is not absent, and not written.
    gone: HashSet<String>,
    /// Read and not given yet.
    waiting: VecDeque<AccountDevice>,
    rejected: Vec<RejectedRow>,
    calls: u64,
    rows: u64,
    found: Found,
    is_over: bool,
    failed: Option<ProviderError>,
}

/// What a walk met.
#[derive(Default)]
pub(super) struct Found {
    /// Devices that were met where they are synced, and rows of which the id could be read.
    met: HashSet<Box<str>>,
    /// Devices that were met where they are not synced, with the provider's id of the organization.
    elsewhere: HashMap<Box<str>, Arc<str>>,
    /// One text for each organization, however many devices it has.
    names: HashSet<Arc<str>>,
    /// There was a row without a readable id.
    pub(super) has_nameless: bool,
    /// How the walk ended; none before its end.
    pub(super) end: Option<WalkEnd>,
}

impl<'a> Collector<'a> {
    /// `gone` are the provider's ids of synced organizations that were not listed.
    pub(super) fn new(
        pages: BoxStream<'a, provider::Result<AccountPage>>,
        control: &'a JobControl,
        mapped: &[Organization],
        gone: Vec<String>,
    ) -> Self {
        Collector {
            pages,
            control,
            synced: mapped.iter().map(|organization| organization.external_id.clone()).collect(),
            gone: gone.into_iter().collect(),
            waiting: VecDeque::new(),
            rejected: Vec::new(),
            calls: 0,
            rows: 0,
            found: Found::default(),
            is_over: false,
            failed: None,
        }
    }

    /// The next page; none at the end. A walk that fails gives what it had before it fails.
    pub(super) async fn page(&mut self) -> Result<Option<WalkPage>, Stopped> {
        while !self.is_over && !self.is_full() {
            if self.control.is_stopping() {
                return Err(Stopped::Stopping);
            }
            match self.pages.next().await {
                Some(Ok(page)) => self.take(page),
                Some(Err(error)) => self.fail(error),
                None if self.found.end.is_none() => self.fail(cut_off()),
                None => self.is_over = true,
            }
        }
        if self.waiting.is_empty() && self.rejected.is_empty() && self.rows == 0 && self.calls == 0 {
            return self.failed.take().map_or(Ok(None), |error| Err(error.into()));
        }
        let n = self.waiting.len().min(PAGE_SIZE);
        Ok(Some(WalkPage {
            devices: self.waiting.drain(..n).collect(),
            rejected: std::mem::take(&mut self.rejected),
            calls: std::mem::take(&mut self.calls),
            met: std::mem::take(&mut self.rows),
        }))
    }

    fn is_full(&self) -> bool {
        self.waiting.len() + self.rejected.len() >= PAGE_SIZE || self.rows >= MOST_ROWS
    }

    fn fail(&mut self, error: ProviderError) {
        self.is_over = true;
        self.failed = Some(error);
    }

    fn take(&mut self, page: AccountPage) {
        self.calls += page.calls;
        self.rows += (page.devices.len() + page.rejected.len()) as u64;
        self.found.end = page.end.or(self.found.end);
        for row in page.rejected {
            match &row.external_id {
                Some(id) => drop(self.found.met.insert(id.as_str().into())),
                None => self.found.has_nameless = true,
            }
            self.rejected.push(row);
        }
        for device in page.devices {
            self.take_device(device);
        }
    }

    /// A device may come twice, even in two organizations, if it moves while the walk is at work.
    fn take_device(&mut self, device: AccountDevice) {
        let id: Box<str> = device.record.external_id.as_str().into();
        if self.synced.contains(&device.organization) {
            self.found.elsewhere.remove(&id);
            if self.found.met.insert(id) {
                self.waiting.push_back(device);
            }
        } else if self.gone.contains(&device.organization) {
            self.found.met.insert(id);
        } else if !self.found.met.contains(&id) {
            self.found.meet_elsewhere(id, &device.organization);
        }
    }

    /// The organization is not synced any more: what the page had of it was not written.
    pub(super) fn leave(&mut self, page: &WalkPage, organization: &str) {
        self.synced.remove(organization);
        for device in page.devices.iter().filter(|device| device.organization == organization) {
            let id: Box<str> = device.record.external_id.as_str().into();
            self.found.met.remove(&id);
            self.found.meet_elsewhere(id, organization);
        }
    }

    /// What it met.
    pub(super) fn end(self) -> Found {
        self.found
    }
}

impl Found {
    fn meet_elsewhere(&mut self, device: Box<str>, organization: &str) {
        let organization = self.name(organization);
        self.elsewhere.insert(device, organization);
    }

    fn name(&mut self, organization: &str) -> Arc<str> {
        if let Some(name) = self.names.get(organization) {
            return Arc::clone(name);
        }
        let name: Arc<str> = organization.into();
        self.names.insert(Arc::clone(&name));
        name
    }

    /// Devices that are not absent, by the provider's id.
    pub(super) fn met(&self) -> Vec<&str> {
        self.met.iter().map(|id| &**id).collect()
    }

    /// The organization, not a synced one, where a device was met instead.
    pub(super) fn elsewhere(&self, device: &str) -> Option<&str> {
        self.elsewhere.get(device).map(|name| &**name)
    }
}

/// The stream ended before its last page.
pub(super) fn cut_off() -> ProviderError {
    let problem = Problem::new(
        "list_cut_off",
        "The list of devices ended before its last page. What was read is kept; nothing follows from what is lacking.",
        "Sync again. If it ends like this each time, see the server's log and report it.",
    );
    ProviderError::new(ErrorKind::Unavailable, problem)
}
