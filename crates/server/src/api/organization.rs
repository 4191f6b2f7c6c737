//! Organizations: what an RMM groups machines by, and which client each belongs to.

use axum::{
    Json as Answer,
    extract::State,
    response::{IntoResponse, Response},
};
use domain::{
    mapping::Suggestion,
    organization::{Company, OrganizationSite},
};
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use service::organization::{
    AcceptRequest, Accepted, Imported, MappingChange, MappingTarget, OrganizationFilter,
    OrganizationView as Known,
};
use utoipa::{IntoParams, ToSchema};

use crate::{
    app::AppState,
    body::{Csv, Json, present, present_object},
    ctx::Caller,
    error::{ApiError, ApiResult},
    page::{List, Path, Query, page_request, words},
    wire,
};

/// An organization with its mapping.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OrganizationView {
    /// Its id.
    id: wire::OrganizationId,
    /// Whose.
    integration_id: wire::IntegrationId,
    /// The RMM's id.
    external_id: String,
    /// Its name at the RMM.
    name: String,
    /// Its sites at the RMM.
    sites: Vec<OrganizationSiteView>,
    /// Devices, as the RMM counts.
    device_count: Option<u64>,
    /// The company it stands for, where the RMM is tied to a system of customers.
    company: Option<CompanyView>,
    /// What was decided.
    state: wire::MappingState,
    /// The client, if mapped.
    client_id: Option<wire::ClientId>,
    /// The client's name.
    client_name: Option<String>,
    /// Its devices are synced.
    auto_sync: bool,
    /// The last change can be undone.
    can_undo: bool,
    /// Clients it may belong to, best first; only where asked for.
    suggestions: Vec<SuggestionView>,
    /// Not in the RMM's list since.
    vanished_at: Option<wire::Time>,
    /// Last complete look at its devices.
    observed_at: Option<wire::Time>,
    /// When it was first seen.
    created_at: wire::Time,
    /// When it last changed.
    updated_at: wire::Time,
}

/// A company as a system of customers knows it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CompanyView {
    /// Its id there.
    id: Option<String>,
    /// Its name there.
    name: String,
}

impl From<Company> for CompanyView {
    fn from(company: Company) -> Self {
        CompanyView { id: company.id, name: company.name }
    }
}

/// A site at the RMM.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OrganizationSiteView {
    /// The RMM's id.
    external_id: String,
    /// Its name.
    name: String,
    /// Devices there, as the RMM counts.
    device_count: Option<u32>,
}

impl From<OrganizationSite> for OrganizationSiteView {
    fn from(site: OrganizationSite) -> Self {
        OrganizationSiteView {
            external_id: site.external_id,
            name: site.name,
            device_count: site.device_count,
        }
    }
}

/// A client an organization may belong to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SuggestionView {
    /// The client.
    client_id: wire::ClientId,
    /// Its name.
    client_name: String,
    /// How sure, 0 to 100.
    score: u8,
    /// Why, in words.
    reason: &'static str,
}

impl From<Suggestion> for SuggestionView {
    fn from(suggestion: Suggestion) -> Self {
        SuggestionView {
            client_id: suggestion.client_id.into(),
            client_name: suggestion.client_name,
            score: suggestion.score,
            reason: suggestion.reason.text(),
        }
    }
}

impl From<Known> for OrganizationView {
    fn from(known: Known) -> Self {
        let organization = known.organization;
        OrganizationView {
            id: organization.id.into(),
            integration_id: organization.integration_id.into(),
            external_id: organization.external_id,
            name: organization.name,
            sites: organization.sites.into_iter().map(Into::into).collect(),
            device_count: organization.device_count,
            company: organization.company.map(Into::into),
            state: organization.state.into(),
            client_id: organization.client_id.map(Into::into),
            client_name: organization.client_name,
            auto_sync: organization.auto_sync,
            can_undo: organization.can_undo,
            suggestions: known.suggestions.into_iter().map(Into::into).collect(),
            vanished_at: organization.vanished_at.map(Into::into),
            observed_at: organization.observed_at.map(Into::into),
            created_at: organization.created_at.into(),
            updated_at: organization.updated_at.into(),
        }
    }
}

/// What to add to organizations.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Include {
    /// Clients an unmapped one may belong to.
    Suggestions,
}

/// Which organizations, which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct OrganizationQuery {
    /// Of this integration.
    integration_id: Option<wire::IntegrationId>,
    /// In this state.
    state: Option<wire::MappingState>,
    /// Mapped to this client.
    client_id: Option<wire::ClientId>,
    /// Part of the name.
    text: Option<String>,
    /// What to add.
    #[param(inline)]
    include: Option<Include>,
    /// Most items, 1 to 200; 50 if left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Organizations by name, with their mappings
#[utoipa::path(
    get, path = "/api/v1/organizations", tag = "organizations", params(OrganizationQuery),
    responses((status = 200, description = "A page of organizations", body = List<OrganizationView>))
)]
pub(crate) async fn list_organizations(
    State(app): State<AppState>,
    caller: Caller,
    Query(query): Query<OrganizationQuery>,
) -> ApiResult<Answer<List<OrganizationView>>> {
    let filter = OrganizationFilter {
        integration_id: query.integration_id.map(|id| id.0),
        state: query.state.map(|state| state.0),
        client_id: query.client_id.map(|id| id.0),
        text: words(query.text),
    };
    let suggestions = matches!(query.include, Some(Include::Suggestions));
    let page = page_request(query.limit, query.cursor)?;
    let organizations = app.services.organizations.list(&caller.ctx, filter, suggestions, page).await?;
    Ok(Answer(List::of(organizations)))
}

/// A client to make for an organization.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewClient {
    /// Its name; left out, the organization's.
    name: Option<String>,
}

/// A change of a mapping: at most one of `client_id`, `create_client`, `excluded`, `unmapped`, and `auto_sync`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OrganizationChange {
    /// It belongs to this client.
    #[serde(default, deserialize_with = "present")]
    client_id: Option<wire::ClientId>,
    /// It belongs to a client that is made now.
    #[serde(default, deserialize_with = "present_object")]
    create_client: Option<NewClient>,
    /// True: it shall never be imported.
    #[serde(default, deserialize_with = "present")]
    excluded: Option<bool>,
    /// True: nothing is decided.
    #[serde(default, deserialize_with = "present")]
    unmapped: Option<bool>,
    /// Are its devices synced?
    #[serde(default, deserialize_with = "present")]
    auto_sync: Option<bool>,
}

impl OrganizationChange {
    /// Exactly one target, or none where only `auto_sync` changes.
    fn read(self) -> ApiResult<MappingChange> {
        let mut targets = Vec::new();
        if let Some(id) = self.client_id {
            targets.push(MappingTarget::Client(id.0));
        }
        if let Some(client) = self.create_client {
            targets.push(MappingTarget::NewClient { name: client.name });
        }
        if only_true("excluded", self.excluded)? {
            targets.push(MappingTarget::Excluded);
        }
        if only_true("unmapped", self.unmapped)? {
            targets.push(MappingTarget::Unmapped);
        }
        let target = targets.pop();
        if !targets.is_empty() || (target.is_none() && self.auto_sync.is_none()) {
            let detail = "send one of `client_id`, `create_client`, `excluded`, `unmapped`, and `auto_sync` if it changes";
            return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "one_target", detail));
        }
        Ok(MappingChange { target, auto_sync: self.auto_sync })
    }
}

/// `false` would leave open what is meant instead.
fn only_true(field: &str, value: Option<bool>) -> ApiResult<bool> {
    if value == Some(false) {
        let detail = format!("`{field}` can only be true; send the state you want instead");
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "one_target", detail).about(field));
    }
    Ok(value.is_some())
}

/// Map an organization
#[utoipa::path(
    patch, path = "/api/v1/organizations/{id}", tag = "organizations",
    params(("id" = wire::OrganizationId, Path)), request_body = OrganizationChange,
    responses(
        (status = 200, description = "The organization", body = OrganizationView),
        (status = 409, description = "The name of the new client is taken (`name_taken`)"),
    )
)]
pub(crate) async fn change_organization(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<domain::id::OrganizationId>,
    Json(body): Json<OrganizationChange>,
) -> ApiResult<Answer<OrganizationView>> {
    let change = body.read()?;
    Ok(Answer(app.services.organizations.change(&caller.ctx, id, change).await?.into()))
}

/// Undo the last change of a mapping
///
/// A client that was merged since is the one it was merged into.
#[utoipa::path(
    post, path = "/api/v1/organizations/{id}/undo", tag = "organizations",
    params(("id" = wire::OrganizationId, Path)),
    responses(
        (status = 200, description = "The organization", body = OrganizationView),
        (status = 409, description = "There is nothing to undo (`nothing_to_undo`), or the client is archived \
            (`client_archived`)"),
    )
)]
pub(crate) async fn undo_organization(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<domain::id::OrganizationId>,
) -> ApiResult<Answer<OrganizationView>> {
    Ok(Answer(app.services.organizations.undo(&caller.ctx, id).await?.into()))
}

/// Which suggestions to accept.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Acceptance {
    /// Only of this integration.
    integration_id: Option<wire::IntegrationId>,
    /// Only as sure as this, 0 to 100.
    min_score: u8,
    /// Sync their devices.
    auto_sync: bool,
    /// Make a client for each organization without a suggestion.
    #[serde(default)]
    create_missing: bool,
}

/// How many were mapped.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AcceptedView {
    /// Mapped to clients that were there.
    mapped: u64,
    /// Mapped to clients that were made.
    created: u64,
    /// Left as they were.
    skipped: u64,
}

impl From<Accepted> for AcceptedView {
    fn from(accepted: Accepted) -> Self {
        AcceptedView { mapped: accepted.mapped, created: accepted.created, skipped: accepted.skipped }
    }
}

/// Accept suggestions
#[utoipa::path(
    post, path = "/api/v1/organizations/accept-suggestions", tag = "organizations", request_body = Acceptance,
    responses((status = 200, description = "How many", body = AcceptedView))
)]
pub(crate) async fn accept_suggestions(
    State(app): State<AppState>,
    caller: Caller,
    Json(body): Json<Acceptance>,
) -> ApiResult<Answer<AcceptedView>> {
    let request = AcceptRequest {
        integration_id: body.integration_id.map(|id| id.0),
        min_score: body.min_score,
        auto_sync: body.auto_sync,
        create_missing: body.create_missing,
    };
    Ok(Answer(app.services.organizations.accept_suggestions(&caller.ctx, request).await?.into()))
}

/// What to export.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExportQuery {
    /// Of this integration only.
    integration_id: Option<wire::IntegrationId>,
}

/// Mappings as CSV
///
/// The same columns are read by `POST /organizations/import`.
#[utoipa::path(
    get, path = "/api/v1/organizations.csv", tag = "organizations", params(ExportQuery),
    responses((status = 200, description = "The file", body = String, content_type = "text/csv"))
)]
pub(crate) async fn export_organizations(
    State(app): State<AppState>,
    caller: Caller,
    Query(query): Query<ExportQuery>,
) -> ApiResult<Response> {
    let integration = query.integration_id.map(|id| id.0);
    let text = app.services.organizations.export_csv(&caller.ctx, integration).await?;
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"organizations.csv\""),
    ];
    Ok((headers, text).into_response())
}

/// How to import.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ImportQuery {
    /// Only tell what would change.
    dry_run: Option<bool>,
}

/// What an import did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImportedView {
    /// Nothing was changed, only looked at.
    dry_run: bool,
    /// Mappings that changed, or would.
    changed: u64,
    /// Lines that say what is so already.
    unchanged: u64,
    /// The first thousand changes.
    changes: Vec<ImportChangeView>,
    /// Clients that are named and were not there: created, or would be.
    new_clients: Vec<String>,
    /// Lines that cannot be used.
    errors: Vec<ImportErrorView>,
}

/// A line that changes a mapping.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImportChangeView {
    /// Its number; the header is line 1.
    line: u64,
    /// The organization's name.
    organization: String,
    /// What it is, in words.
    from: String,
    /// What it becomes, in words.
    to: String,
}

/// A line that cannot be used.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImportErrorView {
    /// Its number; the header is line 1.
    line: u64,
    /// What to change.
    message: String,
}

impl ImportedView {
    fn new(imported: Imported, dry_run: bool) -> ImportedView {
        let errors = imported.errors.into_iter();
        let changes = imported.changes.into_iter().map(|change| ImportChangeView {
            line: change.line,
            organization: change.organization,
            from: change.from,
            to: change.to,
        });
        ImportedView {
            changes: changes.collect(),
            new_clients: imported.new_clients,
            dry_run,
            changed: imported.changed,
            unchanged: imported.unchanged,
            errors: errors
                .map(|error| ImportErrorView { line: error.line, message: error.message })
                .collect(),
        }
    }
}

/// Mappings from CSV
///
/// At most 4 MiB. All lines in one transaction, or none if one has an error.
#[utoipa::path(
    post, path = "/api/v1/organizations/import", tag = "organizations", params(ImportQuery),
    request_body(content = String, content_type = "text/csv"),
    responses((status = 200, description = "What was done", body = ImportedView))
)]
pub(crate) async fn import_organizations(
    State(app): State<AppState>,
    caller: Caller,
    Query(query): Query<ImportQuery>,
    Csv(text): Csv,
) -> ApiResult<Answer<ImportedView>> {
    let dry_run = query.dry_run.unwrap_or(false);
    let imported = app.services.organizations.import_csv(&caller.ctx, &text, dry_run).await?;
    Ok(Answer(ImportedView::new(imported, dry_run)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: Result<&str, &str>) {
        let change: OrganizationChange = serde_json::from_str(body).unwrap();
        let told = change.read().map(|change| format!("{:?}", change.target)).map_err(|error| error.code);
        match (told, expected) {
            (Ok(target), Ok(expected)) => assert!(target.contains(expected), "{target}"),
            (Err(code), Err(expected)) => assert_eq!(code, expected),
            (told, _) => panic!("{body}: {told:?}"),
        }
    }

    #[test]
    fn a_change_has_one_target() {
        check("{\"excluded\":true}", Ok("Excluded"));
        check("{\"create_client\":{}}", Ok("NewClient"));
        check("{\"client_id\":\"cli_00000000000000000000000000000007\",\"auto_sync\":true}", Ok("Client("));
        check("{\"auto_sync\":false}", Ok("None"));
        check("{}", Err("one_target"));
        check("{\"excluded\":true,\"unmapped\":true}", Err("one_target"));
        check("{\"excluded\":false}", Err("one_target"));
    }
}
