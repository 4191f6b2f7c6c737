//! The key that wraps the data keys. It lives outside the database and outside its folder.

use std::{
    fmt, fs, io,
    io::{Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Bytes of a fingerprint: enough to tell keys apart, and to name a file.
const FINGERPRINT_BYTES: usize = 8;

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
    /// The file is not this program's to replace: mounted, linked, or in a folder that takes no new files.
    #[error("the key file `{path}` cannot be replaced where it lies", path = .path.display())]
    NotReplaceable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The key to follow does not belong to the owner of the one it replaces, who could not read it any more.
    #[error(
        "the key file `{path}` would not belong to the user who owns the one it replaces; run this as that user",
        path = .0.display()
    )]
    OtherOwner(PathBuf),
    /// The key meant to follow is the one in use.
    #[error("`{path}` holds the root key that is in use already; remove it", path = .0.display())]
    NotNew(PathBuf),
}

/// Where root keys come from. They are read when they are needed: a file may change while a server runs, and during a
/// rotation there are two keys.
#[derive(Clone)]
pub struct RootKeys(Arc<Reader>);

type Reader = dyn Fn() -> Result<Vec<RootKey>, RootKeyError> + Send + Sync;

impl RootKeys {
    /// Keys that `read` answers each time, the one in use first.
    pub fn read_by(
        read: impl Fn() -> Result<Vec<RootKey>, RootKeyError> + Send + Sync + 'static,
    ) -> RootKeys {
        RootKeys(Arc::new(read))
    }

    /// These, and behind them another one.
    #[must_use]
    pub fn and(self, other: RootKey) -> RootKeys {
        RootKeys::read_by(move || {
            let mut keys = self.read()?;
            keys.push(other.clone());
            Ok(keys)
        })
    }

    /// The keys as they are now.
    pub fn read(&self) -> Result<Vec<RootKey>, RootKeyError> {
        (self.0)()
    }
}

impl From<RootKey> for RootKeys {
    fn from(key: RootKey) -> RootKeys {
        RootKeys::read_by(move || Ok(vec![key.clone()]))
    }
}

impl fmt::Debug for RootKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKeys(..)")
    }
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

    /// What people and backups know it by: 16 hexadecimal digits that give nothing of the key away.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(b"fleetgate root key fingerprint");
        hash.update(self.0.as_slice());
        hash.finalize().iter().take(FINGERPRINT_BYTES).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Reads the key file; makes one if there is none. Refuses a file that others can read.
    pub fn load_or_create(path: &Path) -> Result<RootKey, RootKeyError> {
        match create(path) {
            Ok(key) => Ok(key),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => RootKey::read(path),
            Err(source) => Err(RootKeyError::File { path: path.to_owned(), source }),
        }
    }

    /// Reads a key file. Refuses one that others can read.
    pub fn read(path: &Path) -> Result<RootKey, RootKeyError> {
        let failed = |source| RootKeyError::File { path: path.to_owned(), source };
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
pub(super) fn create(path: &Path) -> io::Result<RootKey> {
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
    sync_folder_of(path)?;
    Ok(key)
}

/// Names in the folder of `path` survive a power cut.
pub(super) fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder)?.sync_all()
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
        let key = RootKey::generate();
        assert_eq!(format!("{key:?}"), "RootKey(..)");
        assert_eq!(format!("{:?}", RootKeys::from(key)), "RootKeys(..)");
    }

    /// Files and backups are named by it: it must never change.
    #[test]
    fn a_fingerprint_stays_what_it_is() {
        let key = RootKey::from_base64("c29tZSBvdGhlciBrZXksIDMyIGJ5dGVzIGluIGFsbCE=").unwrap();
        assert_eq!(key.fingerprint(), "84e028706d0e1dc4");
        assert_ne!(RootKey::generate().fingerprint(), RootKey::generate().fingerprint());
    }
}
