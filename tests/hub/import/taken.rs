//! What is taken over, and that it works here.

use reqwest::Method;
use serde_json::{Value, json};

use super::{GUIDE, OMNI, ROADMAP, Stage, of, run};
use crate::harness::{DEADLINE, Database, INSTANCE, on_both_databases, until};

on_both_databases!(
    the_roadmap_s_instances,
    the_guide_s_instances_people_rules_and_traces,
    the_public_project_s_and_its_bad_rows,
    an_instance_of_it_is_served,
    what_is_no_python_hub_is_refused,
);

async fn the_roadmap_s_instances(database: Database) {
    let stage = Stage::new(database, ROADMAP).await;
    insta::assert_snapshot!("roadmap", stage.page(&[]).await);
    let made = stage.site.get("/api/v1/instances/flashinho_v2").await;
    assert_eq!((&made["agent_instance_type"], &made["split_over"]), (&json!("automagik-v1"), &json!(0)));
    assert_eq!((&made["session_id_prefix"], &made["agent_timeout"]), (&Value::Null, &json!(600)));
    assert_eq!((&made["evolution_key"], &made["agent_api_key"]), (&json!("****-two"), &json!("****-two")));
    assert_eq!(made["evolution_url"], "http://localhost:4040", "no address is rewritten");
    assert_eq!(stage.site.get("/api/v1/instances/default").await["session_id_prefix"], "dev-");
}

async fn the_guide_s_instances_people_rules_and_traces(database: Database) {
    let stage = Stage::new(database, GUIDE).await;
    insta::assert_snapshot!("guide", stage.page(&["--agent-protocol", "automagik"]).await);
    assert_eq!(stage.site.get("/api/v1/instances/customer-a").await["agent_instance_type"], "automagik");
    let discord = stage.site.get("/api/v1/instances/customer-a-discord").await;
    assert_eq!((&discord["has_discord_bot_token"], &discord["discord_guild_id"]), (&json!(true), &json!("123456789")));

    let users = stage.site.get("/api/v1/users?instance_name=customer-a").await;
    let john = users.as_array().unwrap_or_else(|| panic!("{users}")).first().expect("a user").clone();
    assert_eq!((&john["phone_number"], &john["email"]), (&json!("+1234567890"), &json!("john@example.com")));
    assert_eq!(john["user_data"], json!({"plan": "gold"}));

    let trace = stage.site.get("/api/v1/traces/ff1ff0da-c57b-429b-a378-d4a242a4ef29").await;
    for (field, value) in [
        ("status", json!("completed")),
        ("outcome", json!("answered")),
        ("message_content", json!("Hello")),
        ("sender_phone", json!("1234567890")),
        ("agent_processing_time_ms", json!(1234)),
        ("total_processing_time_ms", json!(2500)),
        ("session_id", json!("session-abc123")),
        ("channel_success", json!(true)),
        ("outgoing_payload", json!({"text": "Hello!"})),
    ] {
        assert_eq!(trace[field], value, "{field}: {trace}");
    }
    assert!(trace["incoming_payload"]["data"].is_object() && !trace.to_string().contains("planted"), "{trace}");
    let failed = stage.site.get("/api/v1/traces/00000000-c57b-429b-a378-d4a242a4ef29").await;
    assert_eq!((&failed["outcome"], &failed["outcome_reason"]), (&json!("dead"), &json!("imported_failed")));
}

async fn the_public_project_s_and_its_bad_rows(database: Database) {
    let stage = Stage::new(database, OMNI).await;
    insta::assert_snapshot!("omni", stage.page(&[]).await);
    let second = stage.site.get("/api/v1/instances/second").await;
    assert_eq!((&second["is_active"], &second["enable_auto_split"]), (&json!(false), &json!(false)));

    let users = stage.site.get("/api/v1/users?instance_name=main").await;
    let users = users.as_array().expect("users");
    let ana = users.iter().find(|user| user["phone_number"] == "+14155552671").expect("Ana, with her own number");
    assert_eq!(ana["last_agent_user_id"], "agent-user-ana");
    let names = ana["external_ids"].to_string();
    assert!(names.contains("\"14155552671@s.whatsapp.net\"") && names.contains("445566778899"), "{names}");
    assert_eq!(users.len(), 2, "Maria stands there twice, and one has no number");

    let check = "/api/v1/access/check?instance_name=main&phone_number";
    assert_eq!(stage.site.get(&format!("{check}=%2B5521999")).await["allowed"], false);
    assert_eq!(stage.site.get(&format!("{check}=%2B552199")).await["allowed"], true, "where both stand, it allows");
    assert_eq!(stage.site.get("/api/v1/access/check?phone_number=%2B99123").await["allowed"], false);

    let trace = stage.site.get("/api/v1/traces/11111111-1111-4111-8111-111111111111").await;
    assert_eq!((&trace["outcome"], &trace["total_processing_time_ms"]), (&json!("answered"), &json!(2000)));
    assert_eq!((&trace["provider_message_id"], &trace["session_id"]), (&json!("3EB01"), &json!("agent-session-1")));
    assert_eq!((&trace["received_at"], &trace["channel_success"]), (&json!("2025-11-03T10:00:00Z"), &json!(true)));
    assert_eq!(trace["outgoing_payload"]["text"], "Hi Ana", "the last of two sends");
    let incoming = trace["incoming_payload"].to_string();
    assert!(incoming.contains("[media 1800 bytes]") && !incoming.contains("planted"), "{incoming}");
    let stuck = stage.site.get("/api/v1/traces/33333333-3333-4333-8333-333333333333").await;
    assert_eq!((&stuck["outcome"], &stuck["outcome_reason"]), (&json!("ignored"), &json!("imported_unfinished")));
    let told = stage.site.get("/api/v1/traces/33333333-3333-4333-8333-333333333333/explanation").await;
    assert!(told["sentences"].to_string().contains("the Python hub had not ended it"), "{told}");
}

async fn an_instance_of_it_is_served(database: Database) {
    let stage = Stage::new(database, OMNI).await;
    let before = stage.site.say_to(INSTANCE, "99123456789", "hello").await;
    assert_eq!(stage.site.ended(&before).await["outcome"], "answered");
    stage.run(&[]).await;
    // Every process was told of the rules for all.
    until("the rule holds", DEADLINE, async || {
        let trace = stage.site.say_to(INSTANCE, "99123456789", "hello?").await;
        stage.site.ended(&trace).await["outcome_reason"] == "blocked"
    })
    .await;

    let trace = stage.site.say_to("main", "14155552671", "hello").await;
    assert_eq!(stage.site.ended(&trace).await["outcome"], "answered");
    let calls = stage.site.agent.calls();
    let call = calls.last().expect("a call");
    assert_eq!(call.path, "/api/v1/agent/helper/run");
    assert_eq!((call.message(), call.session_name()), ("hello", "main_14155552671"));
    let sent = stage.site.evolution.sent();
    let last = sent.last().expect("a reply");
    assert_eq!((last.instance.as_str(), last.text.as_str()), ("main-at-evolution", "echo: hello"));
    stage.site.assert_no_violations();

    // What it could not be called can be called otherwise.
    let report = stage.report(&["--rename", "my shop=my-shop"]).await;
    let shop = of(&report, "my shop");
    assert_eq!((&shop["name"], &shop["result"]), (&json!("my-shop"), &json!("created")));
    assert_eq!((&shop["users"]["created"], &shop["traces"]["created"]), (&json!(1), &json!(1)));
    let found = stage.site.api(Method::GET, "/api/v1/traces?instance_name=my-shop", None).await;
    assert_eq!(found.body[0]["session_name"], "my shop_5511900000000");
}

async fn what_is_no_python_hub_is_refused(database: Database) {
    let stage = Stage::new(database, "CREATE TABLE instance_configs (id INTEGER PRIMARY KEY, name VARCHAR)").await;
    let done = stage.run(&[]).await;
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!done.status.success() && told.contains("none of a Python omni-hub"), "{told}");

    run(&stage.source, database, "ALTER TABLE instance_configs ADD COLUMN channel_settings TEXT").await;
    let done = stage.run(&[]).await;
    assert!(String::from_utf8_lossy(&done.stderr).contains("is one of this hub"));

    let nowhere = crate::harness::omnihub(&["import", "/nowhere/automagik-omni.db"], &stage.env).await;
    let told = String::from_utf8_lossy(&nowhere.stderr).into_owned();
    assert!(!nowhere.status.success() && told.contains("/nowhere/automagik-omni.db"), "{told}");
}
