//! Packages that must not be in the tree, read from `Cargo.lock`.

use super::Finding;

struct Ban {
    name: &'static str,
    reason: &'static str,
}

const BANS: [Ban; 4] = [
    Ban { name: "aws-lc-sys", reason: "one TLS provider only, which is ring" },
    Ban { name: "openssl-sys", reason: "TLS is rustls; nothing links a system library" },
    Ban { name: "native-tls", reason: "TLS is rustls" },
    Ban { name: "chrono", reason: "time is jiff at the edges and milliseconds in the database" },
];

/// sqlx before this version requires a SQLite that can lose commits ("WAL reset", fixed in SQLite 3.51.3).
const OLDEST_SQLX: (u64, u64) = (0, 9);

struct Locked<'a> {
    name: &'a str,
    version: &'a str,
    line: usize,
}

pub(super) fn check(lock: &str) -> Vec<Finding> {
    let packages = parse(lock);
    let mut findings = Vec::new();
    for package in &packages {
        if let Some(ban) = BANS.iter().find(|ban| ban.name == package.name) {
            findings.push(package.finding(ban.reason, "find who brings it with `cargo tree --invert`"));
        }
        if is_sqlx(package.name) && version(package.version) < OLDEST_SQLX {
            findings.push(package.finding(
                "sqlx before 0.9 pulls a SQLite with the WAL reset bug",
                "use what works with sqlx 0.9, or leave the crate that brings the old one",
            ));
        }
    }
    let sqlite = packages.iter().filter(|package| package.name == "libsqlite3-sys");
    findings.extend(sqlite.skip(1).map(|package| {
        package.finding(
            "a second libsqlite3-sys",
            "only the pinned one may be linked; see `cargo tree --invert`",
        )
    }));
    findings
}

impl Locked<'_> {
    fn finding(&self, reason: &str, mend: &str) -> Finding {
        let place = format!("Cargo.lock:{}", self.line);
        Finding::new(place, format!("`{} {}` is banned: {reason}", self.name, self.version), mend)
    }
}

fn is_sqlx(name: &str) -> bool {
    name == "sqlx" || name.starts_with("sqlx-")
}

fn version(text: &str) -> (u64, u64) {
    let mut numbers = text.split('.').map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Cargo writes `name` and `version` on the two lines after each `[[package]]`.
fn parse(lock: &str) -> Vec<Locked<'_>> {
    let mut packages: Vec<Locked<'_>> = Vec::new();
    for (index, line) in lock.lines().enumerate() {
        if let Some(name) = quoted(line, "name = ") {
            packages.push(Locked { name, version: "", line: index + 1 });
        } else if let (Some(version), Some(last)) = (quoted(line, "version = "), packages.last_mut()) {
            last.version = version;
        }
    }
    packages
}

fn quoted<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.strip_prefix(key)?.strip_prefix('"')?.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_lock(packages: &[(&str, &str)], expected: &[&str]) {
        let lock: String = packages
            .iter()
            .map(|(name, version)| format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n\n"))
            .collect();
        let lock = format!("version = 4\n\n{lock}");
        let found: Vec<_> = check(&lock).iter().map(|f| format!("{} {}", f.place, f.problem)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn our_stack_is_accepted() {
        check_lock(&[("sqlx", "0.9.0"), ("sqlx-core", "0.9.1"), ("libsqlite3-sys", "0.37.0")], &[]);
    }

    #[test]
    fn an_old_sqlx_is_found() {
        check_lock(
            &[("sqlx-core", "0.8.6")],
            &[
                "Cargo.lock:4 `sqlx-core 0.8.6` is banned: sqlx before 0.9 pulls a SQLite with the WAL reset bug",
            ],
        );
    }

    #[test]
    fn a_second_sqlite_is_found() {
        check_lock(
            &[("libsqlite3-sys", "0.30.1"), ("libsqlite3-sys", "0.37.0")],
            &["Cargo.lock:8 `libsqlite3-sys 0.37.0` is banned: a second libsqlite3-sys"],
        );
    }

    #[test]
    fn banned_names_are_found() {
        for ban in &BANS {
            let expected = format!("Cargo.lock:4 `{} 1.0.0` is banned: {}", ban.name, ban.reason);
            check_lock(&[(ban.name, "1.0.0")], &[&expected]);
        }
    }
}
