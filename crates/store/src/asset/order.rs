//! Orders of a list of assets: their keys, and cursors that are positions in one of them.

use std::cmp::Ordering;

use domain::asset::{AssetSort, Direction};

use super::row::AssetRow;
use crate::{
    cursor::Cursor,
    db::{Value, args},
    error::{Result, StoreError},
};

/// By what a list is sorted, and which way round.
#[derive(Clone, Copy)]
pub(super) struct Order {
    pub(super) sort: AssetSort,
    pub(super) direction: Direction,
}

impl Order {
    pub(super) fn is_descending(self) -> bool {
        self.direction == Direction::Descending
    }

    /// Keys in the tables, in the order of an index. `a` asset, `c` client, `p` presence.
    pub(super) fn keys(self) -> &'static [&'static str] {
        match self.sort {
            AssetSort::Name => &["a.name_key", "a.id"],
            AssetSort::Client => &["c.name_key", "c.id", "a.name_key", "a.id"],
            AssetSort::Type => &["a.asset_type", "a.name_key", "a.id"],
            AssetSort::Os => &["a.os", "a.name_key", "a.id"],
            AssetSort::LastSeen => &["p.last_seen", "p.device_id"],
            AssetSort::Created => &["a.created_at", "a.id"],
        }
    }

    /// The same keys among the columns of an [`AssetRow`].
    pub(super) fn columns(self) -> &'static [&'static str] {
        match self.sort {
            AssetSort::Name => &["name_key", "id"],
            AssetSort::Client => &["client_key", "client_id", "name_key", "id"],
            AssetSort::Type => &["asset_type", "name_key", "id"],
            AssetSort::Os => &["os", "name_key", "id"],
            AssetSort::LastSeen => &["last_seen", "presence_device_id"],
            AssetSort::Created => &["created_at", "id"],
        }
    }

    /// ` ORDER BY …` of some keys.
    pub(super) fn by(self, keys: &[&str]) -> String {
        let turned =
            |key: &&str| if self.is_descending() { format!("{key} DESC") } else { (*key).to_owned() };
        format!(" ORDER BY {}", keys.iter().map(turned).collect::<Vec<_>>().join(", "))
    }

    /// Values of the keys at a cursor.
    pub(super) fn position(self, after: &Cursor) -> Vec<Value> {
        match self.sort {
            AssetSort::Name => args![after.text(1), after.id()],
            AssetSort::Client => args![after.text(1), after.text(2), after.text(3), after.id()],
            AssetSort::Type | AssetSort::Os => args![after.text(1), after.text(2), after.id()],
            AssetSort::LastSeen | AssetSort::Created => args![after.number(1), after.id()],
        }
    }

    /// Sorts rows that SQLite read: it compares texts byte by byte, as this does. To have it sorted there costs more than to
    /// read the rows, which mostly come in order anyway.
    pub(super) fn sort(self, rows: &mut [AssetRow]) {
        rows.sort_by(|a, b| {
            let ordering = self.compare(a, b);
            if self.is_descending() { ordering.reverse() } else { ordering }
        });
    }

    fn compare(self, a: &AssetRow, b: &AssetRow) -> Ordering {
        match self.sort {
            AssetSort::Name => (&a.name_key, &a.id).cmp(&(&b.name_key, &b.id)),
            AssetSort::Client => (&a.client_key, &a.client_id, &a.name_key, &a.id).cmp(&(
                &b.client_key,
                &b.client_id,
                &b.name_key,
                &b.id,
            )),
            AssetSort::Type => (&a.asset_type, &a.name_key, &a.id).cmp(&(&b.asset_type, &b.name_key, &b.id)),
            AssetSort::Os => (&a.os, &a.name_key, &a.id).cmp(&(&b.os, &b.name_key, &b.id)),
            AssetSort::LastSeen => {
                (a.last_seen, &a.presence_device_id).cmp(&(b.last_seen, &b.presence_device_id))
            }
            AssetSort::Created => (a.created_at, &a.id).cmp(&(b.created_at, &b.id)),
        }
    }

    /// Names itself in its cursors: a cursor is no position in another order.
    fn name(self) -> String {
        match self.direction {
            Direction::Ascending => self.sort.name().to_owned(),
            Direction::Descending => format!("-{}", self.sort.name()),
        }
    }

    /// Reads a cursor of this order; one of another is refused.
    pub(super) fn read_cursor(self, text: Option<&str>) -> Result<Cursor> {
        let cursor = Cursor::read(text)?;
        if cursor.is_start() || cursor.text(0) == self.name() {
            return Ok(cursor);
        }
        Err(StoreError::Conflict { what: "bad_cursor" })
    }

    /// The cursor after a row.
    pub(super) fn cursor_after(self, row: &AssetRow) -> String {
        let order = self.name();
        let number;
        let (values, id): (&[&str], &str) = match self.sort {
            AssetSort::Name => (&[&order, &row.name_key], &row.id),
            AssetSort::Client => (&[&order, &row.client_key, &row.client_id, &row.name_key], &row.id),
            AssetSort::Type => (&[&order, &row.asset_type, &row.name_key], &row.id),
            AssetSort::Os => (&[&order, &row.os, &row.name_key], &row.id),
            AssetSort::LastSeen => {
                number = row.last_seen.to_string();
                (&[&order, &number], &row.presence_device_id)
            }
            AssetSort::Created => {
                number = row.created_at.to_string();
                (&[&order, &number], &row.id)
            }
        };
        Cursor::write(values, id)
    }
}
