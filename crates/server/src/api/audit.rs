//! The audit log, for those who may read it.

use axum::{Json as Answer, extract::State, response::Response};
use domain::audit::{AuditEntry, AuditFilter};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    app::AppState,
    csv,
    ctx::{Caller, RequestMeta},
    error::{ApiError, ApiResult},
    file::{self, File, WritePage},
    page::{List, Query, page_request},
    wire,
};

/// Columns of the CSV, in order.
const COLUMNS: [&str; 15] = [
    "seq",
    "at",
    "actor_kind",
    "actor_name",
    "user_id",
    "token_id",
    "act",
    "target",
    "target_name",
    "outcome",
    "rule",
    "arguments",
    "arguments_digest",
    "request_id",
    "id",
];

/// One act on one target.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditItem {
    /// Its id.
    id: wire::AuditId,
    /// Its place in the chain, from 1; null until it is sealed, which takes a second.
    seq: Option<i64>,
    /// When.
    at: wire::Time,
    /// What kind of party acted.
    actor_kind: wire::ActorKind,
    /// What people call it: an e-mail address, `operator` or `system`.
    actor_name: String,
    /// The person who acted, or on whose behalf a token acted.
    user_id: Option<wire::UserId>,
    /// The token, if one was used.
    token_id: Option<wire::TokenId>,
    /// The request, as in answers and logs.
    request_id: String,
    /// What was done: `client.rename`.
    act: String,
    /// To whom: an id.
    target: Option<String>,
    /// What people call the target.
    target_name: Option<String>,
    /// What came of it.
    outcome: wire::Outcome,
    /// Which rule decided, where one did.
    rule: Option<String>,
    /// With what: secrets are named and not shown, long texts are cut.
    #[schema(value_type = std::collections::BTreeMap<String, serde_json::Value>)]
    arguments: serde_json::Value,
    /// Keyed digest of the arguments as they were, in hexadecimal: the same arguments have the same one.
    arguments_digest: String,
}

impl From<AuditEntry> for AuditItem {
    fn from(entry: AuditEntry) -> Self {
        AuditItem {
            id: entry.id.into(),
            seq: entry.seq,
            at: entry.at.into(),
            actor_kind: entry.actor_kind.into(),
            actor_name: entry.actor_name,
            user_id: entry.user.map(Into::into),
            token_id: entry.token.map(Into::into),
            request_id: entry.request_id,
            act: entry.act,
            target: entry.target,
            target_name: entry.target_name,
            outcome: entry.outcome.into(),
            rule: entry.rule,
            arguments: entry.arguments,
            arguments_digest: entry.arguments_digest,
        }
    }
}

/// Which acts, which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditQuery {
    /// Act, or the beginning of its name: `client.rename`, `client.`.
    act: Option<String>,
    /// Id of the target.
    target: Option<String>,
    /// The person who acted, or on whose behalf.
    user: Option<wire::UserId>,
    /// What came of it.
    outcome: Option<wire::Outcome>,
    /// Not before this time.
    from: Option<wire::Time>,
    /// Before this time.
    until: Option<wire::Time>,
    /// Most items, 1 to 200; 50 if left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl AuditQuery {
    fn filter(&self) -> AuditFilter {
        AuditFilter {
            act: self.act.clone(),
            target: self.target.clone(),
            user: self.user.map(|user| user.0),
            outcome: self.outcome.map(|outcome| outcome.0),
            from: self.from.map(|from| from.0),
            until: self.until.map(|until| until.0),
        }
    }
}

/// Who did what
///
/// Changes, sign-ins and refused sign-ins, newest first. What syncs find out about machines is history, not audit.
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "audit", params(AuditQuery),
    responses((status = 200, description = "A page of acts", body = List<AuditItem>))
)]
pub(crate) async fn list_audit(
    State(app): State<AppState>,
    caller: Caller,
    Query(query): Query<AuditQuery>,
) -> ApiResult<Answer<List<AuditItem>>> {
    let page = page_request(query.limit, query.cursor.clone())?;
    let found = app.services.audit.list(&caller.ctx, &query.filter(), &page).await?;
    Ok(Answer(List::of(found.map(AuditItem::from))))
}

/// The audit log as CSV
///
/// All acts of the filter, newest first, without paging. Columns: `seq`, `at`, `actor_kind`, `actor_name`, `user_id`,
/// `token_id`, `act`, `target`, `target_name`, `outcome`, `rule`, `arguments` (JSON), `arguments_digest`,
/// `request_id`, `id`. Cells that a spreadsheet would run begin with an apostrophe.
#[utoipa::path(
    get, path = "/api/v1/audit.csv", tag = "audit", params(AuditQuery),
    responses(
        (status = 200, description = "The file", body = String, content_type = "text/csv"),
        (status = 503, description = "Too many exports run, or the database cannot be used now"),
    )
)]
pub(crate) async fn export_audit_csv(
    State(app): State<AppState>,
    meta: RequestMeta,
    caller: Caller,
    Query(query): Query<AuditQuery>,
) -> ApiResult<Response> {
    let mut header = String::new();
    csv::push_row(&mut header, COLUMNS);
    let file = File { name: "audit.csv", content_type: "text/csv; charset=utf-8", begin: header, end: "" };
    export(app, meta, caller, query, file, csv_page).await
}

/// The audit log as JSON lines
///
/// All acts of the filter, newest first, without paging: one item of `GET /api/v1/audit` a line.
#[utoipa::path(
    get, path = "/api/v1/audit.jsonl", tag = "audit", params(AuditQuery),
    responses(
        (status = 200, description = "The file", body = String, content_type = "application/x-ndjson"),
        (status = 503, description = "Too many exports run, or the database cannot be used now"),
    )
)]
pub(crate) async fn export_audit_jsonl(
    State(app): State<AppState>,
    meta: RequestMeta,
    caller: Caller,
    Query(query): Query<AuditQuery>,
) -> ApiResult<Response> {
    let file =
        File { name: "audit.jsonl", content_type: "application/x-ndjson", begin: String::new(), end: "" };
    export(app, meta, caller, query, file, jsonl_page).await
}

async fn export(
    app: AppState,
    meta: RequestMeta,
    caller: Caller,
    query: AuditQuery,
    file: File,
    write: WritePage<AuditEntry>,
) -> ApiResult<Response> {
    if query.limit.is_some() || query.cursor.is_some() {
        return Err(ApiError::parameter("limit", "an export has no pages; leave out `limit` and `cursor`"));
    }
    let pages = app.services.audit.export(caller.ctx, query.filter());
    file::answer(&app, meta, pages, file, write).await
}

fn csv_page(entries: Vec<AuditEntry>, _: bool) -> Result<String, serde_json::Error> {
    let mut text = String::new();
    for entry in entries {
        csv::push_row(&mut text, csv_row(entry));
    }
    Ok(text)
}

fn csv_row(entry: AuditEntry) -> [String; COLUMNS.len()] {
    let text = |value: Option<String>| value.unwrap_or_default();
    [
        text(entry.seq.map(|seq| seq.to_string())),
        entry.at.to_string(),
        entry.actor_kind.name().to_owned(),
        entry.actor_name,
        text(entry.user.map(|id| id.to_string())),
        text(entry.token.map(|id| id.to_string())),
        entry.act,
        text(entry.target),
        text(entry.target_name),
        entry.outcome.name().to_owned(),
        text(entry.rule),
        entry.arguments.to_string(),
        entry.arguments_digest,
        entry.request_id,
        entry.id.to_string(),
    ]
}

fn jsonl_page(entries: Vec<AuditEntry>, _: bool) -> Result<String, serde_json::Error> {
    let mut text = String::new();
    for entry in entries {
        text.push_str(&serde_json::to_string(&AuditItem::from(entry))?);
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use domain::{
        ActorKind, Time,
        audit::Outcome,
        id::{AuditId, TypedId},
    };
    use serde_json::json;

    use super::*;

    fn entry() -> AuditEntry {
        AuditEntry {
            id: AuditId::from_db("00000000000000000000000000000007").unwrap(),
            seq: Some(7),
            at: Time(1_800_000_000_000),
            actor_kind: ActorKind::Script,
            actor_name: "=cmd()".to_owned(),
            user: None,
            token: None,
            request_id: "req_1".to_owned(),
            act: "client.rename".to_owned(),
            target: None,
            target_name: Some("Contoso, Ltd".to_owned()),
            outcome: Outcome::Done,
            rule: None,
            arguments: json!({ "note": "line\nbreak" }),
            arguments_digest: "ab".to_owned(),
        }
    }

    #[test]
    fn a_row_has_a_cell_for_each_column_and_runs_nothing() {
        let text = csv_page(vec![entry()], true).unwrap();
        let wanted = "7,2027-01-15T08:00:00.000Z,script,\"'=cmd()\",,,client.rename,,\"Contoso, Ltd\",done,,";
        assert!(text.starts_with(wanted) && text.ends_with("\r\n"), "{text}");
    }

    #[test]
    fn an_act_is_one_line() {
        let text = jsonl_page(vec![entry(), entry()], true).unwrap();
        assert_eq!(text.lines().count(), 2);
        for line in text.lines() {
            let item: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!((&item["seq"], &item["outcome"]), (&json!(7), &json!("done")));
        }
    }
}
