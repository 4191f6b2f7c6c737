//! Which files there are: module style, migrations, lock file, sizes, one set of lints.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use super::Finding;
use super::files::Files;

const LARGEST_BYTES: u64 = 1024 * 1024;
const ENGINES: [&str; 2] = ["sqlite", "postgres"];
const MIGRATIONS: &str = "crates/store/migrations";

pub(super) fn check(files: &Files) -> Result<Vec<Finding>> {
    let mut findings = check_paths(&files.paths);
    for path in &files.paths {
        let size_bytes = std::fs::metadata(path).with_context(|| format!("cannot look at `{path}`"))?.len();
        findings.extend(check_size(path, size_bytes));
        if is_crate_manifest(path) {
            findings.extend(check_lints(path, &std::fs::read_to_string(path)?));
        }
    }
    Ok(findings)
}

fn check_paths(paths: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for path in paths.iter().filter(|path| path.ends_with("/mod.rs")) {
        let folder = path.trim_end_matches("/mod.rs");
        findings.push(Finding::new(path, "a `mod.rs`", format!("move it to `{folder}.rs`")));
    }
    if !paths.iter().any(|path| path == "Cargo.lock") {
        let mend = "commit it: every build uses the same versions";
        findings.push(Finding::new("Cargo.lock", "is missing or ignored by git", mend));
    }
    findings.extend(check_migrations(paths));
    findings
}

/// Both engines have the same migrations, number by number.
fn check_migrations(paths: &[String]) -> Vec<Finding> {
    let [sqlite, postgres] = ENGINES.map(|engine| migrations_of(paths, engine));
    let mut findings = Vec::new();
    for name in sqlite.symmetric_difference(&postgres) {
        let [has, lacks] = if sqlite.contains(name) { ENGINES } else { [ENGINES[1], ENGINES[0]] };
        findings.push(Finding::new(
            format!("{MIGRATIONS}/{has}/{name}"),
            format!("has no counterpart in `{lacks}`"),
            format!(
                "add `{MIGRATIONS}/{lacks}/{name}`, if only with a comment that says why nothing is needed"
            ),
        ));
    }
    findings
}

fn migrations_of<'a>(paths: &'a [String], engine: &str) -> BTreeSet<&'a str> {
    let folder = format!("{MIGRATIONS}/{engine}/");
    paths.iter().filter_map(|path| path.strip_prefix(folder.as_str())).collect()
}

fn check_size(path: &str, size_bytes: u64) -> Option<Finding> {
    if size_bytes <= LARGEST_BYTES {
        return None;
    }
    let problem = format!("{size_bytes} bytes, {LARGEST_BYTES} are the limit");
    Some(Finding::new(path, problem, "generate it, or keep a smaller sample"))
}

/// It stands in for functions of the C library, so it has `unsafe` and lints of its own.
const OWN_LINTS: &str = "crates/faultshim/Cargo.toml";

fn is_crate_manifest(path: &str) -> bool {
    path != OWN_LINTS
        && path.starts_with("crates/")
        && path.ends_with("/Cargo.toml")
        && path.matches('/').count() == 2
}

fn check_lints(path: &str, manifest: &str) -> Option<Finding> {
    let mut section = "";
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        }
        let compact: String = line.split_whitespace().collect();
        if compact == "lints.workspace=true" || (section == "[lints]" && compact == "workspace=true") {
            return None;
        }
    }
    let mend = "add `[lints]` with `workspace = true`";
    Some(Finding::new(path, "does not use the workspace's lints", mend))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_list(paths: &[&str], expected: &[&str]) {
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        let found: Vec<_> =
            check_paths(&paths).iter().map(|f| format!("{} {}", f.place, f.problem)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn mod_rs_is_found() {
        check_list(&["Cargo.lock", "crates/x/src/a/mod.rs"], &["crates/x/src/a/mod.rs a `mod.rs`"]);
    }

    #[test]
    fn a_missing_lock_file_is_found() {
        check_list(&["Cargo.toml"], &["Cargo.lock is missing or ignored by git"]);
    }

    #[test]
    fn migrations_without_counterpart_are_found() {
        let both = [
            "Cargo.lock",
            "crates/store/migrations/sqlite/0001_a.sql",
            "crates/store/migrations/postgres/0001_a.sql",
        ];
        check_list(&both, &[]);
        check_list(
            &["Cargo.lock", "crates/store/migrations/postgres/0002_b.sql"],
            &["crates/store/migrations/postgres/0002_b.sql has no counterpart in `sqlite`"],
        );
        check_list(
            &["Cargo.lock", "crates/store/migrations/sqlite/0002_b.sql"],
            &["crates/store/migrations/sqlite/0002_b.sql has no counterpart in `postgres`"],
        );
    }

    #[test]
    fn large_files_are_found() {
        assert_eq!(check_size("a.json", LARGEST_BYTES), None);
        assert!(check_size("a.json", LARGEST_BYTES + 1).is_some());
    }

    #[test]
    fn a_crate_without_the_lints_is_found() {
        assert_eq!(check_lints("a", "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n"), None);
        assert_eq!(check_lints("a", "[package]\nlints.workspace = true\n"), None);
        assert!(check_lints("a", "[package]\nversion.workspace = true\n[x]\nworkspace = true\n").is_some());
    }
}
