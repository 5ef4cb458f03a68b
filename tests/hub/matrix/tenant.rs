//! A tenant with one of everything.

use omnihub_fakes::evolution::{chat_row, contact_row};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{DEADLINE, Site, until};

/// A tenant, its key for itself, and what it has.
#[derive(Debug)]
pub(super) struct Tenant {
    pub(super) name: String,
    /// May do everything to this instance.
    pub(super) key: String,
    /// The trace of a message that was answered.
    pub(super) trace: String,
    /// That of one that was not.
    pub(super) dead: String,
    phone: String,
    session: String,
    rule: String,
    user: String,
    key_id: String,
}

/// A new key.
pub(super) async fn key(site: &Site, name: &str, instance: &str, scopes: &[&str]) -> String {
    made_key(site, name, instance, scopes).await["key"].as_str().unwrap().to_owned()
}

async fn made_key(site: &Site, name: &str, instance: &str, scopes: &[&str]) -> Value {
    let body = json!({"name": name, "instances": [instance], "scopes": scopes});
    done(site, Method::POST, "/api/v1/keys", &body).await
}

async fn done(site: &Site, method: Method, path: &str, body: &Value) -> Value {
    let answer = site.api(method, path, Some(body)).await;
    assert!(matches!(answer.status, 200 | 201), "{path}: {}", answer.text);
    answer.body
}

impl Tenant {
    /// Gives an instance one of everything that a tenant can have.
    pub(super) async fn settle(site: &Site, name: &str, phone: &str) -> Self {
        let trace = site.say_to(name, phone, "a word of my own").await;
        let ended = site.ended(&trace).await;
        assert_eq!(ended["outcome"], "answered");
        let session = ended["session_name"].as_str().unwrap().to_owned();
        let dead = site.say_to(name, phone, "refuse this").await;
        assert_eq!(site.ended(&dead).await["outcome"], "dead");
        until("the dead letter is there", DEADLINE, async || {
            site.api(Method::GET, &format!("/api/v1/dead-letters/{dead}"), None).await.status == 200
        })
        .await;
        let rule = json!({"phone_number": phone, "action": "allow", "instance_name": name, "reason": "a friend"});
        let rule = done(site, Method::POST, "/api/v1/access/rules", &rule).await["id"].to_string();
        let found = site.get(&format!("/api/v1/users?instance_name={name}")).await;
        let user = found[0]["id"].to_string();
        let email = json!({"email": format!("{phone}@example.com")});
        done(site, Method::PATCH, &format!("/api/v1/users/{user}"), &email).await;
        let pause = format!("/api/v1/instances/{name}/conversations/{session}/pause");
        done(site, Method::POST, &pause, &json!({"reason": "a person is there"})).await;
        let jid = format!("{phone}@s.whatsapp.net");
        site.evolution.set_contacts(name, vec![contact_row(&jid, None)]);
        site.evolution.set_chats(name, vec![chat_row(&jid, None, 1_761_000_000, 1)]);
        let made = made_key(site, name, name, &["admin"]).await;
        let (key, key_id) = (made["key"].as_str().unwrap().to_owned(), made["id"].to_string());
        let (name, phone) = (name.to_owned(), phone.to_owned());
        Self { name, key, trace, dead, phone, session, rule, user, key_id }
    }

    /// What stands for a parameter of a path.
    pub(super) fn of_path(&self, path: &str, parameter: &str) -> String {
        let ids = [
            ("/dead-letters/", &self.dead),
            ("/access/rules/", &self.rule),
            ("/users/", &self.user),
            ("/keys/", &self.key_id),
        ];
        let value = match parameter {
            "name" => Some(&self.name),
            "phone" | "contact" | "chat" => Some(&self.phone),
            "session" => Some(&self.session),
            "trace_id" => Some(&self.trace),
            "id" => ids.into_iter().find(|(part, _)| path.contains(part)).map(|(_, id)| id),
            _ => None,
        };
        value.unwrap_or_else(|| panic!("{path}: give `Tenant` something that `{parameter}` may be")).clone()
    }

    /// What stands for a parameter of a query; none where it names nothing that a tenant has.
    pub(super) fn of_query(&self, parameter: &str) -> Option<String> {
        let value = match parameter {
            "instance_name" => &self.name,
            "phone" | "phone_number" | "sender_phone" | "external_id" => &self.phone,
            "conversation" | "session_name" => &self.session,
            "trace_id" => &self.trace,
            "provider" => "whatsapp",
            _ => return None,
        };
        Some(value.to_owned())
    }

    /// Whether a text has anything of theirs that was not in the question.
    pub(super) fn is_in(&self, text: &str, asked: &str) -> bool {
        let theirs = [&self.name, &self.phone, &self.trace, &self.dead, &self.session];
        theirs.into_iter().any(|word| text.contains(word.as_str()) && !asked.contains(word.as_str()))
    }

    /// Everything of theirs that an operator sees.
    pub(super) async fn seen_by_root(&self, site: &Site) -> String {
        let name = &self.name;
        let paths = [
            "traces?all_time=true&",
            "dead-letters?",
            "access/rules?",
            "users?",
            "audit?",
            &format!("instances/{name}?"),
            &format!("instances/{name}/conversations?"),
        ];
        let mut seen = String::new();
        for path in paths {
            seen += &site.api(Method::GET, &format!("/api/v1/{path}instance_name={name}"), None).await.text;
            seen.push('\n');
        }
        seen
    }
}
