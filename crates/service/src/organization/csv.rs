//! Mappings as CSV, out and in: for whoever maps two hundred organizations in a spreadsheet.

use std::collections::{HashMap, HashSet};

use domain::{
    Ctx,
    auth::Permission,
    client::name_key,
    id::{IntegrationId, OrganizationId},
    organization::{MappingState, Organization},
};
use serde::{Deserialize, Serialize};
use store::{
    StoreError,
    organization::{ClientChoice, MappingWish, OrganizationFilter},
};

use super::Organizations;
use crate::error::{Result, ServiceError, named};

/// Most rows of one import.
const MAX_ROWS: usize = 20_000;

/// The header: the fields of [`Line`].
const HEADER: [&str; 7] =
    ["organization_id", "organization", "external_id", "devices", "state", "client", "auto_sync"];

/// The columns an import cannot do without.
const NEEDED: [&str; 4] = ["organization_id", "state", "client", "auto_sync"];

/// Most changes an import tells one by one.
const MOST_TOLD: usize = 1_000;

/// One line. `organization_id` says which; `state`, `client` and `auto_sync` are read, the rest is for people.
#[derive(Serialize, Deserialize)]
struct Line {
    organization_id: String,
    #[serde(default, skip_deserializing)]
    organization: String,
    #[serde(default, skip_deserializing)]
    external_id: String,
    #[serde(default, skip_deserializing)]
    devices: Option<u64>,
    state: String,
    client: String,
    auto_sync: String,
}

/// A line that could not be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportError {
    /// Line of the file; the header is 1.
    pub line: u64,
    /// What to change.
    pub message: String,
}

/// What an import did, or with a dry run would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Changed mappings.
    pub changed: u64,
    /// Lines that say what is so already.
    pub unchanged: u64,
    /// The first changes, each in words.
    pub changes: Vec<ImportChange>,
    /// Clients that are named and were not there: created, or with a dry run to be created. A name with a typing error
    /// shows here.
    pub new_clients: Vec<String>,
    /// Lines that could not be taken; nothing is changed if there is one.
    pub errors: Vec<ImportError>,
}

/// A line that changes a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportChange {
    /// Line of the file.
    pub line: u64,
    /// The organization's name.
    pub organization: String,
    /// What it is.
    pub from: String,
    /// What it becomes.
    pub to: String,
}

impl Organizations {
    /// All mappings as CSV, or those of one integration. A cell that a spreadsheet would run as a formula is disarmed with an apostrophe.
    pub async fn export_csv(&self, ctx: &Ctx, integration: Option<IntegrationId>) -> Result<String> {
        ctx.require(Permission::IntegrationsRead)?;
        let mut writer = csv::Writer::from_writer(Vec::new());
        let filter = OrganizationFilter { integration_id: integration, ..OrganizationFilter::default() };
        let organizations = self.all(ctx, &filter).await?;
        if organizations.is_empty() {
            // The writer takes the header from the first line; without one it still has to be there.
            writer.write_record(HEADER).map_err(|error| ServiceError::Internal(Box::new(error)))?;
        }
        for organization in organizations {
            writer
                .serialize(line_of(&organization))
                .map_err(|error| ServiceError::Internal(Box::new(error)))?;
        }
        let bytes =
            writer.into_inner().map_err(|error| ServiceError::Internal(Box::new(error.into_error())))?;
        String::from_utf8(bytes).map_err(|error| ServiceError::Internal(Box::new(error)))
    }

    /// Takes mappings from CSV as [`Organizations::export_csv`] writes it: all lines in one transaction, or none if one
    /// cannot be taken. A client that is named but does not exist is created; `state` is `mapped`, `excluded` or `unmapped`.
    pub async fn import_csv(&self, ctx: &Ctx, text: &str, dry_run: bool) -> Result<Imported> {
        ctx.require(Permission::SystemSettings)?;
        let known: HashMap<OrganizationId, Organization> =
            self.all(ctx, &OrganizationFilter::default()).await?.into_iter().map(|o| (o.id, o)).collect();
        let mut imported = Imported::default();
        let mut wanted = Vec::new();
        let mut reader = reader_of(text)?;
        for (row, at) in reader.deserialize::<Line>().zip(2_u64..) {
            if wanted.len() + imported.errors.len() >= MAX_ROWS {
                let message = format!("more than {MAX_ROWS} lines; split the file");
                imported.errors.push(ImportError { line: at, message });
                break;
            }
            match row.map_err(|error| error.to_string()).and_then(|line| read_line(at, &line, &known)) {
                Ok(change) => wanted.push(change),
                Err(message) => imported.errors.push(ImportError { line: at, message }),
            }
        }
        wanted.retain(|change| {
            let same = change.is_so(&known);
            imported.unchanged += u64::from(same);
            !same
        });
        imported.changed = wanted.len() as u64;
        imported.changes = wanted.iter().take(MOST_TOLD).map(|change| change.told(&known)).collect();
        imported.new_clients = self.new_clients(ctx, &wanted).await?;
        if !dry_run && imported.errors.is_empty() {
            let wishes = wanted.into_iter().map(Wanted::into_wish).collect();
            let taken = self.core.store.tenant(ctx).organizations().map_all(wishes).await;
            taken.map_err(|error| match error {
                StoreError::Conflict { .. } => ServiceError::conflict(
                    "name_taken",
                    "somebody made a client of the same name at the same moment; nothing was changed, import again",
                ),
                other => named("organization")(other),
            })?;
        }
        Ok(imported)
    }

    /// Names of clients that are not there yet, each once.
    async fn new_clients(&self, ctx: &Ctx, wanted: &[Wanted]) -> Result<Vec<String>> {
        let there = self.core.store.tenant(ctx).clients().all_live().await?;
        let mut seen: HashSet<String> = there.iter().map(|client| name_key(&client.name)).collect();
        let named = wanted.iter().filter(|change| change.state == MappingState::Mapped);
        let new = named.filter(|change| seen.insert(name_key(&change.client)));
        Ok(new.map(|change| change.client.clone()).collect())
    }
}

/// A reader after the header, which has to have the needed columns. Spreadsheets of many countries write semicolons.
fn reader_of(text: &str) -> Result<csv::Reader<&[u8]>> {
    let text = text.trim_start_matches('\u{feff}');
    let first = text.lines().next().unwrap_or_default();
    let delimiter = match first {
        _ if first.contains(',') => b',',
        _ if first.contains(';') => b';',
        _ => b'\t',
    };
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .trim(csv::Trim::All)
        .delimiter(delimiter)
        .from_reader(text.as_bytes());
    let wrong = |what: String| {
        let message = format!(
            "{what}; the first line has to name the columns {}, as `GET /api/v1/organizations.csv` writes them",
            NEEDED.join(", ")
        );
        ServiceError::Invalid { field: None, code: "invalid_csv", message }
    };
    let header = reader.headers().map_err(|error| wrong(error.to_string()))?;
    if header.is_empty() {
        return Err(wrong("the file is empty".to_owned()));
    }
    match NEEDED.into_iter().find(|name| !header.iter().any(|column| column == *name)) {
        Some(missing) => Err(wrong(format!("the column `{missing}` is missing"))),
        None => Ok(reader),
    }
}

struct Wanted {
    line: u64,
    id: OrganizationId,
    state: MappingState,
    client: String,
    auto_sync: bool,
}

impl Wanted {
    fn told(&self, known: &HashMap<OrganizationId, Organization>) -> ImportChange {
        let before = known.get(&self.id);
        ImportChange {
            line: self.line,
            organization: before.map(|o| o.name.clone()).unwrap_or_default(),
            from: before.map_or_else(String::new, |o| {
                in_words(o.state, o.client_name.as_deref().unwrap_or_default(), o.auto_sync)
            }),
            to: in_words(self.state, &self.client, self.auto_sync),
        }
    }

    fn into_wish(self) -> MappingWish {
        let is_mapped = self.state == MappingState::Mapped;
        MappingWish {
            id: self.id,
            state: self.state,
            client: is_mapped.then_some(ClientChoice::Named(self.client)),
            auto_sync: is_mapped && self.auto_sync,
        }
    }

    fn is_so(&self, known: &HashMap<OrganizationId, Organization>) -> bool {
        known.get(&self.id).is_some_and(|o| {
            let client = o.client_name.as_deref().map(name_key).unwrap_or_default();
            o.state == self.state
                && (self.state != MappingState::Mapped
                    || (client == name_key(&self.client) && o.auto_sync == self.auto_sync))
        })
    }
}

fn in_words(state: MappingState, client: &str, auto_sync: bool) -> String {
    match state {
        MappingState::Mapped if auto_sync => format!("mapped to {client}, Auto-sync on"),
        MappingState::Mapped => format!("mapped to {client}, Auto-sync off"),
        MappingState::Excluded | MappingState::Unmapped => state.name().to_owned(),
    }
}

fn read_line(
    at: u64,
    line: &Line,
    known: &HashMap<OrganizationId, Organization>,
) -> std::result::Result<Wanted, String> {
    let id: OrganizationId =
        armed(&line.organization_id).parse().map_err(|error| format!("`organization_id`: {error}"))?;
    if !known.contains_key(&id) {
        return Err(format!(
            "`organization_id`: there is no organization `{id}`; export again and edit that file"
        ));
    }
    let state = MappingState::from_name(&line.state.to_lowercase())
        .ok_or_else(|| format!("`state`: `{}` is none of mapped, excluded, unmapped", line.state))?;
    let client = match state {
        MappingState::Mapped => domain::client::check_name(armed(&line.client))
            .map_err(|problem| format!("`client`: {problem}"))?,
        MappingState::Excluded | MappingState::Unmapped => String::new(),
    };
    let auto_sync = match line.auto_sync.to_lowercase().as_str() {
        "true" | "yes" | "1" | "on" => true,
        "false" | "no" | "0" | "off" | "" => false,
        other => return Err(format!("`auto_sync`: `{other}` is none of true, false")),
    };
    Ok(Wanted { line: at, id, state, client, auto_sync })
}

fn line_of(organization: &Organization) -> Line {
    Line {
        organization_id: organization.id.to_string(),
        organization: disarmed(&organization.name),
        external_id: disarmed(&organization.external_id),
        devices: organization.device_count,
        state: organization.state.name().to_owned(),
        client: disarmed(organization.client_name.as_deref().unwrap_or("")),
        auto_sync: organization.auto_sync.to_string(),
    }
}

/// A cell that begins like a formula gets an apostrophe in front.
fn disarmed(cell: &str) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}") } else { cell.to_owned() }
}

/// The cell without that apostrophe.
fn armed(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|rest| rest.starts_with(['=', '+', '-', '@'])).unwrap_or(cell)
}
