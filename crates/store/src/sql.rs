//! One SQL text for both engines.
//!
//! SQLite binds `$1` as PostgreSQL does, and nearly all of the language is the same. The few fragments that differ
//! are written once here: rows that travel as one JSON parameter, and `{engine "sqlite" "postgres"}` for the rest.

/// A statement in the words of each engine.
#[derive(Debug)]
pub struct Sql {
    /// For SQLite.
    pub sqlite: &'static str,
    /// For PostgreSQL.
    pub postgres: &'static str,
}

/// Rows and keys have a column `_z` that is always 0. Write `t.tenant_id = $2 + r._z` where `t` is looked up for each row:
/// SQLite then has to read the JSON first and search `t` by its whole key. With a bare `$2` it would rather walk all rows
/// of the tenant and parse the JSON again for each, which is quadratic.
///
/// Builds a [`Sql`] from literals and fragments:
///
/// - `{rows "$1" name type, …}`: the objects of a JSON array as a table (give it an alias);
/// - `{list "$1"}`: the texts of a JSON array as a table with one column `value`, for `IN`;
/// - `{keys "$1"}`: the same to be joined, as column `value`;
/// - `{within "$1" "c.id"}`: is the client in a list of [`crate::scope`], or is there none?
/// - `{clients_of_user}`: JSON of the clients that the user `u` may see, NULL without a limit;
/// - `{engine "sqlite" "postgres"}`: where the two differ.
macro_rules! sql {
    (@lite ,) => { "" };
    (@pg ,) => { "" };
    (@lite $text:literal) => { $text };
    (@pg $text:literal) => { $text };
    (@lite {rows $param:literal $($name:ident $kind:ident),+ $(,)?}) => {
        concat!("(SELECT key * 0 AS _z", $(", value->>'", stringify!($name), "' AS ", stringify!($name)),+,
            " FROM json_each(", $param, "))")
    };
    (@pg {rows $param:literal $($name:ident $kind:ident),+ $(,)?}) => {
        concat!("(SELECT CAST(0 AS BIGINT) AS _z, x.* FROM json_to_recordset(", $param, "::json) AS x(_y bigint",
            $(", ", stringify!($name), " ", stringify!($kind)),+, "))")
    };
    (@lite {list $param:literal}) => { concat!("(SELECT value FROM json_each(", $param, "))") };
    (@pg {list $param:literal}) => { concat!("(SELECT value FROM json_array_elements_text(", $param, "::json))") };
    (@lite {keys $param:literal}) => { concat!("(SELECT value, key * 0 AS _z FROM json_each(", $param, "))") };
    (@pg {keys $param:literal}) => {
        concat!("(SELECT value, CAST(0 AS BIGINT) AS _z FROM json_array_elements_text(", $param, "::json) AS x(value))")
    };
    (@lite {within $param:literal $client:literal}) => {
        concat!("(CAST(", $param, " AS TEXT) IS NULL OR ", $client, " IN (SELECT value FROM json_each(", $param, ")))")
    };
    (@pg {within $param:literal $client:literal}) => {
        concat!("(CAST(", $param, " AS TEXT) IS NULL OR ", $client,
            " IN (SELECT value FROM json_array_elements_text(CAST(", $param, " AS json))))")
    };
    (@lite {clients_of_user}) => {
        "CASE WHEN u.limited THEN (SELECT json_group_array(l.client_id) FROM user_clients AS l
            WHERE l.tenant_id = u.tenant_id AND l.user_id = u.id) END"
    };
    (@pg {clients_of_user}) => {
        "CASE WHEN u.limited THEN (SELECT COALESCE(CAST(json_agg(l.client_id) AS TEXT), '[]') FROM user_clients AS l
            WHERE l.tenant_id = u.tenant_id AND l.user_id = u.id) END"
    };
    (@lite {engine $lite:literal $pg:literal}) => { $lite };
    (@pg {engine $lite:literal $pg:literal}) => { $pg };
    ($($part:tt)+) => {
        $crate::sql::Sql {
            sqlite: concat!($($crate::sql::sql!(@lite $part)),+),
            postgres: concat!($($crate::sql::sql!(@pg $part)),+),
        }
    };
}

/// Declares the statements of a module as constants and lists them in `ALL`, so that one test can prepare every SQL
/// text of the product on both engines.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = [$($part:tt)+];)+) => {
        $($(#[$doc])* pub(crate) static $name: $crate::sql::Sql = $crate::sql::sql!($($part)+);)+

        /// Every statement of this module, with its name.
        pub(crate) static ALL: &[(&str, &$crate::sql::Sql)] = &[$((concat!(module_path!(), "::", stringify!($name)), &$name)),+];
    };
}

pub(crate) use {sql, statements};
