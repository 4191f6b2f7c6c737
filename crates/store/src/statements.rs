//! The lists of all SQL statements, for the test that lets both engines read every one of them.

pub use crate::sql::Sql;
use crate::{
    absence, asset, audit, budget, client, copy, detail, device, event, gateway, integration, isolation, job,
    look, merge, organization, people, presence, proposal, schedule, secret, site, sync_run,
};

/// Every statement of the crate, with its name.
pub fn all() -> Vec<(&'static str, &'static Sql)> {
    let mut all = [
        gateway::ALL,
        job::ALL,
        schedule::ALL,
        absence::ALL,
        asset::ALL,
        asset::QUERY_STATEMENTS,
        asset::AROUND_STATEMENTS,
        budget::ALL,
        asset::SHARED_STATEMENTS,
        client::ALL,
        detail::ALL,
        device::ALL,
        device::sources::ALL,
        event::ALL,
        integration::ALL,
        isolation::ALL,
        merge::ALL,
        organization::ALL,
        proposal::ALL,
        site::ALL,
        site::statements::ALL,
        sync_run::ALL,
    ]
    .concat();
    all.extend(people::statements());
    all.extend(audit::statements());
    all.extend(secret::statements());
    all.extend(look::ALL);
    all.extend(copy::statements());
    all.extend(presence::ALL);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{db::Text, on_both_engines};

    on_both_engines! {
        async fn every_statement_can_be_prepared(test) {
            for (name, sql) in all() {
                if let Err(error) = test.store.db.prepare(sql).await {
                    panic!("`{name}` cannot be prepared: {error:?}");
                }
            }
        }

        async fn every_composed_asset_query_can_be_prepared(test) {
            for text in crate::asset::examples(test.store.engine()) {
                if let Err(error) = test.store.db.prepare(Text::Composed(text.clone())).await {
                    panic!("cannot be prepared: {error:?}\n{text}");
                }
            }
        }
    }

    /// A list of whoever may see some clients with few assets reads the assets of these clients, and of the rest nothing.
    #[tokio::test]
    async fn a_limited_list_reads_its_clients_alone() {
        let folder = tempfile::tempdir().unwrap();
        let test = crate::testing::sqlite(folder.path()).await;
        let texts = crate::asset::examples_of_few(test.store.engine());
        assert!(texts.len() > 20, "only {} texts", texts.len());
        for text in texts {
            let explained = Text::Composed(format!("EXPLAIN QUERY PLAN {text}"));
            let plan: Vec<(i64, i64, i64, String)> = test.store.db.all(explained, vec![]).await.unwrap();
            let steps: Vec<&str> = plan.iter().map(|row| row.3.as_str()).collect();
            let by_client = "INDEX assets_by_client (tenant_id=? AND client_id=?";
            assert!(
                steps.iter().any(|step| step.starts_with("SEARCH a") && step.contains(by_client)),
                "{text}\n{steps:#?}"
            );
            let scans = ["SCAN a", "SCAN p", "SCAN d", "SCAN c"];
            assert!(
                !steps.iter().any(|step| scans
                    .iter()
                    .any(|scan| step == scan || step.starts_with(&format!("{scan} ")))),
                "{text}\n{steps:#?}"
            );
            let first = steps.iter().find(|step| step.starts_with("SEARCH")).unwrap();
            assert!(first.contains(by_client), "{text}\n{steps:#?}");
        }
    }

    /// Rows that travel as JSON are read once and each is looked up by its key. The other order, all rows of the tenant and
    /// the JSON again for each, is quadratic.
    #[tokio::test]
    async fn json_leads_in_every_plan() {
        let folder = tempfile::tempdir().unwrap();
        let test = crate::testing::sqlite(folder.path()).await;
        for (name, sql) in all().into_iter().filter(|(_, sql)| sql.sqlite.contains("r._z")) {
            let text = crate::db::Text::Composed(format!("EXPLAIN QUERY PLAN {}", sql.sqlite));
            let plan: Vec<(i64, i64, i64, String)> = test.store.db.all(text, vec![]).await.unwrap();
            let steps: Vec<&str> = plan.iter().map(|row| row.3.as_str()).collect();
            let json = steps.iter().position(|step| step.contains("json_each")).unwrap();
            let is_table = |step: &&str| {
                !step.contains("VIRTUAL TABLE") && (step.starts_with("SEARCH") || step.starts_with("SCAN"))
            };
            let table = steps.iter().position(is_table);
            assert!(table.is_none_or(|table| json < table), "`{name}`: {steps:#?}");
            // All rows of a tenant for each row of the JSON: nobody wants that.
            assert!(!steps.iter().any(|step| step.ends_with("(tenant_id=?)")), "`{name}`: {steps:#?}");
        }
    }
}
