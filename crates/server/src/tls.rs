//! TLS from two files: read and checked at the start, looked at again while the server runs.
//!
//! A renewed certificate is used for the next connection, without a restart. Files that cannot be used change nothing:
//! the server goes on with what it has, and the log says what is wrong. rustls with ring, TLS 1.2 and 1.3, HTTP/1.1.

mod validity;

use std::{
    error::Error,
    fmt, fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use domain::Time;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use secrecy::zeroize::Zeroizing;
use tokio::{sync::watch, time::interval};
use tokio_rustls::TlsAcceptor;
use tracing::{error, info, warn};

use crate::clock;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How long before its end a certificate is a reason for a warning.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// How often a warning about the certificate is repeated.
const WARN_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Where certificate and key are, both in PEM form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's own certificate first, then those of its issuers.
    pub certificate: PathBuf,
    /// The private key, without a passphrase.
    pub key: PathBuf,
}

/// Certificate and key cannot be used. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read the {what} `{path}`; check the path, and that the user Fleetgate runs as may read it", path = .path.display())]
    Unreadable {
        /// What the file should hold.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Everybody on the machine can read the key.
    #[error("the TLS key `{path}` can be read by everybody on this machine; run `chmod o= {path}`", path = .0.display())]
    Exposed(PathBuf),
    /// No certificate in the file.
    #[error("`{path}` holds no certificate; it is a PEM file with `-----BEGIN CERTIFICATE-----`, the server's own first, then those of its issuers", path = .0.display())]
    NoCertificate(PathBuf),
    /// No key in the file.
    #[error("`{path}` holds no private key; it is a PEM file with `-----BEGIN PRIVATE KEY-----`", path = .0.display())]
    NoKey(PathBuf),
    /// The key needs a passphrase.
    #[error("the TLS key `{path}` needs a passphrase, and nobody is there to type it; `openssl pkey -in {path} -out NEW` writes one without", path = .0.display())]
    Encrypted(PathBuf),
    /// The key is of a kind that is not supported, or broken.
    #[error("the TLS key `{path}` cannot be used; RSA of 2048 bits or more, ECDSA P-256 and P-384, and Ed25519 can", path = .path.display())]
    Key {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// Certificate of another key.
    #[error("`{certificate}` is not the certificate of the key `{key}`; the server's own certificate must come first in its file", certificate = .certificate.display(), key = .key.display())]
    Strangers {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// A certificate that cannot be understood.
    #[error("the TLS certificate `{path}` cannot be used", path = .path.display())]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Option<rustls::Error>,
    },
    /// Our own settings of rustls.
    #[error("TLS cannot be set up")]
    SetUp(#[source] rustls::Error),
}

/// From when until when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Its first moment.
    pub begins: Time,
    /// Its last moment.
    pub ends: Time,
}

/// What a certificate's time means now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// In its time, and for long enough.
    Good,
    /// In its time, but it ends within 14 days.
    EndsSoon,
    /// Its time is over.
    Ended,
    /// Its time has not come.
    NotYet,
}

impl Validity {
    /// Judges the certificate at a moment.
    pub fn age(&self, now: Time) -> Age {
        match () {
            () if now < self.begins => Age::NotYet,
            () if now >= self.ends => Age::Ended,
            () if self.ends.since(now) < SOON => Age::EndsSoon,
            () => Age::Good,
        }
    }

    /// A sentence about what is wrong at a moment; none if nothing is.
    pub fn warning(&self, now: Time) -> Option<String> {
        match self.age(now) {
            Age::Good => None,
            Age::EndsSoon => Some(format!("the TLS certificate ends at {}; renew it", self.ends)),
            Age::Ended => {
                Some(format!("the TLS certificate ended at {}; browsers and programs refuse it", self.ends))
            }
            Age::NotYet => Some(format!(
                "the TLS certificate is valid from {} on; check the clock of this machine",
                self.begins
            )),
        }
    }
}

impl TlsFiles {
    /// Reads both files and checks that they can be used together.
    ///
    /// # Errors
    /// What is wrong with which file, and what to do.
    pub fn check(&self) -> Result<Validity, TlsError> {
        self.read().map(|pair| pair.validity)
    }

    fn read(&self) -> Result<Pair, TlsError> {
        let path = || self.certificate.clone();
        let chain = self.chain()?;
        let key = self.key()?;
        let unusable = |source| match source {
            rustls::Error::InconsistentKeys(_) => {
                TlsError::Strangers { certificate: path(), key: self.key.clone() }
            }
            rustls::Error::InvalidCertificate(_) => {
                TlsError::Certificate { path: path(), source: Some(source) }
            }
            source => TlsError::Key { path: self.key.clone(), source },
        };
        let times = chain.first().and_then(|own| validity::validity(own));
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(unusable)?;
        let (begins, ends) = times.ok_or_else(|| TlsError::Certificate { path: path(), source: None })?;
        Ok(Pair { certified: Arc::new(certified), validity: Validity { begins, ends } })
    }

    fn chain(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let path = &self.certificate;
        let failed = |source| TlsError::Unreadable { what: "TLS certificate", path: path.clone(), source };
        let text = fs::read(path).map_err(failed)?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        match chain {
            Ok(chain) if !chain.is_empty() => Ok(chain),
            Ok(_) | Err(_) => Err(TlsError::NoCertificate(path.clone())),
        }
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        let path = &self.key;
        let failed = |source| TlsError::Unreadable { what: "TLS key", path: path.clone(), source };
        // A group may read it: that is how several services of a machine share a certificate.
        if fs::metadata(path).map_err(failed)?.mode() & 0o007 != 0 {
            return Err(TlsError::Exposed(path.clone()));
        }
        let text = Zeroizing::new(fs::read(path).map_err(failed)?);
        PrivateKeyDer::from_pem_slice(&text).map_err(|_| {
            let is_encrypted = text.windows(9).any(|part| part == b"ENCRYPTED");
            if is_encrypted { TlsError::Encrypted(path.clone()) } else { TlsError::NoKey(path.clone()) }
        })
    }

    /// What changes with the files; none for a file that is not there.
    fn stamp(&self) -> Stamp {
        [&self.certificate, &self.key].map(|path| stamp_of(path))
    }
}

/// Device, inode, length and the time of the last change of content or rights, in seconds and nanoseconds.
type Stamp = [Option<(u64, u64, u64, i64, i64)>; 2];

fn stamp_of(path: &Path) -> Option<(u64, u64, u64, i64, i64)> {
    let found = fs::metadata(path).ok()?;
    Some((found.dev(), found.ino(), found.len(), found.ctime(), found.ctime_nsec()))
}

/// How the files were.
struct Seen {
    /// When they were last read.
    read: Stamp,
    /// At the last look.
    last: Stamp,
}

/// Certificate and key, fit for each other.
struct Pair {
    certified: Arc<CertifiedKey>,
    validity: Validity,
}

/// What the server shows to those who connect, kept up to date. Cheap to clone.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    files: TlsFiles,
    shown: Arc<Shown>,
    seen: Mutex<Seen>,
    acceptor: TlsAcceptor,
}

/// Without the key.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.0.files).finish()
    }
}

/// The pair in use.
struct Shown(RwLock<Pair>);

impl Shown {
    fn replace(&self, pair: Pair) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = pair;
    }

    fn certified(&self) -> Arc<CertifiedKey> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).certified.clone()
    }

    fn validity(&self) -> Validity {
        self.0.read().unwrap_or_else(PoisonError::into_inner).validity
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown(..)")
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.certified())
    }
}

/// What a look at the files found.
#[derive(Debug)]
pub(crate) enum Look {
    /// As before, or just changing.
    Same,
    /// Something new, which is in use now.
    Reloaded,
    /// Something new that cannot be used; what was in use still is.
    Refused(TlsError),
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// What is wrong with which file, and what to do.
    pub fn load(files: TlsFiles) -> Result<Tls, TlsError> {
        let stamp = files.stamp();
        let seen = Mutex::new(Seen { read: stamp, last: stamp });
        let shown = Arc::new(Shown(RwLock::new(files.read()?)));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::SetUp)?
            .with_no_client_auth()
            .with_cert_resolver(shown.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Tls(Arc::new(Inner { files, shown, seen, acceptor })))
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.0.acceptor.clone()
    }

    /// Reads the files again if they have changed, and not since the look before: whoever renews them writes one after
    /// the other, and in between they do not fit.
    pub(crate) fn look(&self) -> Look {
        let stamp = self.0.files.stamp();
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let is_settled = seen.last == stamp;
        seen.last = stamp;
        if seen.read == stamp || !is_settled {
            return Look::Same;
        }
        seen.read = stamp;
        match self.0.files.read() {
            Ok(pair) => {
                self.0.shown.replace(pair);
                Look::Reloaded
            }
            Err(error) => Look::Refused(error),
        }
    }

    /// Looks at the files until the server stops, and warns once a day of a certificate that ends.
    pub(crate) async fn keep_up(self, mut stopped: watch::Receiver<bool>) {
        let mut ticks = interval(LOOK_EVERY);
        let mut warned: Option<Instant> = None;
        loop {
            tokio::select! {
                _ = stopped.wait_for(|stops| *stops) => return,
                _ = ticks.tick() => {}
            }
            let tls = self.clone();
            // Files may lie on a slow disk.
            let Ok(look) = tokio::task::spawn_blocking(move || tls.look()).await else { continue };
            if self.tell(&look) {
                warned = None;
            }
            if warned.is_none_or(|at| at.elapsed() >= WARN_EVERY)
                && let Some(warning) = self.0.shown.validity().warning(clock::now())
            {
                warned = Some(Instant::now());
                warn!(certificate = %self.0.files.certificate.display(), "{warning}");
            }
        }
    }

    /// Logs what a look found; true if another certificate is in use.
    fn tell(&self, look: &Look) -> bool {
        let ends = self.0.shown.validity().ends;
        match look {
            Look::Same => false,
            Look::Reloaded => {
                info!(%ends, "the TLS certificate was reloaded; it ends at {ends}");
                true
            }
            Look::Refused(refused) => {
                let cause = refused.source().map(|source| format!(" ({source})")).unwrap_or_default();
                error!(
                    error = refused as &dyn Error,
                    "the changed TLS files cannot be used, so the certificate from before stays, until {ends}: \
                     {refused}{cause}"
                );
                false
            }
        }
    }
}

#[cfg(test)]
mod tests;
