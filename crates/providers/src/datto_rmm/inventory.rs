//! Sites, devices and their audits: reads only.
//!
//! The devices of the whole account come in one list, a few pages ahead of whoever reads them, in the order of pages.

use std::collections::HashSet;

use async_trait::async_trait;
use domain::{asset::AssetType, device::DeviceDetail};
use futures::{
    FutureExt, StreamExt,
    future::BoxFuture,
    stream::{self, BoxStream, FuturesOrdered},
};
use provider::{
    AccountDevice, AccountPage, Connection, DetailRecord, DeviceLocation, DevicePage, DeviceRef, Dictionary,
    ErrorKind, Inventory, OrganizationRecord, ProviderError, RejectedRow, Result, SoftwareRecord,
    SoftwareSource, WalkEnd,
};
use serde_json::value::RawValue;

use super::{
    DattoRmm,
    api::{Api, Route},
    hardware::{self, Audit},
    normalize::{self, Listed},
    pages::{List, PAGE_SIZE, ReadPage, Turn, endless, keep_counters},
    sentences::{self, Right},
    wire::{self, DeviceRow, SoftwareRow},
};
use crate::facts::clean;

pub(super) const SITES: Route = Route::list("GET /account/sites", Right::Sites);
pub(super) const DEVICES: Route = Route::list("GET /account/devices", Right::Devices);
pub(super) const SITE_DEVICES: Route = Route::list("GET /site/<site_uid>/devices", Right::Devices);
pub(super) const DEVICE: Route = Route::small("GET /device/<device_uid>", Some(Right::Devices));
pub(super) const AUDIT: Route = Route::small("GET /audit/device/<device_uid>", Some(Right::Audit));
pub(super) const AUDIT_ESXI: Route = Route::small("GET /audit/esxihost/<device_uid>", Some(Right::Audit));
pub(super) const AUDIT_PRINTER: Route = Route::small("GET /audit/printer/<device_uid>", Some(Right::Audit));
pub(super) const SOFTWARE: Route = Route::list("GET /audit/device/<device_uid>/software", Right::Audit);

/// Pages of the account that are asked for at a time. The limit on requests is the account's; asking for more at once
/// would not make it larger.
const AHEAD: usize = 3;

/// Devices asked for at a time when single ones are looked for.
const LOOKED_FOR_AT_A_TIME: usize = 2;

#[async_trait]
impl Inventory for DattoRmm {
    async fn organizations(&self, connection: &Connection) -> Result<Vec<OrganizationRecord>> {
        let api = Api::reading(connection)?;
        keep_counters(&api).await;
        let list = List { api, route: &SITES, path: &["account", "sites"], rows: "sites", size: PAGE_SIZE };
        let settings = &connection.settings;
        let mut met = HashSet::new();
        let mut organizations = Vec::new();
        list.each(|row| {
            // A site without an id would look like one that is gone: the list is not taken without it.
            let misshapen =
                || ProviderError::new(ErrorKind::Malformed, sentences::answer_shape().at(SITES.name));
            let site = normalize::site(row).ok_or_else(misshapen)?;
            if !met.insert(site.organization.external_id.clone()) {
                return Ok(false);
            }
            let is_wanted = (!site.is_on_demand || settings.include_on_demand)
                && (!site.is_deleted_devices || settings.include_deleted);
            if is_wanted {
                organizations.push(site.organization);
            }
            Ok(true)
        })
        .await?;
        Ok(organizations)
    }

    /// Datto RMM does not name its custom fields; the settings of the integration do.
    async fn dictionary(&self, _connection: &Connection) -> Result<Dictionary> {
        Ok(Dictionary::default())
    }

    fn devices<'a>(
        &'a self,
        connection: &'a Connection,
        organization: &'a str,
        _dictionary: &'a Dictionary,
        page_size: usize,
    ) -> BoxStream<'a, Result<DevicePage>> {
        let walk = SiteWalk {
            organization,
            size: page_size.clamp(1, PAGE_SIZE),
            turn: Some(Turn::default()),
            met: HashSet::new(),
        };
        stream::try_unfold(walk, move |mut walk| async move {
            let Some(turn) = walk.turn.take() else { return Ok(None) };
            let page = walk.next(connection, turn).await?;
            Ok::<_, ProviderError>(Some((page, walk)))
        })
        .boxed()
    }

    fn account_devices<'a>(
        &'a self,
        connection: &'a Connection,
        _dictionary: &'a Dictionary,
    ) -> Option<BoxStream<'a, Result<AccountPage>>> {
        let walk = match Api::reading(connection) {
            Ok(api) => Some(AccountWalk::new(api)),
            Err(error) => return Some(stream::iter([Err(error)]).boxed()),
        };
        let pages = stream::try_unfold(walk, |walk| async move {
            let Some(mut walk) = walk else { return Ok(None) };
            let page = walk.next().await?;
            let rest = if page.end.is_some() { None } else { Some(walk) };
            Ok::<_, ProviderError>(Some((page, rest)))
        });
        Some(pages.boxed())
    }

    async fn locate(&self, connection: &Connection, devices: &[String]) -> Result<Vec<DeviceLocation>> {
        let api = Api::reading(connection)?;
        let questions: Vec<BoxFuture<'_, _>> =
            devices.iter().map(|device| locate_one(api, device).boxed()).collect();
        let mut asked = stream::iter(questions).buffered(LOOKED_FOR_AT_A_TIME);
        let mut found = Vec::new();
        while let Some(location) = asked.next().await {
            found.extend(location?);
        }
        Ok(found)
    }

    async fn detail(&self, connection: &Connection, device: &DeviceRef<'_>) -> Result<DetailRecord> {
        let record = |detail| DetailRecord { external_id: device.external_id.to_owned(), detail };
        let (route, class) = match device.device_type {
            // They have no audit: what the list says is all there is.
            AssetType::NetworkDevice => return Ok(record(DeviceDetail::default())),
            AssetType::Printer => (&AUDIT_PRINTER, "printer"),
            AssetType::Hypervisor => (&AUDIT_ESXI, "esxihost"),
            AssetType::Workstation | AssetType::Server | AssetType::Unknown => (&AUDIT, "device"),
        };
        let api = Api::reading(connection)?;
        keep_counters(&api).await;
        let error = match audit(&api, route, class, device.external_id).await {
            Ok(detail) => return Ok(record(detail)),
            Err(error) => error,
        };
        // The category of a device may say more than its class, by which audits go: a printer that an agent stands for.
        match (error.kind, class, device.device_type) {
            (ErrorKind::Rejected, "printer" | "esxihost", _) => {
                audit(&api, &AUDIT, "device", device.external_id).await.map(record)
            }
            (ErrorKind::Rejected, _, AssetType::Unknown) => Ok(record(DeviceDetail::default())),
            _ => Err(error),
        }
    }

    async fn bulk_details<'a>(
        &'a self,
        _connection: &'a Connection,
    ) -> Result<Option<BoxStream<'a, Result<Vec<DetailRecord>>>>> {
        Ok(None)
    }
}

#[async_trait]
impl SoftwareSource for DattoRmm {
    async fn installed(
        &self,
        connection: &Connection,
        device: &DeviceRef<'_>,
    ) -> Result<Vec<SoftwareRecord>> {
        let api = Api::reading(connection)?;
        let path = ["audit", "device", device.external_id, "software"];
        let list = List { api, route: &SOFTWARE, path: &path, rows: "software", size: PAGE_SIZE };
        let mut met = HashSet::new();
        let mut installed = Vec::new();
        list.each(|row| {
            let row: SoftwareRow<'_> = match wire::object(row.get()) {
                Ok(row) => row,
                Err(_) => return Ok(true),
            };
            let Some(name) = row.name.as_str().and_then(clean) else { return Ok(true) };
            let version = row.version.as_str().and_then(clean);
            let is_new = met.insert((name.clone(), version.clone()));
            if is_new {
                installed.push(SoftwareRecord { name, version, publisher: None });
            }
            Ok(is_new)
        })
        .await?;
        Ok(installed)
    }
}

async fn audit(api: &Api<'_>, route: &Route, class: &str, device: &str) -> Result<DeviceDetail> {
    let answer = api.get(route, &["audit", class, device], &[]).await?;
    let audit: Audit<'_> = answer.object()?;
    if !hardware::is_audit(answer.text()?) {
        return Err(answer.misshapen());
    }
    Ok(hardware::detail(&audit))
}

async fn locate_one(api: Api<'_>, device: &str) -> Result<Option<DeviceLocation>> {
    let answer = match api.get(&DEVICE, &["device", device], &[]).await {
        Ok(answer) => answer,
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let row: DeviceRow<'_> = answer.object()?;
    if row.uid.as_str().map(str::trim) != Some(device) {
        return Err(answer.misshapen());
    }
    Ok(normalize::location(&row))
}

/// Rows of one page, each sorted by what becomes of it.
#[derive(Default)]
struct Sorted {
    listed: Vec<Listed>,
    rejected: Vec<RejectedRow>,
    /// Rows that were not met before, of whatever kind.
    news: usize,
}

/// Reads the rows of a page. Rows met before are dropped. A page of which not one row names a device is none of
/// devices, unless it is the rest of a list with one bad row.
fn sort(
    page: &wire::Page<'_>,
    number: u64,
    connection: &Connection,
    met: &mut HashSet<String>,
    route: &Route,
) -> Result<Sorted> {
    let mut sorted = Sorted::default();
    let mut named = 0;
    for (place, row) in page.rows.iter().enumerate() {
        match read(row, connection) {
            Ok(listed) => {
                named += 1;
                if met.insert(listed.record.external_id.clone()) {
                    sorted.news += 1;
                    sorted.listed.push(listed);
                }
            }
            Err(mut rejected) => {
                let is_new = rejected.external_id.clone().is_none_or(|id| met.insert(id));
                named += usize::from(rejected.external_id.is_some());
                if is_new {
                    sorted.news += 1;
                    rejected.reason =
                        format!("row {} of page {}: {}", place + 1, number + 1, rejected.reason);
                    sorted.rejected.push(rejected);
                }
            }
        }
    }
    let is_the_rest = number > 0 && page.rows.len() == 1;
    if named == 0 && !page.rows.is_empty() && !is_the_rest {
        return Err(ProviderError::new(ErrorKind::Malformed, sentences::answer_shape().at(route.name)));
    }
    Ok(sorted)
}

fn read(row: &RawValue, connection: &Connection) -> std::result::Result<Listed, RejectedRow> {
    normalize::device(row, &connection.settings.custom_fields)
}

/// A walk over the devices of one site.
struct SiteWalk<'a> {
    organization: &'a str,
    size: usize,
    /// None at the end.
    turn: Option<Turn>,
    met: HashSet<String>,
}

impl SiteWalk<'_> {
    async fn next(&mut self, connection: &Connection, mut turn: Turn) -> Result<DevicePage> {
        let api = Api::reading(connection)?;
        keep_counters(&api).await;
        let path = ["site", self.organization, "devices"];
        let list = List { api, route: &SITE_DEVICES, path: &path, rows: "devices", size: self.size };
        let page = list.page(turn.number()).await?;
        let rows = page.rows()?;
        let sorted = sort(&rows, turn.number(), connection, &mut self.met, &SITE_DEVICES)?;
        let of_another =
            |listed: &Listed| listed.site.as_deref().is_some_and(|site| site != self.organization);
        if sorted.listed.iter().any(of_another) {
            let problem = sentences::filter_ignored().at(SITE_DEVICES.name);
            return Err(ProviderError::new(ErrorKind::Malformed, problem));
        }
        let goes_on = turn.after(&rows, sorted.news).map_err(|problem| endless(problem, &SITE_DEVICES))?;
        self.turn = goes_on.then_some(turn);
        let wanted = |listed: &Listed| !listed.is_deleted || connection.settings.include_deleted;
        let records = sorted.listed.into_iter().filter(wanted).map(|listed| listed.record).collect();
        Ok(DevicePage { records, rejected: sorted.rejected, last: !goes_on })
    }
}

/// A walk over the devices of the whole account.
struct AccountWalk<'a> {
    api: Api<'a>,
    turn: Turn,
    /// Pages on their way, in order.
    on_the_way: FuturesOrdered<BoxFuture<'a, Result<ReadPage>>>,
    /// The next one to ask for.
    next_to_ask: u64,
    /// Pages that are there for sure.
    known_pages: u64,
    met: HashSet<String>,
    listed: u64,
    /// The count of the first page; every other page must have the same, or rows moved while they were read.
    total: Option<u64>,
    totals_agree: bool,
}

impl<'a> AccountWalk<'a> {
    fn new(api: Api<'a>) -> AccountWalk<'a> {
        AccountWalk {
            api,
            turn: Turn::default(),
            on_the_way: FuturesOrdered::new(),
            next_to_ask: 0,
            known_pages: 1,
            met: HashSet::new(),
            listed: 0,
            total: None,
            totals_agree: true,
        }
    }

    async fn next(&mut self) -> Result<AccountPage> {
        while self.on_the_way.len() < AHEAD && self.next_to_ask < self.known_pages {
            self.on_the_way.push_back(account_page(self.api, self.next_to_ask).boxed());
            self.next_to_ask += 1;
        }
        // One page at least is known whenever the walk goes on.
        let Some(page) = self.on_the_way.next().await else { return Ok(self.ended(AccountPage::default())) };
        let page = page?;
        let rows = page.rows()?;
        self.count(&rows);
        let number = self.turn.number();
        let sorted = sort(&rows, number, self.api.connection(), &mut self.met, &DEVICES)?;
        self.listed += sorted.news as u64;
        let goes_on = self.turn.after(&rows, sorted.news).map_err(|problem| endless(problem, &DEVICES))?;
        let answered = self.sorted_page(sorted, page.calls);
        if !goes_on {
            return Ok(self.ended(answered));
        }
        self.known_pages = self.turn.known_pages(&rows);
        Ok(answered)
    }

    fn count(&mut self, page: &wire::Page<'_>) {
        if self.turn.number() == 0 {
            self.total = page.total;
        }
        self.totals_agree &= page.total == self.total;
    }

    fn sorted_page(&self, sorted: Sorted, calls: u64) -> AccountPage {
        let mut page = AccountPage { rejected: sorted.rejected, calls, ..AccountPage::default() };
        for listed in sorted.listed {
            if listed.is_deleted && !self.api.connection().settings.include_deleted {
                continue;
            }
            match listed.site {
                Some(organization) => {
                    page.devices.push(AccountDevice { organization, record: listed.record });
                }
                None => page.rejected.push(RejectedRow {
                    external_id: Some(listed.record.external_id),
                    name: Some(listed.record.facts.name),
                    reason: "the row has no `siteUid`".to_owned(),
                }),
            }
        }
        page
    }

    /// An account without any device is not believed: a key that may see no site is answered just so.
    fn ended(&self, page: AccountPage) -> AccountPage {
        let counted = self.total.is_some_and(|total| total == self.listed);
        let is_complete = counted && self.totals_agree && self.listed > 0;
        AccountPage { end: Some(WalkEnd { listed: self.listed, total: self.total, is_complete }), ..page }
    }
}

/// The counters are asked for by one of the pages on their way, not beside them: whoever waits for room must not be
/// waited for by somebody who does not let it go on.
async fn account_page(api: Api<'_>, number: u64) -> Result<ReadPage> {
    let is_first_of_its_turn = number.is_multiple_of(AHEAD as u64);
    let calls = if is_first_of_its_turn { keep_counters(&api).await } else { 0 };
    let path = ["account", "devices"];
    let list = List { api, route: &DEVICES, path: &path, rows: "devices", size: PAGE_SIZE };
    let mut page = list.page(number).await?;
    page.calls += calls;
    Ok(page)
}
