//! Who may depend on whom: the crate table, and where the big outside crates may be used.

use super::Finding;
use super::metadata::{Dependency, DependencyKind, Metadata, Package};

/// What a crate of ours may depend on.
enum Allowed {
    Only(&'static [&'static str]),
    Anything,
}

/// The table of `ARCHITECTURE.md`. A new line or a new name in a line is a design change: propose it alone.
const TABLE: [(&str, Allowed); 12] = [
    ("domain", Allowed::Only(&[])),
    ("outbound", Allowed::Only(&[])),
    ("simulator", Allowed::Only(&[])),
    ("store", Allowed::Only(&["domain"])),
    ("provider", Allowed::Only(&["domain", "outbound"])),
    // `outbound` for the type names of the HTTP client that a connection carries.
    ("providers", Allowed::Only(&["provider", "domain", "outbound"])),
    ("service", Allowed::Only(&["domain", "store", "provider", "outbound"])),
    ("server", Allowed::Only(&["service", "domain"])),
    ("fleetgate", Allowed::Anything),
    ("xtask", Allowed::Anything),
    ("conformance", Allowed::Anything),
    ("faultshim", Allowed::Only(&[])),
];

/// Test helpers: allowed to all as development dependencies.
const DEVELOPMENT: [&str; 2] = ["simulator", "providers"];

/// Development tools may use any outside crate.
const UNRESTRICTED: [&str; 2] = ["xtask", "conformance"];

/// An outside crate (with all whose name begins with it and a hyphen) and the crates of ours that may use it.
struct Confined {
    name: &'static str,
    to: &'static [&'static str],
    in_tests: InTests,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum InTests {
    Free,
    SameRule,
}

const CONFINED: [Confined; 5] = [
    Confined { name: "sqlx", to: &["store"], in_tests: InTests::SameRule },
    Confined { name: "libsqlite3-sys", to: &["store"], in_tests: InTests::SameRule },
    Confined { name: "axum", to: &["server", "simulator"], in_tests: InTests::SameRule },
    // `fleetgate`: its command line is a client of our own REST interface, which is not an outgoing call of the
    // server and so does not pass the egress rules of `outbound`.
    Confined { name: "reqwest", to: &["outbound", "fleetgate"], in_tests: InTests::Free },
    Confined { name: "lettre", to: &["outbound"], in_tests: InTests::Free },
];

/// `domain` does no I/O, is not async and has neither clock nor randomness.
const NOT_IN_DOMAIN: [&str; 10] =
    ["tokio", "futures", "async-trait", "reqwest", "hyper", "http", "axum", "sqlx", "getrandom", "rand"];

pub(super) fn check(metadata: &Metadata) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in metadata.members() {
        let Some((_, allowed)) = TABLE.iter().find(|(name, _)| *name == package.name) else {
            findings.push(finding(package, "is not in the crate table".to_owned(), "add a line to `TABLE`"));
            continue;
        };
        for dependency in &package.dependencies {
            findings.extend(check_ours(metadata, package, dependency, allowed));
            findings.extend(check_outside(package, dependency));
        }
    }
    findings
}

fn check_ours(
    metadata: &Metadata,
    package: &Package,
    dependency: &Dependency,
    allowed: &Allowed,
) -> Option<Finding> {
    if !metadata.is_member(&dependency.name) || is_permitted(dependency, allowed) {
        return None;
    }
    let problem = format!("must not depend on `{}`", dependency.name);
    Some(finding(package, problem, "move the code, or propose a change of `TABLE`"))
}

fn is_permitted(dependency: &Dependency, allowed: &Allowed) -> bool {
    let name = dependency.name.as_str();
    match allowed {
        Allowed::Anything => true,
        Allowed::Only(names) => names.contains(&name) || (is_dev(dependency) && DEVELOPMENT.contains(&name)),
    }
}

fn check_outside(package: &Package, dependency: &Dependency) -> Option<Finding> {
    let user = package.name.as_str();
    let used = dependency.name.as_str();
    if user == "domain" && !is_dev(dependency) && NOT_IN_DOMAIN.iter().any(|name| is_family(used, name)) {
        let problem = format!("must not use `{used}`: no I/O, no async, no clock, no randomness");
        return Some(finding(package, problem, "pass the value in, or move the code out of `domain`"));
    }
    let rule = CONFINED.iter().find(|rule| is_family(used, rule.name))?;
    let free_test = is_dev(dependency) && rule.in_tests == InTests::Free;
    if rule.to.contains(&user) || UNRESTRICTED.contains(&user) || free_test {
        return None;
    }
    let problem = format!("must not use `{used}`, which is confined to {}", rule.to.join(", "));
    Some(finding(package, problem, "go through the crate that owns it, or propose a change of `CONFINED`"))
}

fn is_family(name: &str, root: &str) -> bool {
    name.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

fn is_dev(dependency: &Dependency) -> bool {
    match dependency.kind {
        Some(DependencyKind::Dev) => true,
        Some(DependencyKind::Build) | None => false,
    }
}

fn finding(package: &Package, problem: String, mend: &str) -> Finding {
    Finding::new(format!("crates/{}/Cargo.toml", package.name), format!("`{}` {problem}", package.name), mend)
}

#[cfg(test)]
mod tests {
    use super::super::metadata::Member;
    use super::*;

    const DEV: Option<DependencyKind> = Some(DependencyKind::Dev);
    const ALL: [&str; 9] = [
        "domain",
        "outbound",
        "store",
        "provider",
        "providers",
        "simulator",
        "service",
        "server",
        "fleetgate",
    ];

    #[track_caller]
    fn check_one(user: &str, used: &str, kind: Option<DependencyKind>, expected: &[&str]) {
        let dependencies = [(used, kind)];
        let members: Vec<Member<'_>> =
            ALL.iter().map(|name| (*name, if *name == user { &dependencies[..] } else { &[] })).collect();
        let problems: Vec<String> =
            check(&Metadata::of(&members)).into_iter().map(|finding| finding.problem).collect();
        assert_eq!(problems, expected);
    }

    #[test]
    fn dependencies_in_the_table_are_accepted() {
        check_one("store", "domain", None, &[]);
        check_one("providers", "outbound", None, &[]);
        check_one("fleetgate", "simulator", None, &[]);
    }

    #[test]
    fn dependencies_outside_the_table_are_found() {
        check_one("domain", "store", None, &["`domain` must not depend on `store`"]);
        check_one("service", "providers", None, &["`service` must not depend on `providers`"]);
        check_one("server", "store", Some(DependencyKind::Build), &["`server` must not depend on `store`"]);
    }

    #[test]
    fn simulator_and_providers_are_free_in_tests_only() {
        check_one("service", "simulator", DEV, &[]);
        check_one("service", "providers", DEV, &[]);
        check_one("service", "server", DEV, &["`service` must not depend on `server`"]);
        check_one("service", "simulator", None, &["`service` must not depend on `simulator`"]);
    }

    #[test]
    fn an_unknown_crate_needs_a_line_in_the_table() {
        let problems: Vec<_> = check(&Metadata::of(&[("llm", &[])])).into_iter().map(|f| f.problem).collect();
        assert_eq!(problems, ["`llm` is not in the crate table"]);
    }

    #[test]
    fn outside_crates_stay_where_they_belong() {
        check_one("store", "sqlx", None, &[]);
        check_one("server", "axum-extra", None, &[]);
        check_one("outbound", "reqwest", None, &[]);
        check_one("fleetgate", "reqwest", None, &[]);
        check_one("simulator", "reqwest", DEV, &[]);
        check_one(
            "service",
            "sqlx-core",
            None,
            &["`service` must not use `sqlx-core`, which is confined to store"],
        );
        check_one("service", "sqlx", DEV, &["`service` must not use `sqlx`, which is confined to store"]);
        check_one(
            "service",
            "axum",
            None,
            &["`service` must not use `axum`, which is confined to server, simulator"],
        );
        check_one(
            "providers",
            "reqwest",
            None,
            &["`providers` must not use `reqwest`, which is confined to outbound, fleetgate"],
        );
    }

    #[test]
    fn domain_has_no_runtime() {
        check_one(
            "domain",
            "tokio",
            None,
            &["`domain` must not use `tokio`: no I/O, no async, no clock, no randomness"],
        );
        check_one("domain", "httparse", None, &[]);
    }
}
