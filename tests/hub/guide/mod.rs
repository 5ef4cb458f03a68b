//! The requests of the multi-tenant architecture guide, word for word but for hosts and keys: who
//! has them in a script or in a habit goes on using them.

use std::collections::HashMap;

use omnihub_fakes::Behaviour;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{ADMIN_KEY, Database, Site, on_both_databases};

on_both_databases!(an_instance_is_made, the_agent_moves, the_key_of_evolution_is_corrected);

const CREATE: &str = include_str!("create.sh");
const AGENT_URL: &str = include_str!("agent-url.sh");
const EVOLUTION_KEY: &str = include_str!("evolution-key.sh");

/// What stands in the guide for what differs from place to place.
const HUB: &str = "http://localhost:8882";
const KEY: &str = "omni-dev-key-test-2025";
const EVOLUTION: &str = "https://evolution-api-prod-7611.up.railway.app";

/// A request as curl makes it of its words.
#[derive(Debug)]
struct Request {
    method: Method,
    url: String,
    headers: HashMap<String, String>,
    body: String,
}

impl Request {
    fn read(command: &str) -> Self {
        let mut words = words(command).into_iter();
        assert_eq!(words.next().as_deref(), Some("curl"));
        // What curl says of a body with `-d`, unless it is told something else.
        let headers = HashMap::from([("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned())]);
        let mut request = Self { method: Method::GET, url: String::new(), headers, body: String::new() };
        while let Some(word) = words.next() {
            let mut value = || words.next().unwrap();
            match word.as_str() {
                "-X" => request.method = value().parse().unwrap(),
                "-d" => request.body = value(),
                "-H" => {
                    let header = value();
                    let (name, said) = header.split_once(": ").unwrap();
                    request.headers.insert(name.to_lowercase(), said.to_owned());
                }
                _ => request.url = word,
            }
        }
        request
    }

    async fn send(self) -> (u16, Value) {
        let mut request = reqwest::Client::new().request(self.method, self.url).body(self.body);
        for (name, said) in &self.headers {
            request = request.header(name, said);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }
}

/// The words of a command of these files: quotes of both kinds, and lines that go on.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![];
    let mut word: Option<String> = None;
    let mut quote = None;
    for letter in command.replace("\\\n", " ").chars() {
        match (quote, letter) {
            (Some(open), letter) if open == letter => quote = None,
            (None, '"' | '\'') => (quote, word) = (Some(letter), Some(word.unwrap_or_default())),
            (None, letter) if letter.is_whitespace() => words.extend(word.take()),
            (_, letter) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

/// The command, at this hub.
async fn run(site: &Site, command: &str) -> (u16, Value) {
    let command = command.replace(HUB, &site.hub.url()).replace(KEY, ADMIN_KEY);
    Request::read(&command.replace(EVOLUTION, site.evolution.url())).send().await
}

/// The guide's tenant, made without its account.
async fn customer_a(site: &Site) {
    let body = json!({
        "name": "customer-a", "provision": false, "evolution_url": site.evolution.url(), "evolution_key": "EXPIRED",
        "agent_api_url": "http://192.168.1.101:8886", "agent_api_key": "customer-a-agent-key",
    });
    assert_eq!(site.api(Method::POST, "/api/v1/instances", Some(&body)).await.status, 201);
}

async fn an_instance_is_made(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    site.evolution.add_instance("customer-a", "CUSTOMER_A_EVOLUTION_KEY");
    site.evolution.set_id("customer-a", "8b167ecf-b1a6-4165-bb0c-c2c7fbaf103e");
    let (status, made) = run(&site, CREATE).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(made["whatsapp_instance"], "customer-a", "the id stands for this name");
    assert_eq!((&made["agent_id"], &made["agent_timeout"]), (&json!("gpt-4-business"), &json!(60)));
    let registered = site.evolution.webhook("customer-a");
    assert_eq!(registered["url"], format!("{}/webhook/evolution/customer-a-whatsapp", site.hub.url()));
}

async fn the_agent_moves(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    customer_a(&site).await;
    let (status, changed) = run(&site, AGENT_URL).await;
    assert_eq!((status, &changed["agent_api_url"]), (200, &json!("http://192.168.1.100:8886")), "{changed}");
}

async fn the_key_of_evolution_is_corrected(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    site.evolution.add_instance("customer-a", "CORRECT_KEY_HERE");
    customer_a(&site).await;
    let status = async || site.get("/api/v1/instances/customer-a/status").await["status"].clone();
    assert_eq!(status().await, "error", "the key is refused");
    let (code, changed) = run(&site, EVOLUTION_KEY).await;
    assert_eq!((code, &changed["evolution_key"]), (200, &json!("****HERE")), "{changed}");
    assert_eq!(status().await, "connected");
}
