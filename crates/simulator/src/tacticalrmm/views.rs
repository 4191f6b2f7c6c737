//! From routes to the code that answers them.

use serde_json::json;

use crate::answer::Answer;
use crate::tacticalrmm::call::Call;
use crate::tacticalrmm::reply;
use crate::tacticalrmm::routes::View;
use crate::tacticalrmm::{acting, agents, alerts, beta, clients, library, live, login, provisioning};

/// An internal number of the app, not the server's version.
const APP_VERSION: &str = "0.0.203";

/// Answers a call that is authenticated.
pub(crate) async fn answer(call: Call) -> Answer {
    if call.method == "OPTIONS" {
        let parses = ["application/json", "application/x-www-form-urlencoded", "multipart/form-data"];
        return reply::ok(
            &json!({"name": "View", "description": "", "renders": ["application/json"], "parses": parses}),
        );
    }
    let answered = match call.route.view {
        View::Home => home(&call),
        View::Version => version(&call),
        View::CheckCreds | View::Login | View::Logout | View::LogoutAll => login::answer(&call),
        View::Clients | View::Client | View::Sites | View::Site => clients::answer(&call),
        View::Agents
        | View::Agent
        | View::Versions
        | View::MaintenanceBulk
        | View::Notes
        | View::AgentNotes
        | View::AgentPending
        | View::History
        | View::AgentHistory
        | View::ScriptHistory => agents::answer(&call),
        View::Command | View::RunScript | View::Reboot | View::Shutdown | View::Bulk | View::ScriptTest => {
            acting::answer(&call).await
        }
        View::Ping
        | View::Processes
        | View::EventLog
        | View::Wmi
        | View::Wol
        | View::Services
        | View::CheckRun
        | View::Software => live::answer(&call).await,
        View::Updates
        | View::SoftwareAll
        | View::Chocos
        | View::Scripts
        | View::Script
        | View::ScriptDownload
        | View::Checks
        | View::Check
        | View::CheckHistory
        | View::CheckReset
        | View::AgentChecks
        | View::AgentTasks
        | View::Tasks
        | View::CustomFields
        | View::KeyStore => library::answer(&call),
        View::Alerts | View::Alert | View::AlertsBulk => alerts::answer(&call),
        View::Templates
        | View::Template
        | View::UrlActions
        | View::UrlAction
        | View::UrlActionRun
        | View::UrlActionTest
        | View::CoreSettings => provisioning::answer(&call).await,
        View::BetaRoot
        | View::BetaClients
        | View::BetaClient
        | View::BetaSites
        | View::BetaSite
        | View::BetaAgents
        | View::BetaAgent => beta::answer(&call),
    };
    answered.unwrap_or_else(|refused| refused)
}

fn home(call: &Call) -> reply::Reply {
    match call.method.as_str() {
        "GET" => Ok(reply::ok(&json!({"status": "ok"}))),
        _ => Err(call.method_not_allowed()),
    }
}

fn version(call: &Call) -> reply::Reply {
    match call.method.as_str() {
        "GET" => Ok(reply::text(APP_VERSION)),
        _ => Err(call.method_not_allowed()),
    }
}
