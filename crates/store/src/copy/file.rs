//! A file that appears whole or not at all: written under another name beside it, then given its own.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// A file in the making, for its owner only. Dropped without being published it is removed.
pub(super) struct Draft {
    path: PathBuf,
    is_published: bool,
}

impl Draft {
    /// Makes an empty file beside `path`.
    pub(super) fn beside(path: &Path) -> io::Result<Draft> {
        let mut random = [0_u8; 4];
        getrandom::fill(&mut random).expect("the operating system gives random bytes");
        let draft = with_suffix(path, &format!(".{}.part", hex::encode(random)));
        fs::File::options().write(true).create_new(true).mode(0o600).open(&draft)?;
        Ok(Draft { path: draft, is_published: false })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its name, which must be free, once all of it is on the disk. Answers the size in bytes.
    pub(super) fn publish(mut self, path: &Path) -> io::Result<u64> {
        let size_bytes = self.sync()?;
        match fs::hard_link(&self.path, path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
            // Not every file system knows hard links.
            Err(_) if !path.exists() => {
                fs::rename(&self.path, path)?;
                self.is_published = true;
            }
            Err(_) => return Err(io::ErrorKind::AlreadyExists.into()),
        }
        drop(self);
        sync_folder_of(path)?;
        Ok(size_bytes)
    }

    /// Takes the place of a database that was found to be empty.
    pub(super) fn replace(mut self, path: &Path) -> io::Result<u64> {
        let size_bytes = self.sync()?;
        for suffix in ["-wal", "-shm", "-journal"] {
            remove_if_there(&with_suffix(path, suffix))?;
        }
        fs::rename(&self.path, path)?;
        self.is_published = true;
        sync_folder_of(path)?;
        Ok(size_bytes)
    }

    fn sync(&self) -> io::Result<u64> {
        let file = fs::File::open(&self.path)?;
        file.sync_all()?;
        Ok(file.metadata()?.len())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_published {
            let _was_not_there = fs::remove_file(&self.path);
        }
        for suffix in ["-wal", "-shm", "-journal"] {
            let _was_not_there = fs::remove_file(with_suffix(&self.path, suffix));
        }
    }
}

/// `path` with more at the end of its name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(suffix);
    PathBuf::from(name)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        fs::read_dir(folder).unwrap().map(name).collect()
    }

    #[test]
    fn a_draft_is_private_and_gone_unless_published() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.db");
        let draft = Draft::beside(&path).unwrap();
        assert_eq!(fs::metadata(draft.path()).unwrap().permissions().mode() & 0o777, 0o600);
        drop(draft);
        assert!(names(folder.path()).is_empty());
        let draft = Draft::beside(&path).unwrap();
        fs::write(draft.path(), "whole").unwrap();
        assert_eq!(draft.publish(&path).unwrap(), 5);
        assert_eq!(names(folder.path()), ["out.db"]);
    }

    #[test]
    fn a_name_that_is_taken_meanwhile_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.db");
        let draft = Draft::beside(&path).unwrap();
        fs::write(&path, "other").unwrap();
        assert_eq!(draft.publish(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "other");
        assert_eq!(names(folder.path()), ["out.db"]);
    }

    #[test]
    fn replacing_takes_the_old_log_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.db");
        fs::write(&path, "").unwrap();
        fs::write(with_suffix(&path, "-wal"), "old").unwrap();
        Draft::beside(&path).unwrap().replace(&path).unwrap();
        assert_eq!(names(folder.path()), ["out.db"]);
    }
}
