//! Rows without an engine: their cells, and the sum by which two tables are compared.

use sha2::{Digest, Sha256};

/// What a column holds. The two engines have no others in common that we use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Bool,
    Text,
    Bytes,
}

impl Kind {
    /// By the type's name in the catalog of either engine.
    pub(super) fn from_catalog(name: &str) -> Option<Kind> {
        match name.to_ascii_lowercase().as_str() {
            "bigint" | "integer" => Some(Kind::Int),
            "boolean" => Some(Kind::Bool),
            "text" => Some(Kind::Text),
            "blob" | "bytea" => Some(Kind::Bytes),
            _ => None,
        }
    }

    /// The type of many of them as one parameter of PostgreSQL.
    pub(super) fn postgres_array(self) -> &'static str {
        match self {
            Kind::Int => "bigint[]",
            Kind::Bool => "boolean[]",
            Kind::Text => "text[]",
            Kind::Bytes => "bytea[]",
        }
    }
}

/// One value. Deliberately without `Debug`: it may be a hash of a password.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Cell {
    Null,
    Int(i64),
    Bool(bool),
    Text(String),
    Bytes(Vec<u8>),
}

impl Cell {
    /// About how much memory it takes.
    pub(super) fn size_bytes(&self) -> usize {
        match self {
            Cell::Null | Cell::Int(_) | Cell::Bool(_) => size_of::<Cell>(),
            Cell::Text(text) => size_of::<Cell>() + text.len(),
            Cell::Bytes(bytes) => size_of::<Cell>() + bytes.len(),
        }
    }
}

/// Number and hash of rows in the order of their key: the same on both engines if and only if the rows are.
#[derive(Default)]
pub(super) struct Sum {
    rows: u64,
    hash: Sha256,
}

impl Sum {
    /// Adds a row. Each value goes in with its kind and its length, so that no two rows look alike.
    pub(super) fn add(&mut self, row: &[Cell]) {
        self.rows += 1;
        for cell in row {
            match cell {
                Cell::Null => self.hash.update([0]),
                Cell::Int(value) => {
                    self.hash.update([1]);
                    self.hash.update(value.to_be_bytes());
                }
                Cell::Bool(value) => self.hash.update([2, u8::from(*value)]),
                Cell::Text(text) => self.add_bytes(3, text.as_bytes()),
                Cell::Bytes(bytes) => self.add_bytes(4, bytes),
            }
        }
    }

    fn add_bytes(&mut self, kind: u8, bytes: &[u8]) {
        self.hash.update([kind]);
        self.hash.update((bytes.len() as u64).to_be_bytes());
        self.hash.update(bytes);
    }

    /// Rows so far.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Number and hash.
    pub(super) fn finish(self) -> (u64, String) {
        (self.rows, hex::encode(self.hash.finalize()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(rows: &[&[Cell]]) -> (u64, String) {
        let mut sum = Sum::default();
        for row in rows {
            sum.add(row);
        }
        sum.finish()
    }

    #[test]
    fn rows_that_differ_have_other_sums() {
        let text = |text: &str| Cell::Text(text.to_owned());
        let one = sum(&[&[text("ab"), text("c")]]);
        assert_eq!(one, sum(&[&[text("ab"), text("c")]]));
        for other in [
            sum(&[&[text("a"), text("bc")]]),
            sum(&[&[text("ab"), Cell::Bytes(b"c".to_vec())]]),
            sum(&[&[text("ab")], &[text("c")]]),
            sum(&[&[text("ab"), Cell::Null]]),
        ] {
            assert_ne!(one, other);
        }
        assert_ne!(sum(&[&[Cell::Int(1)]]), sum(&[&[Cell::Bool(true)]]));
        assert_ne!(sum(&[&[Cell::Int(1)], &[Cell::Int(2)]]), sum(&[&[Cell::Int(2)], &[Cell::Int(1)]]));
    }
}
