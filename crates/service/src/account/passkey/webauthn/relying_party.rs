//! Who asks for passkeys: the name of the server and the origin of its pages, from the configured public address.

use url::{Host, Url};

/// The server, as passkeys are bound to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelyingParty {
    id: String,
    origin: String,
}

/// Why there can be no passkeys. The sentences say what to set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPasskeys {
    /// Nothing says by which address people come.
    #[error(
        "passkeys are bound to the address by which people reach the server, and that is not configured; set `public_url` \
         (`FLEETGATE_PUBLIC_URL`) to `https://` and a name"
    )]
    NoAddress,
    /// Browsers make none over plain http.
    #[error(
        "browsers use passkeys over https only, and `public_url` is `{0}`; serve https and set `public_url` to that \
         (`http://localhost` will do on one machine)"
    )]
    NotHttps(String),
    /// Browsers bind them to names only.
    #[error(
        "passkeys are bound to a name, and `public_url` is the bare address `{0}`; set it to a name that leads there"
    )]
    NotAName(String),
}

impl RelyingParty {
    /// From the public address of the server, `https://fleet.example` or, for one machine, `http://localhost:8080`.
    pub fn at(public_url: Option<&str>) -> Result<RelyingParty, NoPasskeys> {
        let text = public_url.ok_or(NoPasskeys::NoAddress)?;
        let url = Url::parse(text).map_err(|_| NoPasskeys::NoAddress)?;
        let shown = url.origin().ascii_serialization();
        let Some(Host::Domain(name)) = url.host() else { return Err(NoPasskeys::NotAName(shown)) };
        let is_this_machine = name == "localhost" || name.ends_with(".localhost");
        match url.scheme() {
            "https" => {}
            "http" if is_this_machine => {}
            _ => return Err(NoPasskeys::NotHttps(shown)),
        }
        Ok(RelyingParty { id: name.to_owned(), origin: shown })
    }

    /// The name that passkeys are bound to.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Scheme, name and port of our pages.
    pub fn origin(&self) -> &str {
        &self.origin
    }
}
