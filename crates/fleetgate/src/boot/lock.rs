//! Who may use the data at a time: one server a data folder, any number of servers a PostgreSQL database, and some
//! commands only alone.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use store::{
    Location,
    presence::{self, Alone, Presence, PresenceError},
};

use super::store_failure;
use crate::cli::{exit::Exit, failure::Failure};

/// The code of a folder that another process has.
pub(super) const IN_USE: &str = "folder_in_use";

/// The data, or the right to rotate its keys, for ourselves until it is dropped.
pub(super) struct Hold {
    _folder: Option<File>,
    _database: Option<Alone>,
}

/// Takes the data for ourselves; refuses at once while a server, or another such command, is at work on it. The folder
/// of a SQLite file must be there.
pub(super) async fn hold(location: &Location) -> Result<Hold, Failure> {
    let folder = match location {
        Location::File(path) => Some(folder(&folder_of(path))?),
        Location::Server(_) => None,
    };
    let database = presence::alone(location).await.map_err(presence_failure)?;
    Ok(Hold { _folder: folder, _database: database })
}

/// Tells others that a server is at work on the database; on SQLite the lock on the folder does.
pub(super) async fn announce(location: &Location) -> Result<Option<Presence>, Failure> {
    presence::share(location).await.map_err(presence_failure)
}

/// Takes the right to rotate keys; refuses at once while somebody else does. Servers go on beside it.
pub(super) async fn rotation(location: &Location) -> Result<Hold, Failure> {
    let folder = match location {
        Location::File(path) => {
            let taken = locked(&folder_of(path).join("keys.lock"))?;
            Some(taken.ok_or_else(|| presence_failure(PresenceError::Rotating))?)
        }
        Location::Server(_) => None,
    };
    let database = presence::rotate(location).await.map_err(presence_failure)?;
    Ok(Hold { _folder: folder, _database: database })
}

/// A file with its lock; none if another process has it.
fn locked(path: &Path) -> Result<Option<File>, Failure> {
    let file = File::options().create(true).truncate(false).write(true).open(path);
    let file = file.map_err(|error| Failure::io(&format!("cannot open `{}`", path.display()), &error))?;
    Ok(file.try_lock().is_ok().then_some(file))
}

/// The lock of a data folder.
pub(super) fn folder(folder: &Path) -> Result<File, Failure> {
    if let Some(file) = locked(&folder.join("lock"))? {
        return Ok(file);
    }
    let detail = format!("another Fleetgate uses the folder `{}`", folder.display());
    Err(Failure::new(Exit::Refused, IN_USE, detail)
        .advise("Stop it first, or choose another folder with `--data-dir`."))
}

fn folder_of(file: &Path) -> PathBuf {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

fn presence_failure(error: PresenceError) -> Failure {
    let told = error.to_string();
    match error {
        PresenceError::InUse => Failure::new(Exit::Refused, "database_in_use", told)
            .advise("Stop every server on this database, then try again."),
        PresenceError::Closed => Failure::new(Exit::Refused, "database_in_use", told)
            .advise("Wait until it has ended, then start the server again."),
        PresenceError::Rotating => Failure::new(Exit::Refused, "rotation_at_work", told).advise(
            "Wait until it has ended; `fleetgate keys status` then says whether anything is left to do.",
        ),
        PresenceError::Store(error) => store_failure(error),
    }
}
