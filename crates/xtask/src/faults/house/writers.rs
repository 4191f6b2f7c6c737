//! 32 writers at once, a third of whose work is refused and rolled back: the chain has no gap and no false alarm.

use anyhow::{Context, Result};
use serde_json::json;

use super::{Found, expect_whole};
use crate::bench::http::Connection;
use crate::bench::programs::{Home, Server};

const WRITERS: usize = 32;

/// Writes of each.
const WRITES: usize = 24;

pub(super) fn run(home: Home, found: &mut Found) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let server = Server::start(&home)?;
    let token = home.sign_up()?;
    let writers: Vec<_> =
        (0..WRITERS).map(|writer| runtime.spawn(write(server.url.clone(), token.clone(), writer))).collect();
    let (mut stored, mut refused) = (0, 0);
    for writer in writers {
        let (its, not) = runtime.block_on(writer).context("a writer broke")??;
        stored += its;
        refused += not;
    }
    std::thread::sleep(std::time::Duration::from_secs(2));
    expect_whole(&home, found)?;
    // The administrator and its token were rows as well.
    let rows = found.counted.get("audit_rows").and_then(serde_json::Value::as_u64).unwrap_or(0);
    found.expect(rows == stored + 2, || format!("{stored} acts and {rows} rows"));
    found.expect(refused > 0, || "nothing was rolled back".to_owned());
    found.count("stored", stored);
    found.count("rolled_back", refused);
    server.stop()
}

/// Each third name is taken by somebody else: the transaction is rolled back at its end.
async fn write(url: String, token: String, writer: usize) -> Result<(u64, u64)> {
    let mut connection = Connection::open(&url, Some(&token)).await?;
    let (mut stored, mut refused) = (0, 0);
    for n in 0..WRITES {
        let name = if n % 3 == 2 { format!("Shared {n}") } else { format!("Client {writer}-{n}") };
        let answer = connection.send("POST", "/api/v1/clients", Some(&json!({ "name": name }))).await?;
        match answer.status {
            201 => stored += 1,
            409 => refused += 1,
            other => anyhow::bail!("a write was answered with {other}"),
        }
    }
    Ok((stored, refused))
}
