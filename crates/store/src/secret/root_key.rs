//! The key that wraps the data keys. It lives outside the database and outside its folder.

use std::{
    fmt, fs, io,
    io::{Read, Write},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::SecretString;
use zeroize::Zeroizing;

/// The root key: 32 bytes, wiped when dropped.
#[derive(Clone)]
pub struct RootKey(Zeroizing<[u8; 32]>);

/// The root key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RootKeyError {
    /// Not 32 bytes in base64.
    #[error("the root key is not 32 bytes in base64; `openssl rand -base64 32` makes one")]
    Malformed,
    /// Others on the machine can read the file.
    #[error("the key file `{path}` can be read by others; run `chmod 600 {path}`", path = .0.display())]
    Exposed(PathBuf),
    /// The file cannot be read or made.
    #[error("the key file `{path}` cannot be used", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl RootKey {
    /// A new one.
    pub fn generate() -> RootKey {
        let mut key = Zeroizing::new([0_u8; 32]);
        getrandom::fill(key.as_mut_slice()).expect("the operating system gives random bytes");
        RootKey(key)
    }

    /// Reads 32 bytes in base64; blanks around them do not matter.
    pub fn from_base64(text: &str) -> Result<RootKey, RootKeyError> {
        let bytes = STANDARD.decode(text.trim()).map(Zeroizing::new).map_err(|_| RootKeyError::Malformed)?;
        let mut key = Zeroizing::new([0_u8; 32]);
        if bytes.len() != key.len() || bytes.iter().all(|byte| *byte == bytes[0]) {
            return Err(RootKeyError::Malformed);
        }
        key.copy_from_slice(&bytes);
        Ok(RootKey(key))
    }

    /// Its base64 form, for writing a key file.
    pub fn to_base64(&self) -> SecretString {
        SecretString::from(STANDARD.encode(self.0.as_slice()))
    }

    /// Reads the key file; makes one if there is none. Refuses a file that others can read.
    pub fn load_or_create(path: &Path) -> Result<RootKey, RootKeyError> {
        let failed = |source| RootKeyError::File { path: path.to_owned(), source };
        match create(path) {
            Ok(key) => return Ok(key),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
        }
        let mut file = fs::File::open(path).map_err(failed)?;
        if is_exposed(&file.metadata().map_err(failed)?) {
            return Err(RootKeyError::Exposed(path.to_owned()));
        }
        let mut text = Zeroizing::new(String::with_capacity(64));
        file.read_to_string(&mut text).map_err(failed)?;
        RootKey::from_base64(&text)
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey(..)")
    }
}

/// Makes the file whole or not at all: written under another name, then linked, which fails if the name is taken.
fn create(path: &Path) -> io::Result<RootKey> {
    use secrecy::ExposeSecret;
    if path.exists() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let key = RootKey::generate();
    let mut random = [0_u8; 8];
    getrandom::fill(&mut random).expect("the operating system gives random bytes");
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".{}", hex::encode(random)));
    let draft = path.with_file_name(name);
    let written =
        write_private(&draft, key.to_base64().expose_secret()).and_then(|()| fs::hard_link(&draft, path));
    let removed = fs::remove_file(&draft);
    written?;
    removed?;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(key)
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

#[cfg(unix)]
fn is_exposed(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    metadata.mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn is_exposed(_metadata: &fs::Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_new_key_file_is_private_and_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.key");
        let made = RootKey::load_or_create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(RootKey::load_or_create(&path).unwrap().bytes(), made.bytes());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn a_key_file_that_others_can_read_is_refused_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.key");
        RootKey::load_or_create(&path).unwrap();
        for mode in [0o640, 0o604] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = RootKey::load_or_create(&path).unwrap_err().to_string();
            assert!(error.contains(&format!("chmod 600 {}", path.display())), "{error}");
        }
    }

    #[test]
    fn two_starts_at_once_end_with_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.key");
        let keys: Vec<RootKey> = std::thread::scope(|scope| {
            let starts: Vec<_> =
                (0..8).map(|_| scope.spawn(|| RootKey::load_or_create(&path).unwrap())).collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| key.bytes() == keys[0].bytes()));
    }

    #[test]
    fn weak_and_malformed_keys_are_refused() {
        for text in ["", "short", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "not base64 at all!"] {
            assert!(matches!(RootKey::from_base64(text), Err(RootKeyError::Malformed)), "{text}");
        }
    }

    #[test]
    fn debug_says_nothing() {
        assert_eq!(format!("{:?}", RootKey::generate()), "RootKey(..)");
    }
}
