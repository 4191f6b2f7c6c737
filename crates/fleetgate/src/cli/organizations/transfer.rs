//! The mapping as CSV, out and in.

use std::path::Path;

use serde_json::Value;

use super::read_file;
use crate::{
    api_client::Query,
    cli::{Session, assets::download, exit::Exit, failure::Failure, resolve},
    output::{
        table::{name, prose, whole},
        value::{is_true, list, shown},
    },
};

pub(super) async fn export(
    output: Option<&Path>,
    integration: Option<&str>,
    session: &Session,
) -> Result<Exit, Failure> {
    let mut query = Query::new();
    if let Some(name) = integration {
        query.push(("integration_id", resolve::integration(&session.client, name).await?));
    }
    let response = session.client.download(&["organizations.csv"], &query).await?;
    download::save(response, output, session).await?;
    Ok(Exit::Ok)
}

pub(super) async fn import(file: &Path, dry_run: bool, session: &Session) -> Result<Exit, Failure> {
    let csv = read_file(file)?;
    let query = if dry_run { vec![("dry_run", "true".to_owned())] } else { Query::new() };
    let answer = session.client.post_csv(&["organizations", "import"], &query, csv).await?;
    session.print_one(&answer, |value| print(value, session))?;
    if dry_run {
        session.output.note("Nothing was changed: this was a dry run.");
    }
    Ok(if problems(&answer.value).is_empty() { Exit::Ok } else { Exit::Partial })
}

fn problems(value: &Value) -> &[Value] {
    list(value, "errors")
}

/// Counts on one line, then what could not be used, row by row.
fn print(value: &Value, session: &Session) -> Result<(), Failure> {
    let fields = value.as_object().into_iter().flatten();
    let counts: Vec<String> = fields
        .filter(|(_, value)| value.is_number())
        .map(|(name, count)| format!("{count} {}", name.replace('_', " ")))
        .collect();
    session.output.line(&counts.join(", "))?;
    let changes = list(value, "changes");
    if is_true(value, "dry_run") && !changes.is_empty() {
        let row =
            |change: &Value| ["line", "organization", "from", "to"].map(|name| shown(change, name)).into();
        let rows: Vec<Vec<String>> = changes.iter().map(row).collect();
        session
            .output
            .table(&[whole("Line", 0), name("Organization", 0), prose("Now", 0), prose("Then", 0)], &rows)?;
    }
    let new: Vec<&str> = list(value, "new_clients").iter().filter_map(Value::as_str).collect();
    if !new.is_empty() {
        session.output.line(&format!("New clients: {}", new.join(", ")))?;
    }
    let rows: Vec<Vec<String>> = problems(value)
        .iter()
        .map(|problem| vec![shown(problem, "line"), shown(problem, "message")])
        .collect();
    if rows.is_empty() {
        Ok(())
    } else {
        session.output.table(&[whole("Line", 0), prose("Problem", 0)], &rows)
    }
}
