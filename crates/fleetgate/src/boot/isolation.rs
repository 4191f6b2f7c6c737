//! Says whether PostgreSQL keeps tenants apart for the role that serves, and what an administrator of the database does
//! where it does not.

use store::{Store, isolation::Isolation};
use tracing::warn;

use super::store_failure;
use crate::cli::failure::Failure;

/// A hole, and the SQL that mends it.
pub(super) struct Hole {
    pub(super) found: String,
    pub(super) mend: String,
}

/// What is wrong; none where row-level security holds.
pub(super) fn hole(told: &Isolation) -> Option<Hole> {
    let role = &told.role;
    if told.bypasses {
        return Some(Hole {
            found: format!(
                "does not hold for the role `{role}`: it is a superuser or has BYPASSRLS, so a statement that forgets \
                 the tenant would find the rows of all"
            ),
            mend: "As an administrator of the database: CREATE ROLE fleetgate_app LOGIN PASSWORD 'choose-one' \
                   NOSUPERUSER NOBYPASSRLS; then put that role into `database.url`, and the owner of the tables into \
                   `database.migrate_url`."
                .to_owned(),
        });
    }
    if told.unprotected.is_empty() {
        return None;
    }
    let force = |table: &String| format!("SELECT fleetgate_protect('{table}');");
    Some(Hole {
        found: format!("is not forced on {}", told.unprotected.join(", ")),
        mend: format!(
            "As the owner of the tables: {}",
            told.unprotected.iter().map(force).collect::<Vec<_>>().join(" ")
        ),
    })
}

/// One loud line at the start; the server works on, because its own statements name the tenant as well.
pub(super) async fn warn_if_open(store: &Store) -> Result<(), Failure> {
    let Some(told) = store.isolation().await.map_err(store_failure)? else { return Ok(()) };
    if let Some(Hole { found, mend }) = hole(&told) {
        warn!(database.role = told.role, "row-level security {found}. {mend}");
    }
    Ok(())
}
