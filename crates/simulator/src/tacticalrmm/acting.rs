//! Acting on agents: commands, scripts, restarts. The server never looks at an agent's status first: it asks over
//! the message bus and waits. A 200 is not a success.

use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::clock::iso;
use crate::fleet::{Machine, Platform};
use crate::tacticalrmm::call::{Call, key, row_id, whole};
use crate::tacticalrmm::reply::{self, Reply};
use crate::tacticalrmm::routes::View;
use crate::tacticalrmm::sim::{Messaging, Output};
use crate::tacticalrmm::templating;
use crate::tacticalrmm::world::World;

/// How long the server tries to reach the message bus.
pub(crate) const BUS_DOWN_S: f64 = 4.0;

/// What a question to an agent came to.
#[derive(Debug)]
pub(crate) enum Asked {
    /// The agent is there.
    Answered,
    /// Nothing came back in time.
    Silence,
    /// The message bus is unreachable.
    BusDown,
}

/// Asks an agent and waits as long as the real server would. Nobody listening at all is an unhandled error.
pub(crate) async fn ask(call: &Call, answers: bool, patience_s: f64) -> Result<Asked, Answer> {
    match call.sim.messaging() {
        Messaging::NoResponders => Err(reply::crash()),
        Messaging::Down => {
            call.sim.wait(BUS_DOWN_S).await;
            Ok(Asked::BusDown)
        }
        Messaging::Up if answers => Ok(Asked::Answered),
        Messaging::Up => {
            call.sim.wait(patience_s).await;
            Ok(Asked::Silence)
        }
    }
}

/// Tactical's words for an agent that cannot be reached.
pub(crate) fn unreachable() -> Answer {
    reply::refusal("Unable to contact the agent")
}

/// Answers the acting paths.
pub(crate) async fn answer(call: &Call) -> Reply {
    match (call.route.view, call.method.as_str()) {
        (View::Command, "POST") => command(call).await,
        (View::RunScript, "POST") => run_script(call).await,
        (View::ScriptTest, "POST") => test_script(call).await,
        (View::Reboot, "POST") => restart(call, "can_reboot_agents").await,
        (View::Shutdown, "POST") => restart(call, "can_reboot_agents").await,
        (View::Reboot, "PATCH") => schedule_reboot(call).await,
        (View::Bulk, "POST") => bulk(call),
        _ => Err(call.method_not_allowed()),
    }
}

/// The agent of the path, as it is now.
pub(crate) fn agent(call: &Call) -> Result<Machine, Answer> {
    let world = call.world();
    call.agent(&world).cloned()
}

async fn command(call: &Call) -> Reply {
    call.require("can_send_cmd")?;
    let machine = agent(call)?;
    let body = call.json()?;
    let timeout = whole(key(&body, "timeout")?).ok_or_else(reply::crash)?;
    let shell = key(&body, "shell")?.as_str().unwrap_or("");
    let shell = if shell == "custom" { key(&body, "custom_shell")?.as_str().unwrap_or("") } else { shell };
    let code = key(&body, "cmd")?.as_str().unwrap_or("").to_owned();
    key(&body, "run_as_user")?;
    let row = write_history(call, &machine, &HistoryEntry::command(&code));
    let answers = machine.answers() && code != "silent";
    match ask(call, answers, timeout as f64 + 2.0).await? {
        Asked::BusDown => return Ok(reply::text("natsdown")),
        Asked::Silence => return Err(unreachable()),
        Asked::Answered => {}
    }
    let output = match sleep_of(&code) {
        Some(seconds) if seconds > timeout => {
            call.sim.wait(timeout as f64).await;
            format!("timed out after {timeout} seconds")
        }
        Some(seconds) => {
            call.sim.wait(seconds as f64).await;
            String::new()
        }
        None => printed(call, &machine, shell, &code),
    };
    let kept = output.trim_end().to_owned();
    change_history(call, row, |entry| entry["results"] = kept.into());
    Ok(reply::text(&output))
}

/// Seconds of a `sleep N`.
fn sleep_of(code: &str) -> Option<i64> {
    code.strip_prefix("sleep ")?.trim().parse().ok()
}

/// What a simulated agent prints for a command: stdout and stderr run together.
fn printed(call: &Call, machine: &Machine, shell: &str, code: &str) -> String {
    if let Some(output) = call.sim.output_for(code) {
        return output.stdout + &output.stderr;
    }
    let is_windows = machine.hardware.platform == Platform::Windows;
    match code.trim() {
        "whoami" if is_windows => "nt authority\\system\r\n".to_owned(),
        "whoami" => "root\n".to_owned(),
        "hostname" if is_windows => format!("{}\r\n", machine.hostname),
        "hostname" => format!("{}\n", machine.hostname),
        other => format!("[{} {shell}] {other}\n", machine.hostname),
    }
}

/// What a simulated agent makes of a script.
fn ran(call: &Call, machine: &Machine, shell: &str, code: &str, extra: &str) -> Output {
    if let Some(output) = call.sim.output_for(code) {
        return output;
    }
    let retcode = code.trim().strip_prefix("exit ").and_then(|code| code.parse().ok()).unwrap_or(0);
    let stderr = if retcode == 0 { String::new() } else { "error: failed\n".to_owned() };
    let stdout = format!("[{} {shell}] {code}\n{extra}", machine.hostname);
    Output { contains: String::new(), stdout, stderr, retcode }
}

/// What a script run asks for. A key that is missing is an unhandled error.
struct ScriptRun {
    id: u64,
    output: String,
    timeout: i64,
    args: Vec<String>,
    env: Vec<String>,
    on_server: bool,
}

impl ScriptRun {
    fn read(body: &Map<String, Value>) -> Result<Self, Answer> {
        let texts = |name: &str| -> Result<Vec<String>, Answer> {
            let items = key(body, name)?.as_array().into_iter().flatten();
            Ok(items.filter_map(Value::as_str).map(str::to_owned).collect())
        };
        key(body, "run_as_user")?;
        Ok(Self {
            id: whole(key(body, "script")?).and_then(|id| u64::try_from(id).ok()).ok_or_else(reply::crash)?,
            output: key(body, "output")?.as_str().unwrap_or("").to_owned(),
            timeout: whole(key(body, "timeout")?).ok_or_else(reply::crash)?,
            args: texts("args")?,
            env: texts("env_vars")?,
            on_server: body.get("run_on_server") == Some(&Value::Bool(true)),
        })
    }
}

async fn run_script(call: &Call) -> Reply {
    call.require("can_run_scripts")?;
    let machine = agent(call)?;
    let body = call.json()?;
    let id = whole(key(&body, "script")?).and_then(|id| u64::try_from(id).ok()).ok_or_else(reply::crash)?;
    let script = call.world().script(id).cloned().ok_or_else(|| reply::no_row("Script"))?;
    let run = ScriptRun::read(&body)?;
    if run.on_server {
        let stderr = "Error: [Errno 8] Exec format error: '<temporary file>'";
        return Ok(reply::ok(
            &json!({"stdout": "", "stderr": stderr, "execution_time": "0.0006", "retcode": 99}),
        ));
    }
    let name = script["name"].as_str().unwrap_or("").to_owned();
    let row = write_history(call, &machine, &HistoryEntry::script(run.id, &name, &body));
    let finished = |call: &Call| finish_script(call, &machine, &script, &run, row);
    match run.output.as_str() {
        "wait" | "collector" | "note" => {}
        // The same words for a live and a dead agent, and whatever the message bus does.
        _ => {
            if call.sim.messaging() == Messaging::Down {
                call.sim.wait(BUS_DOWN_S).await;
            } else if call.sim.messaging() == Messaging::Up && machine.answers() {
                finished(call);
            }
            return Ok(reply::text(&format!("{name} will now be run on {}", machine.hostname)));
        }
    }
    let output = match ask(call, machine.answers(), run.timeout as f64 + 3.0).await? {
        Asked::BusDown => "natsdown".to_owned(),
        Asked::Silence => "timeout".to_owned(),
        Asked::Answered => finished(call),
    };
    keep_output(call, &machine, &run.output, &body, &output);
    Ok(reply::text(&output))
}

/// The agent reports the script's end in a second request, after its answer.
fn finish_script(call: &Call, machine: &Machine, script: &Value, run: &ScriptRun, row: u64) -> String {
    let (args, env) = {
        let world = call.world();
        let fill = |text: &String, quoted| templating::fill_argument(&world, machine, text, quoted);
        let args: Vec<String> = run.args.iter().map(|arg| fill(arg, true)).collect();
        let env: Vec<String> = run.env.iter().map(|arg| fill(arg, false)).collect();
        (args, env)
    };
    let shown = |name: &str, items: &[String]| {
        if items.is_empty() {
            String::new()
        } else {
            format!("{name}: {}\n", templating::python_json(&json!(items)))
        }
    };
    let extra = shown("args", &args) + &shown("env", &env);
    let text = |name: &str| script[name].as_str().unwrap_or("");
    let output = ran(call, machine, text("shell"), text("script_body"), &extra);
    let results = json!({
        "id": row, "stderr": output.stderr, "stdout": output.stdout,
        "retcode": output.retcode, "execution_time": 0.0503,
    });
    change_history(call, row, |entry| entry["script_results"] = results);
    output.stdout + &output.stderr
}

/// `collector` writes the output into a custom field, `note` into a note; a timeout likewise.
fn keep_output(call: &Call, machine: &Machine, kind: &str, body: &Map<String, Value>, output: &str) {
    let mut world = call.world();
    if kind == "note" {
        let pk = world.next_serial();
        let at = iso(call.sim.clock.event_now());
        let note = json!({"pk": pk, "entry_time": at, "note": output, "username": call.user(), "agent_id": machine.id});
        world.notes.push(note);
    }
    if kind == "collector" && body.get("custom_field").and_then(row_id) == Some(1) {
        let all = body.get("save_all_output") == Some(&Value::Bool(true));
        let kept = if all { output.trim() } else { output.trim().lines().last().unwrap_or("") };
        world.fleet.edit(&machine.id, |machine| machine.asset_tag = Some(kept.into()));
    }
}

/// The only synchronous call that tells the exit code. Leaves no history.
async fn test_script(call: &Call) -> Reply {
    call.require("can_run_scripts")?;
    let machine = agent(call)?;
    let body = call.json()?;
    let timeout = whole(key(&body, "timeout")?).ok_or_else(reply::crash)?;
    let code = key(&body, "code")?.as_str().unwrap_or("").to_owned();
    let shell = key(&body, "shell")?.as_str().unwrap_or("").to_owned();
    for name in ["args", "env_vars", "run_as_user"] {
        key(&body, name)?;
    }
    match ask(call, machine.answers(), timeout as f64).await? {
        Asked::BusDown => Ok(reply::text("natsdown")),
        Asked::Silence => Ok(reply::text("timeout")),
        Asked::Answered => {
            let output = ran(call, &machine, &shell, &code, "");
            let (stdout, stderr, retcode) = (output.stdout, output.stderr, output.retcode);
            Ok(reply::ok(
                &json!({"stdout": stdout, "stderr": stderr, "retcode": retcode, "execution_time": 0.0503}),
            ))
        }
    }
}

/// Restarting and shutting down wait for the agent's word only.
async fn restart(call: &Call, right: &str) -> Reply {
    call.require(right)?;
    let machine = agent(call)?;
    match ask(call, machine.answers(), 10.0).await? {
        Asked::BusDown | Asked::Silence => return Err(unreachable()),
        Asked::Answered => {}
    }
    let now = call.sim.clock.event_now();
    let is_shutdown = call.route.view == View::Shutdown;
    let mut world = call.world();
    if is_shutdown {
        world.fleet.silence(&machine.id, call.sim.clock.fleet_now());
    } else {
        world.fleet.edit(&machine.id, |machine| {
            machine.boot_time = Some((now / 1_000_000) as f64);
            machine.needs_reboot = false;
        });
    }
    Ok(reply::text("ok"))
}

async fn schedule_reboot(call: &Call) -> Reply {
    call.require("can_reboot_agents")?;
    let machine = agent(call)?;
    if machine.hardware.platform != Platform::Windows {
        return Err(reply::refusal(&format!(
            "Not currently implemented for {}",
            crate::tacticalrmm::rows::plat(&machine)
        )));
    }
    let body = call.json()?;
    let given = key(&body, "datetime")?.as_str().unwrap_or("");
    // The agent's local time without a zone: `YYYY-MM-DDTHH:MM`, nothing more.
    let parsed = jiff::civil::DateTime::strptime("%Y-%m-%dT%H:%M", given);
    let at = parsed.map_err(|_| reply::refusal("Invalid date"))?;
    let now =
        crate::clock::timestamp(call.sim.clock.event_now()).to_zoned(jiff::tz::TimeZone::UTC).datetime();
    if at < now {
        return Err(reply::refusal("Date cannot be set in the past"));
    }
    match ask(call, machine.answers(), 10.0).await? {
        Asked::BusDown => return Err(reply::refusal("natsdown")),
        Asked::Silence => return Err(reply::refusal("timeout")),
        Asked::Answered => {}
    }
    let mut world = call.world();
    let serial = world.next_serial();
    let mut rng = crate::rng::Rng::at(world.fleet.seed, 51, serial);
    let task = format!("TacticalRMM_SchedReboot_{}", rng.text(crate::rng::LETTERS, 10));
    let due = at.strftime("%Y-%m-%d %H:%M:%S").to_string();
    let action = json!({
        "id": serial, "hostname": machine.hostname, "client": world.fleet.client_name(machine.client),
        "site": world.fleet.site_name(machine.site), "due": due, "description": "Device pending reboot",
        "entry_time": iso(call.sim.clock.event_now()), "action_type": "schedreboot", "status": "pending",
        "details": {"time": due, "taskname": task}, "agent": machine.number,
    });
    world.pending.push(action);
    world.touch_all();
    let time = at.strftime("%B %d, %Y at %I:%M %p").to_string();
    Ok(reply::ok(&json!({"time": time, "agent": machine.hostname, "task_name": task})))
}

/// Queued for many agents; results appear only in the history.
fn bulk(call: &Call) -> Reply {
    call.require("can_run_bulk")?;
    let body = call.json()?;
    let mode = key(&body, "mode")?.as_str().unwrap_or("").to_owned();
    let targets = targets(call, &body)?;
    if targets.is_empty() {
        return Err(reply::refusal("No agents were found meeting the selected criteria"));
    }
    let count = targets.len();
    match mode.as_str() {
        "command" => {
            let code = key(&body, "cmd")?.as_str().unwrap_or("").to_owned();
            let shell = key(&body, "shell")?.as_str().unwrap_or("").to_owned();
            key(&body, "timeout")?;
            for machine in &targets {
                let row = write_history(call, machine, &HistoryEntry::command(&code));
                if machine.answers() && call.sim.messaging() == Messaging::Up {
                    let results = printed(call, machine, &shell, &code).trim_end().to_owned();
                    change_history(call, row, |entry| entry["results"] = results.into());
                }
            }
            Ok(queued("Command", count))
        }
        "script" => {
            let run = ScriptRun::read(&with_output(&body))?;
            let script = call.world().script(run.id).cloned().ok_or_else(|| reply::no_row("Script"))?;
            let name = script["name"].as_str().unwrap_or("").to_owned();
            for machine in &targets {
                let row = write_history(call, machine, &HistoryEntry::script(run.id, &name, &body));
                if machine.answers() && call.sim.messaging() == Messaging::Up {
                    finish_script(call, machine, &script, &run, row);
                }
            }
            Ok(queued(&name, count))
        }
        "patch" => Ok(queued("Windows updates", count)),
        _ => Err(reply::refusal("Something went wrong")),
    }
}

fn queued(what: &str, count: usize) -> Answer {
    let where_to = "Check the History tab on the agent to view the results.";
    reply::text(&format!("{what} will now be run on {count} agents. {where_to}"))
}

fn with_output(body: &Map<String, Value>) -> Map<String, Value> {
    let mut body = body.clone();
    body.insert("output".to_owned(), "forget".into());
    body
}

fn targets(call: &Call, body: &Map<String, Value>) -> Result<Vec<Machine>, Answer> {
    let target = key(body, "target")?.as_str().unwrap_or("").to_owned();
    let kind = key(body, "monType")?.as_str().unwrap_or("all").to_owned();
    let platform = body.get("osType").and_then(Value::as_str).unwrap_or("all").to_owned();
    let place = body.get(&target).and_then(row_id);
    let agents: Vec<&str> = match target.as_str() {
        "agents" => key(body, "agents")?.as_array().into_iter().flatten().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let world = call.world();
    let in_target = |machine: &Machine| match target.as_str() {
        "agents" => agents.contains(&&*machine.id),
        "client" => Some(machine.client) == place,
        "site" => Some(machine.site) == place,
        "all" => true,
        _ => false,
    };
    let matches = |machine: &&Machine| {
        call.sees(machine.client)
            && in_target(machine)
            && (kind == "all" || (kind == "servers") == machine.is_server)
            && (platform == "all" || platform == crate::tacticalrmm::rows::plat(machine))
    };
    Ok(world.fleet.machines.values().filter(matches).cloned().collect())
}

/// A row of an agent's history, written before anything is sent.
struct HistoryEntry {
    kind: &'static str,
    command: String,
    script: Option<(u64, String)>,
    custom_field: Value,
    save_all_output: bool,
    save_to_note: bool,
}

impl HistoryEntry {
    fn command(code: &str) -> Self {
        Self {
            kind: "cmd_run",
            command: code.to_owned(),
            script: None,
            custom_field: Value::Null,
            save_all_output: false,
            save_to_note: false,
        }
    }

    fn script(id: u64, name: &str, body: &Map<String, Value>) -> Self {
        let output = body.get("output").and_then(Value::as_str).unwrap_or("");
        let is_collector = output == "collector";
        Self {
            kind: "script_run",
            command: String::new(),
            script: Some((id, name.to_owned())),
            custom_field: body.get("custom_field").filter(|_| is_collector).cloned().unwrap_or(Value::Null),
            save_all_output: is_collector && body.get("save_all_output") == Some(&Value::Bool(true)),
            save_to_note: output == "note",
        }
    }
}

fn write_history(call: &Call, machine: &Machine, entry: &HistoryEntry) -> u64 {
    let mut world = call.world();
    let id = world.next_serial();
    let mut row = json!({
        "id": id, "time": iso(call.sim.clock.event_now()), "type": entry.kind, "command": entry.command,
        "username": call.user(), "results": null, "script_results": null,
        "collector_all_output": entry.save_all_output, "save_to_agent_note": entry.save_to_note,
        "agent": machine.number, "script": null, "custom_field": entry.custom_field,
    });
    if let Some((script, name)) = &entry.script {
        row["script"] = (*script).into();
        row["script_name"] = name.clone().into();
    }
    world.history.push(row);
    id
}

fn change_history(call: &Call, id: u64, change: impl FnOnce(&mut Value)) {
    let world: &mut World = &mut call.world();
    if let Some(row) = world.history.iter_mut().rev().find(|row| row["id"] == id) {
        change(row);
    }
}
