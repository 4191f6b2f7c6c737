//! `cargo xtask schemathesis`: thousands of calls made up from the OpenAPI document, to an installation of two tenants.
//!
//! The tool comes from the Python registry into `target`. One tenant calls; nothing of the other may ever be answered.
//! What counts: no answer of 5xx, every answer as the document says, what was deleted is gone. Which input is refused is not
//! judged: the document does not say all that a name or an address must be.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use crate::bench::http::Client;
use crate::bench::programs::{self, Database, Home, Server, program};
use crate::process;

/// The version that these options are for.
const TOOL: &str = "schemathesis==4.32.5";

const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance,unsupported_method,allow_header_conformance,\
    use_after_free,ensure_resource_availability";

/// With these a caller shuts itself out, so they are called apart from the rest, with rights of their own.
const SHUTS_OUT: &str = r"^/api/v1/(me|users|tokens|session|setup)(/|$)";

/// Its schema is one text, and the tool judges each event by it.
const STREAM: &str = "/api/v1/events";

/// Stands in everything that the second tenant has.
const CANARY: &str = "Canary";

#[derive(Args)]
pub(crate) struct Options {
    /// Time for the calls, in seconds
    #[arg(long, default_value_t = 240)]
    seconds: u32,
}

/// One line of output.
#[derive(Serialize)]
struct Line {
    schemathesis: &'static str,
    calls: usize,
    by_status: Vec<(u64, usize)>,
    of_other_tenant: usize,
    passed: bool,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    process::enter_root()?;
    if let Some(code) = programs::hand_over()? {
        return Ok(code);
    }
    let tool = install()?;
    let home = Home::new(Database::Sqlite)?;
    let server = Server::start(&home)?;
    let token = home.sign_up()?;
    let mut api = Client::new(&server.url, Some(&token))?;
    for n in 0..3 {
        api.post("/api/v1/clients", &json!({ "name": format!("Own {n}") }))?;
    }
    second_tenant(&home, &server)?;
    let share = options.seconds / 4;
    let mut calls = Vec::new();
    let mut passed = true;
    for (only_these, seconds) in [(false, options.seconds - share), (true, share)] {
        let reports = home.folder().join(if only_these { "apart" } else { "rest" });
        let mut command = process::owned(&tool.to_string_lossy());
        command.arg("run").arg(format!("{}/openapi.json", server.url));
        command.args(["-H", &format!("Authorization: Bearer {token}"), "--checks", CHECKS]);
        command.args(["--continue-on-failure", "--workers", "1", "--max-time", &seconds.to_string()]);
        command.args(["--exclude-path", STREAM, "--warnings", "off", "--report", "har", "--report-dir"]);
        command.arg(&reports);
        command.args([if only_these { "--include-path-regex" } else { "--exclude-path-regex" }, SHUTS_OUT]);
        passed &= process::status(command)?.success();
        calls.extend(read(&reports)?);
    }
    // After all that it still works.
    let health = Client::new(&server.url, None)?.send("GET", "/readyz", None)?;
    passed &= health.status == 200;
    server.stop()?;
    let line = summary(&calls, passed);
    println!("{}", serde_json::to_string(&line)?);
    println!("schemathesis: {}", if line.passed { "PASS" } else { "FAIL" });
    Ok(if line.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The program of the tool, in a Python environment of its own.
fn install() -> Result<PathBuf> {
    let folder = process::target_directory()?.join("schemathesis");
    let program = folder.join("bin").join("schemathesis");
    let stamp = folder.join("installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == TOOL) && program.is_file() {
        return Ok(program);
    }
    let Some(python) = process::find_program("python3") else {
        bail!("python3 is missing; on Debian: apt-get install python3-venv");
    };
    let mut environment = process::owned(&python.to_string_lossy());
    environment.args(["-m", "venv"]).arg(&folder);
    process::succeed(environment).context("on Debian: apt-get install python3-venv")?;
    let mut pip = process::owned(&folder.join("bin").join("pip").to_string_lossy());
    pip.args(["install", "--quiet", "--disable-pip-version-check", TOOL]);
    process::succeed(pip)?;
    fs::write(&stamp, TOOL)?;
    Ok(program)
}

fn second_tenant(home: &Home, server: &Server) -> Result<()> {
    const EMAIL: &str = "canary@other.example";
    let fleetgate = program("fleetgate")?;
    let run = |words: &[&str]| -> Result<String> {
        let mut command = home.command(&fleetgate);
        command.arg("--quiet").args(words);
        process::output(command)
    };
    run(&["tenant", "create", &format!("{CANARY} tenant")])?;
    let password = home.folder().join("password");
    let password = format!("@{}", password.display());
    let name = format!("{CANARY} Eve");
    run(&["user", "create", "--tenant", "2", "--email", EMAIL, "--name", &name, "--password", &password])?;
    let token = run(&["token", "create", "--email", EMAIL, "--name", &format!("{CANARY} token")])?;
    let mut api = Client::new(&server.url, Some(token.trim()))?;
    for n in 0..3 {
        let client = api.post("/api/v1/clients", &json!({ "name": format!("{CANARY} client {n}") }))?;
        let sites = format!("/api/v1/clients/{}/sites", client["id"].as_str().unwrap_or_default());
        api.post(&sites, &json!({ "name": format!("{CANARY} site") }))?;
    }
    Ok(())
}

/// One call: its status, and what was answered.
struct Call {
    status: u64,
    answer: String,
}

fn read(folder: &Path) -> Result<Vec<Call>> {
    let mut calls = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("no report in `{}`", folder.display()))? {
        let report: Value = serde_json::from_slice(&fs::read(entry?.path())?)?;
        for entry in report["log"]["entries"].as_array().context("the report lists no calls")? {
            let answer = &entry["response"];
            calls.push(Call { status: answer["status"].as_u64().unwrap_or(0), answer: answer.to_string() });
        }
    }
    Ok(calls)
}

fn summary(calls: &[Call], tool_passed: bool) -> Line {
    let mut by_status = std::collections::BTreeMap::new();
    for call in calls {
        *by_status.entry(call.status).or_insert(0) += 1;
    }
    let of_other_tenant = calls.iter().filter(|call| call.answer.contains(CANARY)).count();
    let failed = by_status.keys().any(|status| *status >= 500);
    Line {
        schemathesis: TOOL,
        calls: calls.len(),
        by_status: by_status.into_iter().collect(),
        of_other_tenant,
        passed: tool_passed && of_other_tenant == 0 && !failed && !calls.is_empty(),
    }
}
