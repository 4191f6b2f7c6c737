//! The files of the repository, as git sees them: committed or about to be, never ignored ones.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::source::Source;
use crate::process;

pub(super) struct Files {
    /// Relative to the root, with forward slashes, sorted.
    pub(super) paths: Vec<String>,
}

impl Files {
    pub(super) fn list() -> Result<Self> {
        let mut git = Command::new("git");
        git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let text = process::output(git).context("`tidy` asks git which files there are")?;
        let mut paths: Vec<String> =
            text.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect();
        paths.retain(|path| Path::new(path).is_file());
        paths.sort();
        paths.dedup();
        Ok(Self { paths })
    }

    /// The program text: Rust, and TypeScript of the pages.
    pub(super) fn sources(&self) -> Result<Vec<Source>> {
        let mut sources = Vec::new();
        for path in self.paths.iter().filter(|path| is_source(path)) {
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{path}`"))?;
            sources.push(Source::new(path, text));
        }
        mark_test_modules(&mut sources);
        Ok(sources)
    }
}

fn is_source(path: &str) -> bool {
    [".rs", ".ts", ".tsx"].iter().any(|end| path.ends_with(end))
}

/// Files that a parent declares under `#[cfg(test)]`, and everything below them.
fn mark_test_modules(sources: &mut [Source]) {
    let modules: Vec<String> = sources.iter().flat_map(Source::test_modules).collect();
    for source in sources {
        let is_test = modules.iter().any(|module| {
            let rest = source.path.strip_prefix(module.as_str());
            rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        });
        if is_test {
            source.set_test();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_test_modules_are_marked_with_their_folders() {
        let mut sources = vec![
            Source::new("crates/x/src/lib.rs", "#[cfg(test)]\nmod fake;\nmod real;\n".to_owned()),
            Source::new("crates/x/src/fake.rs", "fn a() {}\n".to_owned()),
            Source::new("crates/x/src/fake/deep.rs", "fn a() {}\n".to_owned()),
            Source::new("crates/x/src/fakes.rs", "fn a() {}\n".to_owned()),
            Source::new("crates/x/src/real.rs", "fn a() {}\n".to_owned()),
        ];
        mark_test_modules(&mut sources);
        let tests: Vec<_> = sources.iter().map(Source::is_test_file).collect();
        assert_eq!(tests, [false, true, true, false, false]);
    }
}
