//! Organization mapping: which of the provider's organizations belongs to which client.

use domain::{
    Ctx,
    auth::Permission,
    id::{ClientId, IntegrationId, OrganizationId},
    mapping::{ComparableName, Suggestion, suggest},
    organization::{MappingState, Organization},
    page::{Page, PageRequest},
};
pub use store::organization::OrganizationFilter;
use store::{
    StoreError,
    organization::{ClientChoice, MappingWish, Undone},
};

use crate::{
    client::{checked, taken},
    core::Core,
    error::{Result, ServiceError, named},
};

mod csv;

pub use csv::{ImportError, Imported};

/// An organization with what may be done with it.
#[derive(Clone, Debug)]
pub struct OrganizationView {
    /// The organization and its mapping.
    pub organization: Organization,
    /// Clients it probably belongs to, best first; only for unmapped ones, where asked for.
    pub suggestions: Vec<Suggestion>,
}

/// What an organization shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MappingTarget {
    /// Of this client.
    Client(ClientId),
    /// Of a new client, of this name or its own.
    NewClient {
        /// The client's name.
        name: Option<String>,
    },
    /// Never imported.
    Excluded,
    /// Undecided.
    Unmapped,
}

/// A change of a mapping.
#[derive(Clone, Debug, Default)]
pub struct MappingChange {
    /// What it shall be; none keeps.
    pub target: Option<MappingTarget>,
    /// Sync its devices; none keeps, or turns it on where it is newly mapped.
    pub auto_sync: Option<bool>,
}

/// Accept many suggestions at once.
#[derive(Clone, Copy, Debug)]
pub struct AcceptRequest {
    /// Only of this integration.
    pub integration_id: Option<IntegrationId>,
    /// Only from this score on.
    pub min_score: u8,
    /// Turn Auto-sync on for them.
    pub auto_sync: bool,
    /// Create a client where none is suggested.
    pub create_missing: bool,
}

/// What accepting did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Mapped to clients that were there.
    pub mapped: u64,
    /// Mapped to new clients.
    pub created: u64,
    /// Left unmapped.
    pub skipped: u64,
}

/// The use cases of organizations.
#[derive(Clone)]
pub struct Organizations {
    core: Core,
}

/// Page size for going over all organizations.
const ALL_PAGE: u32 = 1_000;

impl Organizations {
    pub(crate) fn new(core: Core) -> Self {
        Organizations { core }
    }

    /// A page by name.
    pub async fn list(
        &self,
        ctx: &Ctx,
        filter: OrganizationFilter,
        suggestions: bool,
        page: PageRequest,
    ) -> Result<Page<OrganizationView>> {
        ctx.require(Permission::IntegrationsRead)?;
        let found = self.core.store.tenant(ctx).organizations().list(&filter, &page).await?;
        let names = if suggestions { self.comparable_clients(ctx).await? } else { Vec::new() };
        Ok(found.map(|organization| view(organization, &names)))
    }

    /// Maps, excludes, frees, or switches Auto-sync.
    pub async fn change(
        &self,
        ctx: &Ctx,
        id: OrganizationId,
        change: MappingChange,
    ) -> Result<OrganizationView> {
        ctx.require(Permission::SystemSettings)?;
        let tenant = self.core.store.tenant(ctx);
        let before = tenant.organizations().get(id).await.map_err(named("organization"))?;
        let newly_mapped =
            matches!(change.target, Some(MappingTarget::Client(_) | MappingTarget::NewClient { .. }))
                && before.state != MappingState::Mapped;
        let auto_sync = change.auto_sync.unwrap_or(newly_mapped || before.auto_sync);
        let (state, client) = match change.target {
            Some(MappingTarget::Client(client)) => {
                (MappingState::Mapped, Some(ClientChoice::Existing(self.usable_client(ctx, client).await?)))
            }
            Some(MappingTarget::NewClient { name }) => {
                let name = checked(name.as_deref().unwrap_or(&before.name))?;
                (MappingState::Mapped, Some(ClientChoice::New(name)))
            }
            Some(MappingTarget::Excluded) => (MappingState::Excluded, None),
            Some(MappingTarget::Unmapped) => (MappingState::Unmapped, None),
            None => (before.state, before.client_id.map(ClientChoice::Existing)),
        };
        if auto_sync && state != MappingState::Mapped && change.auto_sync == Some(true) {
            return Err(ServiceError::conflict(
                "not_mapped",
                "Auto-sync needs a client; map the organization first",
            ));
        }
        let auto_sync = auto_sync && state == MappingState::Mapped;
        let new_name = match &client {
            Some(ClientChoice::New(name)) => name.clone(),
            _ => String::new(),
        };
        let mapped = tenant.organizations().map(MappingWish { id, state, client, auto_sync }).await;
        mapped.map_err(|error| match error {
            StoreError::Conflict { .. } => taken(error, &new_name),
            other => named("organization")(other),
        })?;
        self.get(ctx, id).await
    }

    /// Back to what it was before the last change. A client that was merged since is the one it was merged into.
    pub async fn undo(&self, ctx: &Ctx, id: OrganizationId) -> Result<OrganizationView> {
        ctx.require(Permission::SystemSettings)?;
        let undone = self.core.store.tenant(ctx).organizations().undo(id).await;
        match undone.map_err(named("organization"))? {
            Undone::Restored => self.get(ctx, id).await,
            Undone::NothingToUndo => Err(ServiceError::conflict(
                "nothing_to_undo",
                "there is no earlier state of this mapping to go back to",
            )),
            Undone::ClientArchived { name } => Err(ServiceError::conflict(
                "client_archived",
                format!(
                    "before, this belonged to `{name}`, which is archived; restore that client first, or map the organization to another one"
                ),
            )),
        }
    }

    /// Maps all unmapped organizations whose best suggestion is good enough and has no rival of the same score.
    pub async fn accept_suggestions(&self, ctx: &Ctx, request: AcceptRequest) -> Result<Accepted> {
        ctx.require(Permission::SystemSettings)?;
        let filter = OrganizationFilter {
            integration_id: request.integration_id,
            state: Some(MappingState::Unmapped),
            ..OrganizationFilter::default()
        };
        let tenant = self.core.store.tenant(ctx);
        let names = self.comparable_clients(ctx).await?;
        let mut accepted = Accepted::default();
        for organization in self.all(ctx, &filter).await? {
            if organization.vanished_at.is_some() {
                accepted.skipped += 1;
                continue;
            }
            let found = suggestions(&organization, &names);
            let best = found.first().filter(|s| s.score >= request.min_score);
            let rival = matches!((best, found.get(1)), (Some(a), Some(b)) if a.score == b.score);
            let choice = match best {
                Some(best) if !rival => Some(ClientChoice::Existing(best.client_id)),
                None if found.is_empty() && request.create_missing => {
                    Some(ClientChoice::New(checked(&organization.name)?))
                }
                _ => None,
            };
            let Some(choice) = choice else {
                accepted.skipped += 1;
                continue;
            };
            let is_new = matches!(choice, ClientChoice::New(_));
            let wish = MappingWish {
                id: organization.id,
                state: MappingState::Mapped,
                client: Some(choice),
                auto_sync: request.auto_sync,
            };
            match tenant.organizations().map(wish).await {
                Ok(()) if is_new => accepted.created += 1,
                Ok(()) => accepted.mapped += 1,
                // Two organizations of the same name: the first one made the client, the second is for a person.
                Err(StoreError::Conflict { .. }) => accepted.skipped += 1,
                Err(other) => return Err(other.into()),
            }
        }
        Ok(accepted)
    }

    async fn get(&self, ctx: &Ctx, id: OrganizationId) -> Result<OrganizationView> {
        let organization = self.core.store.tenant(ctx).organizations().get(id).await;
        Ok(OrganizationView {
            organization: organization.map_err(named("organization"))?,
            suggestions: Vec::new(),
        })
    }

    async fn all(&self, ctx: &Ctx, filter: &OrganizationFilter) -> Result<Vec<Organization>> {
        let mut found = Vec::new();
        let mut page = PageRequest { limit: ALL_PAGE, cursor: None };
        loop {
            let part = self.core.store.tenant(ctx).organizations().list(filter, &page).await?;
            found.extend(part.items);
            match part.next_cursor {
                Some(cursor) => page.cursor = Some(cursor),
                None => return Ok(found),
            }
        }
    }

    async fn usable_client(&self, ctx: &Ctx, id: ClientId) -> Result<ClientId> {
        let client = self.core.store.tenant(ctx).clients().get(id).await.map_err(named("client"))?;
        if client.archived_at.is_some() {
            return Err(ServiceError::conflict(
                "client_archived",
                format!("`{}` is archived; restore it first or choose another client", client.name),
            ));
        }
        Ok(id)
    }

    async fn comparable_clients(&self, ctx: &Ctx) -> Result<Vec<(ClientId, String, ComparableName)>> {
        let clients = self.core.store.tenant(ctx).clients().all_live().await?;
        Ok(clients
            .into_iter()
            .map(|client| {
                let comparable = ComparableName::new(&client.name);
                (client.id, client.name, comparable)
            })
            .collect())
    }
}

fn suggestions(organization: &Organization, names: &[(ClientId, String, ComparableName)]) -> Vec<Suggestion> {
    let company = organization.company.as_ref().map(|company| company.name.as_str());
    suggest(&organization.name, company, names)
}

fn view(organization: Organization, names: &[(ClientId, String, ComparableName)]) -> OrganizationView {
    let suggestions = if organization.state == MappingState::Unmapped && !names.is_empty() {
        suggestions(&organization, names)
    } else {
        Vec::new()
    };
    OrganizationView { organization, suggestions }
}
