//! Questions whether two devices are one machine: found set-based, answered by people, remembered for the pair.
//!
//! What was answered with `never` is never asked again; what was answered with `keep_both` only if the evidence becomes
//! stronger. An open question follows its evidence, and is withdrawn when nothing speaks for it any more.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::{
    Time,
    client::name_key,
    event::kind,
    id::{AssetId, ClientId, DeviceId, IntegrationId, ProposalId, TypedId},
    matching::{Candidate, Evidence},
    page::{Page, PageRequest},
    status::{self, Status},
};
use serde::Serialize;
use sqlx::FromRow;

use crate::{
    Tenant,
    audit::Act,
    client::bounded_total,
    cursor::{self, Cursor},
    db::args,
    error::{Result, StoreError},
    event::{self, EventSource, NewEvent, to_json},
    new_id,
    sql::statements,
};

statements! {
    DUE = [
        "SELECT id, match_due_at FROM rmm_devices WHERE tenant_id = $1 AND integration_id = $2 AND match_due_at <= $3 \
         ORDER BY match_due_at, id LIMIT $4"
    ];
    // The inner counts stop early: what many carry is not looked at, so that no value makes this quadratic. The second
    // `+ r._z` keeps SQLite from walking all devices of the tenant for each row: it shall go from one device to the next.
    BY_SERIAL = [
        "SELECT d.id, o.id FROM ", {keys "$1"},
        " AS r JOIN rmm_devices d ON d.tenant_id = $2 + r._z AND d.id = r.value \
         JOIN rmm_devices o ON o.tenant_id = d.tenant_id + r._z AND o.serial_key = d.serial_key AND o.id <> d.id \
         WHERE d.serial_key IS NOT NULL AND (SELECT COUNT(*) FROM (SELECT 1 FROM rmm_devices n \
           WHERE n.tenant_id = d.tenant_id AND n.serial_key = d.serial_key LIMIT 9) AS few) <= 8"
    ];
    BY_MAC = [
        "SELECT m.device_id, o.device_id FROM ", {keys "$1"},
        " AS r JOIN device_macs m ON m.tenant_id = $2 + r._z AND m.device_id = r.value \
         JOIN device_macs o ON o.tenant_id = m.tenant_id + r._z AND o.mac = m.mac AND o.device_id <> m.device_id \
         WHERE (SELECT COUNT(*) FROM (SELECT 1 FROM device_macs n \
           WHERE n.tenant_id = m.tenant_id AND n.mac = m.mac LIMIT 9) AS few) <= 8"
    ];
    BY_NAME = [
        "SELECT r.id, o.id FROM ", {rows "$1" id text, client_id text, name_key text},
        " AS r JOIN assets a ON a.tenant_id = $2 + r._z AND a.client_id = r.client_id AND a.name_key = r.name_key \
         JOIN rmm_devices o ON o.tenant_id = a.tenant_id + r._z AND o.asset_id = a.id AND o.id <> r.id \
         WHERE (SELECT COUNT(*) FROM (SELECT 1 FROM assets n WHERE n.tenant_id = a.tenant_id \
           AND n.client_id = a.client_id AND n.name_key = a.name_key LIMIT 9) AS few) <= 8"
    ];
    DESCRIBE = [
        "SELECT d.id, d.asset_id, d.integration_id, a.client_id, d.created_at, p.status, p.overdue_at, d.missing_since, ",
        {engine "d.facts->>'name'" "CAST(d.facts AS json)->>'name'"}, " AS name, \
         CASE WHEN (SELECT COUNT(*) FROM (SELECT 1 FROM rmm_devices n WHERE n.tenant_id = d.tenant_id \
           AND n.serial_key = d.serial_key LIMIT 9) AS few) <= 8 THEN d.serial_key END AS serial_key FROM ",
        {keys "$1"}, " AS r JOIN rmm_devices d ON d.tenant_id = $2 + r._z AND d.id = r.value \
         JOIN assets a ON a.tenant_id = d.tenant_id AND a.id = d.asset_id \
         JOIN device_presence p ON p.tenant_id = d.tenant_id AND p.device_id = d.id"
    ];
    MACS = [
        "SELECT m.device_id, m.mac FROM ", {keys "$1"},
        " AS r JOIN device_macs m ON m.tenant_id = $2 + r._z AND m.device_id = r.value \
         WHERE (SELECT COUNT(*) FROM (SELECT 1 FROM device_macs n \
           WHERE n.tenant_id = m.tenant_id AND n.mac = m.mac LIMIT 9) AS few) <= 8"
    ];
    KNOWN = [
        "SELECT k.id, k.device_id, k.other_device_id, k.score, k.state, k.evidence FROM ", {keys "$1"},
        " AS r JOIN asset_proposals k ON k.tenant_id = $2 + r._z AND k.device_id = r.value"
    ];
    KNOWN_OTHER = [
        "SELECT k.id, k.device_id, k.other_device_id, k.score, k.state, k.evidence FROM ", {keys "$1"},
        " AS r JOIN asset_proposals k ON k.tenant_id = $2 + r._z AND k.other_device_id = r.value"
    ];
    INSERT = [
        "INSERT INTO asset_proposals (tenant_id, id, device_id, other_device_id, reason, evidence, score, state, created_at) \
         SELECT CAST($2 AS BIGINT), r.id, r.device_id, r.other_device_id, r.reason, r.evidence, r.score, 'open', \
         CAST($3 AS BIGINT) FROM ",
        {rows "$1" id text, device_id text, other_device_id text, reason text, evidence text, score bigint},
        " AS r WHERE true ON CONFLICT (tenant_id, device_id, other_device_id) DO NOTHING"
    ];
    // Only what nobody answered in the meantime.
    REFRESH = [
        "UPDATE asset_proposals SET state = r.state, reason = r.reason, evidence = r.evidence, score = r.score, \
         decided_at = NULL, decided_by = NULL FROM ",
        {rows "$1" id text, state text, was text, reason text, evidence text, score bigint},
        " AS r WHERE asset_proposals.tenant_id = $2 + r._z AND asset_proposals.id = r.id AND asset_proposals.state = r.was"
    ];
    // Not what changed since it was looked at.
    DONE = [
        "UPDATE rmm_devices SET match_due_at = NULL FROM ", {rows "$1" id text, was bigint},
        " AS r WHERE rmm_devices.tenant_id = $2 + r._z AND rmm_devices.id = r.id AND rmm_devices.match_due_at = r.was"
    ];
    LATER = ["UPDATE rmm_devices SET match_due_at = $3 WHERE tenant_id = $2 AND id IN ", {list "$1"}];
    LIST = [
        "SELECT p.id, d.asset_id, a.name AS asset_name, p.device_id, o.asset_id AS other_asset_id, \
         b.name AS other_asset_name, p.other_device_id, p.reason, p.evidence, p.score, p.state, p.created_at, \
         p.decided_at, p.decided_by FROM asset_proposals p \
         JOIN rmm_devices d ON d.tenant_id = p.tenant_id AND d.id = p.device_id \
         JOIN rmm_devices o ON o.tenant_id = p.tenant_id AND o.id = p.other_device_id \
         JOIN assets a ON a.tenant_id = p.tenant_id AND a.id = d.asset_id \
         JOIN assets b ON b.tenant_id = p.tenant_id AND b.id = o.asset_id \
         WHERE p.tenant_id = $1 AND (p.state = 'open' AND d.asset_id <> o.asset_id OR NOT $2) \
         AND (p.created_at, p.id) < ($3, $4) AND ",
        {within "$6" "a.client_id"}, " AND ", {within "$6" "b.client_id"},
        " ORDER BY p.created_at DESC, p.id DESC LIMIT $5"
    ];
    COUNT = [
        "SELECT COUNT(*) FROM (SELECT 1 FROM asset_proposals p \
         JOIN rmm_devices d ON d.tenant_id = p.tenant_id AND d.id = p.device_id \
         JOIN rmm_devices o ON o.tenant_id = p.tenant_id AND o.id = p.other_device_id \
         JOIN assets a ON a.tenant_id = p.tenant_id AND a.id = d.asset_id \
         JOIN assets b ON b.tenant_id = p.tenant_id AND b.id = o.asset_id \
         WHERE p.tenant_id = $1 AND (p.state = 'open' AND d.asset_id <> o.asset_id OR NOT $2) AND ",
        {within "$3" "a.client_id"}, " AND ", {within "$3" "b.client_id"}, " LIMIT 1001) AS found"
    ];
    GET = [
        "SELECT p.id, d.asset_id, a.name AS asset_name, p.device_id, o.asset_id AS other_asset_id, \
         b.name AS other_asset_name, p.other_device_id, p.reason, p.evidence, p.score, p.state, p.created_at, \
         p.decided_at, p.decided_by FROM asset_proposals p \
         JOIN rmm_devices d ON d.tenant_id = p.tenant_id AND d.id = p.device_id \
         JOIN rmm_devices o ON o.tenant_id = p.tenant_id AND o.id = p.other_device_id \
         JOIN assets a ON a.tenant_id = p.tenant_id AND a.id = d.asset_id \
         JOIN assets b ON b.tenant_id = p.tenant_id AND b.id = o.asset_id \
         WHERE p.tenant_id = $1 AND p.id = $2 AND ",
        {within "$3" "a.client_id"}, " AND ", {within "$3" "b.client_id"}
    ];
    DECIDE = [
        "UPDATE asset_proposals SET state = $3, decided_at = $4, decided_by = $5 \
         WHERE tenant_id = $1 AND id = $2 AND state <> 'merged'"
    ];
}

/// An answer that leaves two assets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// They stay two; the question comes back if the evidence becomes stronger.
    KeepBoth,
    /// They are two, and nobody is to ask again.
    Never,
}

impl Answer {
    /// The stored and public name.
    pub const fn name(self) -> &'static str {
        match self {
            Answer::KeepBoth => "keep_both",
            Answer::Never => "never",
        }
    }
}

/// A question: are these two the same machine?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Its id.
    pub id: ProposalId,
    /// The asset of the newer device.
    pub asset_id: AssetId,
    /// Its name.
    pub asset_name: String,
    /// The newer device.
    pub device_id: DeviceId,
    /// The asset of the older device.
    pub other_asset_id: AssetId,
    /// Its name.
    pub other_asset_name: String,
    /// The older device.
    pub other_device_id: DeviceId,
    /// Why, in one line.
    pub reason: String,
    /// Why, one by one.
    pub evidence: Vec<String>,
    /// 0 to 100.
    pub score: u8,
    /// `open`, `merged`, `keep_both`, `never` or `withdrawn`.
    pub state: String,
    /// When it was made.
    pub created_at: Time,
    /// When it was answered.
    pub decided_at: Option<Time>,
    /// Who answered it.
    pub decided_by: Option<String>,
}

#[derive(FromRow)]
struct ProposalRow {
    id: String,
    asset_id: String,
    asset_name: String,
    device_id: String,
    other_asset_id: String,
    other_asset_name: String,
    other_device_id: String,
    reason: String,
    evidence: String,
    score: i64,
    state: String,
    created_at: i64,
    decided_at: Option<i64>,
    decided_by: Option<String>,
}

impl ProposalRow {
    fn into_proposal(self) -> Result<Proposal> {
        let corrupt = |_| StoreError::Corrupt { what: "proposal" };
        Ok(Proposal {
            id: ProposalId::from_db(&self.id).map_err(corrupt)?,
            asset_id: AssetId::from_db(&self.asset_id).map_err(corrupt)?,
            asset_name: self.asset_name,
            device_id: DeviceId::from_db(&self.device_id).map_err(corrupt)?,
            other_asset_id: AssetId::from_db(&self.other_asset_id).map_err(corrupt)?,
            other_asset_name: self.other_asset_name,
            other_device_id: DeviceId::from_db(&self.other_device_id).map_err(corrupt)?,
            reason: self.reason,
            evidence: serde_json::from_str(&self.evidence)
                .map_err(|_| StoreError::Corrupt { what: "proposal" })?,
            score: u8::try_from(self.score).unwrap_or(0),
            state: self.state,
            created_at: Time(self.created_at),
            decided_at: self.decided_at.map(Time),
            decided_by: self.decided_by,
        })
    }
}

/// A pair for which something speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The one device.
    pub one: DeviceId,
    /// The other.
    pub other: DeviceId,
    /// What speaks for it.
    pub evidence: Evidence,
}

/// A device to be looked at, and since when: what changed meanwhile is looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueDevice {
    /// The device.
    pub device_id: DeviceId,
    /// When it became due.
    pub due_at: Time,
}

/// What a look for the same machines found.
#[derive(Clone, Debug, Default)]
pub struct Looked {
    /// The devices that were looked at.
    pub examined: Vec<DueDevice>,
    /// Pairs that may be one machine.
    pub found: Vec<Found>,
    /// Devices to be looked at again, as one of a pair still reports.
    pub later: Vec<DeviceId>,
}

/// A pair and what became of its question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The question.
    pub id: ProposalId,
    /// Its devices, the greater id first.
    pub devices: (DeviceId, DeviceId),
}

#[derive(Clone, FromRow)]
struct KnownRow {
    id: String,
    device_id: String,
    other_device_id: String,
    score: i64,
    state: String,
    evidence: String,
}

#[derive(FromRow)]
struct DescribedRow {
    id: String,
    asset_id: String,
    integration_id: String,
    client_id: String,
    created_at: i64,
    status: String,
    overdue_at: Option<i64>,
    missing_since: Option<i64>,
    name: Option<String>,
    serial_key: Option<String>,
}

#[derive(Serialize)]
struct NameRow {
    id: String,
    client_id: String,
    name_key: String,
}

#[derive(Serialize)]
struct InsertRow {
    id: String,
    device_id: String,
    other_device_id: String,
    reason: String,
    evidence: String,
    score: u8,
}

#[derive(Serialize)]
struct RefreshRow {
    id: String,
    state: &'static str,
    was: String,
    reason: String,
    evidence: String,
    score: i64,
}

#[derive(Serialize)]
struct DoneRow {
    id: String,
    was: i64,
}

impl From<&DueDevice> for DoneRow {
    fn from(due: &DueDevice) -> DoneRow {
        DoneRow { id: due.device_id.to_db(), was: due.due_at.as_ms() }
    }
}

/// Questions of one tenant.
pub struct Proposals<'a>(pub(crate) &'a Tenant<'a>);

impl Proposals<'_> {
    /// Devices of an integration that are new or known by something else than before, longest waiting first.
    pub async fn due(&self, integration: IntegrationId, limit: u32) -> Result<Vec<DueDevice>> {
        let columns = args![self.0.id, integration.to_db(), self.0.now, limit];
        let rows: Vec<(String, i64)> = self.0.whole()?.all(&DUE, columns).await?;
        rows.iter().map(|(id, at)| Ok(DueDevice { device_id: device(id)?, due_at: Time(*at) })).collect()
    }

    /// Pairs of these devices with others that share a serial number, an address or the name at one client, and all
    /// devices concerned.
    pub async fn candidates(
        &self,
        devices: &[DueDevice],
    ) -> Result<(Vec<(DeviceId, DeviceId)>, HashMap<DeviceId, Candidate>)> {
        let mut reads = self.0.whole()?.read().await?;
        let ids: Vec<String> = devices.iter().map(|due| due.device_id.to_db()).collect();
        let ids = to_json(&ids)?;
        let rows: Vec<DescribedRow> = reads.all(&DESCRIBE, args![ids.as_str(), self.0.id]).await?;
        let names: Vec<NameRow> = rows.iter().filter_map(named).collect();
        let mut pairs: BTreeSet<(String, String)> = BTreeSet::new();
        for statement in [&BY_SERIAL, &BY_MAC] {
            pairs.extend(reads.all::<(String, String)>(statement, args![ids.as_str(), self.0.id]).await?);
        }
        pairs.extend(reads.all::<(String, String)>(&BY_NAME, args![to_json(&names)?, self.0.id]).await?);
        if pairs.is_empty() {
            return Ok((Vec::new(), HashMap::new()));
        }
        let known: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let others: BTreeSet<&str> =
            pairs.iter().map(|(_, other)| other.as_str()).filter(|id| !known.contains(id)).collect();
        let more: Vec<DescribedRow> = reads.all(&DESCRIBE, args![to_json(&others)?, self.0.id]).await?;
        let in_pairs: BTreeSet<&str> =
            pairs.iter().flat_map(|(one, other)| [one.as_str(), other.as_str()]).collect();
        let macs: Vec<(String, String)> = reads.all(&MACS, args![to_json(&in_pairs)?, self.0.id]).await?;
        let mut macs_of: HashMap<String, BTreeSet<String>> = HashMap::new();
        for (device, mac) in macs {
            macs_of.entry(device).or_default().insert(mac);
        }
        let mut described = HashMap::new();
        for row in rows.iter().chain(&more).filter(|row| in_pairs.contains(row.id.as_str())) {
            let candidate = row.candidate(macs_of.remove(&row.id).unwrap_or_default(), self.0.now)?;
            described.insert(candidate.device_id, candidate);
        }
        let pairs =
            pairs.iter().map(|(one, other)| Ok((device(one)?, device(other)?))).collect::<Result<_>>()?;
        Ok((pairs, described))
    }

    /// Brings the questions about the examined devices to what was found. `later` is when to look again at those that
    /// wait. Answers the questions of found pairs that are open now.
    pub async fn refresh(&self, looked: &Looked, later: Time) -> Result<Vec<Asked>> {
        let mut tx = self.0.whole()?.begin().await?;
        let examined: Vec<String> = looked.examined.iter().map(|due| due.device_id.to_db()).collect();
        let ids = to_json(&examined)?;
        let mut known: BTreeMap<(String, String), KnownRow> = BTreeMap::new();
        for statement in [&KNOWN, &KNOWN_OTHER] {
            let rows: Vec<KnownRow> = tx.all(statement, args![ids.as_str(), self.0.id]).await?;
            known.extend(
                rows.into_iter().map(|row| ((row.device_id.clone(), row.other_device_id.clone()), row)),
            );
        }
        let plan = Plan::of(looked, &known, self.0.now)?;
        if !plan.inserts.is_empty() {
            tx.run(&INSERT, args![to_json(&plan.inserts)?, self.0.id, self.0.now]).await?;
        }
        if !plan.updates.is_empty() {
            tx.run(&REFRESH, args![to_json(&plan.updates)?, self.0.id]).await?;
        }
        let done: Vec<DoneRow> = looked.examined.iter().map(DoneRow::from).collect();
        tx.run(&DONE, args![to_json(&done)?, self.0.id]).await?;
        if !looked.later.is_empty() {
            let ids: Vec<String> = looked.later.iter().map(|id| id.to_db()).collect();
            tx.run(&LATER, args![to_json(&ids)?, self.0.id, later]).await?;
        }
        let events: Vec<NewEvent> = plan
            .changed
            .iter()
            .filter_map(|id| ProposalId::from_db(id).ok())
            .map(|id| NewEvent::new(kind::PROPOSAL_CHANGED, id))
            .collect();
        event::insert(&mut tx, self.0.id, self.0.now, EventSource::default(), &events).await?;
        tx.commit().await?;
        Ok(plan.open)
    }

    /// Questions, newest first. Both machines have to be of clients that whoever asks may see.
    pub async fn list(&self, open_only: bool, page: &PageRequest) -> Result<Page<Proposal>> {
        let after = Cursor::read(page.cursor.as_deref())?;
        let at = if after.is_start() { i64::MAX } else { after.number(0) };
        let columns =
            args![self.0.id, open_only, at, after.id(), i64::from(page.limit) + 1, self.0.within()?];
        let rows: Vec<ProposalRow> = self.0.db().all(&LIST, columns).await?;
        let counted: (i64,) = self.0.db().one(&COUNT, args![self.0.id, open_only, self.0.within()?]).await?;
        let next = |row: &ProposalRow| Cursor::write(&[&row.created_at.to_string()], &row.id);
        let (rows, next_cursor) = cursor::cut(rows, page.limit, next);
        let items = rows.into_iter().map(ProposalRow::into_proposal).collect::<Result<_>>()?;
        Ok(Page { items, next_cursor, total: bounded_total(counted.0) })
    }

    /// One question.
    pub async fn get(&self, id: ProposalId) -> Result<Proposal> {
        let columns = args![self.0.id, id.to_db(), self.0.within()?];
        self.0.db().one::<ProposalRow>(&GET, columns).await?.into_proposal()
    }

    /// A person says: they are two.
    pub async fn answer(&self, id: ProposalId, answer: Answer) -> Result<()> {
        let mut tx = self.0.db().begin().await?;
        let row: ProposalRow = tx.one(&GET, args![self.0.id, id.to_db(), self.0.within()?]).await?;
        let columns = args![self.0.id, id.to_db(), answer.name(), self.0.now, self.0.actor.as_str()];
        if tx.run(&DECIDE, columns).await? == 0 {
            return Err(StoreError::Conflict { what: "already_merged" });
        }
        let name = match answer {
            Answer::KeepBoth => "proposal.keep_both",
            Answer::Never => "proposal.never_match",
        };
        let pair = format!("{} and {}", row.asset_name, row.other_asset_name);
        self.0.record(&mut tx, Act::new(name).to(id).named(&pair)).await?;
        let changed = NewEvent::new(kind::PROPOSAL_CHANGED, id);
        event::insert(&mut tx, self.0.id, self.0.now, EventSource::default(), &[changed]).await?;
        tx.commit().await
    }
}

fn device(id: &str) -> Result<DeviceId> {
    DeviceId::from_db(id).map_err(|_| StoreError::Corrupt { what: "device" })
}

fn named(row: &DescribedRow) -> Option<NameRow> {
    let key = name_key(row.name.as_deref()?);
    (!key.is_empty()).then(|| NameRow { id: row.id.clone(), client_id: row.client_id.clone(), name_key: key })
}

impl DescribedRow {
    fn candidate(&self, macs: BTreeSet<String>, now: Time) -> Result<Candidate> {
        let corrupt = |_| StoreError::Corrupt { what: "device" };
        let own = Status::from_name(&self.status).ok_or(StoreError::Corrupt { what: "device" })?;
        Ok(Candidate {
            device_id: DeviceId::from_db(&self.id).map_err(corrupt)?,
            asset_id: AssetId::from_db(&self.asset_id).map_err(corrupt)?,
            integration_id: IntegrationId::from_db(&self.integration_id).map_err(corrupt)?,
            client_id: ClientId::from_db(&self.client_id).map_err(corrupt)?,
            created_at: Time(self.created_at),
            status: status::shown(own, self.overdue_at.map(Time), now),
            is_missing: self.missing_since.is_some(),
            serial_key: self.serial_key.clone(),
            name_key: name_key(self.name.as_deref().unwrap_or_default()),
            macs,
        })
    }
}

/// What a look changes of the questions.
#[derive(Default)]
struct Plan {
    inserts: Vec<InsertRow>,
    updates: Vec<RefreshRow>,
    changed: Vec<String>,
    open: Vec<Asked>,
}

impl Plan {
    fn of(looked: &Looked, known: &BTreeMap<(String, String), KnownRow>, now: Time) -> Result<Plan> {
        let mut plan = Plan::default();
        let mut met = BTreeSet::new();
        for found in &looked.found {
            let devices = (found.one.max(found.other), found.one.min(found.other));
            let key = (devices.0.to_db(), devices.1.to_db());
            if met.insert(key.clone()) {
                plan.add(found, devices, known.get(&key), now)?;
            }
        }
        for (_, row) in known.iter().filter(|(key, row)| row.state == "open" && !met.contains(*key)) {
            plan.changed.push(row.id.clone());
            plan.updates.push(RefreshRow {
                id: row.id.clone(),
                state: "withdrawn",
                was: "open".to_owned(),
                reason: "nothing speaks for it any more".to_owned(),
                evidence: "[]".to_owned(),
                score: row.score,
            });
        }
        Ok(plan)
    }

    fn add(
        &mut self,
        found: &Found,
        devices: (DeviceId, DeviceId),
        known: Option<&KnownRow>,
        now: Time,
    ) -> Result<()> {
        let evidence = to_json(&found.evidence.reasons)?;
        let reason = found.evidence.reasons.join(", ");
        let score = found.evidence.score;
        let Some(row) = known else {
            let id = new_id::<ProposalId>(now);
            self.open.push(Asked { id, devices });
            self.changed.push(id.to_db());
            self.inserts.push(InsertRow {
                id: id.to_db(),
                device_id: devices.0.to_db(),
                other_device_id: devices.1.to_db(),
                reason,
                evidence,
                score,
            });
            return Ok(());
        };
        let is_stronger = i64::from(score) > row.score;
        let is_open = match row.state.as_str() {
            "open" | "withdrawn" => true,
            "keep_both" => is_stronger,
            _ => false,
        };
        if !is_open {
            return Ok(());
        }
        let id = ProposalId::from_db(&row.id).map_err(|_| StoreError::Corrupt { what: "proposal" })?;
        self.open.push(Asked { id, devices });
        if row.state != "open" || i64::from(score) != row.score || evidence != row.evidence {
            self.changed.push(row.id.clone());
            let (id, was) = (row.id.clone(), row.state.clone());
            self.updates.push(RefreshRow { id, state: "open", was, reason, evidence, score: score.into() });
        }
        Ok(())
    }
}
