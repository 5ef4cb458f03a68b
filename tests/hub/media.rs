//! Files that people send, on their way to agents.

use axum::{
    Router,
    http::{HeaderMap, StatusCode, Uri, header::HOST},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use omnihub_fakes::Behaviour;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::{Database, INSTANCE, Site, on_both_databases, webhook};

on_both_databases!(
    agents_of_every_protocol_get_the_file,
    a_file_that_no_webhook_brought_is_fetched_once,
    a_file_behind_a_link_is_fetched_where_the_store_is_reached,
    a_file_that_is_not_to_be_had_loses_no_message,
    files_beyond_the_limit_are_told_of_only,
    no_message_names_its_file_itself
);

const FETCH: &str = "getBase64FromMediaMessage";

/// So many bytes of a file, in base64.
fn file(bytes: usize) -> String {
    let bytes: Vec<u8> = (0..bytes).map(|nth| (nth * 31 + nth / 251) as u8).collect();
    STANDARD.encode(bytes)
}

/// A webhook with an image, with the file or without.
fn image(phone: &str, file: Option<&str>) -> Value {
    of(phone, "imageMessage", json!({"caption": "this one", "mimetype": "image/png"}), file)
}

fn of(phone: &str, kind: &str, content: Value, file: Option<&str>) -> Value {
    let mut webhook = webhook(phone, "");
    webhook["data"]["messageType"] = kind.into();
    webhook["data"]["message"] = json!({kind: content});
    if let Some(file) = file {
        webhook["data"]["message"]["base64"] = file.into();
    }
    webhook
}

fn id_of(webhook: &Value) -> &str {
    webhook["data"]["key"]["id"].as_str().unwrap()
}

/// Posts it to an instance; its trace when it has ended and holds its question.
async fn told(site: &Site, instance: &str, webhook: &Value) -> Value {
    let mut webhook = webhook.clone();
    webhook["instance"] = instance.into();
    let trace = site.accepted(&format!("/webhook/evolution/{instance}"), &webhook).await.remove(0);
    let is_told = |trace: &Value| !trace["outcome"].is_null() && !trace["agent_request_payload"].is_null();
    let trace = site.trace_when(&trace, "has ended and holds its question", is_told).await;
    assert_eq!(trace["outcome"], "answered", "{trace}");
    trace
}

fn asked(site: &Site) -> Value {
    site.agent.calls().last().expect("a call").body.clone()
}

fn fetches(site: &Site) -> usize {
    site.evolution.operations_since(0).iter().filter(|operation| **operation == FETCH).count()
}

async fn agents_of_every_protocol_get_the_file(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let data = file(3000);
    for (nth, (kind, place)) in [
        ("automagik", "/media_contents/0/data"),
        ("automagik-v1", "/media_contents/0/data"),
        ("hive", "/files/0/data"),
        ("openai", "/messages/0/content/1/image_url/url"),
        ("webhook", "/messages/0/media/data"),
    ]
    .into_iter()
    .enumerate()
    {
        let hook = if kind == "webhook" { "/hook" } else { "" };
        let url = format!("{}{hook}", site.agent.url());
        site.add_instance(kind, json!({"agent_instance_type": kind, "agent_api_url": url})).await;
        let trace = told(&site, kind, &image(&format!("1415555620{nth}"), Some(&data))).await;
        let body = asked(&site);
        let given = body.pointer(place).and_then(Value::as_str).unwrap_or_default();
        assert_eq!(given.strip_prefix("data:image/png;base64,").unwrap_or(given), data, "{kind}: {body}");
        let payload = trace["agent_request_payload"].to_string();
        assert!(payload.contains("[media 3000 bytes]") && !payload.contains(&data[..40]), "{kind}: {payload}");
        assert_eq!(site.replies_to(&format!("1415555620{nth}")), ["echo: this one"], "{kind}");
    }
    // A model cannot listen to a voice message, and another agent can.
    let voice =
        |phone| of(phone, "audioMessage", json!({"ptt": true, "mimetype": "audio/ogg; codecs=opus"}), Some(&data));
    told(&site, "openai", &voice("14155556211")).await;
    assert_eq!(asked(&site)["messages"][0]["content"], "[voice message]");
    told(&site, INSTANCE, &voice("14155556212")).await;
    assert_eq!(asked(&site)["media_contents"][0]["data"], *data);
    assert_eq!(fetches(&site), 0, "each was there");
    site.assert_no_violations();
}

async fn a_file_that_no_webhook_brought_is_fetched_once(database: Database) {
    let failing = Behaviour::Status(StatusCode::SERVICE_UNAVAILABLE, json!({"detail": "busy"}));
    let site = Site::up(database, Behaviour::Sequence(vec![failing, Behaviour::Echo])).await;
    let (data, webhook) = (file(3000), image("14155556301", None));
    site.evolution.keep_file(INSTANCE, id_of(&webhook), &data);
    site.evolution.fail_admin(FETCH, 1, StatusCode::INTERNAL_SERVER_ERROR, &json!({"message": "busy"}));
    let trace = told(&site, INSTANCE, &webhook).await;
    let calls = site.agent.calls();
    assert_eq!(calls.len(), 2, "the agent failed once");
    for call in calls {
        assert_eq!(call.body["media_contents"][0]["data"], *data);
    }
    assert_eq!(fetches(&site), 2, "the first was refused, and what the second brought is kept");
    assert_eq!(trace["warnings"], json!([]), "{trace}");
    site.assert_no_violations();
}

async fn a_file_behind_a_link_is_fetched_where_the_store_is_reached(database: Database) {
    const PLACE: &str = "/evolution/1.png?X-Amz-SignedHeaders=host&X-Amz-Signature=5d";
    let served = async |uri: Uri, headers: HeaderMap| match (uri.to_string().as_str(), headers[HOST].as_bytes()) {
        (PLACE, b"minio.invalid:9000") => Ok(STANDARD.decode(file(3000)).unwrap()),
        _ => Err(StatusCode::FORBIDDEN),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let store = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(served)).await });

    let site = Site::up_with(database, Behaviour::Echo, &[("EVOLUTION_MINIO_URL", &store)]).await;
    let linked = |phone: &str, place: &str| {
        let mut webhook = image(phone, None);
        webhook["data"]["message"]["mediaUrl"] = format!("http://minio.invalid:9000{place}").into();
        webhook
    };
    told(&site, INSTANCE, &linked("14155556701", PLACE)).await;
    assert_eq!(asked(&site)["media_contents"][0]["data"], *file(3000));
    assert_eq!(fetches(&site), 0, "the link was enough");
    // A link that has expired is not all that there is.
    let expired = linked("14155556702", "/evolution/2.png?X-Amz-Signature=5e");
    site.evolution.keep_file(INSTANCE, id_of(&expired), &file(20));
    told(&site, INSTANCE, &expired).await;
    assert_eq!(asked(&site)["media_contents"][0]["data"], *file(20));
    assert_eq!(fetches(&site), 1);
    site.assert_no_violations();
}

async fn a_file_that_is_not_to_be_had_loses_no_message(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let trace = told(&site, INSTANCE, &image("14155556401", None)).await;
    let about = &asked(&site)["media_contents"][0];
    assert_eq!((&about["caption"], &about["data"]), (&json!("this one"), &Value::Null));
    let warnings = trace["warnings"].to_string();
    assert!(warnings.contains("Evolution answered with status 400"), "{trace}");
    site.assert_no_violations();
}

async fn files_beyond_the_limit_are_told_of_only(database: Database) {
    let site = Site::up_with(database, Behaviour::Echo, &[("OMNIHUB_MEDIA_TO_AGENT", "4000")]).await;
    let trace = told(&site, INSTANCE, &image("14155556501", Some(&file(4001)))).await;
    let about = asked(&site)["media_contents"][0].clone();
    assert_eq!((&about["too_large"], &about["data"]), (&json!(true), &Value::Null));
    assert!(trace["warnings"].to_string().contains("too large"), "{trace}");
    // Nor is one fetched that is known to be too large, or given that turns out to be.
    let known = of("14155556502", "imageMessage", json!({"mimetype": "image/png", "fileLength": "4001"}), None);
    told(&site, INSTANCE, &known).await;
    assert_eq!((&asked(&site)["media_contents"][0]["too_large"], fetches(&site)), (&json!(true), 0));
    let unknown = image("14155556503", None);
    site.evolution.keep_file(INSTANCE, id_of(&unknown), &file(4001));
    told(&site, INSTANCE, &unknown).await;
    assert_eq!((&asked(&site)["media_contents"][0]["too_large"], fetches(&site)), (&json!(true), 1));
    // Of several in one question, those that fit.
    site.change_instance(INSTANCE, json!({"debounce_ms": 1500})).await;
    let both = [image("14155556504", Some(&file(3000))), image("14155556504", Some(&file(2000)))];
    site.accepted(&format!("/webhook/evolution/{INSTANCE}"), &both[0]).await;
    told(&site, INSTANCE, &both[1]).await;
    let about = asked(&site)["media_contents"].clone();
    assert!(about[0]["data"].is_string() && about[1]["too_large"] == true, "{about}");
    site.assert_no_violations();
}

async fn no_message_names_its_file_itself(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let other = site.add_instance("other", json!({})).await;
    let secret = file(3000);
    let theirs = told(&site, "other", &image("14155556601", Some(&secret))).await;
    let object = theirs["incoming_payload"]["message"]["mediaObject"].as_str().expect("its object").to_owned();
    assert!(object.contains(&other["id"].to_string()), "{object}");
    let mut forged = image("14155556602", None);
    forged["data"]["message"]["mediaObject"] = object.into();
    told(&site, INSTANCE, &forged).await;
    assert_eq!(asked(&site)["media_contents"][0]["data"], Value::Null);
    site.assert_no_violations();
}
