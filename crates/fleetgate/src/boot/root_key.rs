//! The root key from its file, also from a credential of the service manager.
//!
//! systemd lends credentials through access lists: the file then belongs to root and shows rights for its group, which
//! are those of the service's user. It is made for this one service, so these rights give nothing away.

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use secrecy::zeroize::Zeroizing;
use store::{RootKey, secret::RootKeyError};

/// Reads the key file and makes one if there is none; a credential is only read.
pub(super) fn load(path: &Path) -> Result<RootKey, RootKeyError> {
    load_beside(path, std::env::var_os("CREDENTIALS_DIRECTORY"))
}

fn load_beside(path: &Path, credentials: Option<OsString>) -> Result<RootKey, RootKeyError> {
    match credentials.filter(|folder| !folder.is_empty()).map(PathBuf::from) {
        Some(folder) if path.parent() == Some(folder.as_path()) => read_credential(path),
        Some(_) | None => RootKey::load_or_create(path),
    }
}

fn read_credential(path: &Path) -> Result<RootKey, RootKeyError> {
    let failed = |source| RootKeyError::File { path: path.to_owned(), source };
    if fs::metadata(path).map_err(failed)?.mode() & 0o027 != 0 {
        return Err(RootKeyError::Exposed(path.to_owned()));
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(failed)?);
    RootKey::from_base64(&text)
}

#[cfg(test)]
mod tests {
    use std::{fs::Permissions, os::unix::fs::PermissionsExt};

    use secrecy::ExposeSecret;

    use super::*;

    #[track_caller]
    fn check(path: &Path, credentials: &Path, mode: u32, accepted: bool) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        let read = load_beside(path, Some(credentials.as_os_str().to_owned()));
        assert_eq!(read.is_ok(), accepted, "{mode:o}: {read:?}");
    }

    #[test]
    fn a_credential_may_be_lent_and_any_other_file_is_the_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.key");
        fs::write(&path, RootKey::generate().to_base64().expose_secret()).unwrap();
        for (mode, accepted) in
            [(0o400, true), (0o440, true), (0o600, true), (0o444, false), (0o404, false), (0o460, false)]
        {
            check(&path, folder.path(), mode, accepted);
        }
        let elsewhere = Path::new("/run/credentials/other.service");
        for (mode, accepted) in [(0o400, true), (0o600, true), (0o440, false), (0o444, false)] {
            check(&path, elsewhere, mode, accepted);
        }
    }

    #[test]
    fn a_credential_that_is_missing_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.key");
        let read = load_beside(&path, Some(folder.path().as_os_str().to_owned()));
        assert!(matches!(read, Err(RootKeyError::File { .. })) && !path.exists(), "{read:?}");
        assert!(load_beside(&path, Some(OsString::new())).is_ok() && path.exists());
    }
}
