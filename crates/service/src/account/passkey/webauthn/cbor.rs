//! CBOR in the one form that CTAP2 allows: shortest lengths, nothing of unknown length, no key twice.
//!
//! What is read is written again and must be the same bytes: no second form of one value gets through, whatever the library
//! would take.

use cbor4ii::core::{
    Value,
    dec::Decode,
    enc::Encode,
    utils::{BufWriter, SliceReader},
};

/// Containers in one another; CTAP2 allows four.
const MAX_DEPTH: usize = 4;

/// The first value and what follows it; none if it is not of that form.
pub(super) fn read(bytes: &[u8]) -> Option<(Value, &[u8])> {
    let value = Value::decode(&mut SliceReader::new(bytes)).ok()?;
    let mut again = BufWriter::new(Vec::with_capacity(bytes.len()));
    value.encode(&mut again).ok()?;
    let rest = bytes.strip_prefix(again.buffer())?;
    is_plain(&value, MAX_DEPTH).then_some((value, rest))
}

/// No key twice, no tags, no deep nesting.
fn is_plain(value: &Value, depth: usize) -> bool {
    match value {
        Value::Null
        | Value::Bool(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Bytes(_)
        | Value::Text(_) => true,
        Value::Array(items) => depth > 0 && items.iter().all(|item| is_plain(item, depth - 1)),
        Value::Map(entries) => {
            depth > 0
                && entries.iter().enumerate().all(|(at, (key, value))| {
                    matches!(key, Value::Integer(_) | Value::Text(_) | Value::Bytes(_))
                        && entries.iter().take(at).all(|(earlier, _)| earlier != key)
                        && is_plain(value, depth - 1)
                })
        }
        _ => false,
    }
}
