//! Passkeys: keys of an authenticator that sign a challenge. Here are their public halves, and the challenges.
//!
//! A challenge is taken before anything that was signed is looked at, by a statement that deletes it: whatever comes of it,
//! it is not taken again. It belongs to one purpose of one sign-in and goes with that. What makes a signature good is the
//! service's to know.

use std::time::Duration;

use domain::{
    Time,
    id::{PasskeyId, SessionId, TenantId, TypedId, UserId},
};
use secrecy::{ExposeSecret, SecretString};

use super::{digest, opaque, role, session};
use crate::{
    Tenant, Tx,
    audit::Act,
    db::{args, lite_row},
    error::{Result, StoreError},
    new_id,
    sql::statements,
};

/// Passkeys that one user may have.
pub const MAX_PASSKEYS: usize = 10;

/// How long a challenge can be answered.
const CHALLENGE_LIFETIME: Duration = Duration::from_secs(5 * 60);

/// The name of this kind of factor in the audit log.
const KIND: &str = "passkey";

/// A passkey of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passkey {
    /// Ours.
    pub id: PasskeyId,
    /// The name of the server that it was made for; it works for no other.
    pub rp_id: String,
    /// The authenticator's, in base64url.
    pub credential_id: String,
    /// A COSE key in base64url.
    pub public_key: String,
    /// The highest count of signatures that was shown; 0 if the authenticator does not count.
    pub sign_count: u32,
    /// May it be copied to other machines?
    pub backup_eligible: bool,
    /// Was it, when it was last used?
    pub backed_up: bool,
    /// How a browser reaches it, as it said.
    pub transports: Vec<String>,
    /// What its owner calls it.
    pub name: String,
    /// When it was added.
    pub created_at: Time,
    /// When it last let in or proved who is there.
    pub last_used_at: Option<Time>,
}

/// A passkey that was checked, to be added.
#[derive(Clone, Copy, Debug)]
pub struct NewPasskey<'a> {
    /// See [`Passkey`], as all of these.
    pub rp_id: &'a str,
    /// In base64url.
    pub credential_id: &'a str,
    /// A COSE key in base64url.
    pub public_key: &'a str,
    /// COSE's number of the kind of signature.
    pub algorithm: i64,
    /// As shown when it was made.
    pub sign_count: u32,
    /// May it be copied?
    pub backup_eligible: bool,
    /// Is it?
    pub backed_up: bool,
    /// How a browser reaches it.
    pub transports: &'a [String],
    /// What its owner calls it, checked by the caller.
    pub name: &'a str,
}

/// What a challenge is for, and to which sign-in it belongs.
#[derive(Clone, Copy, Debug)]
pub enum ChallengeFor<'a> {
    /// To add a passkey.
    Enrol(SessionId),
    /// To prove again who is there.
    StepUp(SessionId),
    /// The second step of a sign-in, by the text of its challenge.
    SignIn(&'a str),
}

/// What an authenticator is to sign.
#[derive(Debug)]
pub struct PasskeyChallenge {
    /// 256 random bits in base64url, shown this once.
    pub text: SecretString,
    /// When it ends.
    pub expires_at: Time,
}

/// The passkeys of the users of one tenant.
#[derive(Clone)]
pub struct Passkeys<'s> {
    tenant: Tenant<'s>,
}

impl<'s> Tenant<'s> {
    /// The passkeys of the tenant's users.
    pub fn passkeys(&self) -> Passkeys<'s> {
        Passkeys { tenant: self.clone() }
    }
}

impl Passkeys<'_> {
    /// A new challenge in place of a former one for the same. [`StoreError::NotFound`] if the sign-in has ended.
    pub async fn challenge(&self, user: UserId, purpose: ChallengeFor<'_>) -> Result<PasskeyChallenge> {
        let text = opaque::generate("");
        let expires_at = self.tenant.now + CHALLENGE_LIFETIME;
        let (name, holder) = place(purpose);
        let sql = match purpose {
            ChallengeFor::Enrol(_) | ChallengeFor::StepUp(_) => &CHALLENGE_OF_SESSION,
            ChallengeFor::SignIn(_) => &CHALLENGE_OF_SIGN_IN,
        };
        let hash = digest(text.expose_secret());
        let args = args![self.tenant.id, name, holder, user.to_db(), hash, expires_at];
        let mut tx = self.tenant.db().begin().await?;
        if tx.run(sql, args).await? == 0 {
            return Err(StoreError::NotFound);
        }
        if matches!(purpose, ChallengeFor::Enrol(_)) {
            self.tenant.record(&mut tx, Act::new("second_factor.enrol").to(user).with("kind", KIND)).await?;
        }
        tx.commit().await?;
        Ok(PasskeyChallenge { text, expires_at })
    }

    /// Takes the challenge for this, so that nobody takes it again: its SHA-256. None if there is none or it has ended.
    pub async fn take_challenge(&self, user: UserId, purpose: ChallengeFor<'_>) -> Result<Option<[u8; 32]>> {
        let (name, holder) = place(purpose);
        let args = args![self.tenant.id, name, holder, user.to_db()];
        let mut tx = self.tenant.db().begin().await?;
        let taken: Option<(String, i64)> = tx.maybe(&TAKE_CHALLENGE, args).await?;
        tx.commit().await?;
        let Some((hash, _)) = taken.filter(|(_, expires_at)| self.tenant.now < Time(*expires_at)) else {
            return Ok(None);
        };
        let mut bytes = [0_u8; 32];
        let corrupt = |_| StoreError::Corrupt { what: "passkey challenge" };
        hex::decode_to_slice(hash, &mut bytes).map_err(corrupt)?;
        Ok(Some(bytes))
    }

    /// Those of a user, the first added first.
    pub async fn list_of(&self, user: UserId) -> Result<Vec<Passkey>> {
        let rows: Vec<PasskeyRow> =
            self.tenant.db().all(&LIST_OF, args![self.tenant.id, user.to_db()]).await?;
        rows.into_iter().map(Passkey::try_from).collect()
    }

    /// Adds one; all sign-ins of the user end. The answer is the passkey, and the recovery codes if it is the first second
    /// factor, shown this once. [`StoreError::Conflict`] `passkey` if somebody of the tenant has it already, `passkeys` if the user
    /// has [`MAX_PASSKEYS`].
    pub async fn add(&self, user: UserId, new: &NewPasskey<'_>) -> Result<(PasskeyId, Vec<SecretString>)> {
        let id: PasskeyId = new_id(self.tenant.now);
        let mut tx = self.tenant.db().begin().await?;
        role::lock(&mut tx, self.tenant.id).await?;
        let factors = self.tenant.factors();
        let is_first = !factors.has_any(&mut tx, user).await?;
        let (count,): (i64,) = tx.one(&COUNT_OF, args![self.tenant.id, user.to_db()]).await?;
        if usize::try_from(count).unwrap_or(usize::MAX) >= MAX_PASSKEYS {
            return Err(StoreError::Conflict { what: "passkeys" });
        }
        let transports = serde_json::to_string(new.transports).unwrap_or_else(|_| "[]".to_owned());
        let args = args![
            self.tenant.id,
            user.to_db(),
            id.to_db(),
            new.rp_id,
            digest(new.credential_id),
            new.credential_id,
            new.public_key,
            new.algorithm,
            i64::from(new.sign_count),
            new.backup_eligible,
            new.backed_up,
            transports,
            new.name,
            self.tenant.now
        ];
        if tx.run(&INSERT, args).await? == 0 {
            return Err(StoreError::Conflict { what: "passkey" });
        }
        let codes = if is_first { factors.new_recovery_codes(&mut tx, user).await? } else { Vec::new() };
        session::end_all(&mut tx, self.tenant.id, user).await?;
        let act = about("second_factor.confirm", user, id).with("name", new.name);
        self.tenant.record(&mut tx, act).await?;
        tx.commit().await?;
        Ok((id, codes))
    }

    /// Notes a use with the count of signatures that was shown. False if that is not above the highest shown so far, which is
    /// kept: a copy of the key may be in use. Of two that show one count at once, one is told so.
    pub async fn note_use(
        &self,
        user: UserId,
        id: PasskeyId,
        sign_count: u32,
        backed_up: bool,
    ) -> Result<bool> {
        let args = args![
            self.tenant.id,
            user.to_db(),
            id.to_db(),
            i64::from(sign_count),
            backed_up,
            self.tenant.now
        ];
        Ok(self.tenant.db().write(&NOTE_USE, args).await? == 1)
    }

    /// Gives it another name, checked by the caller.
    pub async fn rename(&self, user: UserId, id: PasskeyId, name: &str) -> Result<Passkey> {
        let mut tx = self.tenant.db().begin().await?;
        let args = args![self.tenant.id, user.to_db(), id.to_db(), name];
        let row: Option<PasskeyRow> = tx.maybe(&GET, args![self.tenant.id, user.to_db(), id.to_db()]).await?;
        let before: Passkey = row.ok_or(StoreError::NotFound)?.try_into()?;
        if tx.run(&RENAME, args).await? == 0 {
            return Err(StoreError::NotFound);
        }
        let act = about("second_factor.rename", user, id).with("name", name);
        self.tenant.record(&mut tx, act.with("name_before", before.name.as_str())).await?;
        tx.commit().await?;
        Ok(Passkey { name: name.to_owned(), ..before })
    }

    /// Removes one, and the recovery codes with the last factor; all sign-ins of the user but `kept` end.
    pub async fn remove(&self, user: UserId, id: PasskeyId, kept: SessionId) -> Result<()> {
        let mut tx = self.tenant.db().begin().await?;
        role::lock(&mut tx, self.tenant.id).await?;
        if tx.run(&DELETE, args![self.tenant.id, user.to_db(), id.to_db()]).await? == 0 {
            return Err(StoreError::NotFound);
        }
        self.tenant.factors().after_removal(&mut tx, user).await?;
        session::end_others(&mut tx, self.tenant.id, user, kept).await?;
        self.tenant.record(&mut tx, about("second_factor.remove", user, id)).await?;
        tx.commit().await
    }
}

/// All of a user's, in the caller's transaction.
pub(super) async fn delete_all(tx: &mut Tx, tenant: TenantId, user: UserId) -> Result<()> {
    tx.run(&DELETE_ALL, args![tenant, user.to_db()]).await.map(drop)
}

fn about(act: &'static str, user: UserId, id: PasskeyId) -> Act {
    Act::new(act).to(user).with("kind", KIND).with("passkey_id", id.to_string())
}

fn place(purpose: ChallengeFor<'_>) -> (&'static str, String) {
    match purpose {
        ChallengeFor::Enrol(session) => ("enrol", session.to_db()),
        ChallengeFor::StepUp(session) => ("step_up", session.to_db()),
        ChallengeFor::SignIn(text) => ("sign_in", digest(text)),
    }
}

#[derive(sqlx::FromRow)]
struct PasskeyRow {
    id: String,
    rp_id: String,
    credential_id: String,
    public_key: String,
    sign_count: i64,
    backup_eligible: bool,
    backed_up: bool,
    transports: String,
    name: String,
    created_at: i64,
    last_used_at: Option<i64>,
}

lite_row! {
    PasskeyRow {
        id, rp_id, credential_id, public_key, sign_count, backup_eligible, backed_up, transports, name, created_at,
        last_used_at,
    }
}

impl TryFrom<PasskeyRow> for Passkey {
    type Error = StoreError;

    fn try_from(row: PasskeyRow) -> Result<Passkey> {
        let corrupt = || StoreError::Corrupt { what: "passkey" };
        Ok(Passkey {
            id: PasskeyId::from_db(&row.id).map_err(|_| corrupt())?,
            rp_id: row.rp_id,
            credential_id: row.credential_id,
            public_key: row.public_key,
            sign_count: u32::try_from(row.sign_count).map_err(|_| corrupt())?,
            backup_eligible: row.backup_eligible,
            backed_up: row.backed_up,
            transports: serde_json::from_str(&row.transports).map_err(|_| corrupt())?,
            name: row.name,
            created_at: Time(row.created_at),
            last_used_at: row.last_used_at.map(Time),
        })
    }
}

statements! {
    CHALLENGE_OF_SESSION = [
        "INSERT INTO passkey_challenges (tenant_id, purpose, holder, session_id, user_id, challenge_hash, expires_at)
         SELECT tenant_id, CAST($2 AS TEXT), id, id, user_id, CAST($5 AS TEXT), CAST($6 AS BIGINT) FROM sessions
         WHERE tenant_id = $1 AND id = $3 AND user_id = $4
         ON CONFLICT (tenant_id, purpose, holder) DO UPDATE SET challenge_hash = excluded.challenge_hash,
            expires_at = excluded.expires_at"
    ];
    CHALLENGE_OF_SIGN_IN = [
        "INSERT INTO passkey_challenges (tenant_id, purpose, holder, login_hash, user_id, challenge_hash, expires_at)
         SELECT tenant_id, CAST($2 AS TEXT), token_hash, token_hash, user_id, CAST($5 AS TEXT), CAST($6 AS BIGINT)
         FROM login_challenges WHERE tenant_id = $1 AND token_hash = $3 AND user_id = $4
         ON CONFLICT (tenant_id, purpose, holder) DO UPDATE SET challenge_hash = excluded.challenge_hash,
            expires_at = excluded.expires_at"
    ];
    TAKE_CHALLENGE = [
        "DELETE FROM passkey_challenges WHERE tenant_id = $1 AND purpose = $2 AND holder = $3 AND user_id = $4
         RETURNING challenge_hash, expires_at"
    ];
    LIST_OF = [
        "SELECT id, rp_id, credential_id, public_key, sign_count, backup_eligible, backed_up, transports, name, created_at,
            last_used_at
         FROM user_passkeys WHERE tenant_id = $1 AND user_id = $2 ORDER BY created_at, id"
    ];
    GET = [
        "SELECT id, rp_id, credential_id, public_key, sign_count, backup_eligible, backed_up, transports, name, created_at,
            last_used_at
         FROM user_passkeys WHERE tenant_id = $1 AND user_id = $2 AND id = $3"
    ];
    COUNT_OF = ["SELECT COUNT(*) FROM user_passkeys WHERE tenant_id = $1 AND user_id = $2"];
    INSERT = [
        "INSERT INTO user_passkeys (tenant_id, user_id, id, rp_id, credential_hash, credential_id, public_key, algorithm,
            sign_count, backup_eligible, backed_up, transports, name, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
         ON CONFLICT (tenant_id, credential_hash) DO NOTHING"
    ];
    // Authenticators that do not count show 0 for ever. Of two that show one count at once, the second finds it written.
    NOTE_USE = [
        "UPDATE user_passkeys SET sign_count = $4, backed_up = $5, last_used_at = $6
         WHERE tenant_id = $1 AND user_id = $2 AND id = $3 AND (sign_count < $4 OR (sign_count = 0 AND $4 = 0))"
    ];
    RENAME = ["UPDATE user_passkeys SET name = $4 WHERE tenant_id = $1 AND user_id = $2 AND id = $3"];
    DELETE = ["DELETE FROM user_passkeys WHERE tenant_id = $1 AND user_id = $2 AND id = $3"];
    DELETE_ALL = ["DELETE FROM user_passkeys WHERE tenant_id = $1 AND user_id = $2"];
}

#[cfg(test)]
mod tests;
