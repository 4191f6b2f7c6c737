//! Clients, agents and their details: reads only.
//!
//! The stable routes carry the inventory; the beta API, where it is on, only makes the detail pass cheaper. Neither
//! `?agent_id=` (a 500) nor `?search=` (half a minute) is ever asked.

use std::collections::HashSet;

use async_trait::async_trait;
use futures::{
    FutureExt, StreamExt,
    stream::{self, BoxStream},
};
use provider::{
    Connection, DetailRecord, DeviceLocation, DevicePage, DeviceRecord, DeviceRef, Dictionary, ErrorKind,
    Inventory, OrganizationRecord, ProviderError, RejectedRow, Result,
};
use serde_json::value::RawValue;
use tracing::debug;

use super::{
    TacticalRmm,
    api::{Api, Route},
    hardware, normalize, sentences,
    wire::{self, AgentDetail, AgentPlace, BetaPage, ClientRow, CustomFieldRow},
};

pub(super) const CLIENTS: Route = Route::list("GET /clients/", "can_list_clients");
pub(super) const AGENTS: Route = Route::list("GET /agents/", "can_list_agents");
pub(super) const AGENT: Route = Route::small("GET /agents/<agent_id>/", Some("can_list_agents"));
pub(super) const CUSTOM_FIELDS: Route =
    Route::small("GET /core/customfields/", Some("can_view_customfields"));
pub(super) const BETA_AGENTS: Route = Route::beta("GET /beta/v1/agent/", "can_list_agents");

/// Rows of a beta page: about 6 MB where agents have many services.
const BETA_PAGE_SIZE: u64 = 100;

/// No install is this large; a server that never ends is stopped here.
const MAX_BETA_PAGES: u64 = 2_000;

/// Tactical's route takes no shorter id and answers such a one as an unknown path.
const MIN_AGENT_ID_CHARS: usize = 21;

#[async_trait]
impl Inventory for TacticalRmm {
    async fn organizations(&self, connection: &Connection) -> Result<Vec<OrganizationRecord>> {
        let answer = Api::reading(connection)?.get(&CLIENTS, &["clients"], &[]).await?;
        let rows: Vec<ClientRow<'_>> = answer.value()?;
        Ok(rows.iter().map(normalize::organization).collect())
    }

    async fn dictionary(&self, connection: &Connection) -> Result<Dictionary> {
        let answer = Api::reading(connection)?.get(&CUSTOM_FIELDS, &["core", "customfields"], &[]).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if error.kind == ErrorKind::Forbidden => return Ok(Dictionary::default()),
            Err(error) => return Err(error),
        };
        let rows: Vec<CustomFieldRow<'_>> = answer.value()?;
        Ok(normalize::dictionary(&rows))
    }

    fn devices<'a>(
        &'a self,
        connection: &'a Connection,
        organization: &'a str,
        dictionary: &'a Dictionary,
        page_size: usize,
    ) -> BoxStream<'a, Result<DevicePage>> {
        let listing = async move {
            let pages = match list(connection, organization, dictionary).await {
                Ok((records, rejected)) => {
                    paginate(records, rejected, page_size).into_iter().map(Ok).collect()
                }
                Err(error) => vec![Err(error)],
            };
            stream::iter(pages)
        };
        listing.flatten_stream().boxed()
    }

    async fn locate(&self, connection: &Connection, devices: &[String]) -> Result<Vec<DeviceLocation>> {
        let answer = Api::reading(connection)?.get(&AGENTS, &["agents"], &[("detail", "false")]).await?;
        let rows: Vec<AgentPlace<'_>> = answer.value()?;
        let asked: HashSet<&str> = devices.iter().map(String::as_str).collect();
        let found = rows.iter().filter_map(normalize::location);
        Ok(found.filter(|location| asked.contains(location.external_id.as_str())).collect())
    }

    async fn detail(&self, connection: &Connection, device: &DeviceRef<'_>) -> Result<DetailRecord> {
        let device = device.external_id;
        if device.len() < MIN_AGENT_ID_CHARS {
            let mut error = sentences::not_found();
            error.problem.endpoint = Some(AGENT.name.to_owned());
            return Err(error);
        }
        let answer = Api::reading(connection)?.get(&AGENT, &["agents", device], &[]).await?;
        let row: AgentDetail<'_> = answer.object()?;
        let record = hardware::detail(&row).filter(|record| record.external_id == device);
        record.ok_or_else(|| answer.misshapen())
    }

    async fn bulk_details<'a>(
        &'a self,
        connection: &'a Connection,
    ) -> Result<Option<BoxStream<'a, Result<Vec<DetailRecord>>>>> {
        let api = Api::reading(connection)?;
        match beta_page(&api, 1).await {
            Ok(Some(first)) => Ok(Some(beta_pages(api, first))),
            Ok(None) => Ok(None),
            Err(error) if matches!(error.kind, ErrorKind::FeatureOff | ErrorKind::Forbidden) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// All agents of one client: nothing is handed on before the whole body was understood.
async fn list(
    connection: &Connection,
    organization: &str,
    dictionary: &Dictionary,
) -> Result<(Vec<DeviceRecord>, Vec<RejectedRow>)> {
    let answer = Api::reading(connection)?.get(&AGENTS, &["agents"], &[("client", organization)]).await?;
    let rows: Vec<Box<RawValue>> = answer.value()?;
    drop(answer);
    read_rows(rows, dictionary).map_err(|error| error.at(AGENTS.name))
}

/// Why a list is not taken although it could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListProblem {
    /// Rows of several clients came in the answer to a question for one.
    MixedClients,
    /// Not one row names an agent: whatever this is a list of, it is not one of agents.
    NoAgents,
}

impl ListProblem {
    pub(super) fn at(self, endpoint: &str) -> ProviderError {
        let problem = match self {
            ListProblem::MixedClients => sentences::filter_ignored(),
            ListProblem::NoAgents => sentences::answer_shape(),
        };
        ProviderError::new(ErrorKind::Malformed, problem.at(endpoint))
    }
}

pub(super) fn read_rows(
    rows: Vec<Box<RawValue>>,
    dictionary: &Dictionary,
) -> std::result::Result<(Vec<DeviceRecord>, Vec<RejectedRow>), ListProblem> {
    let mut records = Vec::with_capacity(rows.len());
    let mut rejected: Vec<RejectedRow> = Vec::new();
    let mut client: Option<String> = None;
    for (place, raw) in rows.into_iter().enumerate() {
        match normalize::device(raw, dictionary) {
            Ok(listed) => {
                match (&client, listed.client_name) {
                    (Some(first), Some(this)) if *first != this => return Err(ListProblem::MixedClients),
                    (None, Some(this)) => client = Some(this),
                    (Some(_) | None, _) => {}
                }
                records.push(listed.record);
            }
            Err(mut row) => {
                row.reason = format!("row {} of the list: {}", place + 1, row.reason);
                rejected.push(row);
            }
        }
    }
    let names_no_agent = records.is_empty() && rejected.iter().all(|row| row.external_id.is_none());
    if names_no_agent && !rejected.is_empty() {
        return Err(ListProblem::NoAgents);
    }
    Ok((records, rejected))
}

/// At least one page, so that an empty client is seen to be complete.
pub(super) fn paginate(
    records: Vec<DeviceRecord>,
    rejected: Vec<RejectedRow>,
    page_size: usize,
) -> Vec<DevicePage> {
    let page_size = page_size.max(1);
    let mut pages = vec![DevicePage { rejected, ..DevicePage::default() }];
    for record in records {
        match pages.last_mut() {
            Some(page) if page.records.len() < page_size => page.records.push(record),
            _ => pages.push(DevicePage { records: vec![record], ..DevicePage::default() }),
        }
    }
    if let Some(last) = pages.last_mut() {
        last.last = true;
    }
    pages
}

/// One page of the beta list; none past the end.
async fn beta_page(api: &Api<'_>, page: u64) -> Result<Option<BetaPage>> {
    let (page, page_size) = (page.to_string(), BETA_PAGE_SIZE.to_string());
    // The address of the next page is built here: the server's own `next` names itself as it sees itself.
    let query = [("page", page.as_str()), ("page_size", page_size.as_str())];
    match api.get(&BETA_AGENTS, &["beta", "v1", "agent"], &query).await {
        Ok(answer) => answer.object().map(Some),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where a walk over the beta pages stands.
struct Walk<'a> {
    api: Api<'a>,
    /// Read already.
    ready: Option<BetaPage>,
    /// The next one to ask for; none at the end.
    next: Option<u64>,
}

fn beta_pages<'a>(api: Api<'a>, first: BetaPage) -> BoxStream<'a, Result<Vec<DetailRecord>>> {
    let walk = Walk { api, next: page_after(1, &first), ready: Some(first) };
    stream::try_unfold(walk, |mut walk| async move {
        let page = match (walk.ready.take(), walk.next) {
            (Some(first), _) => first,
            (None, None) => return Ok(None),
            (None, Some(number)) => {
                let Some(page) = beta_page(&walk.api, number).await? else { return Ok(None) };
                walk.next = page_after(number, &page);
                page
            }
        };
        Ok::<_, ProviderError>(Some((details(&page), walk)))
    })
    .boxed()
}

/// None when `page` was the last one. The count is read from each page anew: agents come and go meanwhile.
pub(super) fn page_after(number: u64, page: &BetaPage) -> Option<u64> {
    let is_last = page.results.is_empty() || number.saturating_mul(BETA_PAGE_SIZE) >= page.count;
    (!is_last && number < MAX_BETA_PAGES).then_some(number + 1)
}

/// A row that cannot be read is left out: that agent is then asked for by itself.
pub(super) fn details(page: &BetaPage) -> Vec<DetailRecord> {
    let mut records = Vec::with_capacity(page.results.len());
    for raw in &page.results {
        let row = wire::object::<AgentDetail<'_>>(raw.get()).ok();
        match row.as_ref().and_then(hardware::detail) {
            Some(record) => records.push(record),
            None => debug!("left out an unreadable row of the beta list"),
        }
    }
    records
}
