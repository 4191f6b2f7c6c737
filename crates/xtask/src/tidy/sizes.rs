//! Files that fit in a head and functions that fit on a screen, tests aside.

use super::Finding;
use super::source::Source;

const FILE_LINES: usize = 800;
const FUNCTION_LINES: usize = 80;

pub(super) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = source.product_lines().count();
    if lines > FILE_LINES {
        findings.push(Finding::new(
            &source.path,
            format!("{lines} lines, {FILE_LINES} are the limit"),
            "split it by what its parts are for",
        ));
    }
    if !source.is_rust() {
        return findings;
    }
    for function in source.product_functions() {
        if function.lines > FUNCTION_LINES {
            findings.push(Finding::new(
                format!("{}:{}", source.path, function.line),
                format!("`{}` has {} lines, {FUNCTION_LINES} are the limit", function.name, function.lines),
                "name its steps and make them functions",
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_text(path: &str, text: String, expected: &[&str]) {
        let found: Vec<_> =
            check(&Source::new(path, text)).iter().map(|f| format!("{} {}", f.place, f.problem)).collect();
        assert_eq!(found, expected);
    }

    fn function_of(lines: usize) -> String {
        format!("\nfn long() {{\n{}}}\n", "    step();\n".repeat(lines - 2))
    }

    #[test]
    fn a_function_of_80_lines_is_accepted_and_one_of_81_found() {
        check_text("crates/x/src/a.rs", function_of(80), &[]);
        check_text(
            "crates/x/src/a.rs",
            function_of(81),
            &["crates/x/src/a.rs:2 `long` has 81 lines, 80 are the limit"],
        );
    }

    #[test]
    fn a_file_of_801_lines_is_found() {
        check_text("crates/x/src/a.rs", "use x;\n".repeat(800), &[]);
        check_text(
            "crates/x/src/a.rs",
            "use x;\n".repeat(801),
            &["crates/x/src/a.rs 801 lines, 800 are the limit"],
        );
        check_text("web/src/a.tsx", "let x;\n".repeat(801), &["web/src/a.tsx 801 lines, 800 are the limit"]);
    }

    #[test]
    fn tests_may_be_long() {
        check_text("crates/x/tests/a.rs", function_of(900), &[]);
        check_text("crates/x/src/a.rs", format!("#[cfg(test)]\nmod tests {{{}}}\n", function_of(900)), &[]);
    }
}
