//! Users, roles, API keys, tokens and the login throttle.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;

use serde::Serialize;

use crate::rng::secret_bytes;

const MICROS: i64 = 1_000_000;
const TOKEN_LIFE: i64 = 5 * 3600 * MICROS;
const SHORT_TOKEN_LIFE: i64 = 180 * MICROS;
/// A token's expiry is written at most this often.
const REFRESH_AFTER: i64 = 600 * MICROS;
/// Steps of 30 s a one-time code may be off, each way.
const CODE_TOLERANCE: u16 = 10;

/// The accounts of a started server. Random, except in the recorded world.
#[derive(Debug, Clone, Serialize)]
pub struct Accounts {
    /// A superuser's key.
    pub api_key: String,
    /// May list everything and change nothing.
    pub readonly_key: String,
    /// Reads, manages alerts, sends commands, runs scripts, reboots; may not edit core settings.
    pub integration_key: String,
    /// As `readonly_key`, limited to the first client.
    pub scoped_key: String,
    /// Its user has no role.
    pub norole_key: String,
    /// Its user is inactive.
    pub inactive_key: String,
    /// Ran out.
    pub expired_key: String,
    /// A superuser with TOTP.
    pub username: String,
    /// Password of `username`.
    pub password: String,
    /// TOTP secret of `username`, Base32.
    pub totp_secret: String,
    /// A superuser without TOTP.
    pub plain_username: String,
    /// Password of `plain_username`.
    pub plain_password: String,
    /// May use the API by key only: its dashboard login is blocked.
    pub blocked_username: String,
    /// Password of `blocked_username`.
    pub blocked_password: String,
}

impl Accounts {
    /// The accounts of the recordings.
    pub(crate) fn recorded() -> Self {
        let key = |name: &str| format!("PEER{name}KEY{}", "0".repeat(25 - name.len()));
        let password = "peer-Passw0rd-1".to_owned();
        Self {
            api_key: key("SUPERUSER"),
            readonly_key: key("READONLY"),
            integration_key: key("INTEGRATION"),
            scoped_key: key("SCOPED"),
            norole_key: key("NOROLE"),
            inactive_key: key("INACTIVE"),
            expired_key: key("EXPIRED"),
            username: "root".to_owned(),
            password: password.clone(),
            totp_secret: base32(b"recorded-totp-secret"),
            plain_username: "admin".to_owned(),
            plain_password: password.clone(),
            blocked_username: "reader".to_owned(),
            blocked_password: password,
        }
    }

    /// Accounts nobody can guess.
    pub(crate) fn random() -> std::io::Result<Self> {
        let key = || secret_bytes::<20>().map(|bytes| base32(&bytes));
        let word = |name: &str| secret_bytes::<4>().map(|bytes| format!("{name}-{}", hex::encode(bytes)));
        let password = || secret_bytes::<12>().map(hex::encode);
        Ok(Self {
            api_key: key()?,
            readonly_key: key()?,
            integration_key: key()?,
            scoped_key: key()?,
            norole_key: key()?,
            inactive_key: key()?,
            expired_key: key()?,
            username: word("root")?,
            password: password()?,
            totp_secret: key()?,
            plain_username: word("admin")?,
            plain_password: password()?,
            blocked_username: word("reader")?,
            blocked_password: password()?,
        })
    }
}

/// What a user may do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Role {
    pub(crate) is_superuser: bool,
    pub(crate) rights: BTreeSet<String>,
    /// Clients the role sees; empty means all.
    pub(crate) clients: Vec<u32>,
}

impl Role {
    /// Whether the role grants a right.
    pub(crate) fn allows(&self, right: &str) -> bool {
        self.is_superuser || self.rights.contains(right)
    }

    /// Whether the role sees a client.
    pub(crate) fn sees(&self, client: u32) -> bool {
        self.is_superuser || self.clients.is_empty() || self.clients.contains(&client)
    }
}

const READ_RIGHTS: &[&str] = &[
    "can_list_clients",
    "can_list_sites",
    "can_list_agents",
    "can_list_software",
    "can_list_scripts",
    "can_list_checks",
    "can_list_agent_history",
    "can_list_alerts",
    "can_list_notes",
    "can_list_autotasks",
    "can_list_alerttemplates",
    "can_view_customfields",
    "can_view_core_settings",
    "can_ping_agents",
    "can_view_eventlogs",
    "can_manage_procs",
    "can_manage_winsvcs",
    "can_manage_winupdates",
    "can_list_pendingactions",
];

const ACTION_RIGHTS: &[&str] = &[
    "can_manage_alerts",
    "can_send_cmd",
    "can_run_scripts",
    "can_reboot_agents",
    "can_run_bulk",
    "can_run_checks",
    "can_manage_software",
    "can_run_urlactions",
    "can_manage_notes",
    "can_recover_agents",
];

#[derive(Debug)]
struct User {
    password: String,
    totp: Option<[u8; 20]>,
    is_active: bool,
    login_blocked: bool,
    role: Option<Role>,
}

#[derive(Debug)]
struct Token {
    user: String,
    expiry: i64,
}

/// How a login went.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Login {
    /// Unknown user, wrong password, blocked: all alike.
    Refused,
    /// The password fits; a one-time code is wanted.
    WantsCode,
    /// The password fits and no code is needed.
    Plain,
}

/// Who calls.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) user: String,
    pub(crate) role: Option<Role>,
}

/// Everything that decides who may call.
#[derive(Debug)]
pub(crate) struct Access {
    users: HashMap<String, User>,
    keys: HashMap<String, (String, bool)>,
    tokens: HashMap<String, Token>,
    attempts: HashMap<(IpAddr, String), VecDeque<i64>>,
    /// Tokens given out since start.
    pub(crate) tokens_issued: u64,
}

impl Access {
    /// The users behind `accounts`; `first_client` is what the scoped key sees.
    pub(crate) fn new(accounts: &Accounts, first_client: u32) -> Self {
        let mut access = Self {
            users: HashMap::new(),
            keys: HashMap::new(),
            tokens: HashMap::new(),
            attempts: HashMap::new(),
            tokens_issued: 0,
        };
        let superuser = Some(Role { is_superuser: true, ..Role::default() });
        let rights = |lists: &[&[&str]]| lists.concat().into_iter().map(str::to_owned).collect();
        let reader = Role { rights: rights(&[READ_RIGHTS]), ..Role::default() };
        let integration = Role { rights: rights(&[READ_RIGHTS, ACTION_RIGHTS]), ..Role::default() };
        let scoped = Role { clients: vec![first_client], ..reader.clone() };
        access.add(
            &accounts.username,
            &accounts.password,
            from_base32(&accounts.totp_secret),
            superuser.clone(),
        );
        access.add(&accounts.plain_username, &accounts.plain_password, None, superuser);
        access.add(&accounts.blocked_username, &accounts.blocked_password, None, Some(reader));
        access.add("integration", "", None, Some(integration));
        access.add("scoped", "", None, Some(scoped));
        access.add("norole", "", None, None);
        access.add("inactive", "", None, Some(Role::default()));
        access.add("expired", "", None, Some(Role::default()));
        for name in
            [accounts.blocked_username.as_str(), "integration", "scoped", "norole", "inactive", "expired"]
        {
            access.change(name, |user| user.login_blocked = true);
        }
        access.change("inactive", |user| user.is_active = false);
        let keys = [
            (&accounts.api_key, accounts.username.as_str()),
            (&accounts.readonly_key, accounts.blocked_username.as_str()),
            (&accounts.integration_key, "integration"),
            (&accounts.scoped_key, "scoped"),
            (&accounts.norole_key, "norole"),
            (&accounts.inactive_key, "inactive"),
            (&accounts.expired_key, "expired"),
        ];
        access.keys = keys.map(|(key, user)| (key.clone(), (user.to_owned(), user == "expired"))).into();
        access
    }

    fn add(&mut self, name: &str, password: &str, totp: Option<[u8; 20]>, role: Option<Role>) {
        let user = User { password: password.to_owned(), totp, is_active: true, login_blocked: false, role };
        self.users.insert(name.to_owned(), user);
    }

    fn change(&mut self, name: &str, change: impl FnOnce(&mut User)) -> bool {
        self.users.get_mut(name).map(change).is_some()
    }

    /// Grants or takes a right of the user, or of the user behind the key. `is_superuser` is a right here.
    pub(crate) fn set_permission(&mut self, key_or_user: &str, right: &str, granted: bool) -> bool {
        let name = self.keys.get(key_or_user).map_or(key_or_user, |(user, _)| user).to_owned();
        self.change(&name, |user| {
            let role = user.role.get_or_insert_default();
            match (right, granted) {
                ("is_superuser", granted) => role.is_superuser = granted,
                (right, true) => _ = role.rights.insert(right.to_owned()),
                (right, false) => _ = role.rights.remove(right),
            }
        })
    }

    /// Limits the role to some clients; none means all.
    pub(crate) fn set_scope(&mut self, key_or_user: &str, clients: Vec<u32>) -> bool {
        let name = self.keys.get(key_or_user).map_or(key_or_user, |(user, _)| user).to_owned();
        self.change(&name, |user| user.role.get_or_insert_default().clients = clients)
    }

    /// Blocks or allows the user's login by password.
    pub(crate) fn block_login(&mut self, name: &str, blocked: bool) -> bool {
        self.change(name, |user| user.login_blocked = blocked)
    }

    /// Who holds the key; or the framework's message.
    pub(crate) fn by_key(&self, key: &str) -> Result<Caller, &'static str> {
        let (name, is_expired) = self.keys.get(key).ok_or("Invalid token.")?;
        let user = self.users.get(name).filter(|user| user.is_active).ok_or("User inactive or deleted.")?;
        if *is_expired {
            return Err("The token has expired.");
        }
        Ok(Caller { user: name.clone(), role: user.role.clone() })
    }

    /// Who holds the token; its life slides. Expired and wrong look alike.
    pub(crate) fn by_token(&mut self, token: &str, now: i64) -> Result<Caller, &'static str> {
        let row = self.tokens.get_mut(token).filter(|row| row.expiry > now).ok_or("Invalid token.")?;
        let renewed = now + TOKEN_LIFE;
        if renewed - row.expiry > REFRESH_AFTER {
            row.expiry = renewed;
        }
        let user =
            self.users.get(&row.user).filter(|user| user.is_active).ok_or("User inactive or deleted.")?;
        Ok(Caller { user: row.user.clone(), role: user.role.clone() })
    }

    /// Checks user and password.
    pub(crate) fn check_password(&self, name: &str, password: &str) -> Login {
        match self.users.get(name) {
            Some(user) if user.is_active && !user.password.is_empty() && user.password == password => {
                match user {
                    User { login_blocked: true, .. } => Login::Refused,
                    User { totp: Some(_), .. } => Login::WantsCode,
                    User { totp: None, .. } => Login::Plain,
                }
            }
            Some(_) | None => Login::Refused,
        }
    }

    /// Whether password and user fit, whatever else forbids the login.
    pub(crate) fn password_fits(&self, name: &str, password: &str) -> bool {
        self.users
            .get(name)
            .is_some_and(|user| user.is_active && !password.is_empty() && user.password == password)
    }

    /// Checks a one-time code at any of the given times (seconds).
    pub(crate) fn check_code(&self, name: &str, code: &str, times: &[i64]) -> bool {
        let Some(secret) = self.users.get(name).and_then(|user| user.totp) else { return false };
        let totp = totp_rs::Builder::new().with_secret(secret).with_skew(CODE_TOLERANCE).build_noncompliant();
        let is_code = code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit());
        is_code && times.iter().any(|&time| totp.check(code, u64::try_from(time).unwrap_or(0)).is_some())
    }

    /// Gives out a token: `short` for the one a password alone brings.
    pub(crate) fn issue(&mut self, name: &str, is_short: bool, now: i64) -> std::io::Result<(String, i64)> {
        let token = hex::encode(secret_bytes::<32>()?);
        let expiry = now + if is_short { SHORT_TOKEN_LIFE } else { TOKEN_LIFE };
        self.tokens.insert(token.clone(), Token { user: name.to_owned(), expiry });
        self.tokens_issued += 1;
        Ok((token, expiry))
    }

    /// Ends one token.
    pub(crate) fn logout(&mut self, token: &str) {
        self.tokens.remove(token);
    }

    /// Ends all tokens of a user.
    pub(crate) fn logout_all(&mut self, name: &str) {
        self.tokens.retain(|_, token| token.user != name);
    }

    /// Ends every token there is.
    pub(crate) fn expire_tokens(&mut self) {
        self.tokens.clear();
    }

    /// Counts an attempt of that address at that path: 10 a minute, 300 a day. Refused ones do not count.
    pub(crate) fn throttle(&mut self, address: IpAddr, path: &str, now: i64) -> Result<(), u64> {
        let attempts = self.attempts.entry((address, path.to_owned())).or_default();
        while attempts.front().is_some_and(|at| now - at >= 86_400 * MICROS) {
            attempts.pop_front();
        }
        let wait = |at: i64, window: i64| {
            u64::try_from((window * MICROS - (now - at) + MICROS - 1) / MICROS).unwrap_or(1)
        };
        let last_minute: Vec<i64> = attempts.iter().copied().filter(|at| now - at < 60 * MICROS).collect();
        if last_minute.len() >= 10 {
            return Err(wait(last_minute[last_minute.len() - 10], 60));
        }
        if attempts.len() >= 300 {
            return Err(wait(attempts[attempts.len() - 300], 86_400));
        }
        attempts.push_back(now);
        Ok(())
    }

    /// Forgets all attempts.
    pub(crate) fn reset_throttle(&mut self) {
        self.attempts.clear();
    }
}

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Base32 of bytes whose count is a multiple of five, so that no padding is needed.
fn base32(bytes: &[u8]) -> String {
    let bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| (byte >> bit) & 1));
    let bits: Vec<u8> = bits.collect();
    bits.chunks(5)
        .map(|five| five.iter().fold(0, |sum, bit| sum << 1 | bit))
        .map(|n| char::from(BASE32[usize::from(n)]))
        .collect()
}

fn from_base32(text: &str) -> Option<[u8; 20]> {
    let mut bits = Vec::with_capacity(160);
    for letter in text.bytes() {
        let value = BASE32.iter().position(|other| *other == letter)?;
        bits.extend((0..5).rev().map(|bit| u8::from(value >> bit & 1 == 1)));
    }
    let bytes: Vec<u8> =
        bits.chunks(8).map(|eight| eight.iter().fold(0, |sum, bit| sum << 1 | bit)).collect();
    bytes.try_into().ok()
}
