//! Questions to a live agent: ping, services, processes, event log, refreshes. Software sits here for its refresh.

use serde_json::{Value, json};

use crate::clock::iso;
use crate::fleet::{Machine, Platform};
use crate::tacticalrmm::acting::{Asked, agent, ask, unreachable};
use crate::tacticalrmm::call::{Call, key};
use crate::tacticalrmm::reply::{self, Reply};
use crate::tacticalrmm::routes::View;
use crate::tacticalrmm::{library, rows};

/// Three tries of 2.5 s.
const PING_S: f64 = 7.5;
/// A ping while the message bus is down takes this long, and still says only `offline`.
const PING_BUS_DOWN_EXTRA_S: f64 = 9.6;

/// Answers the live paths.
pub(crate) async fn answer(call: &Call) -> Reply {
    match (call.route.view, call.method.as_str()) {
        (View::Ping, "GET") => ping(call).await,
        (View::Services, "GET") => services(call).await,
        (View::Processes, "GET") => processes(call).await,
        (View::EventLog, "GET") => event_log(call).await,
        (View::Wmi, "POST") => refresh_wmi(call).await,
        (View::Wol, "POST") => {
            call.require("can_recover_agents")?;
            agent(call)?;
            Err(reply::refusal("[Errno 111] Connect call failed ('127.0.0.1', 4430)"))
        }
        (View::CheckRun, "POST") => run_checks(call).await,
        (View::Software, "GET") => software(call),
        (View::Software, "PUT") => refresh_software(call).await,
        (View::Software, "POST") => install(call),
        _ => Err(call.method_not_allowed()),
    }
}

async fn ping(call: &Call) -> Reply {
    call.require("can_ping_agents")?;
    let machine = agent(call)?;
    let status = match ask(call, machine.answers(), PING_S).await? {
        Asked::Answered => "online",
        Asked::Silence => "offline",
        Asked::BusDown => {
            call.sim.wait(PING_BUS_DOWN_EXTRA_S).await;
            "offline"
        }
    };
    Ok(reply::ok(&json!({"name": machine.hostname, "status": status})))
}

/// Asks, or ends the call with Tactical's words for an agent that cannot be reached.
async fn must_answer(call: &Call, machine: &Machine, patience_s: f64) -> Result<(), crate::answer::Answer> {
    match ask(call, machine.answers(), patience_s).await? {
        Asked::Answered => Ok(()),
        Asked::Silence | Asked::BusDown => Err(unreachable()),
    }
}

async fn services(call: &Call) -> Reply {
    call.require("can_manage_winsvcs")?;
    let machine = agent(call)?;
    must_answer(call, &machine, 10.0).await?;
    Ok(reply::ok(&json!([{
        "name": "Spooler", "status": "running", "display_name": "Print Spooler",
        "binpath": "C:\\Windows\\System32\\spoolsv.exe", "description": "", "username": "LocalSystem", "pid": 2222,
        "start_type": "Automatic", "autodelay": false,
    }])))
}

async fn processes(call: &Call) -> Reply {
    call.require("can_manage_procs")?;
    let machine = agent(call)?;
    must_answer(call, &machine, 5.0).await?;
    let (name, user) = match machine.hardware.platform {
        Platform::Windows => ("svchost.exe", "NT AUTHORITY\\SYSTEM"),
        Platform::Linux | Platform::Mac => ("rmmagent", "root"),
    };
    Ok(reply::ok(&json!([{
        "name": name, "pid": 900, "membytes": 31_457_280, "username": user, "id": 1, "cpu_percent": "0.3",
    }])))
}

async fn event_log(call: &Call) -> Reply {
    call.require("can_view_eventlogs")?;
    let machine = agent(call)?;
    must_answer(call, &machine, if call.params.text == "Security" { 180.0 } else { 30.0 }).await?;
    Ok(reply::ok(&json!([{
        "source": "Service Control Manager", "eventType": "INFO", "eventID": 7036,
        "message": "The Print Spooler service entered the running state.", "time": "2026-06-16 08:00:00 +0000 UTC",
        "uid": 1,
    }])))
}

async fn refresh_wmi(call: &Call) -> Reply {
    call.require("can_list_agents")?;
    let machine = agent(call)?;
    must_answer(call, &machine, 20.0).await?;
    Ok(reply::text("Agent WMI data refreshed successfully"))
}

async fn run_checks(call: &Call) -> Reply {
    call.require("can_run_checks")?;
    let machine = agent(call)?;
    must_answer(call, &machine, 15.0).await?;
    Ok(reply::text(&format!("Checks will now be run on {}", machine.hostname)))
}

/// One row, or an empty list when the agent never sent any.
fn software(call: &Call) -> Reply {
    call.require("can_list_software")?;
    let world = call.world();
    let machine = call.agent(&world)?;
    let row = library::software_row(&world, machine);
    Ok(row.map_or_else(|| reply::ok(&json!([])), |row| reply::ok(&row)))
}

async fn refresh_software(call: &Call) -> Reply {
    call.require("can_manage_software")?;
    let machine = agent(call)?;
    if machine.hardware.platform != Platform::Windows {
        return Err(reply::refusal(&format!("Not available for {}", rows::plat(&machine))));
    }
    must_answer(call, &machine, 15.0).await?;
    Ok(reply::text("ok"))
}

/// Queued; whether the agent lives is not asked.
fn install(call: &Call) -> Reply {
    call.require("can_manage_software")?;
    let machine = agent(call)?;
    let body = call.json()?;
    let name = key(&body, "name")?.as_str().unwrap_or("").to_owned();
    if machine.hardware.platform != Platform::Windows {
        return Err(reply::refusal(&format!("Not available for {}", rows::plat(&machine))));
    }
    let mut world = call.world();
    let id = world.next_serial();
    let action = json!({
        "id": id, "hostname": machine.hostname, "client": world.fleet.client_name(machine.client),
        "site": world.fleet.site_name(machine.site), "due": "On next checkin",
        "description": format!("{name} software install"), "entry_time": iso(call.sim.clock.event_now()),
        "action_type": "chocoinstall", "status": "pending",
        "details": {"name": name, "output": Value::Null, "installed": false}, "agent": machine.number,
    });
    world.pending.push(action);
    world.touch_all();
    let hint = "Check the Pending Actions menu to see the status/output";
    Ok(reply::text(&format!("{name} will be installed shortly on {}. {hint}", machine.hostname)))
}
