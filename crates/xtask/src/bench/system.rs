//! What the kernel knows: bytes written and memory of a process, and how fast the disk is this minute.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Bytes a process caused to be sent to the disk so far.
pub(crate) fn bytes_written(pid: u32) -> Result<u64> {
    field(&format!("/proc/{pid}/io"), "write_bytes:")
}

/// Resident memory of a process in bytes, now and at its highest.
pub(crate) fn memory(pid: u32) -> Result<Memory> {
    let path = format!("/proc/{pid}/status");
    Ok(Memory { now: field(&path, "VmRSS:")? * 1024, peak: field(&path, "VmHWM:")? * 1024 })
}

/// Resident memory in bytes.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) now: u64,
    pub(crate) peak: u64,
}

/// CPU time of a process so far, user and system.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read `{path}`"))?;
    let after_name = text.rsplit(')').next().unwrap_or_default();
    let ticks: u64 =
        after_name.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<u64>().ok()).sum();
    // `USER_HZ`, 100 on every Linux.
    Ok(Duration::from_millis(ticks * 10))
}

fn field(path: &str, name: &str) -> Result<u64> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read `{path}`"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()).and_then(|word| word.parse().ok());
    number.with_context(|| format!("`{path}` has no `{name}`"))
}

/// How many small writes a second become durable on the disk of this folder, measured for a moment.
pub(crate) fn fsyncs_per_s(folder: &Path) -> Result<f64> {
    const LENGTH: Duration = Duration::from_millis(300);
    let mut file = tempfile::tempfile_in(folder)?;
    let (started, mut n) = (Instant::now(), 0_u32);
    while started.elapsed() < LENGTH {
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        n += 1;
    }
    Ok(f64::from(n) / started.elapsed().as_secs_f64())
}

/// Lets the file's log be folded into it by a connection of ours; answers the bytes that this wrote.
pub(crate) fn checkpoint(file: &Path) -> Result<u64> {
    let own = std::process::id();
    let before = bytes_written(own)?;
    let connection = rusqlite::Connection::open(file)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    drop(connection);
    Ok(bytes_written(own)? - before)
}
