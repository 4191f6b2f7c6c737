//! Name look-up that hands on only addresses the rules allow.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::egress::{Denied, EgressRules};

/// What [`Lookup::lookup`] returns.
pub type LookupFuture = BoxFuture<'static, io::Result<Vec<IpAddr>>>;

/// Turns a host name into addresses. The system's resolver normally; tests bring their own.
pub trait Lookup: Send + Sync {
    /// All addresses of `host`.
    fn lookup(&self, host: &str) -> LookupFuture;
}

/// The system's resolver.
pub(crate) struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, host: &str) -> LookupFuture {
        let host = host.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|addr| addr.ip()).collect())
        })
    }
}

/// The resolver of the connections to one port.
pub(crate) struct GuardedResolver {
    pub(crate) rules: Arc<EgressRules>,
    pub(crate) lookup: Arc<dyn Lookup>,
    pub(crate) port: u16,
}

/// Comes out of reqwest's error chain again, see `classify`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    #[error("all addresses are refused")]
    Denied(#[source] Denied),
    #[error("`{host}` could not be resolved")]
    Lookup {
        host: String,
        #[source]
        source: Option<io::Error>,
    },
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let looking_up = self.lookup.lookup(&host);
        let rules = self.rules.clone();
        let port = self.port;
        Box::pin(async move {
            let found = match looking_up.await {
                Ok(found) => found,
                Err(error) => return Err(ResolveError::Lookup { host, source: Some(error) }.into()),
            };
            let allowed = keep_allowed(&rules, &host, port, &found)?;
            let addrs: Addrs = Box::new(allowed.into_iter());
            Ok(addrs)
        })
    }
}

/// The allowed ones of a mix; if there are none, the refusal that a line of configuration could lift comes first.
fn keep_allowed(
    rules: &EgressRules,
    host: &str,
    port: u16,
    found: &[IpAddr],
) -> Result<Vec<SocketAddr>, ResolveError> {
    let mut allowed = Vec::new();
    let mut refused: Option<Denied> = None;
    for ip in found {
        match rules.check(*ip, port) {
            Ok(()) => allowed.push(SocketAddr::new(*ip, port)),
            Err(denied) => {
                let keep_earlier = refused
                    .as_ref()
                    .is_some_and(|earlier| !earlier.reason.is_final() || denied.reason.is_final());
                if !keep_earlier {
                    refused = Some(denied);
                }
            }
        }
    }
    match refused {
        _ if !allowed.is_empty() => Ok(allowed),
        Some(denied) => Err(ResolveError::Denied(denied)),
        None => Err(ResolveError::Lookup { host: host.to_owned(), source: None }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(found: &[&str], expected: &str) {
        let rules = EgressRules::new(vec!["10.0.0.0/8:443".parse().unwrap()]);
        let found: Vec<IpAddr> = found.iter().map(|ip| ip.parse().unwrap()).collect();
        let described = match keep_allowed(&rules, "host", 443, &found) {
            Ok(addrs) => addrs.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(" "),
            Err(ResolveError::Denied(denied)) => denied.to_string(),
            Err(other) => other.to_string(),
        };
        assert_eq!(described, expected);
    }

    #[test]
    fn mix_keeps_only_what_is_allowed() {
        check(&["127.0.0.1", "8.8.8.8", "169.254.169.254", "10.1.1.1"], "8.8.8.8:443 10.1.1.1:443");
    }

    #[test]
    fn refusal_that_can_be_lifted_is_named() {
        let lifted = "`192.168.0.1:443` is a private address and is not listed in `outbound.allow`";
        check(&["169.254.1.1", "192.168.0.1", "127.0.0.1"], lifted);
        check(
            &["169.254.1.1", "0.0.0.0"],
            "`169.254.1.1:443` is a link-local address, which is never allowed",
        );
    }

    #[test]
    fn name_without_addresses_is_not_resolved() {
        check(&[], "`host` could not be resolved");
    }
}
