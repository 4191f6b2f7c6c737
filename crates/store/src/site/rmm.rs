//! Which site of ours an RMM's site is: `rmm_site_mappings`, kept by syncs, mappings and merges in their transactions.
//!
//! A device names its site, so an organization's sites are found by name, for the client it is mapped to. The mapping
//! leads to the site whatever a person calls it. The RMM's ids come with the list of organizations and tell a rename.
//! Locks are taken in one order: clients, organizations, site mappings, assets, sites.

use std::collections::{BTreeMap, HashMap, HashSet};

use domain::{
    client::name_key,
    id::{ClientId, IntegrationId, OrganizationId, SiteId, TypedId},
    organization::OrganizationSite,
    site::{self, Followed, KnownSite, Rename},
};
use serde::Serialize;
use sqlx::FromRow;

use super::{corrupt, statements as sql};
use crate::{
    Tenant,
    db::{Tx, args},
    error::Result,
    event::to_json,
    new_id,
    organization::ListedOrganization,
};

/// A row of `rmm_site_mappings`.
#[derive(Clone, FromRow, Serialize)]
struct MappingRow {
    /// The provider's id of the organization, where it is asked for.
    #[serde(skip)]
    organization: String,
    organization_id: String,
    client_id: String,
    name_key: String,
    name: String,
    external_id: Option<String>,
    site_id: String,
}

impl MappingRow {
    fn new(organization_id: &str, client_id: &str, known: &KnownSite) -> MappingRow {
        MappingRow {
            organization: String::new(),
            organization_id: organization_id.to_owned(),
            client_id: client_id.to_owned(),
            name_key: known.name_key.clone(),
            name: known.name.clone(),
            external_id: known.external_id.clone(),
            site_id: known.site.to_db(),
        }
    }

    fn known(&self) -> Result<KnownSite> {
        Ok(KnownSite {
            name_key: self.name_key.clone(),
            name: self.name.clone(),
            external_id: self.external_id.clone(),
            site: SiteId::from_db(&self.site_id).map_err(corrupt)?,
        })
    }
}

#[derive(Serialize)]
struct NewSite {
    id: String,
    client_id: String,
    name: String,
    name_key: String,
    named_at: Option<i64>,
}

/// An organization of which a page has devices, for the client that it had when the page was compared.
#[derive(Clone, Debug)]
pub struct Place {
    /// The organization.
    pub organization_id: OrganizationId,
    /// The provider's id of it.
    pub external_id: String,
    /// Its sites, as the provider listed them last.
    pub sites: Vec<OrganizationSite>,
    /// Its client.
    pub client_id: ClientId,
}

/// The sites of a page's devices.
#[derive(Default)]
pub(crate) struct PageSites {
    by_name: HashMap<(OrganizationId, String), SiteId>,
    /// Clients that got a site which they had not.
    pub(crate) new_at: Vec<ClientId>,
}

impl PageSites {
    /// The site that devices of the organization call so.
    pub(crate) fn get(&self, organization: OrganizationId, name: &str) -> Option<SiteId> {
        self.by_name.get(&(organization, name_key(name))).copied()
    }
}

/// What is looked up for a page.
#[derive(Serialize)]
struct WantedRow<'a> {
    organization_id: String,
    client_id: String,
    name_key: &'a str,
}

/// The sites that the devices of a page name, for all its organizations at once; the caller holds their mappings. A name
/// that was not met before gets the client's site of that name, or a new one.
pub(crate) async fn of_page<'n>(
    tx: &mut Tx,
    tenant: &Tenant<'_>,
    names: impl Iterator<Item = (&'n Place, &'n str)>,
) -> Result<PageSites> {
    let mut wanted: BTreeMap<(OrganizationId, String), (&Place, &str)> = BTreeMap::new();
    for (place, name) in names {
        wanted.entry((place.organization_id, name_key(name))).or_insert((place, name));
    }
    let mut sites = PageSites::default();
    if wanted.is_empty() {
        return Ok(sites);
    }
    let rows: Vec<WantedRow<'_>> = wanted
        .iter()
        .map(|((organization, key), (place, _))| WantedRow {
            organization_id: organization.to_db(),
            client_id: place.client_id.to_db(),
            name_key: key,
        })
        .collect();
    let found: Vec<(String, String, String)> = tx.all(&sql::FIND, args![to_json(&rows)?, tenant.id]).await?;
    for (organization, key, site) in found {
        let found = (OrganizationId::from_db(&organization).map_err(corrupt)?, key);
        wanted.remove(&found);
        sites.by_name.insert(found, SiteId::from_db(&site).map_err(corrupt)?);
    }
    if !wanted.is_empty() {
        add(tx, tenant, &wanted, &mut sites).await?;
    }
    Ok(sites)
}

/// Maps the sites of a page that were not met before.
async fn add(
    tx: &mut Tx,
    tenant: &Tenant<'_>,
    wanted: &BTreeMap<(OrganizationId, String), (&Place, &str)>,
    sites: &mut PageSites,
) -> Result<()> {
    let mut fresh = BTreeMap::new();
    for ((_, key), (place, name)) in wanted {
        fresh.entry((place.client_id, key.clone())).or_insert((*name, None));
    }
    let (ensured, new_at) = ensure(tx, tenant, &fresh).await?;
    let mut rows = Vec::new();
    for ((organization, key), (place, name)) in wanted {
        let Some(site) = ensured.get(&(place.client_id, key.clone())).copied() else { continue };
        let listed = place.sites.iter().find(|site| name_key(&site.name) == *key);
        let external_id = listed.map(|site| site.external_id.clone());
        let known = KnownSite { name_key: key.clone(), name: (*name).to_owned(), external_id, site };
        rows.push(MappingRow::new(&organization.to_db(), &place.client_id.to_db(), &known));
        sites.by_name.insert((*organization, key.clone()), site);
    }
    sites.new_at = new_at;
    tx.run(&sql::ADD, args![to_json(&rows)?, tenant.id]).await.map(drop)
}

/// Sites by client and [`name_key`].
type ClientSites = HashMap<(ClientId, String), SiteId>;

/// The sites of clients by these names, each with the time when a person chose the name; and the clients for which one of
/// them is new.
async fn ensure(
    tx: &mut Tx,
    tenant: &Tenant<'_>,
    names: &BTreeMap<(ClientId, String), (&str, Option<i64>)>,
) -> Result<(ClientSites, Vec<ClientId>)> {
    if names.is_empty() {
        return Ok((HashMap::new(), Vec::new()));
    }
    let rows: Vec<NewSite> = names
        .iter()
        .map(|((client, key), (name, named_at))| NewSite {
            id: new_id::<SiteId>(tenant.now).to_db(),
            client_id: client.to_db(),
            name: (*name).to_owned(),
            name_key: key.clone(),
            named_at: *named_at,
        })
        .collect();
    let columns = args![to_json(&rows)?, tenant.id, tenant.now];
    let there: Vec<(String, String, String)> = tx.all(&sql::ENSURE, columns).await?;
    let made: HashSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    let mut sites = HashMap::new();
    let mut new_at = Vec::new();
    for (id, client, key) in there {
        let client = ClientId::from_db(&client).map_err(corrupt)?;
        if made.contains(id.as_str()) {
            new_at.push(client);
        }
        sites.insert((client, key), SiteId::from_db(&id).map_err(corrupt)?);
    }
    new_at.sort_unstable();
    new_at.dedup();
    Ok((sites, new_at))
}

/// Takes over what the RMM's list of organizations says of known sites; answers the clients with a renamed site.
pub(crate) async fn follow(
    tx: &mut Tx,
    tenant: &Tenant<'_>,
    integration: IntegrationId,
    listed: &[ListedOrganization],
) -> Result<Vec<ClientId>> {
    let key = integration.to_db();
    // Read without holding them first: nearly always nothing changed.
    let rows: Vec<MappingRow> = tx.all(&sql::KNOWN, args![tenant.id, key.as_str()]).await?;
    if !changes(rows, listed)?.is_empty() {
        let rows: Vec<MappingRow> = tx.all(&sql::HOLD_KNOWN, args![tenant.id, key.as_str()]).await?;
        write(tx, tenant, &changes(rows, listed)?).await?;
    }
    let wishes: Vec<(String, String, String)> = tx.all(&sql::WISHES, args![tenant.id, key]).await?;
    let wishes = wishes.into_iter().map(|(client, site, name)| {
        Ok(Rename {
            client: ClientId::from_db(&client).map_err(corrupt)?,
            site: SiteId::from_db(&site).map_err(corrupt)?,
            name,
        })
    });
    rename(tx, tenant, wishes.collect::<Result<_>>()?).await
}

/// What changes for an organization and one client.
struct Change {
    organization_id: String,
    client_id: String,
    followed: Followed,
}

fn changes(rows: Vec<MappingRow>, listed: &[ListedOrganization]) -> Result<Vec<Change>> {
    let listed: HashMap<&str, &[OrganizationSite]> =
        listed.iter().map(|o| (o.external_id.as_str(), o.sites.as_slice())).collect();
    let mut groups: BTreeMap<(String, String, String), Vec<KnownSite>> = BTreeMap::new();
    for row in rows {
        let known = row.known()?;
        groups.entry((row.organization, row.organization_id, row.client_id)).or_default().push(known);
    }
    let mut changes = Vec::new();
    for ((organization, organization_id, client_id), known) in groups {
        let Some(sites) = listed.get(organization.as_str()) else { continue };
        if let Some(followed) = site::follow(&known, sites) {
            changes.push(Change { organization_id, client_id, followed });
        }
    }
    Ok(changes)
}

async fn write(tx: &mut Tx, tenant: &Tenant<'_>, changes: &[Change]) -> Result<()> {
    let mut rows = Vec::new();
    for Change { organization_id, client_id, followed } in changes {
        rows.extend(followed.known.iter().map(|known| MappingRow::new(organization_id, client_id, known)));
    }
    let rows = to_json(&rows)?;
    tx.run(&sql::FORGET, args![rows.as_str(), tenant.id]).await?;
    tx.run(&sql::ADD, args![rows, tenant.id]).await?;
    for change in changes {
        for (from, to) in &change.followed.moves {
            let organization = change.organization_id.as_str();
            let columns = args![tenant.id, from.to_db(), to.to_db(), organization, tenant.now];
            tx.run(&sql::MOVE_ASSETS, columns).await?;
            tx.run(&sql::REMOVE_EMPTY, args![tenant.id, from.to_db()]).await?;
        }
    }
    Ok(())
}

async fn rename(tx: &mut Tx, tenant: &Tenant<'_>, wishes: Vec<Rename>) -> Result<Vec<ClientId>> {
    if wishes.is_empty() {
        return Ok(Vec::new());
    }
    let clients: HashSet<String> = wishes.iter().map(|wish| wish.client.to_db()).collect();
    let taken: Vec<(String, String, String)> =
        tx.all(&sql::NAMES, args![to_json(&clients)?, tenant.id]).await?;
    let taken = taken.into_iter().map(|(client, site, key)| {
        let client = ClientId::from_db(&client).map_err(corrupt)?;
        Ok((client, SiteId::from_db(&site).map_err(corrupt)?, key))
    });
    let wishes = site::possible(wishes, &taken.collect::<Result<Vec<_>>>()?);
    if wishes.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<String> = wishes.iter().map(|wish| wish.site.to_db()).collect();
    // A person may have named one since: it is not parked then.
    let parked: Vec<(String, i64)> = tx.all(&sql::PARK, args![to_json(&ids)?, tenant.id]).await?;
    let parked: HashSet<String> = parked.into_iter().map(|(id, _)| id).collect();
    let is_parked = |wish: &&Rename| parked.contains(&wish.site.to_db());
    let mut rows = Vec::new();
    let mut renamed = Vec::new();
    for wish in wishes.iter().filter(is_parked) {
        let (id, name) = (wish.site.to_db(), wish.name.clone());
        let client_id = wish.client.to_db();
        rows.push(NewSite { id, client_id, name_key: name_key(&name), name, named_at: None });
        renamed.push(wish.client);
    }
    tx.run(&sql::RENAME, args![to_json(&rows)?, tenant.id]).await?;
    renamed.sort_unstable();
    renamed.dedup();
    Ok(renamed)
}

/// A site and the one that its assets go to.
#[derive(Serialize)]
pub(crate) struct SiteMove {
    from_site: String,
    to_site: String,
}

/// Where the assets of an organization go when it is mapped to another client: to the sites they had there before, else
/// to those of the same name, which are made if they are lacking. What the RMM has there goes along.
pub(crate) async fn move_organization(
    tx: &mut Tx,
    tenant: &Tenant<'_>,
    organization: OrganizationId,
    client: ClientId,
) -> Result<Vec<SiteMove>> {
    let (organization, target) = (organization.to_db(), client.to_db());
    let known: Vec<MappingRow> =
        tx.all(&sql::HOLD_OF_ORGANIZATION, args![tenant.id, organization.as_str()]).await?;
    let columns = args![tenant.id, organization.as_str(), target.as_str()];
    let leaving: Vec<(String, String, Option<i64>)> = tx.all(&sql::OF_ASSETS, columns).await?;
    let (there, elsewhere): (Vec<MappingRow>, Vec<MappingRow>) =
        known.into_iter().partition(|row| row.client_id == target);
    let there: HashMap<String, String> = there.into_iter().map(|row| (row.name_key, row.site_id)).collect();
    let earlier = |site: &str| {
        let of_site = elsewhere.iter().filter(|row| row.site_id == site);
        of_site.filter_map(|row| there.get(&row.name_key)).next()
    };
    let lacking = leaving.iter().filter(|(id, _, _)| earlier(id).is_none());
    let names: BTreeMap<(ClientId, String), (&str, Option<i64>)> =
        lacking.map(|(_, name, named_at)| ((client, name_key(name)), (name.as_str(), *named_at))).collect();
    let (ensured, _) = ensure(tx, tenant, &names).await?;
    let mut moves: BTreeMap<String, String> = BTreeMap::new();
    for (id, name, _) in &leaving {
        let ensured = || ensured.get(&(client, name_key(name))).map(|site| site.to_db());
        if let Some(site) = earlier(id).cloned().or_else(ensured) {
            moves.insert(id.clone(), site);
        }
    }
    let mut along: BTreeMap<String, MappingRow> = BTreeMap::new();
    for row in elsewhere.iter().filter(|row| !there.contains_key(&row.name_key)) {
        if let Some(site) = moves.get(&row.site_id) {
            let moved = MappingRow { client_id: target.clone(), site_id: site.clone(), ..row.clone() };
            along.insert(row.name_key.clone(), moved);
        }
    }
    if !along.is_empty() {
        let rows: Vec<&MappingRow> = along.values().collect();
        tx.run(&sql::ADD, args![to_json(&rows)?, tenant.id]).await?;
    }
    Ok(moves.into_iter().map(|(from_site, to_site)| SiteMove { from_site, to_site }).collect())
}

/// Brings the sites of a client to the one that it is merged into: as they are, or into the one of the same name.
/// `organizations`: those that were mapped to the client; the caller holds them and moves the assets to the client.
pub(crate) async fn merge_clients(
    tx: &mut Tx,
    tenant: &Tenant<'_>,
    (from, into): (ClientId, ClientId),
    organizations: &[String],
) -> Result<()> {
    let clients = || args![tenant.id, from.to_db(), into.to_db()];
    let columns = args![to_json(organizations)?, tenant.id, from.to_db(), into.to_db()];
    tx.run(&sql::MERGE_FORGET_OLD, columns).await?;
    tx.run(&sql::MERGE_FORGET_OWN, clients()).await?;
    tx.run(&sql::MERGE_MAPPINGS, clients()).await?;
    let same: Vec<(String, String)> = tx.all(&sql::MERGE_SAME, clients()).await?;
    if !same.is_empty() {
        let gone: Vec<&String> = same.iter().map(|(from, _)| from).collect();
        let gone = to_json(&gone)?;
        let moves: Vec<SiteMove> =
            same.into_iter().map(|(from_site, to_site)| SiteMove { from_site, to_site }).collect();
        let moves = to_json(&moves)?;
        tx.run(&sql::MERGE_FOLD_MAPPINGS, args![moves.as_str(), tenant.id]).await?;
        tx.run(&sql::MERGE_FOLD_ASSETS, args![moves, tenant.id]).await?;
        tx.run(&sql::MERGE_REMOVE, args![gone, tenant.id]).await?;
    }
    tx.run(&sql::MERGE_SITES, clients()).await.map(drop)
}
