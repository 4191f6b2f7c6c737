//! The installation: what it is for, its first tenant, and its set-up, which closes for good with the first admin.

use domain::{ActorKind, Time, auth::Role, id::TenantId, scope::ClientScope};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use super::{NewUser, User, digest, opaque, user};
use crate::{
    Store, Tenant, Tx,
    audit::By,
    clock,
    db::args,
    error::{Result, StoreError},
    sql::statements,
};

/// The tenant that every installation has.
pub const FIRST_TENANT: TenantId = TenantId(1);

/// What a database is for. One kind never opens the other's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstallationKind {
    /// Real work.
    Serve,
    /// Made-up data.
    Demo,
}

impl InstallationKind {
    /// The stored name, which is also the command's.
    pub const fn name(self) -> &'static str {
        match self {
            InstallationKind::Serve => "serve",
            InstallationKind::Demo => "demo",
        }
    }

    fn from_name(name: &str) -> Option<InstallationKind> {
        [InstallationKind::Serve, InstallationKind::Demo].into_iter().find(|kind| kind.name() == name)
    }
}

/// May the first admin still be made with the set-up token?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetupState {
    /// Yes.
    Open,
    /// No, for good.
    Closed,
}

/// The installation as it was found, or made at the first start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstallationState {
    /// What it is for.
    pub kind: InstallationKind,
    /// The tenant that it has from the start.
    pub tenant: TenantId,
    /// May the first admin still be made?
    pub setup: SetupState,
    /// When it was made.
    pub created_at: Time,
}

/// What came of an attempt to set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setup {
    /// The first admin.
    Done(Box<User>),
    /// The token is not the one printed last.
    WrongToken,
    /// There is an admin already.
    Closed,
}

impl Store {
    /// Reads the installation; makes it and its tenant at the first start. [`StoreError::OtherInstallation`] if the
    /// database is of the other kind.
    pub async fn installation(&self, kind: InstallationKind) -> Result<InstallationState> {
        let mut found = self.before_tenant().maybe::<InstallationRow>(&GET, args![]).await?;
        if found.is_none() {
            let now = clock::now();
            let mut tx = self.before_tenant().begin().await?;
            tx.run(&CREATE, args![kind.name(), now]).await?;
            tx.run(&CREATE_TENANT, args![FIRST_TENANT, "Fleetgate", now]).await?;
            found = tx.maybe(&GET, args![]).await?;
            tx.commit().await?;
        }
        let state = found.ok_or(StoreError::NotFound)?.read()?;
        if state.kind != kind {
            return Err(StoreError::OtherInstallation { found: state.kind.name(), wanted: kind.name() });
        }
        Ok(state)
    }

    /// Is set-up still open?
    pub async fn setup_state(&self) -> Result<SetupState> {
        let row: InstallationRow = self.before_tenant().one(&GET, args![]).await?;
        Ok(row.read()?.setup)
    }

    /// Makes the token that lets the first admin in, for the console; none once set-up is closed. An earlier token
    /// stops working.
    pub async fn create_setup_token(&self) -> Result<Option<SecretString>> {
        let token = opaque::generate("fgs_");
        let kept = self.before_tenant().write(&SET_TOKEN, args![digest(token.expose_secret())]).await?;
        Ok((kept == 1).then_some(token))
    }

    /// Is it the set-up token, and set-up open? To refuse early: [`Store::complete_setup`] looks again.
    pub async fn is_setup_token(&self, token: &SecretString) -> Result<bool> {
        let row: InstallationRow = self.before_tenant().one(&GET, args![]).await?;
        Ok(row.setup_closed_at.is_none() && row.accepts(token))
    }

    /// Makes the first admin and closes set-up for good, in one transaction: of several attempts at once one succeeds.
    pub async fn complete_setup(
        &self,
        token: &SecretString,
        admin: &NewUser<'_>,
        now: Time,
    ) -> Result<Setup> {
        let mut tx = self.db_of(FIRST_TENANT).begin().await?;
        let row: InstallationRow = tx.one(&LOCK, args![]).await?;
        if row.setup_closed_at.is_some() {
            return Ok(Setup::Closed);
        }
        if !row.accepts(token) {
            return Ok(Setup::WrongToken);
        }
        let admin =
            user::insert(&mut tx, FIRST_TENANT, &NewUser { role: Role::Admin.into(), ..*admin }, None, now)
                .await?;
        user::close_setup_for(&mut tx, &admin, now).await?;
        let by = By { kind: ActorKind::Person, user: Some(admin.id), ..By::system() };
        let (actor, clients) = (admin.email.clone(), ClientScope::All);
        let tenant = Tenant { store: self, id: FIRST_TENANT, now, actor, by, clients };
        tenant.record(&mut tx, user::created(&admin).with("by", "set-up token")).await?;
        tx.commit().await?;
        Ok(Setup::Done(Box::new(admin)))
    }
}

/// Closes set-up for good: with the first admin, however it came to be.
pub(super) async fn close_setup(tx: &mut Tx, now: Time) -> Result<()> {
    tx.run(&CLOSE, args![now]).await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct InstallationRow {
    kind: String,
    setup_token_hash: Option<String>,
    setup_closed_at: Option<i64>,
    created_at: i64,
}

impl InstallationRow {
    fn read(&self) -> Result<InstallationState> {
        Ok(InstallationState {
            kind: InstallationKind::from_name(&self.kind)
                .ok_or(StoreError::Corrupt { what: "installation" })?,
            tenant: FIRST_TENANT,
            setup: if self.setup_closed_at.is_some() { SetupState::Closed } else { SetupState::Open },
            created_at: Time(self.created_at),
        })
    }

    /// Compares in constant time.
    fn accepts(&self, token: &SecretString) -> bool {
        let given = digest(token.expose_secret());
        self.setup_token_hash.as_ref().is_some_and(|hash| hash.as_bytes().ct_eq(given.as_bytes()).into())
    }
}

statements! {
    GET = ["SELECT kind, setup_token_hash, setup_closed_at, created_at FROM installation WHERE id = 1"];
    LOCK = [
        "SELECT kind, setup_token_hash, setup_closed_at, created_at FROM installation WHERE id = 1"
        {engine "" " FOR UPDATE"}
    ];
    CREATE = [
        "INSERT INTO installation (id, kind, created_at) VALUES (1, $1, $2) ON CONFLICT (id) DO NOTHING"
    ];
    CREATE_TENANT = [
        "INSERT INTO tenants (id, name, created_at) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING"
    ];
    SET_TOKEN = ["UPDATE installation SET setup_token_hash = $1 WHERE id = 1 AND setup_closed_at IS NULL"];
    CLOSE = [
        "UPDATE installation SET setup_closed_at = $1, setup_token_hash = NULL
         WHERE id = 1 AND setup_closed_at IS NULL"
    ];
}
