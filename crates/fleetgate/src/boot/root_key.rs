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

use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};
use store::{
    RootKey, RootKeys,
    secret::{RootKeyError, RootKeyFile},
};

use crate::config::Config;

/// Where the root key comes from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// The variable: the key itself.
    Variable(SecretString),
    /// A file that the service manager lends: it is only read.
    Credential(PathBuf),
    /// A file of ours.
    File(RootKeyFile),
}

impl Source {
    pub(super) fn of(config: &Config) -> Source {
        match &config.keys.root_key {
            Some(text) => Source::Variable(text.clone()),
            None => Source::of_file(&config.keys.root_key_file, std::env::var_os("CREDENTIALS_DIRECTORY")),
        }
    }

    fn of_file(path: &Path, credentials: Option<OsString>) -> Source {
        if is_credential(path, credentials) {
            return Source::Credential(path.to_owned());
        }
        Source::File(RootKeyFile::new(path))
    }

    /// Its keys, for a store. A key file that is not there is made; a credential is only read.
    pub(super) fn keys(&self) -> Result<RootKeys, RootKeyError> {
        let keys = match self {
            Source::Variable(text) => RootKeys::from(RootKey::from_base64(text.expose_secret())?),
            Source::Credential(path) => {
                let path = path.clone();
                RootKeys::read_by(move || Ok(vec![read_credential(&path)?]))
            }
            Source::File(file) => {
                RootKey::load_or_create(file.path())?;
                let file = file.clone();
                RootKeys::read_by(move || file.read())
            }
        };
        keys.read()?;
        Ok(keys)
    }

    /// For people.
    pub(super) fn name(&self) -> String {
        match self {
            Source::Variable(_) => "FLEETGATE_ROOT_KEY".to_owned(),
            Source::Credential(path) => path.display().to_string(),
            Source::File(file) => file.path().display().to_string(),
        }
    }
}

/// A key that a person names, in a file of theirs or a credential. It is never made.
pub(super) fn read(path: &Path) -> Result<RootKey, RootKeyError> {
    if is_credential(path, std::env::var_os("CREDENTIALS_DIRECTORY")) {
        return read_credential(path);
    }
    RootKey::read(path)
}

/// A key of another use that is kept as a root key is: made if its file is not there; a credential is only read.
pub(super) fn load_or_create(path: &Path) -> Result<RootKey, RootKeyError> {
    if is_credential(path, std::env::var_os("CREDENTIALS_DIRECTORY")) {
        return read_credential(path);
    }
    RootKey::load_or_create(path)
}

fn is_credential(path: &Path, credentials: Option<OsString>) -> bool {
    let folder = credentials.filter(|folder| !folder.is_empty()).map(PathBuf::from);
    folder.is_some_and(|folder| path.parent() == Some(folder.as_path()))
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

    use super::*;

    fn load_beside(path: &Path, credentials: Option<OsString>) -> Result<RootKeys, RootKeyError> {
        Source::of_file(path, credentials).keys()
    }

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
