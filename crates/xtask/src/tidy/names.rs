//! Words that may stand only in certain files: vendor names, the wrong clock, unowned tasks, raw SQL, notes.

use super::Finding;
use super::source::Source;

/// Names of RMM vendors: a provider folder, its simulator and the list know them, nobody else.
const VENDORS: [&str; 3] = ["tactical", "datto", "centrastage"];

/// Beginnings of paths where vendor names are at home.
const VENDOR_HOMES: [&str; 6] = [
    "crates/providers/src/tacticalrmm",
    "crates/providers/src/datto_rmm",
    "crates/providers/src/lib.rs",
    "crates/simulator/src/tacticalrmm",
    "crates/simulator/src/datto_rmm",
    "crates/fleetgate/src/demo",
];

/// Further files that need vendor names, each with its reason.
const VENDOR_EXCEPTIONS: [(&str, &str); 3] = [
    ("crates/xtask/src/tidy/names.rs", "this rule"),
    ("crates/simulator/src/lib.rs", "the list of simulators, as `providers/src/lib.rs` is that of providers"),
    ("crates/simulator/src/bin/simulator.rs", "starts the simulators by their names"),
];

/// Marks of unfinished work, put together here so that this file does not hold them.
const NOTES: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// Code that only certain files may hold.
struct Reserved {
    code: &'static str,
    place: Place,
    mend: &'static str,
}

enum Place {
    File(&'static str),
    Folder(&'static str),
}

const RESERVED: [Reserved; 4] = [
    Reserved {
        code: "tokio::spawn",
        place: Place::File("spawn.rs"),
        mend: "use the `spawn` module of the crate, so that every task has an owner and an end",
    },
    Reserved {
        code: "Timestamp::now",
        place: Place::File("clock.rs"),
        mend: "take the time from `Ctx` or from the crate's clock",
    },
    Reserved {
        code: concat!("Assert", "SqlSafe"),
        place: Place::Folder("crates/store/"),
        mend: "SQL lives in `store`, as constants",
    },
    Reserved {
        code: "task::spawn",
        place: Place::File("spawn.rs"),
        mend: "use the `spawn` module of the crate, so that every task has an owner and an end",
    },
];

pub(super) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        findings.extend(check_notes(source, index + 1, line));
    }
    for (number, text, code) in source.product_lines() {
        findings.extend(check_vendors(source, number, text));
        findings.extend(check_reserved(source, number, code));
    }
    findings
}

fn check_notes(source: &Source, number: usize, line: &str) -> Option<Finding> {
    let note = NOTES.iter().find(|note| contains_word(line, note))?;
    let mend = "do it, or write down the decision and open an issue";
    Some(Finding::new(at(source, number), format!("`{note}` in source"), mend))
}

fn check_vendors(source: &Source, number: usize, line: &str) -> Option<Finding> {
    let path = source.path.as_str();
    let is_home = VENDOR_HOMES.iter().any(|home| path.starts_with(home));
    let is_exception = VENDOR_EXCEPTIONS.iter().any(|(file, _)| *file == path);
    if is_home || is_exception {
        return None;
    }
    let lower = line.to_lowercase();
    let vendor = VENDORS.iter().find(|vendor| lower.contains(*vendor))?;
    let mend = "say it in general terms, or move it to the provider's folder and pass it as data";
    Some(Finding::new(at(source, number), format!("the vendor name `{vendor}` outside its folders"), mend))
}

fn check_reserved(source: &Source, number: usize, code: &str) -> Option<Finding> {
    let rule = RESERVED.iter().find(|rule| contains_word(code, rule.code))?;
    let (allowed, place) = match rule.place {
        Place::File(name) => (source.file_name() == name, name),
        Place::Folder(folder) => (source.path.starts_with(folder), folder),
    };
    (!allowed)
        .then(|| Finding::new(at(source, number), format!("`{}` outside `{place}`", rule.code), rule.mend))
}

fn at(source: &Source, number: usize) -> String {
    format!("{}:{number}", source.path)
}

fn contains_word(line: &str, word: &str) -> bool {
    let is_name_char = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + word.len()..].chars().next();
        !before.is_some_and(is_name_char) && !after.is_some_and(is_name_char)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_text(path: &str, text: &str, expected: &[&str]) {
        let found: Vec<_> = check(&Source::new(path, text.to_owned()))
            .iter()
            .map(|f| format!("{} {}", f.place, f.problem))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn vendor_names_stay_in_their_folders() {
        let text = "/// As Datto does.\nconst ID: &str = \"x\";\n";
        check_text("crates/providers/src/datto_rmm/api.rs", text, &[]);
        check_text("crates/simulator/src/datto_rmm.rs", text, &[]);
        check_text("crates/fleetgate/src/demo/fleet.rs", text, &[]);
        check_text("crates/fleetgate/tests/it/sync.rs", text, &[]);
        check_text(
            "crates/service/src/sync.rs",
            text,
            &["crates/service/src/sync.rs:1 the vendor name `datto` outside its folders"],
        );
        check_text(
            "web/src/a.tsx",
            "<TacticalIcon/>",
            &["web/src/a.tsx:1 the vendor name `tactical` outside its folders"],
        );
    }

    #[test]
    fn vendor_names_are_free_in_test_modules() {
        check_text(
            "crates/service/src/sync.rs",
            "#[cfg(test)]\nmod tests {\n    use providers::datto_rmm;\n}\n",
            &[],
        );
    }

    #[test]
    fn tasks_start_in_the_spawn_module_only() {
        check_text("crates/service/src/spawn.rs", "tokio::spawn(x);", &[]);
        check_text("crates/service/src/job.rs", "// not tokio::spawn\nlet a = 1;", &[]);
        check_text(
            "crates/service/src/job.rs",
            "tokio::spawn(x);",
            &["crates/service/src/job.rs:1 `tokio::spawn` outside `spawn.rs`"],
        );
        check_text(
            "crates/service/src/job.rs",
            "task::spawn(x);\ntask::spawn_blocking(y);",
            &["crates/service/src/job.rs:1 `task::spawn` outside `spawn.rs`"],
        );
    }

    #[test]
    fn the_clock_is_asked_in_one_file_only() {
        check_text("crates/fleetgate/src/clock.rs", "jiff::Timestamp::now()", &[]);
        check_text(
            "crates/domain/src/status.rs",
            "let at = Timestamp::now();",
            &["crates/domain/src/status.rs:1 `Timestamp::now` outside `clock.rs`"],
        );
    }

    #[test]
    fn unchecked_sql_stays_in_the_store() {
        let text = format!("{}(text)", RESERVED[2].code);
        check_text("crates/store/src/db.rs", &text, &[]);
        let expected = format!("crates/service/src/a.rs:1 `{}` outside `crates/store/`", RESERVED[2].code);
        check_text("crates/service/src/a.rs", &text, &[&expected]);
    }

    #[test]
    fn notes_of_unfinished_work_are_found_in_comments_and_tests() {
        for note in NOTES {
            let expected = format!("crates/x/tests/a.rs:2 `{note}` in source");
            check_text("crates/x/tests/a.rs", &format!("\n// {note}: later"), &[&expected]);
            check_text("crates/x/tests/a.rs", &format!("let a = \"{note}{note}\";"), &[]);
        }
    }
}
