//! What is read and hardly changed: scripts, checks, software, updates, tasks, custom fields, the key store.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::clock::iso;
use crate::fleet::{Machine, Platform, Presence};
use crate::rng::Rng;
use crate::tacticalrmm::call::{Call, key};
use crate::tacticalrmm::reply::{self, Reply};
use crate::tacticalrmm::routes::View;
use crate::tacticalrmm::world::{StoredCheck, World};
use crate::tacticalrmm::{rows, seed};

const SOFTWARE_STREAM: u64 = 61;
/// Derived check ids of one agent start at its number times this.
const CHECKS_PER_AGENT: u32 = 16;

/// Answers the reading paths.
pub(crate) fn answer(call: &Call) -> Reply {
    match (call.route.view, call.method.as_str()) {
        (View::Scripts, "GET") => scripts(call),
        (View::Script, "GET") => {
            call.require("can_list_scripts")?;
            let world = call.world();
            let mut script = script(call, &world)?.clone();
            script.as_object_mut().map(|fields| fields.remove("script_type"));
            Ok(reply::ok(&script))
        }
        (View::ScriptDownload, "GET") => download(call),
        (View::Checks, "GET") => all_checks(call),
        (View::Check, "GET") => one_check(call),
        (View::CheckHistory, "PATCH") => check_history(call),
        (View::CheckReset, "POST") => {
            call.require("can_run_checks")?;
            find_check(call, &call.world())?;
            Ok(reply::text("The check status was reset"))
        }
        (View::AgentChecks, "GET") => agent_checks(call),
        (View::AgentTasks, "GET") => {
            call.require("can_list_autotasks")?;
            call.agent(&call.world())?;
            Ok(reply::ok(&json!([])))
        }
        (View::Tasks, "GET") => {
            call.require("can_list_autotasks")?;
            Ok(reply::ok(&json!([])))
        }
        (View::Updates, "GET") => updates(call),
        (View::SoftwareAll, "GET") => all_software(call),
        (View::Chocos, "GET") => {
            call.require("can_list_software")?;
            let packages =
                json!([{"name": "7zip", "version": "23.1.0"}, {"name": "googlechrome", "version": "126.0"}]);
            Ok(reply::ok(&packages))
        }
        (View::CustomFields, "GET") => {
            call.require("can_view_customfields")?;
            Ok(reply::ok(&call.world().custom_fields))
        }
        (View::KeyStore, "GET") => key_store(call),
        (View::KeyStore, "POST") => add_key(call),
        _ => Err(call.method_not_allowed()),
    }
}

fn scripts(call: &Call) -> Reply {
    call.require("can_list_scripts")?;
    let with_hidden = call.query("showHiddenScripts") == Some("true");
    let with_community = call.query("showCommunityScripts") != Some("false");
    let world = call.world();
    let shown = |script: &&Value| {
        (with_hidden || script["hidden"] != true)
            && (with_community || script["script_type"] == "userdefined")
    };
    let without_body = |script: &Value| {
        let mut script = script.clone();
        if let Some(fields) = script.as_object_mut() {
            fields.remove("script_body");
            fields.remove("script_hash");
        }
        script
    };
    let rows: Vec<Value> = world.scripts.iter().filter(shown).map(without_body).collect();
    Ok(reply::ok(&rows))
}

fn script<'a>(call: &Call, world: &'a World) -> Result<&'a Value, Answer> {
    world.script(call.params.pk).ok_or_else(|| reply::no_row("Script"))
}

fn download(call: &Call) -> Reply {
    call.require("can_list_scripts")?;
    let world = call.world();
    let script = script(call, &world)?;
    let extension = match script["shell"].as_str() {
        Some("powershell") => "ps1",
        Some("cmd") => "bat",
        Some("python") => "py",
        Some("nushell") => "nu",
        Some("deno") => "ts",
        _ => "sh",
    };
    let name = format!("{}.{extension}", script["name"].as_str().unwrap_or(""));
    Ok(reply::ok(&json!({"filename": name, "code": script["script_body"]})))
}

/// Checks of an agent with their results: stored ones, else as many as its counts say.
pub(crate) fn checks_of(world: &World, machine: &Machine) -> Vec<StoredCheck> {
    if world.software.is_some() {
        let own = world.checks.iter().filter(|check| check.definition["agent"] == machine.number);
        return own.cloned().collect();
    }
    let counts = machine.checks;
    let severities = [
        ("passing", counts.passing),
        ("error", counts.failing),
        ("warning", counts.warning),
        ("info", counts.info),
    ];
    let all = severities.iter().flat_map(|(state, count)| std::iter::repeat_n(*state, usize::from(*count)));
    all.enumerate().map(|(index, state)| derived_check(world, machine, index, state)).collect()
}

fn derived_check(world: &World, machine: &Machine, index: usize, state: &str) -> StoredCheck {
    let id = machine.number * CHECKS_PER_AGENT + u32::try_from(index).unwrap_or(0);
    let kinds = [
        ("diskspace", "Disk Space Check: Drive C: -  Warning Threshold: 25% Error Threshold: 10%"),
        ("cpuload", "CPU Load Check -  Warning Threshold: 80% Error Threshold: 95%"),
        ("memory", "Memory Check -  Warning Threshold: 85% Error Threshold: 95%"),
        ("ping", "Ping Check: gateway"),
    ];
    let (kind, description) = kinds[index % kinds.len()];
    let mut definition = seed::check_pattern();
    definition["id"] = id.into();
    definition["check_type"] = kind.into();
    definition["readable_desc"] = description.into();
    definition["agent"] = machine.number.into();
    definition["disk"] = if kind == "diskspace" { "C:".into() } else { Value::Null };
    let (status, severity) = if state == "passing" { ("passing", "warning") } else { ("failing", state) };
    let result = json!({
        "id": id, "status": status, "alert_severity": severity, "more_info": format!("{kind} is {status}"),
        "last_run": iso(world.created), "fail_count": u8::from(status == "failing"), "outage_history": null,
        "extra_details": null, "stdout": null, "stderr": null, "retcode": null, "execution_time": null,
        "history": [50, 60, 97], "agent": machine.number, "assigned_check": id,
    });
    StoredCheck { definition, result }
}

fn agent_checks(call: &Call) -> Reply {
    call.require("can_list_checks")?;
    let world = call.world();
    let machine = call.agent(&world)?;
    let template = rows::template_summary(world.template_of(machine), "check");
    let with_result = |check: StoredCheck| {
        let mut row = check.definition;
        row["check_result"] = check.result;
        row["alert_template"] = template.clone().into();
        row
    };
    let rows: Vec<Value> = checks_of(&world, machine).into_iter().map(with_result).collect();
    Ok(reply::ok(&rows))
}

/// Definitions only: `check_result` is always empty here.
fn all_checks(call: &Call) -> Reply {
    call.require("can_list_checks")?;
    let world = call.world();
    let machines = world.fleet.machines.values().filter(|machine| call.sees(machine.client));
    let rows: Vec<Value> =
        machines.flat_map(|machine| checks_of(&world, machine)).map(|check| check.definition).collect();
    Ok(reply::ok(&rows))
}

fn find_check(call: &Call, world: &World) -> Result<StoredCheck, Answer> {
    let is_wanted = |check: &StoredCheck| check.definition["id"] == call.params.pk;
    let stored = world.checks.iter().find(|check| is_wanted(check)).cloned();
    let derived = || {
        let number = u32::try_from(call.params.pk).ok()? / CHECKS_PER_AGENT;
        checks_of(world, world.fleet.machines.get(&number)?).into_iter().find(is_wanted)
    };
    let check = stored.or_else(derived).ok_or_else(|| reply::no_row("Check"))?;
    let agent = check.definition["agent"].as_u64().and_then(|number| u32::try_from(number).ok());
    match agent.and_then(|number| world.fleet.machines.get(&number)) {
        Some(machine) if !call.sees(machine.client) => Err(reply::forbidden()),
        Some(_) | None => Ok(check),
    }
}

fn one_check(call: &Call) -> Reply {
    call.require("can_list_checks")?;
    let check = find_check(call, &call.world())?;
    Ok(reply::ok(&check.definition))
}

fn check_history(call: &Call) -> Reply {
    call.require("can_list_checks")?;
    let body = call.json()?;
    let days = key(&body, "timeFilter")?.as_i64().ok_or_else(reply::crash)?;
    let world = call.world();
    find_check(call, &world)?;
    let now = call.sim.clock.fleet_now();
    let hours = if days == 0 { 48 } else { days.clamp(1, 60) };
    let points =
        (0..hours).map(|hour| json!({"x": iso(now - hour * 3_600_000_000), "y": hour % 2, "results": null}));
    Ok(reply::ok(&points.collect::<Vec<Value>>()))
}

fn updates(call: &Call) -> Reply {
    call.require("can_manage_winupdates")?;
    let world = call.world();
    let machine = call.agent(&world)?;
    if machine.hardware.platform != Platform::Windows || machine.presence == Presence::Never {
        return Ok(reply::ok(&json!([])));
    }
    let mut rows = seed::update_patterns();
    for (index, row) in rows.iter_mut().enumerate() {
        row["id"] = (u64::from(machine.number) * 8 + index as u64).into();
        row["agent"] = machine.number.into();
    }
    Ok(reply::ok(&rows))
}

/// One agent's software: only Windows agents report any, and some never sent a row.
pub(crate) fn software_row(world: &World, machine: &Machine) -> Option<Value> {
    if let Some(recorded) = &world.software {
        return recorded.iter().find(|row| row["agent"] == machine.number).cloned();
    }
    if machine.presence == Presence::Never || machine.number % 71 == 40 {
        return None;
    }
    let mut programs = Vec::new();
    if machine.hardware.platform == Platform::Windows {
        let mut rng = Rng::at(world.fleet.seed, SOFTWARE_STREAM, u64::from(machine.number));
        programs = seed::program_patterns();
        programs.retain(|_| rng.chance(850));
        if machine.number % 17 == 3 {
            programs.push(nasty_program());
        }
    }
    Some(json!({"id": machine.number, "software": programs, "agent": machine.number}))
}

fn nasty_program() -> Value {
    json!({
        "name": "=cmd|'/c calc'!A1 <img src=x onerror=alert(1)>", "size": "0 B", "source": "", "version": "",
        "location": "C:\\Program Files\\\"Quoted\"\\", "publisher": "Ünïcode & Söhne 🚀", "uninstall": "",
        "install_date": "0001-01-01 00:00:00 +0000 UTC",
    })
}

/// Everything in one response, a row at a time.
fn all_software(call: &Call) -> Reply {
    call.require("can_list_software")?;
    let world = call.world();
    let machines = world.fleet.machines.values().filter(|machine| call.sees(machine.client));
    let mut body = vec![b'['];
    for row in machines.filter_map(|machine| software_row(&world, machine)) {
        if body.len() > 1 {
            body.push(b',');
        }
        serde_json::to_writer(&mut body, &row).map_err(|_| reply::crash())?;
    }
    body.push(b']');
    Ok(reply::rendered(vec![Bytes::from(body)]))
}

fn key_store(call: &Call) -> Reply {
    call.require("can_view_global_keystore")?;
    let world = call.world();
    let rows: Vec<Value> = world
        .key_store
        .iter()
        .enumerate()
        .map(|(index, (name, value))| {
            let at = iso(world.created);
            json!({
                "id": index + 1, "created_by": null, "created_time": at, "modified_by": null, "modified_time": at,
                "name": name, "value": value,
            })
        })
        .collect();
    Ok(reply::ok(&rows))
}

fn add_key(call: &Call) -> Reply {
    call.require("can_edit_global_keystore")?;
    let body = call.json()?;
    let text = |name: &'static str| {
        let value = body.get(name).and_then(Value::as_str);
        value.map(str::to_owned).ok_or_else(|| reply::invalid(name, "This field is required."))
    };
    let (name, value) = (text("name")?, text("value")?);
    call.world().key_store.insert(name, value);
    Ok(reply::text("ok"))
}
