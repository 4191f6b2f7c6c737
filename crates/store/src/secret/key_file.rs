//! The root key in a file of ours, and what lies beside it during a rotation and after it.
//!
//! `root.key` is in use, `root.key.next` is to follow, `root.key.<fingerprint>` was in use before. A rotation is four
//! steps: [`RootKeyFile::keep`], [`RootKeyFile::write_next`], [`crate::Store::rewrap_data_keys`],
//! [`RootKeyFile::adopt_next`]. Wherever it ends early, the two files together open the database, and all steps may be
//! done again.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use super::root_key::{RootKey, RootKeyError, create, sync_folder_of};

/// A root key's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootKeyFile(PathBuf);

impl RootKeyFile {
    /// The file at `path`, there or not.
    pub fn new(path: &Path) -> RootKeyFile {
        RootKeyFile(path.to_owned())
    }

    /// The key in use.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where the key lies that is to follow.
    pub fn next_path(&self) -> PathBuf {
        self.beside("next")
    }

    /// Where a key of this fingerprint is kept once it is not in use any more.
    pub fn kept_path(&self, fingerprint: &str) -> PathBuf {
        self.beside(fingerprint)
    }

    /// The key in use, and the one to follow if there is one. Makes neither.
    pub fn read(&self) -> Result<Vec<RootKey>, RootKeyError> {
        // In this order: the one to follow may take the name of the other in between.
        let next = self.read_next()?;
        let mut keys = vec![RootKey::read(&self.0)?];
        keys.extend(next);
        Ok(keys)
    }

    /// The key to follow, if there is one.
    pub fn read_next(&self) -> Result<Option<RootKey>, RootKeyError> {
        match RootKey::read(&self.next_path()) {
            Ok(key) => Ok(Some(key)),
            Err(RootKeyError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(RootKeyError::Malformed) => {
                let source = io::Error::new(io::ErrorKind::InvalidData, "not 32 bytes in base64");
                Err(RootKeyError::File { path: self.next_path(), source })
            }
            Err(error) => Err(error),
        }
    }

    /// The first step: the key in use gets a second name that stays. Answers that name. A file that could not change its
    /// name later, such as one that is mounted, is found here, before anything depends on a new key.
    pub fn keep(&self) -> Result<PathBuf, RootKeyError> {
        let path = self.0.clone();
        let not_replaceable = |source| RootKeyError::NotReplaceable { path: path.clone(), source };
        if !fs::symlink_metadata(&self.0).map_err(not_replaceable)?.is_file() {
            return Err(not_replaceable(io::Error::other("it is a link to another file")));
        }
        let fingerprint = RootKey::read(&self.0)?.fingerprint();
        let kept = self.kept_path(&fingerprint);
        match fs::hard_link(&self.0, &kept) {
            Ok(()) => sync_folder_of(&kept).map_err(not_replaceable)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if RootKey::read(&kept)?.fingerprint() != fingerprint {
                    let source = io::Error::new(io::ErrorKind::AlreadyExists, "it holds another key");
                    return Err(RootKeyError::File { path: kept, source });
                }
                self.try_second_name().map_err(not_replaceable)?;
            }
            Err(error) => return Err(not_replaceable(error)),
        }
        Ok(kept)
    }

    /// The second step: makes the key to follow, or takes the one that lies there already, from a rotation that did not
    /// end or from an administrator.
    pub fn write_next(&self) -> Result<RootKey, RootKeyError> {
        let path = self.next_path();
        let failed = |source| RootKeyError::File { path: path.clone(), source };
        let found = self.read_next()?;
        let is_new = found.is_none();
        let next = match found {
            Some(next) => next,
            None => create(&path).map_err(failed)?,
        };
        if has_another_owner(&path, &self.0).map_err(failed)? {
            if is_new {
                // Nothing was wrapped by it yet.
                fs::remove_file(&path).map_err(failed)?;
            }
            return Err(RootKeyError::OtherOwner(path));
        }
        if next.fingerprint() == RootKey::read(&self.0)?.fingerprint() {
            return Err(RootKeyError::NotNew(path));
        }
        Ok(next)
    }

    /// The last step: the key to follow takes the name of the one that was in use.
    pub fn adopt_next(&self) -> Result<(), RootKeyError> {
        let adopted = fs::rename(self.next_path(), &self.0).and_then(|()| sync_folder_of(&self.0));
        adopted.map_err(|source| RootKeyError::NotReplaceable { path: self.0.clone(), source })
    }

    /// The key was kept before, so nothing has shown yet that names can be given here.
    fn try_second_name(&self) -> io::Result<()> {
        let name = self.beside("try");
        match fs::remove_file(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::hard_link(&self.0, &name)?;
        fs::remove_file(&name)
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = OsString::from(self.0.as_os_str());
        name.push(".");
        name.push(suffix);
        PathBuf::from(name)
    }
}

#[cfg(unix)]
fn has_another_owner(one: &Path, other: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    Ok(fs::metadata(one)?.uid() != fs::metadata(other)?.uid())
}

#[cfg(not(unix))]
fn has_another_owner(_one: &Path, _other: &Path) -> io::Result<bool> {
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn new_file(folder: &Path) -> RootKeyFile {
        let file = RootKeyFile::new(&folder.join("root.key"));
        RootKey::load_or_create(file.path()).unwrap();
        file
    }

    fn fingerprints(file: &RootKeyFile) -> Vec<String> {
        file.read().unwrap().iter().map(RootKey::fingerprint).collect()
    }

    #[test]
    fn each_step_may_be_done_twice_and_the_old_key_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = new_file(folder.path());
        let old = fingerprints(&file).remove(0);
        let kept = file.keep().unwrap();
        assert_eq!(file.keep().unwrap(), kept);
        assert_eq!(kept, folder.path().join(format!("root.key.{old}")));
        let next = file.write_next().unwrap().fingerprint();
        assert_eq!(file.write_next().unwrap().fingerprint(), next);
        assert_eq!(fingerprints(&file), [old.clone(), next.clone()]);
        file.adopt_next().unwrap();
        assert_eq!(fingerprints(&file), [next]);
        assert_eq!(RootKey::read(&kept).unwrap().fingerprint(), old);
        for path in [file.path(), &kept] {
            assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no draft is left");
    }

    #[test]
    fn a_file_that_is_not_ours_to_replace_is_found_before_a_key_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let real = new_file(folder.path());
        let linked = RootKeyFile::new(&folder.path().join("linked.key"));
        symlink(real.path(), linked.path()).unwrap();
        assert!(matches!(linked.keep(), Err(RootKeyError::NotReplaceable { .. })));
        let name = real.kept_path(&fingerprints(&real).remove(0));
        fs::write(&name, "c29tZSBvdGhlciBrZXksIDMyIGJ5dGVzIGluIGFsbCE=").unwrap();
        fs::set_permissions(&name, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(real.keep().unwrap_err().to_string().contains(&name.display().to_string()));
        assert!(!real.next_path().exists());
    }

    #[test]
    fn a_next_key_that_cannot_be_used_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = new_file(folder.path());
        fs::copy(file.path(), file.next_path()).unwrap();
        assert!(matches!(file.write_next(), Err(RootKeyError::NotNew(path)) if path == file.next_path()));
        fs::write(file.next_path(), "half a ke").unwrap();
        let refused = file.read().unwrap_err();
        assert!(refused.to_string().contains("root.key.next"), "{refused}");
        fs::set_permissions(file.next_path(), fs::Permissions::from_mode(0o644)).unwrap();
        let refused = file.read().unwrap_err();
        assert!(
            refused.to_string().contains("chmod 600") && refused.to_string().contains("next"),
            "{refused}"
        );
    }
}
