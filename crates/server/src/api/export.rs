//! Assets as files: exactly those of the filter, streamed page by page, never held whole.
//!
//! A failure before the first page is a problem document like any other; one in the middle breaks the connection off,
//! so that half a file is never taken for a whole one.

use std::{error::Error, io};

use axum::{
    body::{Body, Bytes},
    extract::State,
    response::{IntoResponse, Response},
};
use domain::asset::Asset;
use futures::{Stream, StreamExt, stream};
use http::{HeaderValue, header};
use tokio::sync::OwnedSemaphorePermit;
use tracing::error;

use crate::{
    api::{asset::AssetQuery, asset_view::AssetItem},
    app::AppState,
    csv,
    ctx::{Caller, RequestMeta},
    error::{ApiError, ApiResult},
    observe,
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

/// What a file has around its rows.
struct File {
    name: &'static str,
    content_type: &'static str,
    begin: String,
    end: &'static str,
}

/// Writes one page of rows; `first` says that none came before.
type WritePage = fn(assets: Vec<Asset>, first: bool) -> Result<String, serde_json::Error>;

async fn export(
    app: AppState,
    meta: RequestMeta,
    caller: Caller,
    query: AssetQuery,
    file: File,
    write: WritePage,
) -> ApiResult<Response> {
    if query.is_paged() {
        return Err(ApiError::parameter("limit", "an export has no pages; leave out `limit` and `cursor`"));
    }
    let permit = app.exports.clone().try_acquire_owned().map_err(|_| {
        ApiError::busy("too_many_exports", "too many exports run at once; try again in a moment")
    })?;
    let (sort, direction) = query.order();
    let pages = app.services.assets.export(caller.ctx, query.filter(), sort, direction);
    let mut pages = Box::pin(pages);
    let first = pages.next().await.transpose()?.unwrap_or_default();
    let pages = stream::once(async { Ok(first) }).chain(pages);
    let mut response =
        Body::from_stream(chunks(pages, file.begin, file.end, write, meta.id, permit)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.content_type));
    let disposition = format!("attachment; filename=\"{}\"", file.name);
    if let Ok(disposition) = HeaderValue::from_str(&disposition) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

/// The file piece by piece; after an error nothing more comes.
fn chunks(
    pages: impl Stream<Item = service::Result<Vec<Asset>>> + Send + 'static,
    begin: String,
    end: &'static str,
    write: WritePage,
    request_id: String,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let mut first = true;
    let rows = pages.map(move |page| {
        // The permit lives as long as the file is being written.
        let _ = &permit;
        let text = page.map_err(io::Error::other).and_then(|assets| {
            let nothing_before = first;
            first = first && assets.is_empty();
            write(assets, nothing_before).map_err(io::Error::other)
        });
        text.map(Bytes::from).inspect_err(|failure| {
            let cause = failure as &dyn Error;
            error!(request_id, error = cause, "export broke off: {}", observe::chain(cause));
        })
    });
    let begin = stream::once(async { Ok(Bytes::from(begin)) });
    let end = stream::once(async move { Ok(Bytes::from_static(end.as_bytes())) });
    until_error(begin.chain(rows).chain(end))
}

/// The items up to and with the first error.
fn until_error<T>(items: impl Stream<Item = io::Result<T>>) -> impl Stream<Item = io::Result<T>> {
    items.scan(false, |broken, item| {
        let before = std::mem::replace(broken, *broken || item.is_err());
        std::future::ready((!before).then_some(item))
    })
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
        time(source.missing_since),
        asset.created_at.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use service::ServiceError;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::api::asset_view::tests::asset;

    async fn file(pages: Vec<service::Result<Vec<Asset>>>, write: WritePage) -> Vec<Result<String, ()>> {
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let pieces = chunks(stream::iter(pages), "[".to_owned(), "\n]\n", write, "req_1".to_owned(), permit);
        pieces
            .map(|piece| piece.map(|b| String::from_utf8(b.to_vec()).unwrap()).map_err(|_| ()))
            .collect()
            .await
    }

    fn whole(pieces: Vec<Result<String, ()>>) -> String {
        pieces.into_iter().collect::<Result<Vec<_>, _>>().unwrap().concat()
    }

    #[tokio::test]
    async fn json_pages_make_one_array() {
        let pages = vec![Ok(vec![]), Ok(vec![asset(), asset()]), Ok(vec![asset()])];
        let text = whole(file(pages, json_page).await);
        let items: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        assert_eq!(items.len(), 3);
        let nothing: Vec<serde_json::Value> =
            serde_json::from_str(&whole(file(vec![Ok(vec![])], json_page).await)).unwrap();
        assert!(nothing.is_empty());
    }

    #[tokio::test]
    async fn an_error_in_the_middle_ends_the_file_without_its_end() {
        let pages = vec![Ok(vec![asset()]), Err(ServiceError::NotFound { what: "asset" }), Ok(vec![asset()])];
        let pieces = file(pages, json_page).await;
        assert_eq!(pieces.len(), 3);
        assert!(pieces.last().is_some_and(Result::is_err));
    }

    #[test]
    fn csv_rows_have_a_cell_for_each_column_and_run_nothing() {
        let text = csv_page(vec![asset()], true).unwrap();
        assert!(text.starts_with("ast_00000000000000000000000000000007,\"'=PC-1\",\"Contoso, Dental\",,workstation,online,false,2027-01-15T08:00:00.000Z,"), "{text}");
        assert!(text.ends_with("\r\n"));
    }
}
