//! The routes against a fake Evolution; two databases and a whole hub are in the hub's tests.

use omnihub_fakes::{
    FakeEvolution,
    evolution::{Told, chat_row, contact_row},
};
use serde_json::{Value, json};

use crate::admin::testing::{Answer, Hub};

const KEY: &str = "planted-evolution-key";

/// A hub with `acme` on WhatsApp and `on-discord`.
async fn hub() -> (Hub, FakeEvolution) {
    let (hub, fake) = (Hub::new().await, FakeEvolution::start().await.unwrap());
    fake.add_instance("acme", KEY);
    let body = json!({"name": "acme", "evolution_url": fake.url(), "evolution_key": KEY, "provision": false,
        "agent_api_url": "http://agent.test", "agent_api_key": "planted-agent-1234", "default_agent": "bot"});
    assert_eq!(hub.call("POST", "/instances", body).await.status, 201);
    hub.add_instance("on-discord").await;
    (hub, fake)
}

async fn get(hub: &Hub, path: &str) -> Answer {
    hub.call("GET", path, "").await
}

async fn list(hub: &Hub, path: &str) -> Value {
    let answer = get(hub, path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.json
}

/// The ids of the rows of a page.
fn ids<'a>(page: &'a Value, rows: &str) -> Vec<&'a str> {
    page[rows].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_contact_has_the_older_systems_fields() {
    let (hub, fake) = hub().await;
    let row = contact_row("5511987654321@s.whatsapp.net", Some("Ana"));
    fake.set_contacts("acme", vec![row.clone()]);
    let page = list(&hub, "/instances/acme/contacts").await;
    let ana = json!({
        "id": "5511987654321@s.whatsapp.net", "name": "Ana", "channel_type": "whatsapp", "instance_name": "acme",
        "avatar_url": row["profilePicUrl"], "status": "unknown", "is_verified": null, "is_business": null,
        "channel_data": {"phone_number": "5511987654321", "is_contact": true, "presence": null, "whatsapp_name": null,
            "push_name": "Ana", "raw_data": row},
        "created_at": "2026-11-21T10:00:00Z", "last_seen": null,
    });
    let expected = json!({"contacts": [ana], "total_count": 1, "page": 1, "page_size": 50, "has_more": false,
        "instance_name": "acme", "channel_type": "whatsapp", "partial_errors": []});
    assert_eq!(page, expected);
    for id in ["5511987654321@s.whatsapp.net", "5511987654321", "+55%2011%2098765-4321"] {
        assert_eq!(list(&hub, &format!("/instances/acme/contacts/{id}")).await, ana, "{id}");
    }
    for nobody in ["5511987654322", "99@lid", "ana"] {
        let answer = get(&hub, &format!("/instances/acme/contacts/{nobody}")).await;
        assert_eq!((answer.status, &answer.json["code"]), (404, &json!("contact_not_found")));
    }
    assert_eq!(fake.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_chat_has_the_older_systems_fields() {
    let (hub, fake) = hub().await;
    let row = chat_row("120363041234567890@g.us", Some("Team"), 1_761_000_000, 2);
    fake.set_chats("acme", vec![row.clone()]);
    let chat = json!({
        "id": "120363041234567890@g.us", "name": "Team", "chat_type": "group", "channel_type": "whatsapp",
        "instance_name": "acme", "participant_count": null, "is_muted": false, "is_archived": false,
        "is_pinned": false, "description": null, "avatar_url": null, "unread_count": 2,
        "channel_data": {"group_id": "120363041234567890@g.us", "raw_data": row},
        "created_at": null, "last_message_at": "2025-10-20T22:40:00Z",
    });
    assert_eq!(list(&hub, "/instances/acme/chats").await["chats"], json!([chat]));
    assert_eq!(list(&hub, "/instances/acme/chats/120363041234567890@g.us").await, chat);
    let answer = get(&hub, "/instances/acme/chats/99@lid").await;
    assert_eq!((answer.status, &answer.json["code"]), (404, &json!("chat_not_found")));
}

#[tokio::test]
async fn contacts_are_narrowed_before_they_are_paged() {
    let (hub, fake) = hub().await;
    let row = |n: usize| {
        contact_row(&format!("1415555{n:04}@s.whatsapp.net"), Some(if n.is_multiple_of(2) { "Éva" } else { "Bob" }))
    };
    fake.set_contacts("acme", (0..100).rev().map(row).collect());
    let (mut all, mut page) = (Vec::new(), 1);
    loop {
        let found = list(&hub, &format!("/instances/acme/contacts?search_query=ÉVA&page_size=15&page={page}")).await;
        assert_eq!((&found["total_count"], &found["page"]), (&json!(50), &json!(page)));
        all.extend(ids(&found, "contacts").into_iter().map(str::to_owned));
        if found["has_more"] == false {
            break;
        }
        page += 1;
    }
    let expected: Vec<String> = (0..50).map(|n| format!("1415555{:04}@s.whatsapp.net", n * 2)).collect();
    assert_eq!((page, all), (4, expected));
    for (query, total) in [
        ("search_query=%2B1%20415%20555-00", 100),
        ("search_query=14155550007", 1),
        ("search_query=nobody", 0),
        ("status_filter=unknown", 100),
        ("status_filter=online", 0),
        ("channel_type=whatsapp&search_query=&unknown=1", 100),
        ("page=300", 100),
    ] {
        let found = list(&hub, &format!("/instances/acme/contacts?{query}")).await;
        assert_eq!(
            (&found["total_count"], &found["has_more"]),
            (&json!(total), &json!(total > 50 && !query.contains("page")))
        );
    }
}

#[tokio::test]
async fn chats_are_narrowed_before_they_are_paged() {
    let (hub, fake) = hub().await;
    let mut rows: Vec<Value> =
        (1..=20).map(|n| chat_row(&format!("{n}@s.whatsapp.net"), None, 1_761_000_000 + n, n % 2)).collect();
    rows.extend((1..=4).map(|n| chat_row(&format!("{n}@g.us"), Some("Team"), 1_762_000_000 + n, 0)));
    rows.push(json!({"remoteJid": "status@broadcast"}));
    rows[3]["archived"] = json!(true);
    fake.set_chats("acme", rows);
    for (query, total, first) in [
        ("", 25, "4@g.us"),
        ("chat_type_filter=direct", 20, "20@s.whatsapp.net"),
        ("chat_type_filter=group", 4, "4@g.us"),
        ("chat_type_filter=channel", 1, "status@broadcast"),
        ("archived=true", 1, "4@s.whatsapp.net"),
        ("archived=false&chat_type_filter=direct", 19, "20@s.whatsapp.net"),
        ("unread=true", 10, "19@s.whatsapp.net"),
        ("search_query=TEAM", 4, "4@g.us"),
    ] {
        let found = list(&hub, &format!("/instances/acme/chats?page_size=3&{query}")).await;
        assert_eq!((&found["total_count"], ids(&found, "chats")[0]), (&json!(total), first), "{query}");
    }
    let last = list(&hub, "/instances/acme/chats?page_size=3&page=9").await;
    assert_eq!((ids(&last, "chats"), &last["has_more"]), (vec!["status@broadcast"], &json!(false)));
    assert_eq!(list(&hub, "/instances/acme/chats?chat_type_filter=thread").await["total_count"], 0);
}

#[tokio::test]
async fn every_wrong_parameter_is_named() {
    let (hub, _fake) = hub().await;
    let wrong = async |path: &str| get(&hub, path).await.wrong_fields();
    let all = "page=0&page_size=501&channel_type=telegram&status_filter=busy";
    let expected = ["page", "page_size", "channel_type", "status_filter"];
    assert_eq!(wrong(&format!("/instances/acme/contacts?{all}")).await, expected);
    let long = "x".repeat(257);
    assert_eq!(wrong(&format!("/instances/acme/contacts?search_query={long}")).await, ["search_query"]);
    let all = "chat_type_filter=dm&archived=maybe&unread=2&page=401";
    assert_eq!(
        wrong(&format!("/instances/acme/chats?{all}")).await,
        ["page", "chat_type_filter", "archived", "unread"]
    );
    assert_eq!(wrong("/instances/acme/chats?page=x").await, ["page"]);
    assert_eq!(wrong("/channels?channel_type=x").await, ["channel_type"]);
    assert_eq!(wrong("/channels?limit=0").await, ["limit"]);
}

#[tokio::test]
async fn another_channel_has_nothing_and_says_so() {
    let (hub, _fake) = hub().await;
    let page = list(&hub, "/instances/acme/contacts?channel_type=discord").await;
    let error = json!({"instance_name": "acme", "channel_type": "whatsapp", "error_code": "channel_type_mismatch",
        "message": "Instance acme is whatsapp, not discord"});
    assert_eq!((&page["partial_errors"], &page["channel_type"]), (&json!([error]), &json!("discord")));
    for rows in ["contacts", "chats"] {
        let page = list(&hub, &format!("/instances/on-discord/{rows}")).await;
        assert_eq!((&page[rows], &page["total_count"]), (&json!([]), &json!(0)));
        assert_eq!(page["partial_errors"][0]["error_code"], "channel_cannot_list");
        let one = get(&hub, &format!("/instances/on-discord/{rows}/1@lid")).await;
        assert_eq!((one.status, &one.json["code"]), (400, &json!("channel_not_supported")));
        assert_eq!(get(&hub, &format!("/instances/nobody/{rows}")).await.json["code"], "instance_not_found");
    }
}

#[tokio::test]
async fn an_evolution_that_does_not_tell_is_a_problem() {
    let (hub, fake) = hub().await;
    let told = |text: &str| Some(Told::Text("application/json", text.to_owned()));
    let contacts = async || get(&hub, "/instances/acme/contacts").await;
    for text in ["<html>", "{}", "[", ""] {
        fake.tell("findContacts", told(text));
        let answer = contacts().await;
        assert_eq!((answer.status, &answer.json["code"]), (502, &json!("evolution_unreadable")), "{text}");
        assert_eq!(get(&hub, "/instances/acme/contacts/1@lid").await.status, 502, "{text}");
    }
    fake.tell("findContacts", Some(Told::Endless("7".to_owned())));
    let answer = contacts().await;
    assert_eq!((answer.status, &answer.json["code"]), (502, &json!("evolution_answer_too_large")));
    assert_eq!(answer.json["detail"], "Reading the contacts did not work: Evolution's answer is too large.");
    fake.tell("findContacts", told("[{\"remoteJid\": \"1@lid\"}, 7, {}]"));
    let page = list(&hub, "/instances/acme/contacts").await;
    assert_eq!((&page["total_count"], &page["contacts"][0]["name"]), (&json!(1), &json!("Unknown")));
    let error = &page["partial_errors"][0];
    assert_eq!(error["error_code"], "rows_unreadable");
    assert_eq!(error["message"], "2 rows of Evolution's answer cannot be read");
    fake.tell("findContacts", None);
    fake.add_instance("acme", "another-key");
    assert_eq!(contacts().await.json["code"], "evolution_key_refused");
    fake.lose("acme");
    assert_eq!(contacts().await.json["code"], "evolution_instance_missing");
    drop(fake);
    // The accept loop of a fake ends in a task of its own.
    let mut answer = contacts().await;
    while answer.json["code"] != "evolution_unreachable" {
        tokio::task::yield_now().await;
        answer = contacts().await;
    }
    assert_eq!(answer.status, 502);
}

#[tokio::test]
async fn the_overview_says_how_each_is_connected() {
    let (hub, fake) = hub().await;
    fake.set_contacts("acme", vec![contact_row("1@lid", None)]);
    let overview = list(&hub, "/channels").await;
    let acme = &overview["channels"][0];
    assert_eq!(
        (&acme["instance_name"], &acme["status"], &acme["is_healthy"]),
        (&json!("acme"), &json!("connected"), &json!(true))
    );
    assert_eq!((&acme["total_contacts"], &acme["total_chats"]), (&json!(1), &json!(0)));
    assert_eq!(
        (&acme["display_name"], &acme["description"]),
        (&json!("WhatsApp - acme"), &json!("WhatsApp instance: acme"))
    );
    assert_eq!((&overview["total_count"], &overview["healthy_count"]), (&json!(2), &json!(1)));
    assert_eq!(overview["channels"][1]["supports_contacts"], false);
    let error = json!({"instance_name": "on-discord", "channel_type": "discord", "error_code": "channel_info_error",
        "message": "this channel is not connected yet"});
    assert_eq!(overview["partial_errors"], json!([error]));
    let only = list(&hub, "/channels?channel_type=whatsapp").await;
    assert_eq!((&only["total_count"], &only["partial_errors"]), (&json!(1), &json!([])));
    let paged = list(&hub, "/channels?skip=1&limit=1").await;
    assert_eq!((&paged["total_count"], &paged["channels"][0]["instance_name"]), (&json!(2), &json!("on-discord")));

    fake.set_connection("acme", "close");
    assert_eq!(list(&hub, "/channels").await["channels"][0]["status"], "disconnected");
    fake.lose("acme");
    fake.set_global_key(KEY);
    let lost = list(&hub, "/channels?channel_type=whatsapp").await;
    assert_eq!((&lost["channels"][0]["status"], &lost["healthy_count"]), (&json!("not_found"), &json!(0)));
    assert_eq!(lost["partial_errors"][0]["message"], "Evolution has no such instance");
}

#[tokio::test]
async fn a_key_sees_its_own() {
    let (hub, fake) = hub().await;
    fake.set_contacts("acme", vec![contact_row("1@lid", None)]);
    let key = async |instance: &str, scope: &str| {
        let body = json!({"name": "k", "instances": [instance], "scopes": [scope]});
        hub.call("POST", "/keys", body).await.json["key"].as_str().unwrap().to_owned()
    };
    let (own, other, send) = (key("acme", "read").await, key("on-discord", "read").await, key("acme", "send").await);
    for path in ["contacts", "contacts/1@lid", "chats", "chats/1@lid"] {
        let path = format!("/instances/acme/{path}");
        assert_eq!(hub.call_as(&other, "GET", &path, "").await.json["code"], "instance_not_found");
        assert_eq!(hub.call_as(&send, "GET", &path, "").await.status, 403);
        assert_ne!(hub.call_as(&own, "GET", &path, "").await.json["code"], "instance_not_found");
    }
    let overview = hub.call_as(&other, "GET", "/channels", "").await;
    assert_eq!(
        (&overview.json["total_count"], overview.text.contains("acme")),
        (&json!(1), false),
        "{}",
        overview.text
    );
}
