//! One person, one conversation, whatever WhatsApp calls them: by phone, by `@lid`, or by both.

use omnihub_fakes::Behaviour;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Database, INSTANCE, Site, on_both_databases, webhook};

on_both_databases!(
    known_first_by_the_other_id,
    known_first_by_both_and_then_by_the_other_id_alone,
    two_conversations_become_one_when_they_turn_out_to_be_one_person,
    two_phones_never_share_a_conversation,
    a_member_of_a_group_is_one_person_too,
    what_else_a_person_is_called_goes_with_them
);

const PHONE: &str = "14155552901";
const LID: &str = "99887766550001";

/// A message of somebody who is called so.
fn from(chat: &str, alt: Option<&str>, text: &str) -> Value {
    let mut body = webhook(PHONE, text);
    body["data"]["key"]["remoteJid"] = chat.into();
    body["data"]["key"]["remoteJidAlt"] = alt.map_or(Value::Null, Value::from);
    body
}

fn lid(digits: &str) -> String {
    format!("{digits}@lid")
}

fn phone(digits: &str) -> String {
    format!("{digits}@s.whatsapp.net")
}

/// The trace of a message that is answered.
async fn answered(site: &Site, body: &Value) -> Value {
    let trace = site.accepted(&format!("/webhook/evolution/{INSTANCE}"), body).await.remove(0);
    let ended = site.ended(&trace).await;
    assert_eq!(ended["outcome"], "answered", "{ended}");
    ended
}

async fn known_first_by_the_other_id(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let bodies = [
        from(&lid(LID), None, "one"),
        from(&lid(LID), Some(&phone(PHONE)), "two"),
        from(&phone(PHONE), Some(&lid(LID)), "three"),
        from(&phone(PHONE), None, "four"),
        from(&lid(LID), None, "five"),
    ];
    for body in &bodies {
        let trace = answered(&site, body).await;
        assert_eq!(trace["session_name"], format!("{INSTANCE}_{LID}"), "the first name stays");
    }
    // Whoever writes to the phone writes into that conversation.
    let path = format!("/api/v1/instance/{INSTANCE}/send-text?wait=30");
    let sent = site.api(Method::POST, &path, Some(&json!({"phone_number": PHONE, "text": "hello"}))).await;
    assert_eq!(sent.status, 200, "{}", sent.text);
    let trace = site.get(&format!("/api/v1/traces/{}", sent.body["trace_id"].as_str().unwrap())).await;
    assert_eq!(trace["session_name"], format!("{INSTANCE}_{LID}"));
    // The agent knows one conversation.
    let sessions: Vec<String> = site.agent.calls().iter().map(|call| call.session_name().to_owned()).collect();
    assert_eq!(sessions, vec![format!("{INSTANCE}_{LID}"); bodies.len()]);
    site.assert_no_violations();
}

async fn known_first_by_both_and_then_by_the_other_id_alone(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    assert_eq!(
        answered(&site, &from(&lid(LID), Some(&phone(PHONE)), "one")).await["session_name"],
        format!("{INSTANCE}_{PHONE}")
    );
    // What the channel leaves out is known: whoever is blocked by phone is blocked.
    let trace = answered(&site, &from(&lid(LID), None, "two")).await;
    assert_eq!(
        (&trace["session_name"], &trace["sender_phone"]),
        (&json!(format!("{INSTANCE}_{PHONE}")), &json!(PHONE))
    );
    assert_eq!(site.replies_to(PHONE), ["echo: one", "echo: two"]);
    let rule = json!({"phone_number": PHONE, "action": "block", "instance_name": INSTANCE});
    assert_eq!(site.api(Method::POST, "/api/v1/access/rules", Some(&rule)).await.status, 201);
    let blocked =
        site.accepted(&format!("/webhook/evolution/{INSTANCE}"), &from(&lid(LID), None, "three")).await.remove(0);
    assert_eq!(site.ended(&blocked).await["outcome_reason"], "blocked");
    site.assert_no_violations();
}

async fn two_conversations_become_one_when_they_turn_out_to_be_one_person(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let by_phone = format!("{INSTANCE}_{PHONE}");
    assert_eq!(answered(&site, &from(&phone(PHONE), None, "one")).await["session_name"], by_phone);
    assert_eq!(answered(&site, &from(&lid(LID), None, "two")).await["session_name"], format!("{INSTANCE}_{LID}"));
    // That of the phone was there before, and others know it by that name.
    for body in [
        from(&lid(LID), Some(&phone(PHONE)), "three"),
        from(&lid(LID), None, "four"),
        from(&phone(PHONE), None, "five"),
    ] {
        assert_eq!(answered(&site, &body).await["session_name"], by_phone);
    }
    site.assert_no_violations();
}

async fn two_phones_never_share_a_conversation(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let other = "14155552902";
    // Whatever the channel mixes up: the phone that a message names is whose it is.
    for (number, alt) in [(PHONE, LID), (other, LID), (PHONE, LID), (other, LID)] {
        let trace = answered(&site, &from(&phone(number), Some(&lid(alt)), "hello")).await;
        assert_eq!(trace["session_name"], format!("{INSTANCE}_{number}"));
    }
    let trace = answered(&site, &from(&lid(LID), None, "hello")).await;
    assert_eq!(trace["session_name"], format!("{INSTANCE}_{other}"), "whose it was last");
    assert_eq!((site.replies_to(PHONE).len(), site.replies_to(other).len()), (2, 3));
    site.assert_no_violations();
}

async fn a_member_of_a_group_is_one_person_too(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    site.change_instance(INSTANCE, json!({"group_trigger": "always", "group_session": "user"})).await;
    let said = |participant: &str, alt: Option<&str>| {
        let mut body = from("120363040000000001@g.us", None, "hello all");
        body["data"]["key"]["participant"] = participant.into();
        body["data"]["key"]["participantAlt"] = alt.map_or(Value::Null, Value::from);
        body
    };
    let of_group = |member: &str| format!("{INSTANCE}_120363040000000001_{member}");
    assert_eq!(answered(&site, &said(&lid(LID), None)).await["session_name"], of_group(LID));
    assert_eq!(answered(&site, &said(&lid(LID), Some(&phone(PHONE)))).await["session_name"], of_group(LID));
    assert_eq!(answered(&site, &said(&phone(PHONE), None)).await["session_name"], of_group(LID));
    let other = "99887766550002";
    assert_eq!(answered(&site, &said(&lid(other), None)).await["session_name"], of_group(other));
}

async fn what_else_a_person_is_called_goes_with_them(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    answered(&site, &from(&lid(LID), None, "my secret")).await;
    answered(&site, &from(&lid(LID), Some(&phone(PHONE)), "my number")).await;
    let path = format!("/api/v1/instances/{INSTANCE}/people/{PHONE}");
    let gone = site.api(Method::DELETE, &path, None).await;
    assert_eq!(
        (gone.status, &gone.body["messages"]),
        (200, &json!(2)),
        "what came before the phone was known too: {}",
        gone.text
    );
    let left = site.get(&format!("/api/v1/traces?instance_name={INSTANCE}")).await;
    assert_eq!(left.as_array().map(Vec::len), Some(0), "{left}");
    // They are somebody new.
    let trace = answered(&site, &from(&lid(LID), Some(&phone(PHONE)), "hello")).await;
    assert_eq!(trace["session_name"], format!("{INSTANCE}_{PHONE}"));
}
