//! Assets as files: exactly those of the filter.

use axum::{extract::State, response::Response};
use domain::asset::Asset;

use crate::{
    api::{asset::AssetQuery, asset_view::AssetItem},
    app::AppState,
    csv,
    ctx::{Caller, RequestMeta},
    error::{ApiError, ApiResult},
    file::{self, File, WritePage},
    page::Query,
};

/// Columns of the CSV, in order.
const COLUMNS: [&str; 24] = [
    "id",
    "name",
    "client",
    "site",
    "type",
    "status",
    "status_stale",
    "observed_at",
    "last_seen",
    "user",
    "os",
    "make_model",
    "serial",
    "lan_ips",
    "wan_ip",
    "needs_reboot",
    "patches_pending",
    "maintenance",
    "agent_version",
    "provider",
    "integration",
    "organization",
    "missing_since",
    "created_at",
];

/// Assets as CSV
///
/// All assets of the filter, without paging. Columns: `id`, `name`, `client`, `site`, `type`, `status`,
/// `status_stale`, `observed_at`, `last_seen`, `user`, `os`, `make_model`, `serial`, `lan_ips`, `wan_ip`,
/// `needs_reboot`, `patches_pending`, `maintenance`, `agent_version`, `provider`, `integration`, `organization`,
/// `missing_since`, `created_at`. Cells that a spreadsheet would run begin with an apostrophe.
#[utoipa::path(
    get, path = "/api/v1/assets.csv", tag = "assets", params(AssetQuery),
    responses(
        (status = 200, description = "The file", body = String, content_type = "text/csv"),
        (status = 503, description = "Too many exports run, or the database cannot be used now"),
    )
)]
pub(crate) async fn export_assets_csv(
    State(app): State<AppState>,
    meta: RequestMeta,
    caller: Caller,
    Query(query): Query<AssetQuery>,
) -> ApiResult<Response> {
    let mut header = String::new();
    csv::push_row(&mut header, COLUMNS);
    let file = File { name: "assets.csv", content_type: "text/csv; charset=utf-8", begin: header, end: "" };
    export(app, meta, caller, query, file, csv_page).await
}

/// Assets as a JSON array
///
/// All assets of the filter, without paging, each like an item of `GET /api/v1/assets`.
#[utoipa::path(
    get, path = "/api/v1/assets.json", tag = "assets", params(AssetQuery),
    responses(
        (status = 200, description = "The file", body = Vec<AssetItem>),
        (status = 503, description = "Too many exports run, or the database cannot be used now"),
    )
)]
pub(crate) async fn export_assets_json(
    State(app): State<AppState>,
    meta: RequestMeta,
    caller: Caller,
    Query(query): Query<AssetQuery>,
) -> ApiResult<Response> {
    let file =
        File { name: "assets.json", content_type: "application/json", begin: "[".to_owned(), end: "\n]\n" };
    export(app, meta, caller, query, file, json_page).await
}

async fn export(
    app: AppState,
    meta: RequestMeta,
    caller: Caller,
    query: AssetQuery,
    file: File,
    write: WritePage<Asset>,
) -> ApiResult<Response> {
    if query.is_paged() {
        return Err(ApiError::parameter("limit", "an export has no pages; leave out `limit` and `cursor`"));
    }
    let (sort, direction) = query.order();
    let pages = app.services.assets.export(caller.ctx, query.filter(), sort, direction);
    file::answer(&app, meta, pages, file, write).await
}

fn csv_page(assets: Vec<Asset>, _: bool) -> Result<String, serde_json::Error> {
    let mut text = String::new();
    for asset in &assets {
        csv::push_row(&mut text, csv_row(asset));
    }
    Ok(text)
}

fn json_page(assets: Vec<Asset>, first: bool) -> Result<String, serde_json::Error> {
    let mut text = String::new();
    for (n, asset) in assets.into_iter().enumerate() {
        text.push_str(if first && n == 0 { "\n" } else { ",\n" });
        text.push_str(&serde_json::to_string(&AssetItem::from(asset))?);
    }
    Ok(text)
}

fn csv_row(asset: &Asset) -> [String; COLUMNS.len()] {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let time = |value: Option<domain::Time>| value.map(|time| time.to_string()).unwrap_or_default();
    let flag = |value: Option<bool>| value.map(|flag| flag.to_string()).unwrap_or_default();
    let (facts, presence, source) = (&asset.facts, &asset.presence, &asset.source);
    [
        asset.id.to_string(),
        asset.name.clone(),
        asset.client_name.clone(),
        text(&asset.site_name),
        asset.asset_type.name().to_owned(),
        asset.status.name().to_owned(),
        asset.status_stale.to_string(),
        time(asset.observed_at),
        time(presence.last_seen),
        text(&presence.user),
        text(&facts.os),
        text(&facts.make_model),
        text(&facts.serial),
        facts.lan_ips.join(" "),
        text(&facts.wan_ip),
        flag(facts.needs_reboot),
        flag(facts.patches_pending),
        flag(facts.maintenance),
        text(&facts.agent_version),
        source.rmm_provider.clone(),
        source.integration_name.clone(),
        source.organization_name.clone(),
        time(asset.missing_since),
        asset.created_at.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::asset_view::tests::asset, file::tests::pieces};

    async fn whole(pages: Vec<Vec<Asset>>) -> Vec<serde_json::Value> {
        let pieces = pieces(pages.into_iter().map(Ok).collect(), json_page).await;
        let text = pieces.into_iter().collect::<Result<Vec<_>, _>>().unwrap().concat();
        serde_json::from_str(&text).unwrap()
    }

    #[tokio::test]
    async fn json_pages_make_one_array() {
        let items = whole(vec![vec![], vec![asset(), asset()], vec![asset()]]).await;
        assert_eq!(items.len(), 3);
        assert!(whole(vec![vec![]]).await.is_empty());
    }

    #[test]
    fn csv_rows_have_a_cell_for_each_column_and_run_nothing() {
        let text = csv_page(vec![asset()], true).unwrap();
        assert!(text.starts_with("ast_00000000000000000000000000000007,\"'=PC-1\",\"Contoso, Dental\",,workstation,online,false,2027-01-15T08:00:00.000Z,"), "{text}");
        assert!(text.ends_with("\r\n"));
    }
}
