//! Contacts, chats and profiles, over the real hub: two tenants, long lists, and an Evolution that is
//! away, hostile or empty.

use axum::http::StatusCode;
use omnihub_fakes::{
    Behaviour, FakeEvolution,
    evolution::{Told, chat_row, contact_row},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{ADMIN_KEY, Answer, DEADLINE, Database, INSTANCE, Site, on_both_databases, until};

on_both_databases!(
    each_tenant_sees_its_own,
    a_long_list_is_narrowed_and_then_paged,
    an_evolution_that_does_not_tell_stands_in_nobodys_way,
    a_picture_is_set_and_written_down,
);

const OTHER: &str = "globex";

async fn key(site: &Site, instance: &str, scope: &str) -> String {
    let body = json!({"name": "k", "instances": [instance], "scopes": [scope]});
    let made = site.api(Method::POST, "/api/v1/keys", Some(&body)).await;
    made.body["key"].as_str().expect("a key").to_owned()
}

async fn get_as(site: &Site, key: &str, path: &str) -> Answer {
    site.api_as(key, Method::GET, &format!("/api/v1/{path}"), None).await
}

/// Another tenant with an Evolution server of its own.
async fn other_tenant(site: &Site) -> FakeEvolution {
    let evolution = FakeEvolution::start().await.expect("a fake Evolution");
    let fields = json!({"evolution_url": evolution.url(), "evolution_key": "planted-other-key"});
    site.add_instance(OTHER, fields).await;
    evolution.add_instance(OTHER, "planted-other-key");
    evolution
}

async fn each_tenant_sees_its_own(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let evolution = other_tenant(&site).await;
    for (fake, name, phone) in [(&site.evolution, INSTANCE, "14155551000"), (&evolution, OTHER, "14155552000")] {
        let jid = format!("{phone}@s.whatsapp.net");
        fake.set_contacts(name, vec![contact_row(&jid, Some(&format!("friend of {name}")))]);
        fake.set_chats(name, vec![chat_row(&jid, None, 1_761_000_000, 1)]);
        fake.add_profile(name, &jid, json!({"wuid": jid, "name": format!("profile for {name}")}));
    }
    for (own, other, phone) in [(INSTANCE, OTHER, "14155551000"), (OTHER, INSTANCE, "14155552000")] {
        let key = key(&site, own, "read").await;
        for list in ["contacts", "chats"] {
            let page = get_as(&site, &key, &format!("instances/{own}/{list}")).await;
            assert_eq!((page.status, &page.body["total_count"]), (200, &json!(1)), "{}", page.text);
            assert!(page.text.contains(phone) && !page.text.contains(other), "{}", page.text);
            let one = get_as(&site, &key, &format!("instances/{own}/{list}/{phone}")).await;
            assert_eq!(one.status, 200, "{}", one.text);
            for path in [format!("instances/{other}/{list}"), format!("instances/{other}/{list}/{phone}")] {
                get_as(&site, &key, &path).await.assert_problem(404, "instance_not_found");
            }
        }
        let overview = get_as(&site, &key, "channels").await;
        assert_eq!((&overview.body["total_count"], &overview.body["healthy_count"]), (&json!(1), &json!(1)));
        assert!(!overview.text.contains(other), "{}", overview.text);
        let body = json!({"phone_number": phone});
        let fetch = |name: &str| format!("/api/v1/instance/{name}/fetch-profile");
        let profile = site.api_as(&key, Method::POST, &fetch(own), Some(&body)).await;
        assert_eq!(profile.body["profile"]["name"], format!("profile for {own}"), "{}", profile.text);
        let refused = site.api_as(&key, Method::POST, &fetch(other), Some(&body)).await;
        refused.assert_problem(404, "instance_not_found");
    }
    let all = get_as(&site, ADMIN_KEY, "channels/").await;
    assert_eq!((&all.body["total_count"], &all.body["partial_errors"]), (&json!(2), &json!([])), "{}", all.text);
    site.assert_no_violations();
    assert_eq!(evolution.violations(), Vec::<String>::new());
}

async fn a_long_list_is_narrowed_and_then_paged(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let contact = |n: usize| {
        let name = if n.is_multiple_of(5) { "Éva" } else { "Bob" };
        contact_row(&format!("1415{n:07}@s.whatsapp.net"), Some(name))
    };
    // In an order that is not the one of the pages.
    site.evolution.set_contacts(INSTANCE, (0..10_000).map(|n| contact(n * 7919 % 10_000)).collect());
    let path = |page: usize| format!("instances/{INSTANCE}/contacts?search_query=%C3%A9va&page_size=500&page={page}");
    let mut seen: Vec<String> = Vec::new();
    for page in 1..=4 {
        let found = site.get(&format!("/api/v1/{}", path(page))).await;
        assert_eq!((&found["total_count"], &found["has_more"]), (&json!(2000), &json!(page < 4)), "page {page}");
        let rows = found["contacts"].as_array().expect("contacts");
        seen.extend(rows.iter().map(|row| row["id"].as_str().expect("an id").to_owned()));
    }
    let expected: Vec<String> = (0..2000).map(|n| format!("1415{:07}@s.whatsapp.net", n * 5)).collect();
    assert!(seen == expected, "{} rows", seen.len());
    let beyond = site.get(&format!("/api/v1/{}", path(5))).await;
    assert_eq!((&beyond["contacts"], &beyond["total_count"]), (&json!([]), &json!(2000)));
    let deepest = get_as(&site, ADMIN_KEY, &path(41)).await;
    deepest.assert_problem(422, "validation_failed");

    let chat = |n: u64| {
        chat_row(
            &format!("{n}@{}", if n.is_multiple_of(4) { "g.us" } else { "s.whatsapp.net" }),
            None,
            1_761_000_000 + n,
            n % 2,
        )
    };
    site.evolution.set_chats(INSTANCE, (0..100).map(chat).collect());
    let direct = site.get(&format!("/api/v1/instances/{INSTANCE}/chats?chat_type_filter=direct&page_size=2")).await;
    assert_eq!((&direct["total_count"], &direct["chats"][0]["id"]), (&json!(75), &json!("99@s.whatsapp.net")));
    let groups = site.get(&format!("/api/v1/instances/{INSTANCE}/chats?chat_type_filter=group&unread=false")).await;
    assert_eq!((&groups["total_count"], &groups["chats"][24]["id"]), (&json!(25), &json!("0@g.us")));
    site.assert_no_violations();
}

async fn an_evolution_that_does_not_tell_stands_in_nobodys_way(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let evolution = other_tenant(&site).await;
    let contacts = async |name: &str| get_as(&site, ADMIN_KEY, &format!("instances/{name}/contacts")).await;
    let empty = contacts(OTHER).await;
    assert_eq!((&empty.body["contacts"], &empty.body["total_count"]), (&json!([]), &json!(0)), "{}", empty.text);
    assert_eq!((&empty.body["has_more"], &empty.body["partial_errors"]), (&json!(false), &json!([])));

    let text = |text: String| Some(Told::Text("text/html", text));
    for hostile in
        ["<html>502</html>".to_owned(), "{\"a\": 1}".to_owned(), "[{\"remoteJid\"".to_owned(), "[".repeat(1 << 20)]
    {
        evolution.tell("findContacts", text(hostile));
        contacts(OTHER).await.assert_problem(502, "evolution_unreadable");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let mixed = format!("[7, null, {{\"remoteJid\": [1]}}, {{\"remoteJid\": \"1@lid\", \"pushName\": 7}}, {deep}]");
    evolution.tell("findContacts", text(mixed));
    let page = contacts(OTHER).await;
    assert_eq!((&page.body["total_count"], &page.body["contacts"][0]["name"]), (&json!(1), &json!("Unknown")));
    assert_eq!(page.body["partial_errors"][0]["error_code"], "rows_unreadable");
    evolution.tell("findContacts", Some(Told::Endless("7".to_owned())));
    contacts(OTHER).await.assert_problem(502, "evolution_answer_too_large");
    evolution.tell("findContacts", None);
    evolution.fail_admin("findContacts", 1, StatusCode::SERVICE_UNAVAILABLE, &json!({"message": "planted-other-key"}));
    let failing = contacts(OTHER).await;
    failing.assert_problem(502, "evolution_failing");
    assert!(!failing.text.contains("planted"), "{}", failing.text);

    drop(evolution);
    until("its Evolution is away", DEADLINE, async || contacts(OTHER).await.body["code"] == "evolution_unreachable")
        .await;
    let overview = site.get("/api/v1/channels").await;
    let status: Vec<&Value> =
        overview["channels"].as_array().expect("channels").iter().map(|one| &one["status"]).collect();
    assert_eq!((status, &overview["healthy_count"]), (vec![&json!("connected"), &json!("error")], &json!(1)));
    assert_eq!(overview["partial_errors"][0]["instance_name"], OTHER);
    assert_eq!(contacts(INSTANCE).await.status, 200);
    site.assert_no_violations();
}

async fn a_picture_is_set_and_written_down(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let path = format!("/api/v1/instance/{INSTANCE}/update-profile-picture");
    let body = json!({"picture_base64": "aGk="});
    let read = key(&site, INSTANCE, "read").await;
    site.api_as(&read, Method::POST, &path, Some(&body)).await.assert_problem(403, "scope_missing");
    let send = key(&site, INSTANCE, "send").await;
    let done = site.api_as(&send, Method::POST, &path, Some(&body)).await;
    assert_eq!((done.status, &done.body["status"]), (200, &json!("updated")), "{}", done.text);
    assert_eq!(site.evolution.picture(INSTANCE).as_deref(), Some("aGk="));
    let log = site.get("/api/v1/audit?action=instance.set_picture").await;
    let line = &log["items"][0];
    assert_eq!((&line["target"], &line["actor"]), (&json!(INSTANCE), &json!("k")), "{log}");
    assert_eq!(line["after"], json!({"picture_base64_bytes": 4, "sure": true}));
    site.assert_no_violations();
}
