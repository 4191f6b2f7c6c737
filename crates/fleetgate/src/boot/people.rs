//! `fleetgate user …` and `fleetgate token …`: short transactions, also beside a running server.
//!
//! For scripts they print what the REST interface would: a user, a list of users, a new token.

use domain::auth::Role;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use service::account::{NewAccount, TokenRequest};
use store::people::User;

use super::{operator_services, service_failure};
use crate::{
    cli::{
        exit::Exit,
        failure::Failure,
        operator::{TokenCommand, UserCommand},
    },
    config::Config,
    output::{
        Output,
        table::{name, whole},
    },
    prompt::{confirm, new_password},
};

/// `fleetgate user …`.
pub(crate) async fn user(command: UserCommand, config: &Config, output: &Output) -> Result<Exit, Failure> {
    let services = operator_services(config).await?;
    let accounts = &services.accounts;
    match command {
        UserCommand::Create { email, name, role, password } => {
            let password = new_password(password.as_deref())?;
            let name = name.unwrap_or_else(|| email.clone());
            let new = NewAccount { email, name, role: Role::from(role), password };
            let user = accounts.create_user(new).await.map_err(service_failure)?;
            tell(&user, &format!("Created {} ({}).", user.email, user.role.name()), output)?;
        }
        UserCommand::List => {
            let users = accounts.list_users().await.map_err(service_failure)?;
            print_users(&users, output)?;
        }
        UserCommand::ResetPassword { email, password } => {
            let password = new_password(password.as_deref())?;
            accounts.reset_password(&email, password).await.map_err(service_failure)?;
            let users = accounts.list_users().await.map_err(service_failure)?;
            let sentence = format!("{email} has a new password and is signed out everywhere.");
            tell(found(&users, &email)?, &sentence, output)?;
        }
        UserCommand::Disable { email, yes } => {
            let users = accounts.list_users().await.map_err(service_failure)?;
            if is_last_admin(&users, found(&users, &email)?) {
                let question = format!(
                    "{email} is the last admin: nobody could change integrations, users or settings any more, \
                     until `fleetgate user create` makes another admin on this machine. Shut {email} out?"
                );
                confirm(&question, yes.into())?;
            }
            accounts.disable_user(&email).await.map_err(service_failure)?;
            let users = accounts.list_users().await.map_err(service_failure)?;
            let sentence = format!("{email} cannot sign in any more, and its tokens are dead.");
            tell(found(&users, &email)?, &sentence, output)?;
        }
    }
    Ok(Exit::Ok)
}

/// E-mail addresses are the same whatever their case.
fn found<'u>(users: &'u [User], email: &str) -> Result<&'u User, Failure> {
    let email = email.trim().to_lowercase();
    let found = users.iter().find(|user| user.email.to_lowercase() == email);
    found.ok_or_else(|| Failure::not_found(format!("there is no user `{email}`")))
}

fn is_last_admin(users: &[User], user: &User) -> bool {
    let is_active_admin = |user: &&User| user.role == Role::Admin && user.disabled_at.is_none();
    is_active_admin(&user) && users.iter().filter(is_active_admin).count() == 1
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
        vec![user.email.clone(), user.name.clone(), user.role.name().to_owned(), state(user).to_owned()]
    };
    let columns = [whole("E-mail", 0), name("Name", 1), whole("Role", 0), whole("State", 0)];
    output.table(&columns, &users.iter().map(row).collect::<Vec<_>>())
}

/// The form of all lists.
fn listed(items: &[Value]) -> Value {
    let count = items.len();
    json!({ "items": items, "next_cursor": null, "total": count, "total_at_least": count })
}

fn as_json(user: &User) -> Value {
    json!({
        "id": user.id,
        "email": user.email,
        "name": user.name,
        "role": user.role.name(),
        "disabled_at": user.disabled_at,
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
    let (info, secret) = made.map_err(service_failure)?;
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
