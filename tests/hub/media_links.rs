//! `media_delivery`: agents that fetch files from the hub.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use omnihub_fakes::Behaviour;
use reqwest::{Client, Method, Response, header::HeaderMap};
use serde_json::{Value, json};

use crate::harness::{Database, INSTANCE, Site, on_both_databases, until, webhook};

on_both_databases!(
    agents_get_links_where_their_protocol_has_a_place,
    a_link_is_a_file_and_its_parts,
    without_an_address_files_are_given_as_ever
);

/// Where agents are told that the hub is; here it is elsewhere.
const PUBLIC: &str = "http://hub.test:8882/hub/";

async fn linking(database: Database) -> Site {
    let more = [("OMNIHUB_PUBLIC_URL", PUBLIC), ("OMNIHUB_MEDIA_TO_AGENT", "4000")];
    let site = Site::up_with(database, Behaviour::Echo, &more).await;
    site.change_instance(INSTANCE, json!({"media_delivery": "url"})).await;
    site
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|nth| (nth * 31 + nth / 251) as u8).collect()
}

fn of(phone: &str, kind: &str, content: Value, file: Option<&[u8]>) -> Value {
    let mut webhook = webhook(phone, "");
    webhook["data"]["messageType"] = kind.into();
    webhook["data"]["message"] = json!({kind: content});
    if let Some(file) = file {
        webhook["data"]["message"]["base64"] = STANDARD.encode(file).into();
    }
    webhook
}

fn image(phone: &str, file: Option<&[u8]>) -> Value {
    of(phone, "imageMessage", json!({"caption": "this one", "mimetype": "image/png"}), file)
}

/// Posts it; its trace when it has ended and holds its question.
async fn told(site: &Site, instance: &str, mut webhook: Value) -> Value {
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

/// Asks for a link's file as somebody who reaches the hub.
async fn fetch(site: &Site, method: Method, link: &str, headers: &[(&str, &str)]) -> Response {
    let token = link.strip_prefix("http://hub.test:8882/hub/media/").unwrap_or_else(|| panic!("{link}"));
    let mut request = Client::new().request(method, format!("{}/media/{token}", site.hub.url()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.expect("an answer")
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

async fn agents_get_links_where_their_protocol_has_a_place(database: Database) {
    let site = linking(database).await;
    // A link has no bytes to be too many.
    let file = bytes(9000);
    for (nth, (kind, place)) in [
        ("automagik", "/media_contents/0/media_url"),
        ("automagik-v1", "/media_contents/0/media_url"),
        ("openai", "/messages/0/content/1/image_url/url"),
        ("webhook", "/messages/0/media/media_url"),
    ]
    .into_iter()
    .enumerate()
    {
        let hook = if kind == "webhook" { "/hook" } else { "" };
        let url = format!("{}{hook}", site.agent.url());
        let fields = json!({"agent_instance_type": kind, "agent_api_url": url, "media_delivery": "url"});
        site.add_instance(kind, fields).await;
        let trace = told(&site, kind, image(&format!("1415555220{nth}"), Some(&file))).await;
        let body = asked(&site);
        let link = body.pointer(place).and_then(Value::as_str).unwrap_or_else(|| panic!("{kind}: {body}"));
        assert_eq!(fetch(&site, Method::GET, link, &[]).await.bytes().await.unwrap(), file, "{kind}");
        let payload = trace["agent_request_payload"].to_string();
        let token = link.rsplit('/').next().unwrap();
        assert!(payload.contains("[media link]") && !payload.contains(token), "{kind}: {payload}");
    }
    // Where there is no place for a link, the file itself.
    let hive = json!({"agent_instance_type": "hive", "media_delivery": "url"});
    site.add_instance("hive", hive).await;
    told(&site, "hive", image("14155552210", Some(&bytes(50)))).await;
    assert_eq!(asked(&site)["files"][0]["data"], STANDARD.encode(bytes(50)));
    let song = of("14155552211", "audioMessage", json!({"mimetype": "audio/mpeg"}), Some(&bytes(50)));
    told(&site, "openai", song).await;
    let part = asked(&site)["messages"][0]["content"][1].clone();
    assert_eq!(part["input_audio"]["data"], STANDARD.encode(bytes(50)));
    // A file that no webhook brought is put into the store first.
    let fetched = image("14155552212", None);
    let id = fetched["data"]["key"]["id"].as_str().unwrap().to_owned();
    site.evolution.keep_file(INSTANCE, &id, &STANDARD.encode(bytes(70)));
    told(&site, INSTANCE, fetched).await;
    let about = asked(&site)["media_contents"][0].clone();
    assert!(about["data"].is_null(), "{about}");
    let link = about["media_url"].as_str().expect("a link");
    assert_eq!(fetch(&site, Method::GET, link, &[]).await.bytes().await.unwrap(), bytes(70));
    site.assert_no_violations();
}

async fn a_link_is_a_file_and_its_parts(database: Database) {
    let site = linking(database).await;
    // More than one chunk of the store.
    let file = bytes(300_000);
    told(&site, INSTANCE, image("14155552300", Some(&file))).await;
    let link = asked(&site)["media_contents"][0]["media_url"].as_str().expect("a link").to_owned();
    let whole = fetch(&site, Method::GET, &link, &[]).await;
    let expected = [
        ("content-type", "image/png"),
        ("content-length", "300000"),
        ("accept-ranges", "bytes"),
        ("cache-control", "private"),
        ("x-content-type-options", "nosniff"),
        ("content-disposition", "inline"),
    ];
    for (name, value) in expected {
        assert_eq!(text(whole.headers(), name), value);
    }
    assert_eq!((whole.status().as_u16(), whole.bytes().await.unwrap().len()), (200, 300_000));
    let head = fetch(&site, Method::HEAD, &link, &[]).await;
    assert_eq!((head.status().as_u16(), text(head.headers(), "content-length")), (200, "300000"));
    for (range, part, shown) in [
        ("bytes=0-4", &file[..5], "bytes 0-4/300000"),
        ("bytes=150000-250000", &file[150_000..=250_000], "bytes 150000-250000/300000"),
        ("bytes=-3", &file[299_997..], "bytes 299997-299999/300000"),
    ] {
        let answer = fetch(&site, Method::GET, &link, &[("range", range)]).await;
        let status = answer.status().as_u16();
        assert_eq!((status, text(answer.headers(), "content-range")), (206, shown), "{range}");
        assert_eq!(answer.bytes().await.unwrap(), part, "{range}");
    }
    let beyond = fetch(&site, Method::GET, &link, &[("range", "bytes=300000-")]).await;
    assert_eq!((beyond.status().as_u16(), text(beyond.headers(), "content-range")), (416, "bytes */300000"));
    let conditional = [("range", "bytes=0-4"), ("if-range", "\"a\"")];
    assert_eq!(fetch(&site, Method::GET, &link, &conditional).await.status().as_u16(), 200);

    // What people send runs nowhere.
    let page =
        of("14155552301", "documentMessage", json!({"mimetype": "text/html", "fileName": "a.html"}), Some(b"<p>"));
    told(&site, INSTANCE, page).await;
    let page = asked(&site)["media_contents"][0]["media_url"].as_str().expect("a link").to_owned();
    let page = fetch(&site, Method::GET, &page, &[]).await;
    assert_eq!(text(page.headers(), "content-disposition"), "attachment");

    // A link that is changed, and one to what is gone, are as any other path.
    let other = link.replace("/media/", "/media/A");
    for wrong in [other.as_str(), &link[..link.len() - 2], "http://hub.test:8882/hub/media/x.y"] {
        let answer = fetch(&site, Method::GET, wrong, &[]).await;
        assert_eq!(answer.status().as_u16(), 404, "{wrong}");
        assert_eq!(answer.json::<Value>().await.unwrap()["code"], "not_found");
    }
    let gone = site.api(Method::DELETE, &format!("/api/v1/instances/{INSTANCE}"), None).await;
    assert!(gone.status < 300, "{}", gone.text);
    until("the file is gone with its instance", crate::harness::DEADLINE, async || {
        fetch(&site, Method::GET, &link, &[]).await.status().as_u16() == 404
    })
    .await;
}

async fn without_an_address_files_are_given_as_ever(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let path = format!("/api/v1/instances/{INSTANCE}");
    let changed = site.api(Method::PUT, &path, Some(&json!({"media_delivery": "url"}))).await;
    assert_eq!((changed.status, &changed.body["media_delivery"]), (200, &json!("url")));
    assert!(changed.body["warnings"].to_string().contains("OMNIHUB_PUBLIC_URL is not set"), "{}", changed.text);
    let wrong = site.api(Method::PUT, &path, Some(&json!({"media_delivery": "ftp"}))).await;
    wrong.assert_problem(422, "validation_failed");
    let trace = told(&site, INSTANCE, image("14155552400", Some(&bytes(50)))).await;
    assert_eq!(asked(&site)["media_contents"][0]["data"], STANDARD.encode(bytes(50)));
    assert!(trace["warnings"].to_string().contains("OMNIHUB_PUBLIC_URL is not set"), "{trace}");
    site.assert_no_violations();
}
