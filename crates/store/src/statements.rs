//! The lists of all SQL statements, for the test that lets both engines read every one of them.

pub use crate::sql::Sql;
use crate::{
    absence, asset, client, detail, device, event, gateway, integration, job, organization, people, schedule, secret,
    sync_run,
};

/// Every statement of the crate, with its name.
pub fn all() -> Vec<(&'static str, &'static Sql)> {
    let mut all = [
        gateway::ALL,
        job::ALL,
        schedule::ALL,
        secret::ALL,
        absence::ALL,
        asset::ALL,
        asset::MATCHES,
        client::ALL,
        detail::ALL,
        device::ALL,
        event::ALL,
        integration::ALL,
        organization::ALL,
        sync_run::ALL,
    ]
    .concat();
    all.extend(people::statements());
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
}
