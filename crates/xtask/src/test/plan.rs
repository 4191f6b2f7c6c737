//! Which of the listed tests run, and why the others do not.
//!
//! A test says what it needs by a segment of its path: `store::db::postgres::claims_once` needs PostgreSQL,
//! `browser::sign_in_works` needs Chromium.

use std::fmt;

/// A test as a runner lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TestCase {
    /// The test binary, for people; empty where the runner does not tell.
    pub(super) suite: String,
    pub(super) name: String,
    pub(super) ignored: bool,
}

/// A piece of the machine that some tests need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Postgres,
    Browser,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    Ignored,
    Missing(Need),
}

pub(super) struct Plan {
    pub(super) run: Vec<TestCase>,
    pub(super) skip: Vec<(TestCase, Reason)>,
    /// The missing pieces, for runners that leave tests out by pattern.
    pub(super) missing: Vec<Need>,
}

impl Plan {
    pub(super) fn new(listed: Vec<TestCase>, filter: Option<&str>, missing: &[Need]) -> Self {
        let mut plan = Self { run: Vec::new(), skip: Vec::new(), missing: missing.to_vec() };
        for case in listed {
            if filter.is_some_and(|text| !case.name.contains(text)) {
                continue;
            }
            let need = missing.iter().copied().find(|need| need.is_of(&case.name));
            match need {
                Some(need) => plan.skip.push((case, Reason::Missing(need))),
                None if case.ignored => plan.skip.push((case, Reason::Ignored)),
                None => plan.run.push(case),
            }
        }
        plan
    }

    pub(super) fn skipped(&self) -> usize {
        self.skip.len()
    }
}

impl Need {
    pub(super) fn segment(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Browser => "browser",
        }
    }

    fn is_of(self, name: &str) -> bool {
        name.split("::").any(|segment| segment == self.segment())
    }
}

impl fmt::Display for TestCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.suite.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{} {}", self.suite, self.name)
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ignored => f.write_str("marked as ignored"),
            Self::Missing(Need::Postgres) => f.write_str("needs PostgreSQL"),
            Self::Missing(Need::Browser) => f.write_str("needs Chromium"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(name: &str, ignored: bool) -> TestCase {
        TestCase { suite: String::new(), name: name.to_owned(), ignored }
    }

    fn check(filter: Option<&str>, missing: &[Need], expected_run: &[&str], expected_skip: &[&str]) {
        let listed = vec![
            case("job::claim_is_exclusive", false),
            case("job::postgres::claim_is_exclusive", false),
            case("postgres::upsert_is_one_statement", false),
            case("url::a_postgres_address_is_masked", false),
            case("pages::browser::sign_in_works", false),
            case("known::bug", true),
        ];
        let plan = Plan::new(listed, filter, missing);
        let run: Vec<_> = plan.run.iter().map(|case| case.name.as_str()).collect();
        let skip: Vec<_> = plan.skip.iter().map(|(case, _)| case.name.as_str()).collect();
        assert_eq!((run.as_slice(), skip.as_slice()), (expected_run, expected_skip));
    }

    #[test]
    fn tests_that_need_postgres_are_skipped_by_segment_only() {
        check(
            None,
            &[Need::Postgres],
            &[
                "job::claim_is_exclusive",
                "url::a_postgres_address_is_masked",
                "pages::browser::sign_in_works",
            ],
            &["job::postgres::claim_is_exclusive", "postgres::upsert_is_one_statement", "known::bug"],
        );
    }

    #[test]
    fn filtered_tests_are_neither_run_nor_skipped() {
        check(
            Some("claim"),
            &[Need::Postgres],
            &["job::claim_is_exclusive"],
            &["job::postgres::claim_is_exclusive"],
        );
    }

    #[test]
    fn an_ignored_test_is_skipped_when_nothing_is_missing() {
        check(Some("bug"), &[], &[], &["known::bug"]);
        check(Some("browser"), &[], &["pages::browser::sign_in_works"], &[]);
    }
}
