//! Lists: one page, or all of them.

use clap::Args;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{ApiClient, Query, problem};
use crate::cli::{exit::Exit, failure::Failure};

/// Largest page the server gives.
const LARGEST: u16 = 200;

/// How much of a list. Options of list commands.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Paging {
    /// At most so many, 1 to 200.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=200))]
    limit: Option<u16>,
    /// Go on where a page before ended: its `next_cursor`.
    #[arg(long, conflicts_with = "all")]
    cursor: Option<String>,
    /// Everything, page by page.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

impl Paging {
    /// Everything.
    pub(crate) const ALL: Paging = Paging { limit: None, cursor: None, all: true };

    /// At most `limit`.
    pub(crate) const fn first(limit: u16) -> Paging {
        Paging { limit: Some(limit), cursor: None, all: false }
    }
}

/// What a list command got.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    /// The items.
    pub(crate) items: Vec<Value>,
    /// Exactly how many there are, if the server counted.
    pub(crate) total: Option<u64>,
    /// There are at least so many.
    pub(crate) at_least: Option<u64>,
    /// There is more.
    pub(crate) has_more: bool,
    /// The page as the server wrote it; for all pages one object of the same form.
    pub(crate) text: String,
}

#[derive(Deserialize)]
struct RawPage {
    items: Vec<Box<RawValue>>,
    #[serde(default)]
    next_cursor: Option<String>,
    #[serde(default)]
    total: Option<u64>,
    #[serde(default)]
    total_at_least: Option<u64>,
}

impl ApiClient {
    /// Fetches a list, as much of it as `paging` says.
    pub(crate) async fn list(
        &self,
        path: &[&str],
        query: &Query,
        paging: &Paging,
    ) -> Result<Listed, Failure> {
        if paging.all {
            return self.list_all(path, query).await;
        }
        let mut query = query.clone();
        query.extend(paging.limit.map(|limit| ("limit", limit.to_string())));
        query.extend(paging.cursor.iter().map(|cursor| ("cursor", cursor.clone())));
        let answer = self.get(path, &query).await?;
        let page: RawPage = self.page(&answer.text)?;
        Ok(Listed {
            items: self.items(&page.items)?,
            total: page.total,
            at_least: page.total_at_least,
            has_more: page.next_cursor.is_some(),
            text: answer.text,
        })
    }

    async fn list_all(&self, path: &[&str], query: &Query) -> Result<Listed, Failure> {
        let mut all: Vec<Box<RawValue>> = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut query = query.clone();
            query.push(("limit", LARGEST.to_string()));
            query.extend(cursor.iter().map(|cursor| ("cursor", cursor.clone())));
            let answer = self.get(path, &query).await?;
            let page: RawPage = self.page(&answer.text)?;
            all.extend(page.items);
            if page.next_cursor.is_none() {
                break;
            }
            if page.next_cursor == cursor {
                return Err(Failure::new(
                    Exit::Failure,
                    "endless_list",
                    "the server gives the same page again",
                ));
            }
            cursor = page.next_cursor;
        }
        let count = u64::try_from(all.len()).ok();
        let items = self.items(&all)?;
        Ok(Listed { items, total: count, at_least: count, has_more: false, text: joined(&all) })
    }

    fn page(&self, text: &str) -> Result<RawPage, Failure> {
        serde_json::from_str(text).map_err(|_| problem::no_fleetgate(&self.base))
    }

    fn items(&self, raw: &[Box<RawValue>]) -> Result<Vec<Value>, Failure> {
        let items: Result<Vec<Value>, _> = raw.iter().map(|item| serde_json::from_str(item.get())).collect();
        items.map_err(|_| problem::no_fleetgate(&self.base))
    }
}

/// One object in the form of a page, the items as the server wrote them.
fn joined(items: &[Box<RawValue>]) -> String {
    let texts: Vec<&str> = items.iter().map(|item| item.get()).collect();
    let count = items.len();
    format!(
        "{{\"items\":[{}],\"next_cursor\":null,\"total\":{count},\"total_at_least\":{count}}}",
        texts.join(",\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_pages_make_one_page_with_items_as_written() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let text = joined(&[raw("{\"z\":1.50,\"a\":2}"), raw("{}")]);
        assert!(text.contains("{\"z\":1.50,\"a\":2}"), "{text}");
        let page: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(page["total"], 2);
    }
}
