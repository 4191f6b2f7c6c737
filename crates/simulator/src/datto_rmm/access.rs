//! Users, their keys and rights, and the tokens that the OAuth endpoint gives out.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::answer::Answer;
use crate::datto_rmm::reply;
use crate::rng::{Rng, secret_bytes};

const MICROS: i64 = 1_000_000;
const TOKEN_STREAM: u64 = 0x7D;
const BASE64_URL: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const KEY_LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// `public-client:public`, which every program sends as the user of HTTP Basic.
const PUBLIC_CLIENT: &str = "Basic cHVibGljLWNsaWVudDpwdWJsaWM=";

/// What an owner of a key may see or do. Administrators may everything.
pub(crate) const RIGHTS: &[&str] = &[
    "account",
    "sites",
    "devices",
    "audit",
    "alerts",
    "jobs",
    "variables",
    "users",
    "writes",
    "administrator",
];

/// Keys and secrets of a started server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accounts {
    /// Key of an administrator.
    pub api_key: String,
    /// Its secret, which holds characters that a form has to encode.
    pub api_secret: String,
    /// Key of a user without the administrator's level: no activity log, no custom filters.
    pub technician_key: String,
    /// Its secret.
    pub technician_secret: String,
    /// Key of a user who sees no alerts and no components.
    pub inventory_key: String,
    /// Its secret.
    pub inventory_secret: String,
    /// Key of a user who sees one site only.
    pub one_site_key: String,
    /// Its secret.
    pub one_site_secret: String,
    /// The single key for the header `x-au-api-key`.
    pub header_key: String,
}

impl Accounts {
    /// Keys that nobody can predict.
    pub(crate) fn random() -> std::io::Result<Self> {
        let mut rng = Rng::at(u64::from_le_bytes(secret_bytes::<8>()?), TOKEN_STREAM, 0);
        let mut key = || format!("DSIM{}", rng.text(KEY_LETTERS, 28));
        let (api_key, technician_key, inventory_key, one_site_key) = (key(), key(), key(), key());
        // A secret with `+`, `&`, `%` and `=` is not understood where a client forgets to encode the form.
        let mut secret = |end: &str| format!("{}{end}", rng.text(KEY_LETTERS, 28));
        Ok(Self {
            api_key,
            api_secret: secret("+&%="),
            technician_key,
            technician_secret: secret("tech"),
            inventory_key,
            inventory_secret: secret("inve"),
            one_site_key,
            one_site_secret: secret("site"),
            header_key: format!("au{}", rng.text(KEY_LETTERS, 38)),
        })
    }
}

/// Who a request comes from.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) name: String,
    key: String,
    secret: String,
    rights: BTreeSet<&'static str>,
    /// Sites that it sees; `None` for all.
    pub(crate) sites: Option<BTreeSet<u32>>,
}

impl User {
    fn new(name: &str, key: &str, secret: &str, without: &[&str]) -> Self {
        let rights = RIGHTS.iter().copied().filter(|right| !without.contains(right)).collect();
        Self { name: name.to_owned(), key: key.to_owned(), secret: secret.to_owned(), rights, sites: None }
    }

    /// Whether its security level grants a right.
    pub(crate) fn may(&self, right: &str) -> bool {
        self.rights.contains(right)
    }

    /// Whether it sees a site.
    pub(crate) fn sees(&self, site: u32) -> bool {
        self.sites.as_ref().is_none_or(|sites| sites.contains(&site))
    }

    /// Whether it sees every site.
    pub(crate) fn sees_all(&self) -> bool {
        self.sites.is_none()
    }
}

#[derive(Debug)]
struct Token {
    user: usize,
    ends: i64,
}

/// All users and tokens.
#[derive(Debug)]
pub(crate) struct Access {
    users: Vec<User>,
    header_key: String,
    tokens: BTreeMap<String, Token>,
    life_s: i64,
    rng: Rng,
    pub(crate) tokens_issued: u64,
}

impl Access {
    pub(crate) fn new(accounts: &Accounts, life_s: i64, first_site: u32) -> Self {
        let of = |name, key, secret, without| User::new(name, key, secret, without);
        let mut one_site =
            of("one-site", &accounts.one_site_key, &accounts.one_site_secret, &["administrator", "users"]);
        one_site.sites = Some([first_site].into());
        let (tech_key, tech_secret) = (&accounts.technician_key, &accounts.technician_secret);
        let (inv_key, inv_secret) = (&accounts.inventory_key, &accounts.inventory_secret);
        let users = vec![
            of("api-admin", &accounts.api_key, &accounts.api_secret, &[]),
            of("technician", tech_key, tech_secret, &["administrator", "users"]),
            of("inventory", inv_key, inv_secret, &["administrator", "users", "alerts", "jobs", "writes"]),
            one_site,
        ];
        let seed = accounts.header_key.bytes().fold(7u64, |sum, b| sum.wrapping_mul(131) + u64::from(b));
        Self {
            users,
            header_key: accounts.header_key.clone(),
            tokens: BTreeMap::new(),
            life_s,
            rng: Rng::at(seed, TOKEN_STREAM, 1),
            tokens_issued: 0,
        }
    }

    /// Answers the token endpoint.
    pub(crate) fn give_token(&mut self, authorization: &str, form: &[(String, String)], now: i64) -> Answer {
        if authorization != PUBLIC_CLIENT {
            let text = "Full authentication is required to access this resource";
            return reply::oauth(401, "unauthorized", text)
                .header(http::header::WWW_AUTHENTICATE, "Basic realm=\"oauth2/client\"");
        }
        let field = |name: &str| form.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value);
        match field("grant_type") {
            "password" => {}
            "" => return reply::oauth(400, "invalid_request", "Missing grant type"),
            other => {
                let text = format!("Unsupported grant type: {other}");
                return reply::oauth(400, "unsupported_grant_type", &text);
            }
        }
        let (key, secret) = (field("username"), field("password"));
        let found = self.users.iter().position(|user| user.key == key && user.secret == secret);
        let Some(user) = found else { return reply::oauth(400, "invalid_grant", "Bad credentials") };
        self.tokens_issued += 1;
        let mut part = |length| self.rng.text(BASE64_URL, length);
        let token = format!("eyJ{}.eyJ{}.{}", part(33), part(180), part(342));
        self.tokens.insert(token.clone(), Token { user, ends: now + self.life_s * MICROS });
        reply::ok(&json!({
            "access_token": token, "token_type": "bearer", "expires_in": self.life_s, "scope": "read write trust",
            "jti": part(27),
        }))
    }

    /// The user of a token.
    pub(crate) fn by_token(&self, token: &str, now: i64) -> Result<User, &'static str> {
        let found = self.tokens.get(token).ok_or("Cannot convert access token to JSON")?;
        if found.ends <= now {
            return Err("Access token expired");
        }
        self.users.get(found.user).cloned().ok_or("Access token expired")
    }

    /// The owner of the single key: as much as a technician.
    pub(crate) fn by_header(&self, key: &str) -> Option<User> {
        (key == self.header_key).then(|| User::new("header-key", key, "", &["administrator", "users"]))
    }

    /// How long tokens live that are given out from now on.
    pub(crate) fn set_life(&mut self, seconds: i64) {
        self.life_s = seconds;
    }

    /// Revokes every token.
    pub(crate) fn revoke(&mut self) {
        self.tokens.clear();
    }

    /// Tokens that are valid at this moment.
    pub(crate) fn valid(&self, now: i64) -> usize {
        self.tokens.values().filter(|token| token.ends > now).count()
    }

    /// Grants or takes a right; false when there is no such key, user or right.
    pub(crate) fn set_right(&mut self, who: &str, right: &str, granted: bool) -> bool {
        let Some(right) = RIGHTS.iter().copied().find(|known| *known == right) else { return false };
        let Some(user) = self.find(who) else { return false };
        if granted {
            user.rights.insert(right)
        } else {
            user.rights.remove(right)
        };
        true
    }

    /// Limits a user to some sites; none means all.
    pub(crate) fn set_scope(&mut self, who: &str, sites: Vec<u32>) -> bool {
        let Some(user) = self.find(who) else { return false };
        user.sites = (!sites.is_empty()).then(|| sites.into_iter().collect());
        true
    }

    /// A new pair for a user; the old one and its tokens die.
    pub(crate) fn reset_keys(&mut self, name: &str) -> Option<(String, String)> {
        let index = self.users.iter().position(|user| user.name == name)?;
        let (key, secret) =
            (format!("DSIM{}", self.rng.text(KEY_LETTERS, 28)), self.rng.text(KEY_LETTERS, 32));
        self.tokens.retain(|_, token| token.user != index);
        let user = self.users.get_mut(index)?;
        user.key.clone_from(&key);
        user.secret.clone_from(&secret);
        Some((key, secret))
    }

    /// Names of all users.
    pub(crate) fn names(&self) -> Vec<String> {
        self.users.iter().map(|user| user.name.clone()).collect()
    }

    fn find(&mut self, who: &str) -> Option<&mut User> {
        self.users.iter_mut().find(|user| user.name == who || user.key == who)
    }
}
