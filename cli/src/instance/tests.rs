//! The commands against the real routes over a real SQLite file.

use clap::Parser;
use omnihub_common::secret::Secret;

use super::*;
use crate::testing;

/// The command line as far as this room has a say in it.
#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    command: InstanceCommand,
}

/// A hub, and this room's commands for it.
struct Hub(testing::Hub);

impl Hub {
    async fn start() -> Self {
        Self(testing::Hub::start().await)
    }

    async fn run(&self, line: &str) -> Result<String, String> {
        let line = Line::try_parse_from(std::iter::once("instance").chain(line.split_whitespace()));
        let command = line.map_err(|error| error.to_string())?.command;
        execute(command, &self.0.api()).await.map_err(|error| format!("{error:#}"))
    }

    async fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.run(&format!("{line} --json")).await.unwrap()).unwrap()
    }
}

const OPTIONS: &str = "--evolution-url http://localhost:4040 --evolution-key planted-evolution-8888 \
    --whatsapp-instance wa --session-id-prefix dev- --agent-api-url http://localhost:38881 \
    --agent-api-key planted-agent-888 --default-agent bot --agent-timeout 600 --provision false";

#[tokio::test]
async fn a_life_of_an_instance() {
    let hub = Hub::start().await;
    assert!(hub.run("list").await.unwrap().contains("omnihub instance add"));
    let made = hub.run(&format!("add --name shop_v2 {OPTIONS} --default")).await.unwrap();
    assert!(made.contains("shop_v2") && made.contains("****8888") && !made.contains("planted"), "{made}");
    let second = hub.json(&format!("add other {OPTIONS} --agent-id x")).await;
    assert_eq!((&second["agent_id"], &second["is_default"]), (&json!("x"), &json!(false)));
    assert!(hub.run("list").await.unwrap().contains("http://localhost:38881"));
    assert_eq!(hub.json("list").await.as_array().unwrap().len(), 2);

    let changed = hub.json("update other --agent-timeout 5 --active false --clear session-id-prefix").await;
    assert_eq!((&changed["agent_timeout"], &changed["session_id_prefix"]), (&json!(5), &Value::Null));
    assert_eq!((&changed["is_active"], &changed["agent_id"]), (&json!(false), &json!("x")));
    assert!(hub.run("set-default other").await.unwrap() == "/webhook/evolution means other now.\n");
    assert_eq!(hub.json("set-default other").await["is_default"], json!(true));
    assert_eq!(hub.json("show shop_v2").await["is_default"], json!(false));

    let backup = r#"[{"name":"b","agent_api_url":"http://b.test","agent_api_key":"planted-backup-1"}]"#;
    let changed = hub.json(&format!("update other --fallback-agents {backup} --on-agent-failure handoff")).await;
    let listed = &changed["fallback_agents"][0];
    assert_eq!((&listed["rank"], &listed["agent_api_key"]), (&json!(1), &json!("****up-1")));
    let changed = hub.json("update other --clear fallback-agents --late-answer-minutes 5").await;
    assert_eq!((&changed["fallback_agents"], &changed["on_agent_failure"]), (&json!([]), &json!("handoff")));

    let deleted = hub.run("delete --name other --force").await.unwrap();
    assert_eq!(deleted, "Instance 'other' deleted successfully\n");
    assert_eq!(hub.json("list").await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn errors_say_what_to_do() {
    let hub = Hub::start().await;
    assert!(hub.run("show nobody").await.unwrap_err().contains("'nobody' not found"));
    assert!(hub.run("show").await.unwrap_err().contains("<NAME"));
    assert!(hub.run("update a").await.unwrap_err().contains("nothing to change"));
    let wrong = hub.run("add a --agent-api-url agent --agent-timeout 0").await.unwrap_err();
    for field in ["agent_api_url: must be a URL", "agent_timeout: must be a whole number", "evolution_url: is required"]
    {
        assert!(wrong.contains(field), "{wrong}");
    }
    let away = OPTIONS.replace("http://localhost:4040", "http://127.0.0.1:1").replace("--provision false", "");
    let away = hub.run(&format!("add a {away}")).await.unwrap_err();
    for words in ["Evolution cannot be reached. Nothing was changed.", "--provision false", "omnihub instance connect"]
    {
        assert!(away.contains(words), "{away}");
    }
    assert!(hub.run("show nobody").await.unwrap_err().contains("omnihub instance list"));
    let list = InstanceCommand::List { json: true };
    let stranger = execute(list, &hub.0.api_with("guess")).await.unwrap_err().to_string();
    assert!(stranger.contains("OMNIHUB_API_KEY"), "{stranger}");

    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", port.local_addr().unwrap());
    drop(port);
    let nobody = Api::new(nobody.parse().unwrap(), Secret::new("key")).unwrap();
    let error = execute(InstanceCommand::List { json: true }, &nobody).await.unwrap_err().to_string();
    assert!(error.contains("omnihub up"), "{error}");
}

#[test]
fn the_command_line_is_sound() {
    use clap::CommandFactory as _;
    Line::command().debug_assert();
    assert!(Line::try_parse_from(["instance", "add", "a", "--name", "b"]).is_err());
}

#[test]
fn what_may_be_null_can_be_cleared() {
    let path = "/paths/~1api~1v1~1instances~1{name}/put/requestBody/content/application~1json/schema/properties";
    let document = omnihub_ingress::admin::openapi::document();
    let fields = document.pointer(path).unwrap().as_object().unwrap().iter();
    let nullable = |(name, field): (&String, &Value)| {
        let null = field["type"].as_array().is_some_and(|types| types.contains(&json!("null")));
        (null && name != "provision").then(|| name.clone())
    };
    assert_eq!(fields.filter_map(nullable).collect::<Vec<_>>(), super::values::CLEARABLE);
    let wrong = Line::try_parse_from(["instance", "update", "a", "--clear", "nonsense"]).map(|_| ()).unwrap_err();
    assert!(wrong.to_string().contains("these can be emptied: agent_error_message"), "{wrong}");
}

#[tokio::test]
async fn an_account_by_commands() {
    let evolution = omnihub_fakes::FakeEvolution::start().await.unwrap();
    evolution.set_global_key("planted-global-key");
    let hub = Hub::start().await;
    let options = format!(
        "--evolution-url {} --evolution-key planted-global-key --agent-api-url http://agent.test --agent-api-key planted-a",
        evolution.url()
    );
    let made = hub.run(&format!("add acme {options}")).await.unwrap();
    assert!(made.contains("Warning: no webhook was registered"), "{made}");
    assert!(hub.run("status acme").await.unwrap().contains("disconnected"));
    let away =
        "--evolution-url http://127.0.0.1:9 --evolution-key k --agent-api-url http://agent.test --agent-api-key k";
    hub.run(&format!("add away {away} --provision false")).await.unwrap();
    assert!(hub.run("qr away").await.unwrap_err().contains("Evolution cannot be reached"));
    assert_eq!(hub.json("delete away --force").await["message"], "Instance 'away' deleted successfully");
    assert_eq!(hub.json("status acme").await["channel_data"]["evolution_state"], "close");
    let drawn = hub.run("qr acme --phone +14155550000").await.unwrap();
    assert!(drawn.contains('█') && drawn.contains("Scan it"), "{drawn}");
    assert!(drawn.contains("Pairing code: WZYE-H1YY"), "{drawn}");
    assert!(hub.json("qr acme").await["qr_code"].is_string());
    evolution.pair("acme");
    assert!(hub.run("connect acme").await.unwrap().contains("connected already"));
    assert!(hub.run("restart acme").await.unwrap().contains("restarted successfully. The account connects anew."));
    assert!(hub.run("disconnect acme").await.unwrap().contains("disconnected successfully"));
    assert_eq!(hub.json("logout acme").await["result"]["message"], "The phone is unpaired.");

    evolution.add_instance("stranger", "planted-own");
    let listed = format!("discover --evolution-url {} --evolution-key planted-global-key", evolution.url());
    let found = hub.run(&listed).await.unwrap();
    assert!(found.contains("stranger") && found.contains("acme") && !found.contains("planted"), "{found}");
    assert_eq!(hub.json(&listed).await["total_discovered"], 2);
    assert!(hub.run("discover --evolution-url http://e.test").await.unwrap_err().contains("--evolution-key"));

    assert!(hub.run("delete acme --force --evolution perhaps").await.unwrap_err().contains("keep"));
    assert_eq!(
        hub.run("delete acme --force --evolution remove").await.unwrap(),
        "Instance 'acme' deleted successfully\n"
    );
    assert!(!evolution.has("acme"));
}
