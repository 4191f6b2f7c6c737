//! Second factors: codes of an authenticator app (TOTP), and recovery codes for when all factors are lost. Passkeys are in
//! [`super::passkey`].
//!
//! The secret of an app leaves this module once, when it is made. A code counts once: the step it belongs to is written by
//! the statement that takes it, so that of two servers one gets it. Recovery codes are stored as hashes.

use domain::id::{SessionId, TypedId, UserId};
use secrecy::{ExposeSecret, SecretString};
use totp_rs::{Algorithm, Builder, Secret, Totp};
use zeroize::Zeroizing;

use super::{User, digest, limit, passkey, role, session, user::UserRow};
use crate::{
    Tenant, Tx,
    audit::Act,
    db::args,
    error::{Result, StoreError},
    secret::{LastFour, NewSecret, SecretOwner},
    sql::statements,
};

/// Recovery codes made at once.
pub const RECOVERY_CODES: usize = 10;

/// Bytes of a TOTP secret: as long as the hash, as RFC 4226 recommends.
const SECRET_BYTES: usize = 20;

/// Bytes of a recovery code. 80 random bits cannot be guessed from a plain hash.
const RECOVERY_BYTES: usize = 10;

/// Length of a step.
const STEP_S: u64 = 30;

/// The name of the secret with its owner.
const SECRET: &str = "totp";

/// The second factors of the users of one tenant.
#[derive(Clone)]
pub struct Factors<'s> {
    tenant: Tenant<'s>,
}

impl<'s> Tenant<'s> {
    /// The second factors of the tenant's users.
    pub fn factors(&self) -> Factors<'s> {
        Factors { tenant: self.clone() }
    }
}

impl Factors<'_> {
    /// Makes a secret for an authenticator app, in base32, shown this once. It counts when it is confirmed; one that waits
    /// for that is replaced. [`StoreError::Conflict`] `totp` if the user has one that counts.
    pub async fn enrol_totp(&self, user: UserId) -> Result<SecretString> {
        let bytes = random::<SECRET_BYTES>();
        let kept = SecretString::from(hex::encode(bytes.as_slice()));
        let row_id = user.to_db();
        let mut tx = self.tenant.db().begin().await?;
        if tx.run(&ENROL, args![self.tenant.id, row_id.as_str(), self.tenant.now]).await? == 0 {
            return Err(StoreError::Conflict { what: "totp" });
        }
        let secret = NewSecret {
            owner: owner(&row_id),
            name: SECRET,
            value: &kept,
            last_four: LastFour::Hide,
            expires_at: None,
        };
        self.tenant.secrets().put(&mut tx, &secret).await?;
        let act = Act::new("second_factor.enrol").to(user).with("kind", SECRET).with_secret("secret", &kept);
        self.tenant.record(&mut tx, act).await?;
        tx.commit().await?;
        Ok(SecretString::from(Secret::from(bytes.as_slice()).to_base32()))
    }

    /// From the first right code on the app counts; the answer are the recovery codes, shown this once, which are none beside
    /// another factor that has some, and all sign-ins of the user end. None if the code is wrong; [`StoreError::NotFound`] if nothing waits to be confirmed.
    pub async fn confirm_totp(&self, user: UserId, code: &str) -> Result<Option<Vec<SecretString>>> {
        let row = self.totp(user).await?.filter(|row| row.confirmed_at.is_none());
        let row = row.ok_or(StoreError::NotFound)?;
        let Some(step) = self.step_of(user, code).await? else { return Ok(None) };
        let id = user.to_db();
        let mut tx = self.tenant.db().begin().await?;
        role::lock(&mut tx, self.tenant.id).await?;
        let is_first = !self.has_any(&mut tx, user).await?;
        let args = args![self.tenant.id, id.as_str(), row.created_at, self.tenant.now, step];
        if tx.run(&CONFIRM, args).await? == 0 {
            return Err(StoreError::NotFound);
        }
        let codes = if is_first { self.new_recovery_codes(&mut tx, user).await? } else { Vec::new() };
        session::end_all(&mut tx, self.tenant.id, user).await?;
        self.tenant.record(&mut tx, Act::new("second_factor.confirm").to(user).with("kind", SECRET)).await?;
        tx.commit().await?;
        Ok(Some(codes))
    }

    /// Is it a right code of the user's app, and was it not taken before? If so, it is taken now.
    pub async fn take_totp(&self, user: UserId, code: &str) -> Result<bool> {
        let Some(row) = self.totp(user).await?.filter(|row| row.confirmed_at.is_some()) else {
            return Ok(false);
        };
        let Some(step) = self.step_of(user, code).await? else { return Ok(false) };
        let args = args![self.tenant.id, user.to_db(), row.created_at, step];
        Ok(self.tenant.db().write(&TAKE_STEP, args).await? == 1)
    }

    /// Is it a recovery code of the user, and was it not used before? If so, it is used now.
    pub async fn take_recovery_code(&self, user: UserId, code: &str) -> Result<bool> {
        let args = args![self.tenant.id, user.to_db(), self.hash_of(user, code), self.tenant.now];
        let mut tx = self.tenant.db().begin().await?;
        if tx.run(&TAKE_RECOVERY_CODE, args).await? == 0 {
            return Ok(false);
        }
        self.tenant.record(&mut tx, Act::new("recovery_code.use").to(user)).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// New recovery codes in place of all former ones, shown this once. [`StoreError::NotFound`] if the user has no second
    /// factor that they could stand in for.
    pub async fn renew_recovery_codes(&self, user: UserId) -> Result<Vec<SecretString>> {
        let mut tx = self.tenant.db().begin().await?;
        role::lock(&mut tx, self.tenant.id).await?;
        if !self.has_any(&mut tx, user).await? {
            return Err(StoreError::NotFound);
        }
        let codes = self.new_recovery_codes(&mut tx, user).await?;
        self.tenant.record(&mut tx, Act::new("recovery_codes.renew").to(user)).await?;
        tx.commit().await?;
        Ok(codes)
    }

    /// How many recovery codes are not used yet.
    pub async fn recovery_codes_left(&self, user: UserId) -> Result<u64> {
        let (left,): (i64,) = self.tenant.db().one(&CODES_LEFT, args![self.tenant.id, user.to_db()]).await?;
        Ok(u64::try_from(left).unwrap_or(0))
    }

    /// Removes one's own app, and the recovery codes with the last factor; all sign-ins but `kept` end.
    /// [`StoreError::NotFound`] if there is none.
    pub async fn remove_totp(&self, user: UserId, kept: SessionId) -> Result<()> {
        let mut tx = self.tenant.db().begin().await?;
        role::lock(&mut tx, self.tenant.id).await?;
        if !self.delete_totp(&mut tx, user).await? {
            return Err(StoreError::NotFound);
        }
        self.after_removal(&mut tx, user).await?;
        session::end_others(&mut tx, self.tenant.id, user, kept).await?;
        self.tenant.record(&mut tx, Act::new("second_factor.remove").to(user).with("kind", SECRET)).await?;
        tx.commit().await
    }

    /// Removes all second factors, if there are some, of a user who may do no more than `at_most` (else
    /// [`StoreError::Beyond`]) and sees no more than whoever asks (else [`StoreError::BeyondClients`]); all their sign-ins end.
    pub async fn reset(&self, user: UserId, at_most: &domain::auth::Permissions) -> Result<()> {
        let mut tx = self.tenant.db().begin().await?;
        role::lock(&mut tx, self.tenant.id).await?;
        let found: User =
            tx.one::<UserRow>(&super::user::GET, args![self.tenant.id, user.to_db()]).await?.try_into()?;
        role::within(&found.role.permissions, at_most)?;
        limit::within(&found.clients, &self.tenant)?;
        self.delete_totp(&mut tx, user).await?;
        passkey::delete_all(&mut tx, self.tenant.id, user).await?;
        self.after_removal(&mut tx, user).await?;
        session::end_all(&mut tx, self.tenant.id, user).await?;
        self.tenant.record(&mut tx, Act::new("second_factor.reset").to(user).named(&found.email)).await?;
        tx.commit().await
    }

    async fn delete_totp(&self, tx: &mut Tx, user: UserId) -> Result<bool> {
        let id = user.to_db();
        let gone = tx.run(&DELETE, args![self.tenant.id, id.as_str()]).await?;
        self.tenant.secrets().delete(tx, owner(&id), SECRET).await?;
        Ok(gone > 0)
    }

    /// Has the user a factor that counts? Asked under [`role::lock`], so that of two at once one is the first.
    pub(super) async fn has_any(&self, tx: &mut Tx, user: UserId) -> Result<bool> {
        let found: Option<(i64,)> = tx.maybe(&HAS_ANY, args![self.tenant.id, user.to_db()]).await?;
        Ok(found.is_some())
    }

    /// Recovery codes stand in for a factor: without one they go.
    pub(super) async fn after_removal(&self, tx: &mut Tx, user: UserId) -> Result<()> {
        if !self.has_any(tx, user).await? {
            tx.run(&DELETE_RECOVERY_CODES, args![self.tenant.id, user.to_db()]).await?;
        }
        Ok(())
    }

    pub(super) async fn new_recovery_codes(&self, tx: &mut Tx, user: UserId) -> Result<Vec<SecretString>> {
        tx.run(&DELETE_RECOVERY_CODES, args![self.tenant.id, user.to_db()]).await?;
        let mut codes = Vec::with_capacity(RECOVERY_CODES);
        for _ in 0..RECOVERY_CODES {
            let code = recovery_code();
            let hash = self.hash_of(user, code.expose_secret());
            tx.run(&INSERT_RECOVERY_CODE, args![self.tenant.id, user.to_db(), hash, self.tenant.now]).await?;
            codes.push(code);
        }
        Ok(codes)
    }

    async fn totp(&self, user: UserId) -> Result<Option<TotpRow>> {
        self.tenant.db().maybe(&GET_TOTP, args![self.tenant.id, user.to_db()]).await
    }

    /// The step that the code belongs to, if it is right now or was a step ago or will be in one.
    async fn step_of(&self, user: UserId, code: &str) -> Result<Option<i64>> {
        let id = user.to_db();
        let secrets = self.tenant.secrets().open_all(owner(&id)).await?;
        let kept = secrets.into_iter().find(|(name, _)| name == SECRET).map(|(_, value)| value);
        let kept = kept.ok_or(StoreError::Corrupt { what: "second factor" })?;
        let now_s = u64::try_from(self.tenant.now.0 / 1_000).unwrap_or(0);
        let step = totp(&kept)?.check(&without_spaces(code), now_s);
        Ok(step.and_then(|step| i64::try_from(step).ok()))
    }

    fn hash_of(&self, user: UserId, code: &str) -> String {
        let plain: String =
            code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
        digest(&format!("recovery code {} {} {plain}", self.tenant.id.0, user.to_db()))
    }
}

fn owner(user: &str) -> SecretOwner<'_> {
    SecretOwner { table: "user_totp", row_id: user }
}

fn without_spaces(code: &str) -> String {
    code.chars().filter(|c| !c.is_whitespace()).collect()
}

/// SHA-1, six digits: what every app can do.
fn totp(kept: &SecretString) -> Result<Totp> {
    let corrupt = || StoreError::Corrupt { what: "second factor" };
    let mut bytes = Zeroizing::new([0_u8; SECRET_BYTES]);
    hex::decode_to_slice(kept.expose_secret(), bytes.as_mut_slice()).map_err(|_| corrupt())?;
    let builder = Builder::new()
        .with_algorithm(Algorithm::SHA1)
        .with_digits(6)
        .with_skew(1)
        .with_step_duration(STEP_S)
        .with_secret(*bytes);
    builder.build().map_err(|_| corrupt())
}

fn random<const N: usize>() -> Zeroizing<[u8; N]> {
    let mut random = Zeroizing::new([0_u8; N]);
    getrandom::fill(random.as_mut_slice()).expect("the operating system gives random bytes");
    random
}

/// Four groups of four: `abcd-efgh-ijkl-mnop`.
fn recovery_code() -> SecretString {
    let plain =
        Zeroizing::new(Secret::from(random::<RECOVERY_BYTES>().as_slice()).to_base32().to_lowercase());
    let mut code = String::with_capacity(plain.len() + 3);
    for (at, letter) in plain.chars().enumerate() {
        if at > 0 && at.is_multiple_of(4) {
            code.push('-');
        }
        code.push(letter);
    }
    SecretString::from(code)
}

#[derive(sqlx::FromRow)]
struct TotpRow {
    created_at: i64,
    confirmed_at: Option<i64>,
}

statements! {
    GET_TOTP = ["SELECT created_at, confirmed_at FROM user_totp WHERE tenant_id = $1 AND user_id = $2"];
    HAS_ANY = [
        "SELECT CAST(1 AS BIGINT) FROM users AS u WHERE u.tenant_id = $1 AND u.id = $2 AND (
            EXISTS (SELECT 1 FROM user_totp AS f
                WHERE f.tenant_id = u.tenant_id AND f.user_id = u.id AND f.confirmed_at IS NOT NULL)
            OR EXISTS (SELECT 1 FROM user_passkeys AS p WHERE p.tenant_id = u.tenant_id AND p.user_id = u.id))"
    ];
    ENROL = [
        "INSERT INTO user_totp (tenant_id, user_id, created_at, last_step) VALUES ($1, $2, $3, -1)
         ON CONFLICT (tenant_id, user_id) DO UPDATE SET created_at = excluded.created_at, last_step = -1
         WHERE user_totp.confirmed_at IS NULL"
    ];
    CONFIRM = [
        "UPDATE user_totp SET confirmed_at = $4, last_step = $5
         WHERE tenant_id = $1 AND user_id = $2 AND created_at = $3 AND confirmed_at IS NULL"
    ];
    // Of two that take one code at once, the second finds the step written.
    TAKE_STEP = [
        "UPDATE user_totp SET last_step = $4
         WHERE tenant_id = $1 AND user_id = $2 AND created_at = $3 AND confirmed_at IS NOT NULL AND last_step < $4"
    ];
    DELETE = ["DELETE FROM user_totp WHERE tenant_id = $1 AND user_id = $2"];
    INSERT_RECOVERY_CODE = [
        "INSERT INTO user_recovery_codes (tenant_id, user_id, code_hash, created_at) VALUES ($1, $2, $3, $4)"
    ];
    TAKE_RECOVERY_CODE = [
        "UPDATE user_recovery_codes SET used_at = $4
         WHERE tenant_id = $1 AND user_id = $2 AND code_hash = $3 AND used_at IS NULL"
    ];
    CODES_LEFT = [
        "SELECT COUNT(*) FROM user_recovery_codes WHERE tenant_id = $1 AND user_id = $2 AND used_at IS NULL"
    ];
    DELETE_RECOVERY_CODES = ["DELETE FROM user_recovery_codes WHERE tenant_id = $1 AND user_id = $2"];
}

#[cfg(test)]
mod tests;
