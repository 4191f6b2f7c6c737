//! The roles of PostgreSQL as an operator meets them: who makes the tables, who serves, and what is told of each.

use std::time::Duration;

use crate::home::{ADMIN, Home, PASSWORD, address};

const BOTH: [(&str, &str); 2] =
    [("FLEETGATE_DATABASE_URL", "app"), ("FLEETGATE_DATABASE_MIGRATE_URL", "owner")];

mod postgres {
    use super::*;

    fn set(home: &mut Home, name: &str, role: &str) {
        let roles = home.roles.clone().unwrap();
        let location = match role {
            "app" => &roles.app,
            "owner" => &roles.owner,
            _ => &roles.superuser,
        };
        home.set(name, address(location));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_owner_makes_the_tables_and_another_role_serves() {
        let mut home = Home::empty_postgres().await;
        let early = home.run(&["serve", "--listen", "127.0.0.1:0"], "").ends_with(1);
        assert!(early.err.contains("`database.migrate_url`"), "{}", early.err);
        for (name, role) in BOTH {
            set(&mut home, name, role);
        }
        let server = home.start();
        home.admin_token();
        let api = server.api(None);
        let body = serde_json::json!({ "email": ADMIN, "password": PASSWORD });
        assert_eq!(api.post("/session", &body).await.status, 200);
        let (code, log) = server.stop(Duration::from_secs(30));
        assert_eq!((code, log.contains("row-level security")), (Some(0), false), "{log}");
        let migrated = home.run(&["migrate"], "").ends_with(0);
        assert_eq!(migrated.out, "The postgres database is up to date.\n");
        let well = home.well();
        assert!(well.out.contains("owns no table"), "{}", well.out);

        // From now on the owner is not needed.
        home.set("FLEETGATE_DATABASE_MIGRATE_URL", "");
        home.start().stop(Duration::from_secs(30));
        set(&mut home, "FLEETGATE_DATABASE_URL", "owner");
        let alone = home.well();
        assert!(alone.out.contains("could lift it"), "{}", alone.out);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_role_that_row_level_security_does_not_hold_is_told_loudly() {
        let mut home = Home::postgres().await;
        set(&mut home, "FLEETGATE_DATABASE_URL", "superuser");
        let (_, log) = home.start().stop(Duration::from_secs(30));
        assert!(log.contains("WARN") && log.contains("BYPASSRLS"), "{log}");
        let ill = home.run(&["doctor"], "").ends_with(1);
        assert!(ill.out.contains("CREATE ROLE fleetgate_app"), "{}", ill.out);
    }
}

#[test]
fn an_owner_without_a_role_that_serves_is_refused() {
    let mut home = Home::sqlite();
    home.set("FLEETGATE_DATABASE_MIGRATE_URL", "postgres://owner@127.0.0.1/x");
    let refused = home.run(&["serve"], "").ends_with(2);
    assert!(refused.err.contains("without `database.url`"), "{}", refused.err);
}
