//! URLs as they may appear in logs and error texts.
//!
//! Queries and user names carry tokens, so neither is rendered. A path can be a secret as well (chat webhooks):
//! where that is possible use [`origin`].

use url::Url;

/// `scheme://host:port/path`, without user, password, query and fragment.
pub fn url(url: &Url) -> String {
    format!("{}{}", origin(url), url.path())
}

/// `scheme://host:port`, the port only if it is not the usual one.
pub fn origin(url: &Url) -> String {
    let host = url.host_str().unwrap_or("");
    match url.port() {
        Some(port) => format!("{}://{host}:{port}", url.scheme()),
        None => format!("{}://{host}", url.scheme()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_user_and_fragment_are_left_out() {
        let address = Url::parse("https://me:pw@rmm.example.com:8443/a/b?key=1#x").unwrap();
        assert_eq!(url(&address), "https://rmm.example.com:8443/a/b");
        assert_eq!(origin(&address), "https://rmm.example.com:8443");
    }

    #[test]
    fn usual_port_is_left_out() {
        assert_eq!(origin(&Url::parse("https://[2001:db8::1]:443/x").unwrap()), "https://[2001:db8::1]");
    }
}
