//! Instances together with their accounts, against a fake Evolution.

mod change;
mod going;
mod life;
mod making;
mod watching;

use std::sync::Arc;

use omnihub_common::{
    channel::whatsapp::registration::EVENTS,
    instance::{ChannelSettings, EvolutionFallback, Instance, WhatsappSettings},
    secret::Secret,
};
use omnihub_fakes::FakeEvolution;
use serde_json::{Value, json};

use crate::{
    admin::testing::{self, Answer},
    evolution::{Door, EvolutionDesk},
};

/// The key of the Evolution server.
const GLOBAL: &str = "planted-global-key";
/// The own key of an account that was there before.
const OWN: &str = "planted-own-key-of-shop";
/// Where the hub is reached.
const PUBLIC: &str = "https://hub.test";

/// A hub and an Evolution server.
struct Site {
    hub: testing::Hub,
    evolution: FakeEvolution,
}

impl Site {
    async fn new() -> Self {
        Self::with(EvolutionFallback::default()).await
    }

    /// The server of the settings is the fake's, with its key.
    async fn with_shared_key() -> Self {
        let mut site = Self::new().await;
        let (url, key) = (Some(site.evolution.url().to_owned()), Some(Secret::new(GLOBAL)));
        site.settle(EvolutionFallback { url, key }, Some(PUBLIC));
        site
    }

    async fn with(fallback: EvolutionFallback) -> Self {
        let evolution = FakeEvolution::start().await.unwrap();
        evolution.set_global_key(GLOBAL);
        let mut site = Self { hub: testing::Hub::new().await, evolution };
        site.settle(fallback, Some(PUBLIC));
        site
    }

    fn settle(&mut self, fallback: EvolutionFallback, public: Option<&str>) {
        let fallback = Arc::new(fallback);
        let door = Door { public: public.map(str::to_owned), listener: None };
        self.hub.state.evolution = EvolutionDesk::new(door, Arc::clone(&fallback)).unwrap();
        self.hub.state.evolution_fallback = fallback;
    }

    async fn call(&self, method: &str, path: &str, body: impl ToString) -> Answer {
        self.hub.call(method, &format!("/instances{path}"), body).await
    }

    /// The same, and it must go well.
    async fn well(&self, method: &str, path: &str, body: impl ToString) -> Value {
        let answer = self.call(method, path, body).await;
        assert!((200..300).contains(&answer.status), "{method} {path}: {}", answer.text);
        answer.json
    }

    /// The same, and it must be refused with this status and code.
    async fn badly(&self, method: &str, path: &str, body: impl ToString, status: u16, code: &str) -> Answer {
        let answer = self.call(method, path, body).await;
        assert_eq!((answer.status, answer.json["code"].as_str()), (status, Some(code)), "{}", answer.text);
        answer
    }

    /// Makes an instance on WhatsApp with the key of the server, and these fields more.
    fn new_instance(&self, name: &str, more: Value) -> Value {
        let mut body = json!({
            "name": name,
            "evolution_url": self.evolution.url(),
            "evolution_key": GLOBAL,
            "agent_api_url": "http://agent.test",
            "agent_api_key": "planted-agent-1234",
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    }

    async fn make(&self, name: &str, more: Value) -> Value {
        self.well("POST", "", self.new_instance(name, more)).await
    }

    async fn row(&self, name: &str) -> Option<Instance> {
        self.hub.state.instances.get(name).await.unwrap()
    }

    /// The settings of a row, secrets open.
    async fn stored(&self, name: &str) -> WhatsappSettings {
        let ChannelSettings::Whatsapp(settings) = self.row(name).await.unwrap().channel else { panic!("on WhatsApp") };
        settings
    }

    /// Evolution posts to the hub for this instance, as its row wants it.
    async fn assert_registered(&self, name: &str) {
        let (settings, webhook) = (self.stored(name).await, self.webhook(name).await);
        assert_eq!((&webhook["enabled"], &webhook["events"]), (&json!(true), &json!(EVENTS)), "{webhook}");
        assert_eq!(webhook["url"], format!("{PUBLIC}/webhook/evolution/{name}"));
        assert_eq!(webhook["url"].as_str(), settings.webhook_url.as_deref());
        assert_eq!(webhook["headers"]["jwt_key"], settings.webhook_secret.as_ref().unwrap().expose());
        assert_eq!(webhook["webhookBase64"], settings.webhook_base64);
        assert_eq!(self.evolution.violations(), Vec::<String>::new());
    }

    async fn webhook(&self, name: &str) -> Value {
        self.evolution.webhook(&self.stored(name).await.whatsapp_instance)
    }

    /// The actions in the audit log, the oldest first.
    async fn audited(&self) -> Vec<String> {
        let log = self.hub.call("GET", "/audit?limit=500", "").await.json;
        let lines = log["items"].as_array().unwrap().iter().rev();
        lines.map(|line| line["action"].as_str().unwrap().to_owned()).collect()
    }
}

/// The words of the warnings in an answer.
fn warnings(answer: &Value) -> String {
    answer["warnings"].to_string()
}
