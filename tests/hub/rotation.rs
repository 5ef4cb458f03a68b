//! A new encryption key: everything is encrypted anew while messages and changes come, and no role
//! begins without a key that rows need.

use std::collections::HashMap;

use omnihub_fakes::Behaviour;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    ADMIN_KEY, DEADLINE, Database, EVOLUTION_KEY, Hub, INSTANCE, Nats, Site, Store, omnihub, on_both_databases, until,
};

on_both_databases!(rotation_under_load_loses_nothing, no_role_begins_without_a_key_that_rows_need);

const OLD: &str = "old:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const NEW: &str = "new:AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const KEYS: &str = "OMNIHUB_ENCRYPTION_KEYS";
/// What calls of a webhook agent are signed with, before and after a change.
const FIRST_SIGNING: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SECOND_SIGNING: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
/// More than the page of a transaction.
const TENANTS: usize = 60;

/// Starts the hub again with these keys.
async fn begin_again(site: &mut Site, keys: &str) {
    site.hub.terminate().await;
    site.hub.set_env(KEYS, keys);
    site.hub.start_again();
    site.hub.wait_ready().await;
}

/// `omnihub key rotate` on the command line.
async fn rotate(site: &Site) -> Value {
    let env = [("OMNIHUB_URL", site.hub.url()), ("OMNIHUB_API_KEY", ADMIN_KEY.to_owned())];
    let env = env.map(|(name, value)| (name.to_owned(), value)).into();
    let done = omnihub(&["key", "rotate", "--json"], &env).await;
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

async fn rotation_under_load_loses_nothing(database: Database) {
    let mut site = Site::up_with(database, Behaviour::Echo, &[(KEYS, OLD)]).await;
    for n in 1..TENANTS {
        let name = format!("tenant-{n}");
        site.add_instance(
            &name,
            json!({"whatsapp_instance": name, "webhook_secret": "planted-webhook-secret",
            "agent_webhook_secret": FIRST_SIGNING, "transcript_api_key": "planted-transcript-key-2e94",
            "fallback_agents": [{"name": "backup", "agent_api_url": "http://127.0.0.1:9",
            "agent_api_key": "planted-backup-1234"}]}),
        )
        .await;
        site.change_instance(&name, json!({"agent_webhook_secret": SECOND_SIGNING})).await;
    }
    let key = json!({"name": "a key", "instances": "*", "scopes": ["read"]});
    let key = site.api(Method::POST, "/api/v1/keys", Some(&key)).await.body["key"].as_str().unwrap().to_owned();
    begin_again(&mut site, &format!("{NEW},{OLD}")).await;

    let talk = async {
        for n in 0..10 {
            let trace = site.say(&format!("1415555{:04}", 6100 + n), "hello").await;
            assert_eq!(site.ended(&trace).await["outcome"], "answered");
        }
    };
    let change = async {
        for n in 1..TENANTS {
            site.change_instance(&format!("tenant-{n}"), json!({"agent_api_key": format!("planted-agent-{n:03}")}))
                .await;
        }
    };
    let (one, other, (), ()) = tokio::join!(rotate(&site), rotate(&site), talk, change);
    for done in [one, other] {
        assert_eq!((&done["finished"], &done["stuck"]), (&json!(true), &json!(0)), "{done}");
    }
    let last = rotate(&site).await;
    assert_eq!((&last["remaining"], &last["keys"]["old"]), (&json!(0), &Value::Null), "{last}");

    // The old key is gone, and nobody misses it.
    begin_again(&mut site, NEW).await;
    for n in 1..TENANTS {
        let shown = site.get(&format!("/api/v1/instances/tenant-{n}")).await;
        assert_eq!(shown["agent_api_key"], format!("****-{n:03}"));
        let signing = [&shown["agent_webhook_secret"], &shown["agent_webhook_secret_previous"]];
        assert_eq!(signing, ["****FRYX", "****LaSw"]);
        assert_eq!(shown["transcript_api_key"], "****2e94");
        assert_eq!(shown["fallback_agents"][0]["agent_api_key"], "****1234");
    }
    assert_eq!(site.api_as(&key, Method::GET, "/api/v1/traces", None).await.status, 200, "keys are what they were");
    let trace = site.say("14155556200", "hello").await;
    assert_eq!(site.ended(&trace).await["outcome"], "answered");
    site.assert_no_violations();

    site.hub.terminate().await;
    site.hub.set_env(KEYS, OLD);
    site.hub.start_again();
    refuses(&mut site.hub, "`new`").await;
}

/// The process ends by itself, and says which key is missing.
async fn refuses(hub: &mut Hub, id: &str) {
    until("it ends", DEADLINE, async || !hub.is_running()).await;
    assert_ne!(hub.exit_code(), Some(0));
    let log = hub.log();
    assert!(log.contains("the ring lacks keys") && log.contains(id), "{log}");
    assert!(!log.contains(EVOLUTION_KEY) && !log.contains("v1.") && !log.contains("AQECAwQF"), "{log}");
}

async fn no_role_begins_without_a_key_that_rows_need(database: Database) {
    let (store, nats) = (Store::new(database).await, Nats::start().await);
    let settings = [
        ("API_HOST", "127.0.0.1"),
        ("OMNIHUB_WORKER_HOST", "127.0.0.1"),
        ("OMNIHUB_API_KEY", ADMIN_KEY),
        ("DATABASE_URL", &store.url()),
        ("NATS_URL", &nats.url()),
        (KEYS, OLD),
        ("WHATSAPP_INSTANCE", INSTANCE),
        ("EVOLUTION_API_URL", "http://127.0.0.1:1"),
        ("EVOLUTION_API_KEY", EVOLUTION_KEY),
        ("AGENT_API_URL", "http://127.0.0.1:1"),
        ("AGENT_API_KEY", "planted-agent-key"),
    ];
    let mut env: HashMap<String, String> =
        settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let migrated = omnihub(&["migrate", "up"], &env).await;
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));

    env.insert(KEYS.to_owned(), NEW.to_owned());
    for role in [&["ingress"][..], &["worker"], &["migrate", "up"]] {
        refuses(&mut Hub::spawn(role, &env), "`old` (1 rows)").await;
    }

    // A key that is lost for good: whoever says so gets in, and may clear up.
    env.insert("OMNIHUB_LOST_KEYS".to_owned(), "old".to_owned());
    let mut hub = Hub::spawn(&["ingress"], &env);
    hub.wait_ready().await;
    let path = format!("{}/api/v1/instances/{INSTANCE}", hub.url());
    let call = async |method| reqwest::Client::new().request(method, &path).header("x-api-key", ADMIN_KEY).send().await;
    assert_eq!(call(Method::GET).await.unwrap().status(), 500);
    assert_eq!(call(Method::DELETE).await.unwrap().status(), 200);
    hub.terminate().await;
    env.remove("OMNIHUB_LOST_KEYS");
    Hub::spawn(&["ingress"], &env).wait_ready().await;
}
