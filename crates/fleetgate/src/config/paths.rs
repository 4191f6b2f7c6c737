//! Paths by their text alone: what they name need not exist yet.

use std::path::{Component, Path, PathBuf};

/// `dir` with `.extension` added to its name; none for a folder without a name, as `/`.
pub(super) fn beside(dir: &Path, extension: &str) -> Option<PathBuf> {
    let dir = if dir.file_name().is_some() { dir.to_owned() } else { plain(dir) };
    let mut name = dir.file_name()?.to_owned();
    name.push(".");
    name.push(extension);
    Some(dir.with_file_name(name))
}

/// Is `path` in `dir`, or `dir` itself?
pub(super) fn is_inside(path: &Path, dir: &Path) -> bool {
    plain(path).starts_with(plain(dir))
}

/// Absolute, without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut plain = PathBuf::new();
    for part in absolute.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_lies_beside_the_folder() {
        assert_eq!(beside(Path::new("./data/"), "key"), Some(PathBuf::from("./data.key")));
        assert_eq!(beside(Path::new("/var/lib/fg"), "key"), Some(PathBuf::from("/var/lib/fg.key")));
        assert_eq!(beside(Path::new("/"), "key"), None);
        assert!(beside(Path::new("."), "key").is_some());
    }

    #[test]
    fn inside_is_seen_through_detours() {
        assert!(is_inside(Path::new("/data/x/../k"), Path::new("/data")));
        assert!(!is_inside(Path::new("/data/../k"), Path::new("/data/")));
        assert!(!is_inside(Path::new("/data.key"), Path::new("/data")));
    }
}
