//! Cursors of keyset pages: the last row's sort values and id, opaque outside.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::error::{Result, StoreError};

/// Where the page before ended.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    values: Vec<String>,
    id: String,
}

impl Cursor {
    /// Reads a cursor of a request; none is the start.
    pub(crate) fn read(text: Option<&str>) -> Result<Cursor> {
        let Some(text) = text else { return Ok(Cursor::default()) };
        let bad = StoreError::Conflict { what: "bad_cursor" };
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(text) else { return Err(bad) };
        let Ok(mut values) = serde_json::from_slice::<Vec<String>>(&bytes) else { return Err(bad) };
        let Some(id) = values.pop() else { return Err(bad) };
        Ok(Cursor { values, id })
    }

    /// Writes the cursor after a row.
    pub(crate) fn write(values: &[&str], id: &str) -> String {
        let all: Vec<&str> = values.iter().copied().chain([id]).collect();
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&all).unwrap_or_default())
    }

    pub(crate) fn is_start(&self) -> bool {
        self.id.is_empty()
    }

    pub(crate) fn text(&self, n: usize) -> &str {
        self.values.get(n).map_or("", String::as_str)
    }

    pub(crate) fn number(&self, n: usize) -> i64 {
        self.text(n).parse().unwrap_or(0)
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

/// Cuts the one row too many that says there is a next page.
pub(crate) fn cut<T>(
    mut rows: Vec<T>,
    limit: u32,
    cursor: impl Fn(&T) -> String,
) -> (Vec<T>, Option<String>) {
    let limit = limit as usize;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = if more { rows.last().map(cursor) } else { None };
    (rows, next)
}

/// `%text%` with the wildcards of `text` itself disarmed (escape sign `\`); empty stays empty.
pub(crate) fn like_pattern(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("%{}%", escape_like(text)) }
}

/// Disarms the wildcards of LIKE.
pub(crate) fn escape_like(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}
