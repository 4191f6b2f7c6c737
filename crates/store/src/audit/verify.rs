//! Does the log still say what was written? Names the first row that does not.

use domain::id::{AuditId, TypedId};

use super::{
    Audit,
    chain::{self, Row, RowKey},
    checkpoint::Checkpoint,
    key,
};
use crate::{db::args, error::Result, sql::statements};

/// Rows read at a time.
const PAGE: i64 = 1_000;

/// What is wrong with a row, or with the place where one should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Its content is not what was written, or it was never written by Fleetgate.
    Changed,
    /// It is not there.
    Missing,
    /// It does not follow the row before it.
    Moved,
    /// A checkpoint knows another row here: the chain was written anew.
    Rewritten,
    /// A checkpoint knows more rows: the end was cut off.
    Cut,
}

impl Fault {
    /// The public name.
    pub const fn name(self) -> &'static str {
        match self {
            Fault::Changed => "changed",
            Fault::Missing => "missing",
            Fault::Moved => "moved",
            Fault::Rewritten => "rewritten",
            Fault::Cut => "cut",
        }
    }
}

/// The first row that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// Its place in the chain; none if it is not sealed yet.
    pub seq: Option<i64>,
    /// Its id, where there is a row.
    pub id: Option<AuditId>,
    /// What is wrong.
    pub fault: Fault,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows in the chain that were read and are right.
    pub sealed: i64,
    /// Rows that wait for their place. They are bound by their HMAC alone.
    pub unsealed: i64,
    /// Checkpoints that were compared.
    pub checkpoints: usize,
    /// Up to where a checkpoint says so.
    pub checkpoint_seq: Option<i64>,
    /// The first row that is wrong.
    pub bad: Option<Bad>,
}

#[derive(sqlx::FromRow)]
struct FullRow {
    #[sqlx(flatten)]
    row: Row,
    mac: String,
    seq: Option<i64>,
    previous: Option<String>,
    hash: Option<String>,
}

impl FullRow {
    fn bad(&self, fault: Fault) -> Bad {
        Bad { seq: self.seq, id: AuditId::from_db(&self.row.id).ok(), fault }
    }
}

impl Audit<'_> {
    /// Reads the whole log, page by page, and compares it with these checkpoints of this tenant, whose signatures the
    /// caller has looked at.
    pub async fn verify(&self, checkpoints: &[Checkpoint]) -> Result<Report> {
        let tenant = self.0.id;
        let key = key::find(self.0).await?;
        let mut wanted: Vec<&Checkpoint> = checkpoints.iter().filter(|c| c.tenant == tenant).collect();
        wanted.sort_by_key(|checkpoint| checkpoint.seq);
        let mut report = Report {
            checkpoints: wanted.len(),
            checkpoint_seq: wanted.last().map(|checkpoint| checkpoint.seq),
            ..Report::default()
        };
        let mut walk = Walk { previous: chain::START.to_owned(), seq: 0 };
        loop {
            let rows: Vec<FullRow> = self.0.db().all(&SEALED, args![tenant, walk.seq, PAGE]).await?;
            let read = rows.len();
            for row in rows {
                let fault = walk.step(&row, key.as_ref().map(|key| (tenant, key)));
                let bad = fault.or_else(|| rewritten(&wanted, &row));
                if let Some(bad) = bad {
                    report.bad = Some(bad);
                    return Ok(report);
                }
                report.sealed += 1;
            }
            if read < usize::try_from(PAGE).unwrap_or(0) {
                break;
            }
        }
        if wanted.last().is_some_and(|last| last.seq > walk.seq) {
            report.bad = Some(Bad { seq: Some(walk.seq + 1), id: None, fault: Fault::Cut });
            return Ok(report);
        }
        self.verify_tail(key.as_ref(), &mut report).await?;
        Ok(report)
    }

    /// The rows that wait for their place.
    async fn verify_tail(&self, key: Option<&RowKey>, report: &mut Report) -> Result<()> {
        let mut after = String::new();
        loop {
            let rows: Vec<FullRow> =
                self.0.db().all(&UNSEALED, args![self.0.id, after.as_str(), PAGE]).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after.clone_from(&last.row.id);
            for row in &rows {
                if !key.is_some_and(|key| key.fits(self.0.id, &row.row, &row.mac)) {
                    report.bad = Some(row.bad(Fault::Changed));
                    return Ok(());
                }
                report.unsealed += 1;
            }
        }
    }
}

/// Where a walk along the chain stands.
struct Walk {
    previous: String,
    seq: i64,
}

impl Walk {
    fn step(&mut self, row: &FullRow, key: Option<(domain::id::TenantId, &RowKey)>) -> Option<Bad> {
        let wanted = self.seq + 1;
        if row.seq != Some(wanted) {
            return Some(Bad { seq: Some(wanted), id: None, fault: Fault::Missing });
        }
        if !key.is_some_and(|(tenant, key)| key.fits(tenant, &row.row, &row.mac)) {
            return Some(row.bad(Fault::Changed));
        }
        let hash = chain::link(&self.previous, wanted, &row.mac);
        if row.previous.as_ref() != Some(&self.previous) || row.hash.as_ref() != Some(&hash) {
            return Some(row.bad(Fault::Moved));
        }
        (self.previous, self.seq) = (hash, wanted);
        None
    }
}

fn rewritten(checkpoints: &[&Checkpoint], row: &FullRow) -> Option<Bad> {
    let at = row.seq?;
    let first = checkpoints.partition_point(|checkpoint| checkpoint.seq < at);
    let here = checkpoints.iter().skip(first).take_while(|checkpoint| checkpoint.seq == at);
    let mut here = here.filter(|checkpoint| Some(&checkpoint.hash) != row.hash.as_ref());
    here.next().map(|_| row.bad(Fault::Rewritten))
}

statements! {
    SEALED = [
        "SELECT id, at, actor_kind, actor_name, user_id, token_id, request_id, act, target, target_name, outcome, rule,
            arguments, arguments_digest, mac, seq, previous, hash
         FROM audit_log WHERE tenant_id = $1 AND seq > $2 AND seq IS NOT NULL ORDER BY seq LIMIT $3"
    ];
    UNSEALED = [
        "SELECT id, at, actor_kind, actor_name, user_id, token_id, request_id, act, target, target_name, outcome, rule,
            arguments, arguments_digest, mac, seq, previous, hash
         FROM audit_log WHERE tenant_id = $1 AND seq IS NULL AND id > $2 ORDER BY id LIMIT $3"
    ];
}
