//! Reading the log: pages, newest first, by what people look for.

use domain::{
    ActorKind, Time,
    audit::{AuditEntry, AuditFilter, Outcome},
    id::{AuditId, TokenId, TypedId, UserId},
    page::{Page, PageRequest},
};

use super::{Audit, chain::Row, corrupt};
use crate::{
    Tenant,
    client::bounded_total,
    cursor::{self, Cursor},
    db::{Text, Value, args},
    error::Result,
};

const COLUMNS: &str = "SELECT id, at, actor_kind, actor_name, user_id, token_id, request_id, act, target, \
    target_name, outcome, rule, arguments, arguments_digest, seq FROM audit_log WHERE tenant_id = $1";

#[derive(sqlx::FromRow)]
struct EntryRow {
    #[sqlx(flatten)]
    row: Row,
    seq: Option<i64>,
}

impl EntryRow {
    fn into_entry(self) -> Result<AuditEntry> {
        let EntryRow { row, seq } = self;
        let user = row.user_id.map(|id| UserId::from_db(&id)).transpose().map_err(|_| corrupt())?;
        let token = row.token_id.map(|id| TokenId::from_db(&id)).transpose().map_err(|_| corrupt())?;
        Ok(AuditEntry {
            id: AuditId::from_db(&row.id).map_err(|_| corrupt())?,
            seq,
            at: Time(row.at),
            actor_kind: ActorKind::from_name(&row.actor_kind).ok_or_else(corrupt)?,
            actor_name: row.actor_name,
            user,
            token,
            request_id: row.request_id,
            act: row.act,
            target: row.target,
            target_name: row.target_name,
            outcome: Outcome::from_name(&row.outcome).ok_or_else(corrupt)?,
            rule: row.rule,
            arguments: serde_json::from_str(&row.arguments).map_err(|_| corrupt())?,
            arguments_digest: row.arguments_digest,
        })
    }
}

impl Audit<'_> {
    /// A page, newest first. [`crate::StoreError::BeyondClients`] for whoever sees only some clients: acts tell of all.
    pub async fn list(&self, filter: &AuditFilter, page: &PageRequest) -> Result<Page<AuditEntry>> {
        let after = Cursor::read(page.cursor.as_deref())?;
        let (conditions, values) = conditions(self.0, filter);
        let mut reads = self.0.whole()?.read().await?;
        let counted = Text::Composed(format!(
            "SELECT COUNT(*) FROM (SELECT 1 FROM audit_log WHERE tenant_id = $1{conditions} LIMIT 1001) AS found"
        ));
        let (counted,): (i64,) = reads.one(counted, values.clone()).await?;
        let mut values = values;
        let mut text = format!("{COLUMNS}{conditions}");
        if !after.is_start() {
            values.push(after.id().into());
            text.push_str(&format!(" AND id < ${}", values.len()));
        }
        values.push((i64::from(page.limit) + 1).into());
        text.push_str(&format!(" ORDER BY id DESC LIMIT ${}", values.len()));
        let rows: Vec<EntryRow> = reads.all(Text::Composed(text), values).await?;
        let (rows, next_cursor) = cursor::cut(rows, page.limit, |row| Cursor::write(&[], &row.row.id));
        let items = rows.into_iter().map(EntryRow::into_entry).collect::<Result<_>>()?;
        Ok(Page { items, next_cursor, total: bounded_total(counted) })
    }
}

/// Conditions of a filter from constant fragments, with their values; `$1` is the tenant. Ids grow with time, so a time
/// is a place in the key.
fn conditions(tenant: &Tenant<'_>, filter: &AuditFilter) -> (String, Vec<Value>) {
    let mut text = String::new();
    let mut values = args![tenant.id];
    let mut add = |fragment: &str, value: Value| {
        values.push(value);
        text.push_str(&fragment.replace('?', &format!("${}", values.len())));
    };
    if let Some(act) = filter.act.as_deref().filter(|act| !act.is_empty()) {
        add(" AND act LIKE ? ESCAPE '\\'", format!("{}%", cursor::escape_like(act)).into());
    }
    if let Some(target) = &filter.target {
        add(" AND target = ?", target.as_str().into());
    }
    if let Some(user) = filter.user {
        add(" AND user_id = ?", user.to_db().into());
    }
    if let Some(outcome) = filter.outcome {
        add(" AND outcome = ?", outcome.name().into());
    }
    if let Some(from) = filter.from {
        add(" AND id >= ?", first_id_of(from).into());
    }
    if let Some(until) = filter.until {
        add(" AND id < ?", first_id_of(until).into());
    }
    (text, values)
}

/// What no id of this time or later comes before: an id begins with its time in milliseconds.
fn first_id_of(at: Time) -> String {
    format!("{:012x}", at.0.clamp(0, (1 << 48) - 1))
}
