//! Keyset pages: the position is the last sort value and id, never an offset.

use serde::Serialize;

/// Largest page.
pub const MAX_LIMIT: u32 = 200;

/// Page size where none is asked.
pub const DEFAULT_LIMIT: u32 = 50;

/// Totals are counted exactly up to here.
pub const MAX_COUNT: u64 = 1_000;

/// Which page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Most items, 1 to [`MAX_LIMIT`] (more for exports).
    pub limit: u32,
    /// Where the page before ended; none for the first.
    pub cursor: Option<String>,
}

impl Default for PageRequest {
    fn default() -> Self {
        PageRequest { limit: DEFAULT_LIMIT, cursor: None }
    }
}

/// How many there are: exact, or at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Total {
    /// Exactly so many.
    Exact(u64),
    /// So many or more.
    AtLeast(u64),
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where to go on; none at the end.
    pub next_cursor: Option<String>,
    /// How many there are in all.
    pub total: Total,
}

impl<T> Page<T> {
    /// The same page with other items.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(f).collect(),
            next_cursor: self.next_cursor,
            total: self.total,
        }
    }
}
