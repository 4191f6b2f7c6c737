//! All rows from one database into another, empty one, and the proof that they are the same.
//!
//! Table by table in the order of foreign keys, in each tenant by tenant, row by row from a snapshot: memory holds a
//! batch, never a table.

use futures::TryStreamExt;

use super::{
    CopyError, Progress, Result, Stage, TableReport, Watch,
    catalog::{self, Shape},
    connection::Connection,
    row::{Cell, Kind, Sum},
    table::Scope,
};
use crate::{db::Engine, job, sql::statements};

/// Rows of one insert. SQLite binds at most 32,766 values.
const BATCH_ROWS: usize = 100;

/// Bytes after which a batch is written although it is short.
const BATCH_BYTES: usize = 1 << 20;

/// Rows between two words about the progress.
const TELL_EVERY: u64 = 500;

/// What becomes of what stood for the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settle {
    /// A backup is what was.
    Keep,
    /// A database that moves: workers of the old place hold no jobs in the new one.
    Moved,
    /// A database that comes back: sign-ins that were ended since must not come back with it.
    Restored,
}

/// Fixes the moment that is read.
pub(super) async fn begin_reading(source: &mut Connection) -> Result<()> {
    Ok(source.run(&BEGIN_READING, vec![]).await?)
}

/// Copies, compares and settles in one transaction of the target, whose tables are there. What the target counts up
/// goes on behind what came.
pub(super) async fn all(
    source: &mut Connection,
    target: &mut Connection,
    settle: Settle,
    watch: Watch<'_>,
) -> Result<Vec<TableReport>> {
    target.run(&BEGIN_WRITING, vec![]).await?;
    target.run(&DEFER_FOREIGN_KEYS, vec![]).await?;
    let shapes = catalog::shapes(target).await?;
    compare_shapes(&shapes, &catalog::shapes(source).await?)?;
    let tenants: Vec<i64> =
        source.all(&catalog::TENANTS, vec![]).await?.into_iter().map(|(id,): (i64,)| id).collect();
    let mut reports = Vec::with_capacity(shapes.len());
    for shape in &shapes {
        let sum = copy_table(source, target, shape, &tenants, watch).await?;
        let (rows, hash) = sum.finish();
        reports.push(TableReport { name: shape.table.name, rows, hash });
    }
    for (shape, report) in shapes.iter().zip(&reports) {
        check_table(target, shape, &tenants, report, watch).await?;
    }
    watch(Progress { stage: Stage::Finishing, table: "", rows: 0 });
    settle_down(target, settle).await?;
    target.run(&INDEX_TEXT, vec![]).await?;
    target.run(&CHECK_FOREIGN_KEYS, vec![]).await?;
    target.run(&FOREIGN_KEYS_AS_BEFORE, vec![]).await?;
    let broken: Vec<(i64,)> = target.all(&BROKEN_FOREIGN_KEYS, vec![]).await?;
    if !broken.is_empty() {
        return Err(CopyError::Damaged { what: "a row leads to another one that is not there".to_owned() });
    }
    target.run(&COMMIT, vec![]).await?;
    Ok(reports)
}

/// Both have the same tables and columns, as two databases of one version have.
fn compare_shapes(ours: &[Shape], theirs: &[Shape]) -> Result<()> {
    let plain = |shape: &Shape| {
        let mut columns: Vec<(String, Kind)> =
            shape.columns.iter().map(|column| (column.name.clone(), column.kind)).collect();
        columns.sort_by(|one, other| one.0.cmp(&other.0));
        (shape.table.name, columns)
    };
    let same =
        ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(one, other)| plain(one) == plain(other));
    if same { Ok(()) } else { Err(CopyError::Foreign) }
}

async fn copy_table(
    source: &mut Connection,
    target: &mut Connection,
    shape: &Shape,
    tenants: &[i64],
    watch: Watch<'_>,
) -> Result<Sum> {
    let mut sum = Sum::default();
    let mut writer = Writer::new(target, shape);
    for tenant in tenants_of(shape, tenants) {
        enter(source, tenant).await?;
        enter(writer.target, tenant).await?;
        let kinds = shape.kinds();
        let text = shape.select(source.engine());
        let mut rows = source.stream(text, tenant.map(Cell::Int).into_iter().collect(), &kinds);
        while let Some(row) = rows.try_next().await.map_err(|error| CopyError::reading(shape, error))? {
            sum.add(&row);
            writer.push(row).await?;
            if sum.rows() % TELL_EVERY == 0 {
                watch(Progress { stage: Stage::Copying, table: shape.table.name, rows: sum.rows() });
            }
        }
        writer.flush().await?;
    }
    writer.count_on().await?;
    watch(Progress { stage: Stage::Copying, table: shape.table.name, rows: sum.rows() });
    Ok(sum)
}

async fn check_table(
    target: &mut Connection,
    shape: &Shape,
    tenants: &[i64],
    expected: &TableReport,
    watch: Watch<'_>,
) -> Result<()> {
    watch(Progress { stage: Stage::Checking, table: shape.table.name, rows: 0 });
    let mut sum = Sum::default();
    for tenant in tenants_of(shape, tenants) {
        enter(target, tenant).await?;
        let kinds = shape.kinds();
        let text = shape.select(target.engine());
        let mut rows = target.stream(text, tenant.map(Cell::Int).into_iter().collect(), &kinds);
        while let Some(row) = rows.try_next().await.map_err(|error| CopyError::reading(shape, error))? {
            sum.add(&row);
            if sum.rows() % TELL_EVERY == 0 {
                watch(Progress { stage: Stage::Checking, table: shape.table.name, rows: sum.rows() });
            }
        }
    }
    if sum.finish() == (expected.rows, expected.hash.clone()) {
        Ok(())
    } else {
        Err(CopyError::Differs { table: shape.table.name })
    }
}

/// Each tenant, or once nobody.
fn tenants_of(shape: &Shape, tenants: &[i64]) -> Vec<Option<i64>> {
    match shape.table.scope {
        Scope::Whole => vec![None],
        Scope::Tenant => tenants.iter().copied().map(Some).collect(),
    }
}

/// Row-level security shows and takes the rows of this tenant from now on, until the transaction ends.
async fn enter(connection: &mut Connection, tenant: Option<i64>) -> Result<()> {
    if let Some(tenant) = tenant {
        connection.run(&ENTER, vec![Cell::Text(tenant.to_string())]).await?;
    }
    Ok(())
}

async fn settle_down(target: &mut Connection, settle: Settle) -> Result<()> {
    if settle != Settle::Keep {
        target.run(&job::END_LEASES, vec![]).await?;
    }
    if settle == Settle::Restored {
        // On PostgreSQL the tenants' rows of the first two are hidden here, and go with what they belong to.
        for forget in [&FORGET_STEP_UPS, &FORGET_PASSKEY_CHALLENGES, &FORGET_CHALLENGES, &FORGET_SESSIONS] {
            target.run(forget, vec![]).await?;
        }
    }
    Ok(())
}

/// Rows on their way into one table.
struct Writer<'c> {
    target: &'c mut Connection,
    shape: &'c Shape,
    kinds: Vec<Kind>,
    batch: Vec<Vec<Cell>>,
    batch_bytes: usize,
    /// The column that the database counts up, and the largest number that came.
    counted: Option<(usize, i64)>,
    full_insert: String,
}

impl<'c> Writer<'c> {
    fn new(target: &'c mut Connection, shape: &'c Shape) -> Writer<'c> {
        let full_insert = shape.insert(target.engine(), BATCH_ROWS);
        let counted = shape.columns.iter().position(|column| column.counts).map(|at| (at, 0));
        Writer {
            target,
            shape,
            kinds: shape.kinds(),
            batch: Vec::new(),
            batch_bytes: 0,
            counted,
            full_insert,
        }
    }

    async fn push(&mut self, row: Vec<Cell>) -> Result<()> {
        if let Some((at, largest)) = &mut self.counted
            && let Some(Cell::Int(number)) = row.get(*at)
        {
            *largest = (*largest).max(*number);
        }
        self.batch_bytes += row.iter().map(Cell::size_bytes).sum::<usize>();
        self.batch.push(row);
        if self.batch.len() == BATCH_ROWS || self.batch_bytes >= BATCH_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        if rows.is_empty() {
            return Ok(());
        }
        let written = if rows.len() == BATCH_ROWS || self.target.engine() == Engine::Postgres {
            self.target.insert(&self.full_insert, rows, &self.kinds).await
        } else {
            self.insert_each(rows).await
        };
        written.map_err(|error| CopyError::writing(self.shape, error))
    }

    /// What is left over goes in one by one: a text of its own for each length would have to be prepared.
    async fn insert_each(&mut self, rows: Vec<Vec<Cell>>) -> sqlx::Result<()> {
        let one_insert = self.shape.insert(self.target.engine(), 1);
        for row in rows {
            self.target.insert(&one_insert, vec![row], &self.kinds).await?;
        }
        Ok(())
    }

    /// The database's own counting goes on behind what came. SQLite does so by itself.
    async fn count_on(&mut self) -> Result<()> {
        let Some((at, largest)) = self.counted else { return Ok(()) };
        let Some(column) = self.shape.columns.get(at) else { return Ok(()) };
        if largest == 0 {
            return Ok(());
        }
        let args = vec![
            Cell::Text(self.shape.table.name.to_owned()),
            Cell::Text(column.name.clone()),
            Cell::Int(largest),
        ];
        Ok(self.target.run(&COUNT_ON, args).await?)
    }
}

statements! {
    BEGIN_READING = [{engine "BEGIN" "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"}];
    BEGIN_WRITING = [{engine "BEGIN EXCLUSIVE" "BEGIN"}];
    COMMIT = ["COMMIT"];
    ENTER = [{engine "SELECT $1" "SELECT set_config('fleetgate.tenant', $1, true)"}];
    // A client that was merged leads to another client, which may come later. SQLite does not look while it is filled.
    DEFER_FOREIGN_KEYS = [{engine "SELECT 1"
        "DO $$ DECLARE c record; BEGIN
            FOR c IN SELECT CAST(CAST(conrelid AS regclass) AS TEXT) AS of_table, conname FROM pg_constraint
                WHERE contype = 'f' AND conrelid = confrelid AND connamespace = CAST(current_schema() AS regnamespace)
            LOOP
                EXECUTE format('ALTER TABLE %s ALTER CONSTRAINT %I DEFERRABLE INITIALLY DEFERRED', c.of_table, c.conname);
            END LOOP;
        END $$"
    }];
    CHECK_FOREIGN_KEYS = [{engine "SELECT 1" "SET CONSTRAINTS ALL IMMEDIATE"}];
    FOREIGN_KEYS_AS_BEFORE = [{engine "SELECT 1"
        "DO $$ DECLARE c record; BEGIN
            FOR c IN SELECT CAST(CAST(conrelid AS regclass) AS TEXT) AS of_table, conname FROM pg_constraint
                WHERE contype = 'f' AND conrelid = confrelid AND connamespace = CAST(current_schema() AS regnamespace)
            LOOP
                EXECUTE format('ALTER TABLE %s ALTER CONSTRAINT %I NOT DEFERRABLE', c.of_table, c.conname);
            END LOOP;
        END $$"
    }];
    BROKEN_FOREIGN_KEYS = [{engine
        "SELECT CAST(1 AS BIGINT) FROM pragma_foreign_key_check LIMIT 1"
        "SELECT CAST(1 AS BIGINT) WHERE FALSE"
    }];
    COUNT_ON = [{engine "SELECT $1, $2, $3" "SELECT setval(pg_get_serial_sequence($1, $2), $3)"}];
    INDEX_TEXT = [{engine "INSERT INTO asset_search (rowid, text) SELECT row_id, search_text FROM assets" "SELECT 1"}];
    FORGET_STEP_UPS = ["DELETE FROM step_ups"];
    FORGET_PASSKEY_CHALLENGES = ["DELETE FROM passkey_challenges"];
    FORGET_CHALLENGES = ["DELETE FROM login_challenges"];
    FORGET_SESSIONS = ["DELETE FROM sessions"];
}
