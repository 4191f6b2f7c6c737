//! Source files as the rules see them: raw text, code without comments and literals, and which lines are tests.
//!
//! A small scanner, not a parser: it relies on rustfmt's output and on the compiler having accepted the file.

use std::ops::Range;

/// One source file.
pub(super) struct Source {
    /// Relative to the root, with forward slashes.
    pub(super) path: String,
    pub(super) text: String,
    /// The text with comments and the insides of literals as spaces (Rust only); same lines.
    pub(super) code: String,
    tests: Tests,
}

/// What of a file exists only in tests.
enum Tests {
    Whole,
    /// Byte ranges of the code.
    Parts(Vec<Range<usize>>),
}

/// A function with a body.
pub(super) struct Function<'a> {
    pub(super) name: &'a str,
    pub(super) line: usize,
    pub(super) lines: usize,
    start: usize,
}

impl Source {
    pub(super) fn new(path: &str, text: String) -> Self {
        let code = if is_rust(path) { without_comments_and_literals(&text) } else { text.clone() };
        let tests = if is_test_path(path) {
            Tests::Whole
        } else if is_rust(path) {
            find_tests(&code)
        } else {
            Tests::Parts(Vec::new())
        };
        Self { path: path.to_owned(), text, code, tests }
    }

    /// Declares the whole file a test (it is a module that its parent declares under `#[cfg(test)]`).
    pub(super) fn set_test(&mut self) {
        self.tests = Tests::Whole;
    }

    pub(super) fn is_rust(&self) -> bool {
        is_rust(&self.path)
    }

    #[cfg(test)]
    pub(super) fn is_test_file(&self) -> bool {
        matches!(self.tests, Tests::Whole)
    }

    pub(super) fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// The numbers of the lines outside tests, with their raw text and their code.
    pub(super) fn product_lines(&self) -> impl Iterator<Item = (usize, &str, &str)> {
        let mut start = 0;
        let lines = self.text.lines().zip(self.code.lines()).enumerate();
        lines.filter_map(move |(index, (text, code))| {
            let here = start;
            start += code.len() + 1;
            (!self.is_in_test(here + indent(code))).then_some((index + 1, text, code))
        })
    }

    /// All functions with a body outside tests.
    pub(super) fn product_functions(&self) -> Vec<Function<'_>> {
        let mut found = functions(&self.code);
        found.retain(|function| !self.is_in_test(function.start));
        found
    }

    /// Modules that this file declares for tests only: paths of their files without `.rs`.
    pub(super) fn test_modules(&self) -> Vec<String> {
        let (folder, file) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        let stem = file.trim_end_matches(".rs");
        let base =
            if matches!(stem, "lib" | "main") { folder.to_owned() } else { format!("{folder}/{stem}") };
        let ranges = match &self.tests {
            Tests::Whole => &[],
            Tests::Parts(ranges) => ranges.as_slice(),
        };
        let declarations = ranges.iter().filter_map(|range| self.code.get(range.clone()));
        declarations.filter_map(|code| Some(format!("{base}/{}", declared_module(code)?))).collect()
    }

    fn is_in_test(&self, place: usize) -> bool {
        match &self.tests {
            Tests::Whole => true,
            Tests::Parts(ranges) => ranges.iter().any(|range| range.contains(&place)),
        }
    }
}

fn is_rust(path: &str) -> bool {
    path.ends_with(".rs")
}

fn is_test_path(path: &str) -> bool {
    const FOLDERS: [&str; 4] = ["tests", "fixtures", "benches", "__tests__"];
    let (folders, file) = path.rsplit_once('/').unwrap_or(("", path));
    folders.split('/').any(|folder| FOLDERS.contains(&folder))
        || file == "tests.rs"
        || file.contains(".test.")
        || file.contains(".spec.")
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// `name` from `#[cfg(test)] mod name;`.
fn declared_module(code: &str) -> Option<&str> {
    let (before, _) = code.trim_end().strip_suffix(';')?.trim_end().rsplit_once(char::is_whitespace)?;
    let name = code.trim_end().strip_suffix(';')?.trim_end().rsplit(char::is_whitespace).next()?;
    before.trim_end().ends_with("mod").then_some(name)
}

/// Replaces what is not code by as many spaces (line breaks stay).
fn without_comments_and_literals(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = end_of_blank(&chars, at);
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            code.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

/// Where the comment or literal that begins at `at` ends; `at` itself if none begins there.
fn end_of_blank(chars: &[char], at: usize) -> usize {
    let next = chars.get(at + 1).copied();
    match chars[at] {
        '/' if next == Some('/') => {
            chars[at..].iter().position(|c| *c == '\n').map_or(chars.len(), |n| at + n)
        }
        '/' if next == Some('*') => end_of_block_comment(chars, at),
        '"' => end_of_string(chars, at),
        'r' if !follows_name(chars, at) => end_of_raw_string(chars, at).unwrap_or(at),
        '\'' => end_of_char(chars, at).unwrap_or(at),
        _ => at,
    }
}

/// Whether the character belongs to a longer word; `b` and `c` alone may stand before a literal.
fn follows_name(chars: &[char], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).map(|place| chars[place]);
    match before(1) {
        Some('b' | 'c') => before(2).is_some_and(is_name_char),
        Some(c) => is_name_char(c),
        None => false,
    }
}

fn is_name_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn end_of_block_comment(chars: &[char], at: usize) -> usize {
    let mut depth = 0;
    let mut here = at;
    while here < chars.len() {
        match (chars[here], chars.get(here + 1)) {
            ('/', Some('*')) => (depth, here) = (depth + 1, here + 2),
            ('*', Some('/')) => (depth, here) = (depth - 1, here + 2),
            _ => here += 1,
        }
        if depth == 0 {
            return here;
        }
    }
    chars.len()
}

fn end_of_string(chars: &[char], at: usize) -> usize {
    let mut here = at + 1;
    while here < chars.len() {
        match chars[here] {
            '\\' => here += 2,
            '"' => return here + 1,
            _ => here += 1,
        }
    }
    chars.len()
}

/// `r"…"`, `r#"…"#`; not `r#type`.
fn end_of_raw_string(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    let open = at + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let mut here = open + 1;
    while here < chars.len() {
        let closing = chars[here] == '"' && chars[here + 1..].iter().take(hashes).all(|c| *c == '#');
        if closing {
            return Some((here + 1 + hashes).min(chars.len()));
        }
        here += 1;
    }
    Some(chars.len())
}

/// `'x'` and `'\n'`; not the lifetime `'a`.
fn end_of_char(chars: &[char], at: usize) -> Option<usize> {
    if chars.get(at + 1) != Some(&'\\') {
        return (chars.get(at + 2) == Some(&'\'')).then_some(at + 3);
    }
    let close = chars[at + 3..].iter().position(|c| *c == '\'')?;
    Some(at + 3 + close + 1)
}

/// Items under `#[cfg(test)]` or `#[cfg(all(test, …))]`, from the attribute to the item's end.
fn find_tests(code: &str) -> Tests {
    if code.contains("#![cfg(test)]") {
        return Tests::Whole;
    }
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for attribute in ["#[cfg(test)]", "#[cfg(all(test"] {
        for (start, _) in code.match_indices(attribute) {
            ranges.push(start..end_of_item(code, start));
        }
    }
    Tests::Parts(ranges)
}

/// The end of the item whose attributes begin at `start`: its `;` or the brace that closes its body.
fn end_of_item(code: &str, start: usize) -> usize {
    match end_of_head(code, start) {
        Some((place, b'{')) => closing_brace(code, place) + 1,
        Some((place, _)) => place + 1,
        None => code.len(),
    }
}

/// The first `{` or `;` outside parentheses and brackets.
fn end_of_head(code: &str, start: usize) -> Option<(usize, u8)> {
    let mut depth = 0;
    for (offset, byte) in code.as_bytes()[start..].iter().enumerate() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'{' | b';' if depth == 0 => return Some((start + offset, *byte)),
            _ => {}
        }
    }
    None
}

fn closing_brace(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (offset, byte) in code.as_bytes()[open..].iter().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return open + offset;
        }
    }
    code.len().saturating_sub(1)
}

fn functions(code: &str) -> Vec<Function<'_>> {
    let mut found = Vec::new();
    for (start, _) in code.match_indices("fn ") {
        if code[..start].chars().next_back().is_some_and(is_name_char) {
            continue;
        }
        let rest = &code[start + 3..];
        let name = &rest[..rest.find(|c: char| !is_name_char(c)).unwrap_or(rest.len())];
        if name.is_empty() {
            continue;
        }
        if let Some((open, b'{')) = end_of_head(code, start) {
            let line = line_of(code, start);
            let lines = line_of(code, closing_brace(code, open)) - line + 1;
            found.push(Function { name, line, lines, start });
        }
    }
    found
}

fn line_of(code: &str, place: usize) -> usize {
    code.as_bytes()[..place].iter().filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_code(text: &str, expected: &str) {
        assert_eq!(without_comments_and_literals(text), expected);
    }

    #[test]
    fn comments_and_literals_become_spaces() {
        check_code("a // }\nb", "a     \nb");
        check_code("a /* { /* } */ */ b", "a                 b");
        check_code(r#"f("}\"{") + '{' + '\'' + '\u{7d}'"#, r"f(      ) +     +      +         ");
        check_code("r#\"{\"}\"# + br\"{\" + r#type", "         + b     + r#type");
        check_code("fn a<'a>(x: &'a str) {}", "fn a<'a>(x: &'a str) {}");
        check_code("\"ä\n{\"", "  \n  ");
    }

    #[test]
    fn functions_are_measured_from_signature_to_brace() {
        let code = "fn a() {\n}\ntrait T { fn b(x: [u8; 3]) -> u8; }\nimpl X {\n  fn c(\n    y: fn(u8),\n  ) {\n    if y {}\n  }\n}\n";
        let found: Vec<_> = functions(code).iter().map(|f| (f.name, f.line, f.lines)).collect();
        assert_eq!(found, [("a", 1, 2), ("c", 5, 5)]);
    }

    #[test]
    fn test_modules_are_not_product_code() {
        let text = "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() { \"}\" }\n}\nfn c() {}\n";
        let source = Source::new("crates/x/src/lib.rs", text.to_owned());
        let names: Vec<_> = source.product_functions().iter().map(|f| f.name).collect();
        let lines: Vec<_> = source.product_lines().map(|(line, _, _)| line).collect();
        assert_eq!((names.as_slice(), lines.as_slice()), (["a", "c"].as_slice(), [1, 2, 7].as_slice()));
    }

    #[test]
    fn test_files_are_known_by_path_and_by_declaration() {
        for path in ["crates/x/tests/it/main.rs", "crates/x/src/y/tests.rs", "web/src/grid.test.tsx"] {
            assert!(Source::new(path, "fn a() {}\n".to_owned()).is_test_file(), "{path}");
        }
        let parent =
            "mod a;\n#[cfg(test)]\nmod fake;\n#[cfg(test)]\n#[path = \"x\"]\nmod inline { fn x() {} }\n";
        let source = Source::new("crates/x/src/sync.rs", parent.to_owned());
        assert_eq!(source.test_modules(), ["crates/x/src/sync/fake"]);
        let source = Source::new("crates/x/src/lib.rs", parent.to_owned());
        assert_eq!(source.test_modules(), ["crates/x/src/fake"]);
    }
}
