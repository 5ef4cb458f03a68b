//! What a trace tells: of an answered message everything, of an ignored one why.

use omnihub_fakes::{Behaviour, customers};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Database, INSTANCE, Site, message_id, now, on_both_databases, until, webhook};

on_both_databases!(
    an_answered_message_fills_every_column,
    ignored_messages_say_why,
    filters_and_pages_of_the_list,
    one_trace_id_from_the_webhook_to_the_reply,
);

const PHONE: &str = "14155559000";

async fn an_answered_message_fills_every_column(database: Database) {
    let site = Site::up(database, Behaviour::Fixed("Of course.".to_owned())).await;
    let mut webhook = webhook(PHONE, "Can you help?");
    webhook["data"]["contextInfo"] = json!({
        "stanzaId": "3EB0FF", "participant": "5511999990000@s.whatsapp.net",
        "quotedMessage": {"conversation": "We are here for you"},
    });
    let id = site.accepted("/webhook/evolution/acme", &webhook).await.remove(0);
    let trace = site.ended(&id).await;
    let (agent, sent) = (&site.agent.calls()[0], &site.evolution.sent()[0]);
    assert!(agent.message().contains("We are here for you") && agent.message().ends_with("Can you help?"));

    let expected = json!({
        "trace_id": id,
        "instance_name": INSTANCE,
        "channel_type": "whatsapp",
        "status": "completed",
        "outcome": "answered",
        "outcome_reason": null,
        "provider_message_id": webhook["data"]["key"]["id"],
        "whatsapp_message_id": webhook["data"]["key"]["id"],
        "message_type": "text",
        "message_content": "Can you help?",
        "message_length": 13,
        "has_media": false,
        "has_quoted_message": true,
        "sender_phone": PHONE,
        "sender_name": "Maria Silva",
        "sender_id": format!("{PHONE}@s.whatsapp.net"),
        "sender_jid": format!("{PHONE}@s.whatsapp.net"),
        "session_name": format!("acme_{PHONE}"),
        "session_id": agent.field("session_id"),
        "agent_session_id": agent.field("session_id"),
        "user_id": agent.field("user_id"),
        "turn_id": agent.idempotency_key(),
        "attempts": 1,
        "agent_response": "Of course.",
        "agent_response_length": 10,
        "agent_response_success": true,
        "agent_response_tokens": 2,
        "agent_tools_used": 0,
        "evolution_response_code": 201,
        "evolution_success": true,
        "channel_success": true,
        "reply_message_ids": [sent.message_id],
        "error_stage": null,
        "error_message": null,
        "warnings": [],
    });
    for (column, value) in expected.as_object().unwrap() {
        assert_eq!(&trace[column], value, "{column}");
    }
    assert!(trace["agent_request_tokens"].as_i64().unwrap() > 0);
    check_times(&trace);
    check_payloads(&site, &id, &webhook).await;
    site.assert_no_violations();
}

/// In the order in which things happened; RFC 3339 in UTC sorts as text.
fn check_times(trace: &Value) {
    for duration in ["agent_processing_time_ms", "total_processing_time_ms"] {
        assert!(
            trace[duration].as_i64().is_some_and(|ms| (0..60_000).contains(&ms)),
            "{duration}: {}",
            trace[duration]
        );
    }
    let times = ["received_at", "processing_started_at", "agent_request_at", "agent_response_at", "channel_send_at"];
    let mut moments: Vec<&str> =
        times.iter().map(|time| trace[time].as_str().unwrap_or_else(|| panic!("{time}"))).collect();
    moments.push(trace["completed_at"].as_str().unwrap());
    assert!(moments.is_sorted(), "{moments:?}");
    assert_eq!(trace["evolution_send_at"], trace["channel_send_at"]);
}

/// The four payloads, by the trace and by themselves.
async fn check_payloads(site: &Site, id: &str, webhook: &Value) {
    let path = format!("/api/v1/traces/{id}/payloads");
    let mut payloads = Value::Null;
    until("all four payloads are there", crate::harness::DEADLINE, async || {
        payloads = site.get(&path).await;
        payloads.as_array().unwrap().len() == 4
    })
    .await;
    let of = |stage: &str| {
        let found = payloads.as_array().unwrap().iter().find(|payload| payload["stage"] == stage);
        found.unwrap_or_else(|| panic!("a payload of {stage}")).clone()
    };
    let (incoming, request) = (of("webhook_received"), of("agent_request"));
    let (response, outgoing) = (of("agent_response"), of("channel_send"));
    assert_eq!(incoming["payload"]["key"], webhook["data"]["key"]);
    assert_eq!(incoming["payload"]["message"]["conversation"], "Can you help?");
    assert_eq!(incoming["payload_type"], "webhook");
    assert_eq!(request["payload"], site.agent.calls()[0].body);
    assert_eq!((&response["payload"]["message"], &response["status_code"]), (&json!("Of course."), &json!(200)));
    assert_eq!((&outgoing["payload"]["bubbles"], &outgoing["status_code"]), (&json!(["Of course."]), &json!(201)));
    let trace = site.get(&format!("/api/v1/traces/{id}")).await;
    assert_eq!(trace["incoming_payload"], incoming["payload"]);
    assert_eq!(trace["agent_request_payload"], request["payload"]);
    assert_eq!(trace["agent_response_payload"], response["payload"]);
    assert_eq!(trace["outgoing_payload"], outgoing["payload"]);
}

async fn ignored_messages_say_why(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    site.add_instance("asleep", json!({"is_active": false})).await;
    let with = |change: &dyn Fn(&mut Value)| {
        let mut webhook = webhook(PHONE, "hello");
        change(&mut webhook);
        webhook
    };
    let group = "120363042000000001@g.us";
    let cases = [
        ("from_me", INSTANCE, with(&|webhook| webhook["data"]["key"]["fromMe"] = true.into())),
        (
            "status_broadcast",
            INSTANCE,
            with(&|webhook| webhook["data"]["key"]["remoteJid"] = "status@broadcast".into()),
        ),
        ("newsletter", INSTANCE, with(&|webhook| webhook["data"]["key"]["remoteJid"] = "12036304@newsletter".into())),
        (
            "unsupported_type",
            INSTANCE,
            with(&|webhook| {
                webhook["data"]["message"] = json!({"keepInChatMessage": {}});
                webhook["data"]["messageType"] = "keepInChatMessage".into();
            }),
        ),
        ("empty", INSTANCE, with(&|webhook| webhook["data"]["message"] = json!({"conversation": " \n "}))),
        (
            "group_without_mention",
            INSTANCE,
            with(&|webhook| {
                webhook["data"]["key"]["remoteJid"] = group.into();
                webhook["data"]["key"]["participant"] = format!("{PHONE}@s.whatsapp.net").into();
            }),
        ),
        ("inactive", "asleep", with(&|_| {})),
    ];
    for (reason, instance, webhook) in &cases {
        let id = site.accepted(&format!("/webhook/evolution/{instance}"), webhook).await.remove(0);
        let trace = site.ended(&id).await;
        let told = (&trace["status"], &trace["outcome"], &trace["outcome_reason"]);
        assert_eq!(told, (&json!("completed"), &json!("ignored"), &json!(reason)));
        assert!(trace["completed_at"].is_string() && trace["error_message"].is_null(), "{reason}");
        assert_eq!(trace["agent_request_at"], Value::Null, "{reason}");
        // Steps come by another stream than outcomes.
        site.trace_when(&id, "shows what came in", |trace| !trace["incoming_payload"].is_null()).await;
    }
    assert!(site.agent.calls().is_empty() && site.evolution.sent().is_empty());

    // The same group answers whom it is asked by.
    let mentioned = with(&|webhook| {
        webhook["data"]["key"]["remoteJid"] = group.into();
        webhook["data"]["key"]["participant"] = format!("{PHONE}@s.whatsapp.net").into();
        webhook["data"]["contextInfo"] = json!({"mentionedJid": ["5511999990000@s.whatsapp.net"]});
    });
    let id = site.accepted("/webhook/evolution/acme", &mentioned).await.remove(0);
    assert_eq!(site.ended(&id).await["outcome"], "answered");
    assert_eq!(site.evolution.sent()[0].number, group);
    site.assert_no_violations();
}

/// In a group, where the bot is not asked.
fn unasked_sticker() -> Value {
    let mut sticker = webhook(PHONE, "");
    sticker["data"]["message"] = json!({"stickerMessage": {"mimetype": "image/webp"}});
    sticker["data"]["key"]["remoteJid"] = "120363042000000001@g.us".into();
    sticker["data"]["key"]["participant"] = format!("{PHONE}@s.whatsapp.net").into();
    sticker
}

async fn filters_and_pages_of_the_list(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    site.add_instance("other", json!({})).await;
    let mut ids = Vec::new();
    for (instance, phone) in [(INSTANCE, PHONE), (INSTANCE, "14155559001"), ("other", PHONE)] {
        let id = site.say_to(instance, phone, "hi").await;
        site.ended(&id).await;
        ids.push(id);
    }
    let id = site.accepted("/webhook/evolution/acme", &unasked_sticker()).await.remove(0);
    site.ended(&id).await;
    ids.push(id);
    let [first, second, other, sticker] = ids.as_slice() else { panic!("four traces") };

    let list = async |query: &str| {
        let answer = site.api(Method::GET, &format!("/api/v1/traces?{query}"), None).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text);
        let rows = answer.body.as_array().unwrap().iter();
        let mut ids: Vec<String> = rows.map(|row| row["trace_id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        (ids, answer.header("x-total-count").to_owned())
    };
    let cases: [(&str, Vec<&String>); 12] = [
        ("", vec![first, second, other, sticker]),
        ("instance_name=other", vec![other]),
        ("instance_name=nobody", vec![]),
        ("phone=14155559000", vec![first, other, sticker]),
        ("phone=%2B14155559000&instance_name=acme", vec![first, sticker]),
        ("sender_phone=14155559001", vec![second]),
        ("outcome=ignored", vec![sticker]),
        ("status=completed&outcome=answered", vec![first, second, other]),
        ("status=error", vec![]),
        ("session_name=acme_14155559001", vec![second]),
        ("message_type=sticker&has_media=true", vec![sticker]),
        ("end_date=2020-01-01", vec![]),
    ];
    for (query, expected) in cases {
        let mut expected: Vec<String> = expected.into_iter().cloned().collect();
        expected.sort();
        let total = expected.len().to_string();
        assert_eq!(list(query).await, (expected, total), "{query}");
    }
    // Pages: newest first, the total is that of all pages.
    let mut paged = Vec::new();
    for offset in 0..4 {
        let (rows, total) = list(&format!("limit=1&offset={offset}")).await;
        assert_eq!((rows.len(), total.as_str()), (1, "4"));
        paged.extend(rows);
    }
    assert_eq!((&paged[0], paged.len()), (sticker, 4));
    paged.sort();
    assert_eq!(paged, list("").await.0);

    let wrong = site.api(Method::GET, "/api/v1/traces?limit=0&status=lost", None).await;
    wrong.assert_problem(422, "invalid_parameter");
    assert_eq!(wrong.body["errors"].as_array().unwrap().len(), 2);
    let none = "/api/v1/traces/00000000-0000-8000-8000-000000000000";
    site.api(Method::GET, none, None).await.assert_problem(404, "trace_not_found");
    let url = format!("{}/api/v1/traces", site.hub.url());
    assert_eq!(reqwest::get(url).await.unwrap().status(), 401);
}

async fn one_trace_id_from_the_webhook_to_the_reply(database: Database) {
    let site = Site::parts(database, Behaviour::Echo).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    let headers = [("traceparent", parent.as_str()), ("tracestate", "vendor=opaque")];
    let body = customers::webhook(INSTANCE, PHONE, &message_id(), "hi", now()).to_string().into_bytes();
    let id = site.post_bytes("/webhook/evolution/acme", body, &headers).await.traces().remove(0);
    site.ended(&id).await;
    let (calls, sent) = (site.agent.calls(), site.evolution.sent());
    for parent in [calls[0].header("traceparent"), sent[0].headers["traceparent"].as_str()] {
        assert!(parent.starts_with(&format!("00-{trace}-")) && !parent.contains("00f067aa0ba902b7"), "{parent}");
    }
    assert_eq!(calls[0].header("x-request-id"), id);

    // Without one each message begins its own.
    let next = site.say(PHONE, "again").await;
    site.ended(&next).await;
    let fresh = site.agent.calls()[1].header("traceparent").to_owned();
    assert!(!fresh.is_empty() && !fresh.contains(trace), "{fresh}");
    site.assert_no_violations();
}
