//! `cargo xtask dist`: the release binary, with its size and SHA-256.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::{pages, process};

pub(crate) fn run() -> Result<ExitCode> {
    process::enter_root()?;
    let features = pages::build()?;
    let mut build = process::cargo(["build", "--release", "--locked", "--package", "fleetgate"]);
    build.args(features);
    process::succeed(build)?;

    let binary = process::target_directory()?.join("release").join("fleetgate");
    let size_bytes = std::fs::metadata(&binary)?.len();
    println!("{}", binary.display());
    println!(
        "size    {size_bytes} bytes ({}.{} MB)",
        size_bytes / 1_000_000,
        size_bytes % 1_000_000 / 100_000
    );
    println!("sha256  {}", sha256(&binary)?);
    Ok(ExitCode::SUCCESS)
}

fn sha256(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok(Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_of_a_known_text() {
        let folder = tempfile::tempdir().expect("temp folder");
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").expect("write");
        assert_eq!(
            sha256(&path).expect("hash"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
