//! Groups: when the bot answers in one, and whose conversation it is.

use omnihub_fakes::Behaviour;
use serde_json::{Value, json};

use crate::harness::{DEADLINE, Database, INSTANCE, Site, message_id, on_both_databases, until, webhook};

on_both_databases!(
    a_group_is_answered_as_its_instance_says,
    a_group_is_one_conversation_or_one_with_each_member,
    our_hidden_id_is_learnt_from_what_shows_it,
);

const GROUP: &str = "120363042000000009";
const ANA: &str = "14155552101";
const BO: &str = "14155552102";

/// What a member says in the group.
fn said(phone: &str, text: &str) -> Value {
    let mut webhook = webhook(phone, text);
    let key = &mut webhook["data"]["key"];
    key["remoteJid"] = format!("{GROUP}@g.us").into();
    key["participant"] = format!("{phone}@s.whatsapp.net").into();
    key.as_object_mut().expect("a key").remove("remoteJidAlt");
    webhook
}

/// How it ends: the outcome, and why.
async fn ended(site: &Site, webhook: &Value) -> (String, Value) {
    let trace = site.accepted(&format!("/webhook/evolution/{INSTANCE}"), webhook).await.remove(0);
    let trace = site.ended(&trace).await;
    let word = trace["outcome_reason"].as_str().or(trace["outcome"].as_str()).unwrap_or_default().to_owned();
    (word, trace)
}

async fn a_group_is_answered_as_its_instance_says(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    site.change_instance(INSTANCE, json!({"group_keywords": ["price", "!bot"]})).await;
    let shown = site.get(&format!("/api/v1/instances/{INSTANCE}")).await;
    assert_eq!((&shown["group_trigger"], &shown["group_keywords"]), (&json!("mention"), &json!(["price", "!bot"])));
    let mut mention = said(ANA, "hello @14155559999");
    mention["data"]["contextInfo"] = json!({"mentionedJid": [mention["sender"]]});
    for (trigger, plain, keyword, mentioned) in [
        ("never", "group_never", "group_never", "group_never"),
        ("mention", "group_without_mention", "group_without_mention", "answered"),
        ("keyword", "group_without_keyword", "answered", "answered"),
        ("always", "answered", "answered", "answered"),
    ] {
        site.change_instance(INSTANCE, json!({"group_trigger": trigger})).await;
        // The workers hear of a change a moment later.
        let settled = async || ended(&site, &said(ANA, "anything")).await.0 == plain;
        until("the change counts", DEADLINE, settled).await;
        assert_eq!(ended(&site, &said(ANA, "what is the PRICE?")).await.0, keyword, "{trigger}");
        mention["data"]["key"]["id"] = message_id().into();
        assert_eq!(ended(&site, &mention).await.0, mentioned, "{trigger}");
    }
    site.assert_no_violations();
}

async fn a_group_is_one_conversation_or_one_with_each_member(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    site.change_instance(INSTANCE, json!({"group_trigger": "always"})).await;
    let first = async || ended(&site, &said(ANA, "hi")).await.1;
    let answered = async || first().await["outcome"] == "answered";
    until("the change counts", DEADLINE, answered).await;
    let (_, trace) = ended(&site, &said(BO, "hi all")).await;
    assert_eq!(trace["session_name"], format!("acme_{GROUP}"));

    site.change_instance(INSTANCE, json!({"group_session": "user"})).await;
    let own = async || ended(&site, &said(ANA, "hi")).await.1["session_name"] == format!("acme_{GROUP}_{ANA}");
    until("the change counts", DEADLINE, own).await;
    let (outcome, trace) = ended(&site, &said(BO, "me too")).await;
    assert_eq!((outcome.as_str(), &trace["session_name"]), ("answered", &json!(format!("acme_{GROUP}_{BO}"))));
    let calls = site.agent.calls();
    let call = calls.last().expect("a call");
    assert_eq!(call.body["session_name"], format!("acme_{GROUP}_{BO}"));
    assert_eq!(call.body["user"]["phone_number"], format!("+{BO}"));
    // The answer goes to the group all the same.
    assert_eq!(site.replies_to(&format!("{GROUP}@g.us")).last().map(String::as_str), Some("echo: me too"));
    site.assert_no_violations();
}

async fn our_hidden_id_is_learnt_from_what_shows_it(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let (lid, other) = ("112233445566778@lid", "998877665544332@lid");
    let mentioning = |id: &str| {
        let mut said = said(ANA, "look here");
        said["data"]["contextInfo"] = json!({"mentionedJid": [id]});
        said
    };
    assert_eq!(ended(&site, &mentioning(lid)).await.0, "group_without_mention", "nobody knows it yet");

    // Somebody writes in another group, on the phone.
    let mut own = said(ANA, "good morning");
    own["data"]["key"]["remoteJid"] = "120363042000000010@g.us".into();
    own["data"]["key"]["fromMe"] = true.into();
    own["data"]["key"]["participant"] = lid.into();
    assert_eq!(ended(&site, &own).await.0, "from_me");
    let (word, answered) = ended(&site, &mentioning(lid)).await;
    assert_eq!(word, "answered", "{answered}");
    assert_eq!(ended(&site, &mentioning(other)).await.0, "group_without_mention");

    // An answer to a bubble of ours is meant for us, whoever it says wrote that.
    let mut reply = said(ANA, "thanks");
    let quoted = |id: &str| json!({"stanzaId": id, "participant": other, "quotedMessage": {"conversation": "echo"}});
    reply["data"]["contextInfo"] = quoted(&site.evolution.sent().remove(0).message_id);
    assert_eq!(ended(&site, &reply).await.0, "answered");
    reply["data"]["key"]["id"] = message_id().into();
    reply["data"]["contextInfo"] = quoted("3EB0");
    assert_eq!(ended(&site, &reply).await.0, "group_without_mention");
    assert_eq!(ended(&site, &mentioning(lid)).await.0, "answered", "what is sure stays");
    site.assert_no_violations();
}
