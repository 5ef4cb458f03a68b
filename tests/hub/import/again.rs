//! A dry run, a second import, and what somebody has changed here since.

use reqwest::Method;
use serde_json::{Value, json};

use super::{OMNI, Stage, of, run};
use crate::harness::{Database, on_both_databases};

on_both_databases!(
    a_dry_run_tells_what_would_be_and_writes_nothing,
    a_second_import_changes_nothing,
    what_was_changed_here_stays_unless_overwritten,
    what_was_removed_here_stays_gone_unless_overwritten,
    many_pages_are_walked_to_their_end,
);

/// What an import counts, without what it says.
fn counts(report: &Value) -> Vec<Value> {
    let fields = ["source_name", "result", "users", "external_ids", "access_rules", "traces"];
    let of = |instance: &Value| fields.map(|field| instance[field].clone()).into();
    report["instances"].as_array().expect("instances").iter().map(of).collect()
}

async fn a_dry_run_tells_what_would_be_and_writes_nothing(database: Database) {
    let stage = Stage::new(database, OMNI).await;
    let before = stage.everything().await;
    let told = stage.report(&["--dry-run"]).await;
    assert_eq!(stage.everything().await, before);
    assert_eq!(told["dry_run"], true);
    let done = stage.report(&[]).await;
    assert_eq!(counts(&told), counts(&done));
    for field in ["global_rules", "left_out", "orphans"] {
        assert_eq!(told[field], done[field], "{field}");
    }
}

async fn a_second_import_changes_nothing(database: Database) {
    let stage = Stage::new(database, OMNI).await;
    stage.run(&[]).await;
    let before = stage.everything().await;
    // Overwriting takes the default from the instance that had it here, once.
    for (options, result) in [(&[][..], "unchanged"), (&["--overwrite"], "updated"), (&["--overwrite"], "unchanged")] {
        let report = stage.report(options).await;
        let main = of(&report, "main");
        assert_eq!(main["users"], json!({"created": 0, "updated": 0, "kept": 0, "unchanged": 3, "left_out": 1}));
        assert_eq!((&main["traces"]["created"], &main["traces"]["unchanged"]), (&json!(0), &json!(3)));
        assert_eq!((&main["result"], &of(&report, "bot")["result"]), (&json!(result), &json!("unchanged")));
        if options.is_empty() {
            assert_eq!(stage.everything().await, before);
        }
    }
}

async fn what_was_changed_here_stays_unless_overwritten(database: Database) {
    let stage = Stage::new(database, OMNI).await;
    let site = &stage.site;
    stage.run(&[]).await;
    let change = json!({"agent_api_url": "http://elsewhere.test", "agent_api_key": "changed-agent-key"});
    site.change_instance("main", change).await;
    let rules = site.get("/api/v1/access/rules?instance_name=main&phone_number=%2B5521*").await;
    let rule = format!("/api/v1/access/rules/{}", rules[0]["id"]);
    assert_eq!(site.api(Method::PUT, &rule, Some(&json!({"action": "allow"}))).await.status, 200);

    let report = stage.report(&[]).await;
    let main = of(&report, "main");
    assert_eq!((&main["result"], &main["differs"]), (&json!("kept"), &json!(["agent_api_url", "agent_api_key"])));
    assert_eq!(main["access_rules"]["kept"], 1);
    let shown = site.get("/api/v1/instances/main").await;
    assert_eq!(
        (&shown["agent_api_url"], &shown["agent_api_key"]),
        (&json!("http://elsewhere.test"), &json!("****-key"))
    );
    assert_eq!(site.get(&rule).await["action"], "allow");

    let report = stage.report(&["--overwrite"]).await;
    let main = of(&report, "main");
    assert_eq!((&main["result"], &main["access_rules"]["updated"]), (&json!("updated"), &json!(1)));
    assert_eq!(site.get("/api/v1/instances/main").await["agent_api_url"], site.agent.url());
    assert_eq!(site.get(&rule).await["action"], "block");
}

async fn what_was_removed_here_stays_gone_unless_overwritten(database: Database) {
    let stage = Stage::new(database, OMNI).await;
    let site = &stage.site;
    stage.run(&[]).await;
    let rules = site.get("/api/v1/access/rules?instance_name=main&phone_number=%2B5521*").await;
    let rule = format!("/api/v1/access/rules/{}", rules[0]["id"]);
    assert_eq!(site.api(Method::DELETE, &rule, None).await.status, 204);
    assert_eq!(site.api(Method::DELETE, "/api/v1/instances/second", None).await.status, 200);
    let ana = site.get("/api/v1/users?instance_name=main&external_id=445566778899").await;
    let name = format!("/api/v1/users/{}/external-ids?provider=discord&external_id=445566778899", ana[0]["id"]);
    assert_eq!(site.api(Method::DELETE, &name, None).await.status, 200);

    let report = stage.report(&[]).await;
    let main = of(&report, "main");
    assert_eq!((&main["access_rules"]["kept"], &main["external_ids"]["kept"]), (&json!(1), &json!(1)));
    let second = of(&report, "second");
    assert_eq!((&second["result"], &second["users"]["created"]), (&json!("deleted"), &json!(0)));
    assert_eq!(site.api(Method::GET, "/api/v1/instances/second", None).await.status, 404);

    let report = stage.report(&["--overwrite"]).await;
    let main = of(&report, "main");
    assert_eq!((&main["access_rules"]["created"], &main["external_ids"]["created"]), (&json!(1), &json!(1)));
    let second = of(&report, "second");
    assert_eq!((&second["result"], &second["users"]["created"]), (&json!("created"), &json!(1)));
}

async fn many_pages_are_walked_to_their_end(database: Database) {
    let stage = Stage::new(database, OMNI).await;
    let person = |n: u32| format!("('p-{n:04}', '+55119{n:08}', 'x', 'second')");
    let trace =
        |n: u32| format!("('{:08x}-0000-4000-8000-000000000000', 'second', '2025-11-04 10:00:00', 'completed')", n);
    let list = |row: &dyn Fn(u32) -> String| (1000..1450).map(row).collect::<Vec<_>>().join(", ");
    let sql = format!(
        "INSERT INTO users (id, phone_number, whatsapp_jid, instance_name) VALUES {}; \
         INSERT INTO message_traces (trace_id, instance_name, received_at, status) VALUES {}",
        list(&person),
        list(&trace)
    );
    run(&stage.source, database, &sql).await;
    let done = stage.report(&[]).await;
    let second = of(&done, "second");
    assert_eq!((&second["users"]["created"], &second["traces"]["created"]), (&json!(451), &json!(450)));
    let found = stage.site.api(Method::GET, "/api/v1/traces?instance_name=second&limit=1", None).await;
    assert_eq!(found.header("x-total-count"), "450");
}
