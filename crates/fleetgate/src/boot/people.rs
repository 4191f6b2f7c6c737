//! `fleetgate tenant …`, `fleetgate user …` and `fleetgate token …`: short transactions, also beside a running server.
//!
//! For scripts they print what the REST interface would: a user, a list of users, a new token.

use domain::{auth::Role, client::name_key, id::TenantId, scope::ClientScope};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use service::{
    ServiceError,
    account::{Accounts, FIRST_TENANT, Factor, NewAccount, TenantInfo, TokenRequest, User},
};

use super::{operator_services, service_failure};
use crate::{
    cli::{
        exit::Exit,
        failure::Failure,
        operator::{TenantCommand, TokenCommand, UserCommand},
    },
    config::Config,
    output::{
        Output,
        table::{name, whole},
        text::plain,
    },
    prompt::{confirm, new_password},
};

/// `fleetgate user …`.
pub(crate) async fn user(command: UserCommand, config: &Config, output: &Output) -> Result<Exit, Failure> {
    let services = operator_services(config).await?;
    let accounts = &services.accounts;
    match command {
        UserCommand::Create { email, name, role, tenant, clients, password, own_password } => {
            let tenant = tenant_of(accounts, tenant.as_deref()).await?;
            let clients = scope_of(accounts, tenant, &clients).await?;
            let password = new_password(password.as_deref())?;
            let name = name.unwrap_or_else(|| email.clone());
            let new = NewAccount { email, name, role: Role::from(role).into(), clients, password };
            let made = if own_password {
                accounts.create_user(tenant, new).await
            } else {
                accounts.create_user_for(tenant, new).await
            };
            let user = made.map_err(service_failure)?;
            let sentence = format!("Created {} ({}).{}", user.email, user.role.name, to_change(&user));
            tell(&user, &sentence, output)?;
        }
        UserCommand::List { tenant } => list_users(accounts, tenant.as_deref(), output).await?,
        UserCommand::ResetPassword { email, password, own_password } => {
            let password = new_password(password.as_deref())?;
            let reset = if own_password {
                accounts.reset_password(&email, password).await
            } else {
                accounts.reset_password_for(&email, password).await
            };
            let user = reset.map_err(no_such_user(&email))?;
            let to_change = to_change(&user);
            let sentence =
                format!("{} has a new password and is signed out everywhere.{to_change}", user.email);
            tell(&user, &sentence, output)?;
        }
        UserCommand::ResetSecondFactor { email } => {
            let user = accounts.reset_second_factor(&email).await.map_err(no_such_user(&email))?;
            let sentence = format!(
                "{} has no second factor any more and is signed out everywhere; the password lets in again.",
                user.email
            );
            tell(&user, &sentence, output)?;
        }
        UserCommand::Disable { email, yes } => {
            let user = accounts.find_user(&email).await.map_err(no_such_user(&email))?;
            let users = accounts.list_users(user.tenant).await.map_err(service_failure)?;
            if is_last_admin(&users, &user) {
                let question = format!(
                    "{email} is the last admin: nobody could change integrations, users or settings any more, \
                     until `fleetgate user create` makes another admin on this machine. Shut {email} out?"
                );
                confirm(&question, yes.into())?;
            }
            let user = accounts.disable_user(&email).await.map_err(no_such_user(&email))?;
            tell(
                &user,
                &format!("{} cannot sign in any more, and its tokens are dead.", user.email),
                output,
            )?;
        }
        UserCommand::Enable { email } => {
            let user = accounts.enable_user(&email).await.map_err(no_such_user(&email))?;
            tell(&user, &format!("{} can sign in again, and its tokens work.", user.email), output)?;
        }
    }
    Ok(Exit::Ok)
}

/// `fleetgate tenant …`.
pub(crate) async fn tenant(
    command: TenantCommand,
    config: &Config,
    output: &Output,
) -> Result<Exit, Failure> {
    let services = operator_services(config).await?;
    let accounts = &services.accounts;
    let as_json = |tenant: &TenantInfo| json!({ "id": tenant.id, "name": tenant.name, "created_at": tenant.created_at });
    match command {
        TenantCommand::List => {
            let tenants = accounts.tenants().await.map_err(service_failure)?;
            if output.is_json() {
                let items: Vec<Value> = tenants.iter().map(as_json).collect();
                output.json(&listed(&items).to_string())?;
                return Ok(Exit::Ok);
            }
            let row = |tenant: &TenantInfo| {
                vec![tenant.id.to_string(), tenant.name.clone(), tenant.created_at.to_string()]
            };
            let columns = [whole("Number", 0), name("Name", 0), whole("Created", 1)];
            output.table(&columns, &tenants.iter().map(row).collect::<Vec<_>>())?;
        }
        TenantCommand::Create { name } => {
            let made = accounts.create_tenant(&name).await.map_err(service_failure)?;
            if output.is_json() {
                output.json(&as_json(&made).to_string())?;
                return Ok(Exit::Ok);
            }
            output.line(&format!("Made tenant {} ({}). Nobody is in it yet.", made.id, plain(&made.name)))?;
            output.note(&format!("Next: fleetgate user create --tenant {} --email you@example.com", made.id));
        }
    }
    Ok(Exit::Ok)
}

/// The tenant of this number or name; the first one if none was named.
pub(super) async fn tenant_of(accounts: &Accounts, wanted: Option<&str>) -> Result<TenantId, Failure> {
    let Some(wanted) = wanted else { return Ok(FIRST_TENANT) };
    let tenants = accounts.tenants().await.map_err(service_failure)?;
    let key = name_key(wanted);
    let fits = |tenant: &&TenantInfo| tenant.id.to_string() == key || name_key(&tenant.name) == key;
    tenants.iter().find(fits).map(|tenant| tenant.id).ok_or_else(|| {
        Failure::not_found(format!("there is no tenant `{wanted}`"))
            .advise("`fleetgate tenant list` lists them.")
    })
}

/// The clients of these names or ids; all if none is named.
async fn scope_of(accounts: &Accounts, tenant: TenantId, wanted: &[String]) -> Result<ClientScope, Failure> {
    if wanted.is_empty() {
        return Ok(ClientScope::All);
    }
    let mut found = Vec::with_capacity(wanted.len());
    for name in wanted {
        let client = accounts.find_client(tenant, name).await.map_err(|error| match error {
            ServiceError::NotFound { .. } => Failure::not_found(format!("there is no client `{name}`"))
                .advise(
                    "`fleetgate clients list` lists them; clients that were put aside do not count here.",
                ),
            other => service_failure(other),
        })?;
        found.push(client.id);
    }
    Ok(ClientScope::only(found))
}

fn to_change(user: &User) -> &'static str {
    match user.password_given_at {
        Some(_) => " The first sign-in with it has to change the password.",
        None => "",
    }
}

fn no_such_user(email: &str) -> impl Fn(ServiceError) -> Failure {
    move |error| match error {
        ServiceError::NotFound { .. } => Failure::not_found(format!("there is no user `{}`", email.trim())),
        other => service_failure(other),
    }
}

fn is_last_admin(users: &[User], user: &User) -> bool {
    let is_active_admin = |user: &&User| {
        user.role.permissions.rule_the_tenant() && user.clients.is_all() && user.disabled_at.is_none()
    };
    is_active_admin(&user) && users.iter().filter(is_active_admin).count() == 1
}

async fn list_users(accounts: &Accounts, tenant: Option<&str>, output: &Output) -> Result<(), Failure> {
    let tenants = match tenant {
        Some(_) => vec![tenant_of(accounts, tenant).await?],
        None => {
            let all = accounts.tenants().await.map_err(service_failure)?;
            all.into_iter().map(|tenant| tenant.id).collect()
        }
    };
    let mut users = Vec::new();
    for tenant in tenants {
        users.extend(accounts.list_users(tenant).await.map_err(service_failure)?);
    }
    print_users(&users, output)
}

fn tell(user: &User, sentence: &str, output: &Output) -> Result<(), Failure> {
    if output.is_json() { output.json(&as_json(user).to_string()) } else { output.line(sentence) }
}

fn print_users(users: &[User], output: &Output) -> Result<(), Failure> {
    if output.is_json() {
        let items: Vec<Value> = users.iter().map(as_json).collect();
        return output.json(&listed(&items).to_string());
    }
    let state = |user: &User| if user.disabled_at.is_some() { "disabled" } else { "active" };
    let row = |user: &User| {
        let tenant = user.tenant.to_string();
        let factor = Factor::of(user).into_iter().map(Factor::name).collect::<Vec<_>>().join(", ");
        let (name, role) = (user.name.clone(), user.role.name.clone());
        let clients = how_many(&user.clients);
        vec![user.email.clone(), name, role, clients, state(user).to_owned(), factor, tenant]
    };
    let columns = [
        whole("E-mail", 0),
        name("Name", 1),
        whole("Role", 0),
        whole("Clients", 0),
        whole("State", 0),
        whole("Second factor", 3),
        whole("Tenant", 2),
    ];
    output.table(&columns, &users.iter().map(row).collect::<Vec<_>>())
}

/// How many clients somebody sees.
fn how_many(clients: &ClientScope) -> String {
    match clients {
        ClientScope::All => "all".to_owned(),
        ClientScope::Only(list) if list.is_empty() => "none".to_owned(),
        ClientScope::Only(list) => list.len().to_string(),
    }
}

/// The form of all lists.
fn listed(items: &[Value]) -> Value {
    let count = items.len();
    json!({ "items": items, "next_cursor": null, "total": count, "total_at_least": count })
}

fn as_json(user: &User) -> Value {
    json!({
        "id": user.id,
        "tenant_id": user.tenant,
        "email": user.email,
        "name": user.name,
        "role": user.role.key.to_string(),
        "role_name": user.role.name,
        "clients": match &user.clients {
            ClientScope::All => None,
            ClientScope::Only(list) => Some(list.iter().collect::<Vec<_>>()),
        },
        "disabled_at": user.disabled_at,
        "second_factors": Factor::of(user).into_iter().map(Factor::name).collect::<Vec<_>>(),
        "must_change_password": user.password_given_at.is_some(),
        "created_at": user.created_at,
        "updated_at": user.updated_at,
    })
}

/// `fleetgate token …`.
pub(crate) async fn token(command: TokenCommand, config: &Config, output: &Output) -> Result<Exit, Failure> {
    let services = operator_services(config).await?;
    let TokenCommand::Create { email, name, days, kind } = command;
    let request = TokenRequest { kind: kind.into(), name, permissions: None, days };
    let made = services.accounts.create_token_for(&email, &request).await;
    let (info, secret) = made.map_err(no_such_user(&email))?;
    if output.is_json() {
        let token = json!({
            "id": info.id,
            "user_id": info.user,
            "name": info.name,
            "kind": info.kind.name(),
            "permissions": info.permissions.names(),
            "last_four": info.last_four,
            "created_at": info.created_at,
            "expires_at": info.expires_at,
            "revoked_at": info.revoked_at,
            "last_used_at": info.last_used_at,
        });
        output.json(&json!({ "token": token, "secret": secret.expose_secret() }).to_string())?;
        return Ok(Exit::Ok);
    }
    output.note(&format!("A token for {email}, until {}. It is shown this once:", info.expires_at));
    output.line(secret.expose_secret())?;
    Ok(Exit::Ok)
}
