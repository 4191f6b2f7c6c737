//! A look at a database without changing it: its version, its settings, its clock. For `doctor`.

use domain::Time;

use crate::{
    Engine, Location, RootKeys, Store,
    db::{Db, args},
    error::Result,
    sql::statements,
};

/// What a look found.
pub enum Look {
    /// The tables are those that this program knows.
    Current(Box<Store>),
    /// They are of another version: 0 if there are none.
    Other {
        /// Number of the last migration.
        found: i64,
        /// The number that this program needs.
        needed: i64,
    },
}

/// How the database is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The version of SQLite or of the PostgreSQL server.
    pub version: String,
    /// The server's clock; none on SQLite, which has none of its own.
    pub clock: Option<Time>,
    /// Settings on which durability depends, by name.
    pub durable: Vec<(String, String)>,
    /// Connections that the server allows to all; none on SQLite.
    pub connections: Option<i64>,
}

impl Store {
    /// Opens the database if its tables are of this version; applies no migration.
    pub async fn look(location: &Location, root_keys: RootKeys) -> Result<Look> {
        let db = Db::open(location).await?;
        let needed = crate::copy::newest();
        let (has_any,): (i64,) = db.one(&HAS_VERSIONS, args![]).await?;
        let found = if has_any > 0 { db.one::<(i64,)>(&VERSION, args![]).await?.0 } else { 0 };
        db.close().await;
        if found != needed {
            return Ok(Look::Other { found, needed });
        }
        Ok(Look::Current(Box::new(Store::open_with(location, root_keys).await?)))
    }

    /// How the database is set up.
    pub async fn settings(&self) -> Result<Settings> {
        let db = self.before_tenant();
        let row: SettingsRow = db.one(&SETTINGS, args![]).await?;
        let durable = match self.engine() {
            Engine::Sqlite => vec![("journal_mode", row.first), ("synchronous", row.second)],
            Engine::Postgres => {
                vec![
                    ("fsync", row.first),
                    ("full_page_writes", row.second),
                    ("synchronous_commit", row.third),
                ]
            }
        };
        let durable = durable.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Ok(Settings {
            version: row.version,
            clock: row.clock.map(Time),
            durable,
            connections: row.connections,
        })
    }
}

#[derive(sqlx::FromRow)]
struct SettingsRow {
    version: String,
    first: String,
    second: String,
    third: String,
    clock: Option<i64>,
    connections: Option<i64>,
}

statements! {
    HAS_VERSIONS = [{engine
        "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'"
        "SELECT CAST(CASE WHEN to_regclass('_sqlx_migrations') IS NULL THEN 0 ELSE 1 END AS BIGINT)"}];
    VERSION = ["SELECT CAST(COALESCE(MAX(version), 0) AS BIGINT) FROM _sqlx_migrations WHERE success"];
    SETTINGS = [{engine
        "SELECT sqlite_version() AS version, (SELECT journal_mode FROM pragma_journal_mode) AS first, \
         CAST((SELECT synchronous FROM pragma_synchronous) AS TEXT) AS second, '' AS third, \
         CAST(NULL AS BIGINT) AS clock, CAST(NULL AS BIGINT) AS connections"
        "SELECT current_setting('server_version') AS version, current_setting('fsync') AS first, \
         current_setting('full_page_writes') AS second, current_setting('synchronous_commit') AS third, \
         CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) AS clock, \
         CAST(current_setting('max_connections') AS BIGINT) AS connections"}];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RootKey, db::Text, on_both_engines};

    on_both_engines! {
        async fn a_database_of_this_version_opens_and_tells_its_settings(test) {
            let keys = RootKeys::from(test.root_key.clone());
            let Look::Current(store) = Store::look(&test.location, keys).await.unwrap() else {
                panic!("it is of this version")
            };
            let settings = store.settings().await.unwrap();
            assert!(!settings.version.is_empty() && settings.durable.len() >= 2, "{settings:?}");
            assert_eq!(settings.clock.is_some(), store.engine() == Engine::Postgres);
            store.close().await;
        }

        async fn one_of_another_version_is_left_as_it_is(test) {
            let older = "DELETE FROM _sqlx_migrations WHERE version = (SELECT MAX(version) FROM _sqlx_migrations)";
            let open = match &test.roles {
                Some(roles) => Db::open(&roles.superuser).await.unwrap(),
                None => Db::open(&test.location).await.unwrap(),
            };
            open.write(Text::Composed(older.to_owned()), args![]).await.unwrap();
            let keys = RootKeys::from(RootKey::generate());
            let needed = crate::copy::newest();
            let Look::Other { found, needed: told } = Store::look(&test.location, keys).await.unwrap() else {
                panic!("it is of another version")
            };
            assert!(found < needed && told == needed);
            assert_eq!(open.one::<(i64,)>(&VERSION, args![]).await.unwrap().0, found, "nothing was applied");
        }
    }
}
