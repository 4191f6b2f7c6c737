//! What can go wrong in the store. The driver's types do not leave this crate.

use domain::auth::Permission;

use crate::secret::RootKeyError;

/// The result of a store call.
pub type Result<T> = std::result::Result<T, StoreError>;

/// A failed store call; the variant says what the caller should do next.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No such row for this tenant.
    #[error("not found")]
    NotFound,
    /// The change collides with another row.
    #[error("conflict: {what}")]
    Conflict {
        /// Which rule, as a stable word.
        what: &'static str,
    },
    /// Whoever asks would give, or touch, a right that they do not hold.
    #[error("beyond the rights of whoever asks: `{}`", .0.name())]
    Beyond(Permission),
    /// Whoever asks may see only some clients, and this concerns more.
    #[error("concerns more clients than whoever asks may see")]
    BeyondClients,
    /// The row changed since it was read: read it again.
    #[error("changed by someone else")]
    Stale,
    /// The database cannot be used now.
    #[error("the database is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A stored value cannot be read: the data or the key file belongs elsewhere.
    #[error("stored {what} cannot be read")]
    Corrupt {
        /// What.
        what: &'static str,
    },
    /// The data keys are wrapped by another root key than those at hand: put the needed one into its place.
    #[error("{}", other_root_key(.needed.as_deref(), .found))]
    OtherRootKey {
        /// The fingerprint of the one that is needed, where the data tells it.
        needed: Option<String>,
        /// The fingerprints of those at hand.
        found: Vec<String>,
    },
    /// The root key cannot be read.
    #[error("the root key cannot be used")]
    RootKey(#[from] RootKeyError),
    /// The database is of the other kind of installation: demo data and real data never mix.
    #[error("this database belongs to `fleetgate {found}` and cannot be used by `fleetgate {wanted}`")]
    OtherInstallation {
        /// Its kind.
        found: &'static str,
        /// The kind asked for.
        wanted: &'static str,
    },
    /// The linked SQLite may lose writes.
    #[error("SQLite {found} may lose writes; 3.51.3 or newer is needed")]
    OldSqlite {
        /// Its version.
        found: String,
    },
    /// The address of the database cannot be read. It may hold a password, so it is not repeated here.
    #[error(
        "the database address cannot be read; it looks like postgres://user:password@host:5432/fleetgate"
    )]
    BadAddress,
    /// The role that serves does not exist, so nothing can be granted to it.
    #[error("the role in `database.url` does not exist; create it first (docs/operations.md has the lines)")]
    NoSuchRole,
    /// Tables are missing, and this role may not make them.
    #[error(
        "the tables are older than this program, and the role in `database.url` may not change them; set \
         `database.migrate_url`, or run `fleetgate migrate` with it"
    )]
    MayNotMigrate,
    /// A migration failed; it was rolled back.
    #[error("a migration failed; nothing of it was kept")]
    Migration(#[source] Box<dyn std::error::Error + Send + Sync>),
}

fn other_root_key(needed: Option<&str>, found: &[String]) -> String {
    let found = found.join("` and `");
    match needed {
        Some(needed) => format!(
            "the secrets of this database need another root key: the one with the fingerprint `{needed}`, not the \
             configured one (`{found}`)"
        ),
        None => {
            format!("the secrets of this database need another root key than the configured one (`{found}`)")
        }
    }
}

/// PostgreSQL's code where a role lacks a right.
const INSUFFICIENT_PRIVILEGE: &str = "42501";

impl StoreError {
    pub(crate) fn migration(error: sqlx::migrate::MigrateError) -> StoreError {
        use sqlx::migrate::MigrateError as E;
        if let E::Execute(sqlx::Error::Database(cause)) | E::ExecuteMigration(sqlx::Error::Database(cause), _) =
            &error
            && cause.code().as_deref() == Some(INSUFFICIENT_PRIVILEGE)
        {
            return StoreError::MayNotMigrate;
        }
        StoreError::Migration(Box::new(error))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if matches!(error, sqlx::Error::RowNotFound) {
            return StoreError::NotFound;
        }
        if let sqlx::Error::Database(inner) = &error {
            if inner.is_unique_violation() {
                return StoreError::Conflict { what: "unique" };
            }
            if inner.is_foreign_key_violation() {
                return StoreError::NotFound;
            }
        }
        StoreError::Unavailable(Box::new(error))
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error {
            rusqlite::Error::QueryReturnedNoRows => StoreError::NotFound,
            other => StoreError::Unavailable(Box::new(other)),
        }
    }
}
