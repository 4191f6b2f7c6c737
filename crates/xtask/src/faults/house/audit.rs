//! Rows of the audit log tampered with behind the server's back, and what `fleetgate audit verify` makes of it.

use anyhow::{Result, bail};
use serde_json::json;

use super::{Found, checkpoint, verify};
use crate::bench::http::Client;
use crate::bench::programs::{Database, Home, Server};

/// Acts before somebody tampers; two more rows are of the administrator.
const ACTS: i64 = 40;

/// What is done, in SQL for both engines, and what has to be found: the place in the chain and the fault.
const CASES: [(&str, &[&str], i64, &str); 6] = [
    ("edit", &["UPDATE audit_log SET actor_name = 'eve' WHERE seq = 17"], 17, "changed"),
    ("delete", &["DELETE FROM audit_log WHERE seq = 17"], 17, "missing"),
    (
        "insert",
        &[
            "INSERT INTO audit_log (tenant_id, id, at, actor_kind, actor_name, request_id, act, outcome, arguments, \
            arguments_digest, mac, seq, previous, hash) SELECT tenant_id, '00000000000000000000000000000001', at, \
            'person', 'eve', '', 'client.rename', 'done', '{}', arguments_digest, mac, 43, hash, \
            'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff' FROM audit_log WHERE seq = 42",
        ],
        43,
        "changed",
    ),
    (
        "reorder",
        &[
            "UPDATE audit_log SET seq = 999 WHERE seq = 17",
            "UPDATE audit_log SET seq = 17 WHERE seq = 18",
            "UPDATE audit_log SET seq = 18 WHERE seq = 999",
        ],
        17,
        "moved",
    ),
    ("truncate", &["DELETE FROM audit_log WHERE seq > 30"], 31, "cut"),
    ("rewrite_all", &["DELETE FROM audit_log WHERE seq > 0"], 42, "rewritten"),
];

pub(super) fn run(home: Home, found: &mut Found) -> Result<()> {
    let server = Server::start(&home)?;
    let token = home.sign_up()?;
    let mut api = Client::new(&server.url, Some(&token))?;
    act(&mut api, "Client", ACTS)?;
    checkpoint(&home)?;
    let good = verify(&home)?;
    found.expect(good["ok"] == true, || format!("an untouched log is not right: {good}"));
    found.expect(good["items"][0]["checkpoint_seq"] == ACTS + 2, || format!("nothing was signed: {good}"));
    let mut detected = 0;
    for (name, statements, seq, fault) in CASES {
        let mut kept = Rows::of(&home)?;
        kept.change(statements)?;
        if name == "rewrite_all" {
            // A chain that is right by itself, of other acts: it has more rows than were signed.
            act(&mut api, "Other", ACTS + 4)?;
            std::thread::sleep(std::time::Duration::from_secs(2));
        }
        let report = verify(&home)?;
        let bad = &report["items"][0]["bad"];
        if bad["seq"] == seq && bad["fault"] == fault {
            detected += 1;
        } else {
            found.problem(format!("{name}: row {seq} should be {fault}, but: {report}"));
        }
        kept.put_back()?;
        let report = verify(&home)?;
        found.expect(report["ok"] == true, || format!("after {name} was undone: {report}"));
    }
    found.count("tampered", CASES.len());
    found.count("detected", detected);
    server.stop()
}

fn act(api: &mut Client, name: &str, times: i64) -> Result<()> {
    for n in 0..times {
        api.post("/api/v1/clients", &json!({ "name": format!("{name} {n}") }))?;
    }
    Ok(())
}

/// The rows of the log as they were, to undo what is done to them.
enum Rows {
    Sqlite(rusqlite::Connection),
    Postgres(Box<postgres::Client>),
}

const TABLES: [&str; 2] = ["audit_log", "audit_checkpoints"];

impl Rows {
    /// Keeps a copy of the rows, and speaks to the database as somebody with full access to it.
    fn of(home: &Home) -> Result<Rows> {
        let mut rows = match &home.database {
            Database::Sqlite => {
                let connection = rusqlite::Connection::open(home.sqlite_file())?;
                connection.busy_timeout(std::time::Duration::from_secs(10))?;
                Rows::Sqlite(connection)
            }
            Database::Postgres(addresses) => {
                let address = &addresses.superuser;
                Rows::Postgres(Box::new(postgres::Client::connect(address, postgres::NoTls)?))
            }
        };
        for table in TABLES {
            rows.run(&format!("DROP TABLE IF EXISTS kept_{table}"))?;
            rows.run(&format!("CREATE TEMP TABLE kept_{table} AS SELECT * FROM {table}"))?;
        }
        Ok(rows)
    }

    fn run(&mut self, statement: &str) -> Result<u64> {
        Ok(match self {
            Rows::Sqlite(connection) => connection.execute(statement, [])? as u64,
            Rows::Postgres(client) => client.execute(statement, &[])?,
        })
    }

    fn change(&mut self, statements: &[&str]) -> Result<()> {
        for statement in statements {
            if self.run(statement)? == 0 {
                bail!("nothing was changed by {statement}");
            }
        }
        Ok(())
    }

    fn put_back(&mut self) -> Result<()> {
        for table in TABLES {
            self.run(&format!("DELETE FROM {table}"))?;
            self.run(&format!("INSERT INTO {table} SELECT * FROM kept_{table}"))?;
            self.run(&format!("DROP TABLE kept_{table}"))?;
        }
        Ok(())
    }
}
