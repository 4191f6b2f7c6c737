//! Which credential may act, found out without acting.
//!
//! Tactical looks at the right first and at the agent afterwards. So an action on an agent that does not exist is
//! answered 403 where the right is missing and 404 where it is there, and nothing happens either way (recorded as
//! `auth-apikey-no-permission` and `cmd-unknown-agent`). Rights to change settings have no such harmless question:
//! the report says that instead of guessing.

use outbound::Method;
use provider::{ErrorKind, LineState, ProviderError};
use serde_json::{Value, json};

use super::lines::{ACTIONS, Need, Run, WEBHOOK_SETUP};
use crate::tacticalrmm::{
    api::{Api, Route},
    sentences,
};

/// Long enough for Tactical's route, and in no install: ids are forty random letters.
const NO_SUCH_AGENT: &str = "fleetgatePermissionProbeNoSuchAgentExists";

const CMD: Route = Route::small("POST /agents/<agent_id>/cmd/", Some("can_send_cmd"));
const RUNSCRIPT: Route = Route::small("POST /agents/<agent_id>/runscript/", Some("can_run_scripts"));
const REBOOT: Route = Route::small("POST /agents/<agent_id>/reboot/", Some("can_reboot_agents"));
const URL_ACTIONS: Route = Route::small("GET /core/urlaction/", Some("can_run_urlactions"));
const TEMPLATES: Route = Route::small("GET /alerts/templates/", Some("can_list_alerttemplates"));

/// Rights by Tactical's names.
#[derive(Default)]
struct Rights {
    has: Vec<&'static str>,
    lacks: Vec<&'static str>,
    /// The answer was neither of the two that tell.
    untold: Option<ProviderError>,
}

impl Rights {
    fn list(rights: &[&str]) -> String {
        rights.iter().map(|right| format!("`{right}`")).collect::<Vec<_>>().join(", ")
    }
}

/// One line for the reading credential, one more for the acting one if there is one.
pub(super) async fn actions(run: &mut Run, reading: &Api<'_>, acting: Option<&Api<'_>>) {
    let rights = ask(run, reading).await;
    match (&rights.untold, acting) {
        (Some(error), _) => untold(run, error, reading),
        (None, _) if !rights.has.is_empty() => {
            let problem = sentences::reading_can_act(&Rights::list(&rights.has));
            run.tell(ACTIONS, LineState::Warning, &problem, None, reading.who());
        }
        (None, Some(_)) => {
            run.say(
                ACTIONS,
                LineState::Ok,
                "The credential for reading cannot act, as it should be.",
                reading.who(),
            );
        }
        (None, None) => {
            let problem = sentences::no_actions(&Rights::list(&rights.lacks));
            run.tell(ACTIONS, LineState::Missing, &problem, Some(&rights.lacks.join(", ")), reading.who());
        }
    }
    if let Some(acting) = acting {
        acting_line(run, acting).await;
    }
}

async fn acting_line(run: &mut Run, acting: &Api<'_>) {
    let rights = ask(run, acting).await;
    match &rights.untold {
        Some(error) if error.kind == ErrorKind::Unauthorized => {
            run.tell(ACTIONS, LineState::Failed, &error.problem, None, acting.who());
        }
        Some(error) => untold(run, error, acting),
        None if rights.lacks.is_empty() => {
            let message = format!("The key for actions has the rights {}.", Rights::list(&rights.has));
            run.say(ACTIONS, LineState::Ok, message, acting.who());
        }
        None => {
            let problem = sentences::action_rights_missing(&Rights::list(&rights.lacks));
            run.tell(ACTIONS, LineState::Missing, &problem, Some(&rights.lacks.join(", ")), acting.who());
        }
    }
}

fn untold(run: &mut Run, error: &ProviderError, api: &Api<'_>) {
    let message = format!("Whether it may act cannot be told without acting. {}", error.problem.message);
    run.untold(ACTIONS, message, error.problem.endpoint.clone(), api.who());
}

async fn ask(run: &Run, api: &Api<'_>) -> Rights {
    let mut rights = Rights::default();
    for (route, action, body) in probes() {
        let path = ["agents", NO_SUCH_AGENT, action];
        let answer = api.send_json(route, Method::POST, &path, &body).await;
        let right = route.right.unwrap_or_default();
        match answer {
            Err(error) if error.kind == ErrorKind::Forbidden => rights.lacks.push(right),
            Err(error) if error.kind == ErrorKind::NotFound => rights.has.push(right),
            Err(error) => {
                rights.untold = Some(run.judge(error));
                return rights;
            }
            Ok(answer) => {
                rights.untold = Some(answer.misshapen());
                return rights;
            }
        }
    }
    rights
}

/// All keys that Tactical wants, with values that would do nothing.
fn probes() -> [(&'static Route, &'static str, Value); 3] {
    let command = json!({
        "shell": "cmd", "cmd": "", "timeout": 10, "custom_shell": null, "run_as_user": false,
    });
    let script = json!({
        "script": 0, "output": "wait", "args": [], "env_vars": [], "timeout": 10, "run_as_user": false,
        "emailMode": "default", "emails": [], "custom_field": null, "save_all_output": false,
    });
    [(&CMD, "cmd", command), (&RUNSCRIPT, "runscript", script), (&REBOOT, "reboot", json!({}))]
}

/// Reading what a set-up needs to know can be tested; changing it cannot.
pub(super) async fn webhook_setup(run: &mut Run, api: &Api<'_>) {
    let without = Need::Optional("The webhook can then be set up by hand only.");
    let (route, outcome) = match list(api, &URL_ACTIONS, &["core", "urlaction"]).await {
        Ok(()) => (&TEMPLATES, list(api, &TEMPLATES, &["alerts", "templates"]).await),
        Err(error) => (&URL_ACTIONS, Err(error)),
    };
    let message = "URL actions and alert templates can be read. Whether they may be changed cannot be told without a \
                   change. Setting the webhook up also needs `can_edit_core_settings`, `can_manage_alerttemplates` and \
                   `can_manage_clients`.";
    run.outcome(WEBHOOK_SETUP, outcome.map(|()| message.to_owned()), (route, without), api);
}

async fn list(api: &Api<'_>, route: &Route, path: &[&str]) -> provider::Result<()> {
    let answer = api.get(route, path, &[]).await?;
    let _: Vec<serde::de::IgnoredAny> = answer.value()?;
    Ok(())
}
