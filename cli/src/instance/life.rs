//! What an instance's account goes through, as commands.

use qrcode::{QrCode, render::unicode::Dense1x2};
use reqwest::Method;
use serde_json::{Value, json};

use super::{DiscoverArgs, OneArgs, QrArgs, table};
use crate::{api::Api, show};

/// How many instances one call looks at: as many as the API does.
const PAGE: usize = 500;

/// The columns of a discovery: head and field.
const COLUMNS: [(&str, &str); 5] = [
    ("Name", "name"),
    ("Channel", "channel_type"),
    ("Status", "status"),
    ("Instance here", "configured"),
    ("Active", "active"),
];

/// How an instance is connected.
pub(super) async fn status(one: &OneArgs, target: &Api) -> anyhow::Result<String> {
    let told = target.call(Method::GET, &["instances", one.name.get(), "status"], &[], None).await?;
    if one.json {
        return show::pretty(&told);
    }
    let mut flat = told.clone();
    flat["channel_data"] = Value::Null;
    flat["error"] = told["channel_data"]["error"].clone();
    Ok(format!("{}\n", show::fields(&flat, &[])))
}

/// What a phone scans.
pub(super) async fn qr(QrArgs { one, phone }: &QrArgs, target: &Api) -> anyhow::Result<String> {
    let query: Vec<_> = phone.iter().map(|phone| ("phone_number", phone.clone())).collect();
    let told = target.call(Method::GET, &["instances", one.name.get(), "qr"], &query, None).await?;
    if one.json {
        return show::pretty(&told);
    }
    Ok(format!("{}{}\n", picture(&told), show::word(&told["message"])))
}

/// `connect`, `disconnect`, `restart` or `logout`.
pub(super) async fn change(what: &str, one: &OneArgs, target: &Api) -> anyhow::Result<String> {
    let told = target.call(Method::POST, &["instances", one.name.get(), what], &[], Some(&json!({}))).await?;
    if one.json {
        return show::pretty(&told);
    }
    let (message, result) = (show::word(&told["message"]), &told["result"]);
    Ok(format!("{message}. {}\n{}{}", show::word(&result["message"]), picture(result), table::warnings(&told)))
}

/// Every instance, page by page; accounts without one come with each page, and once here.
pub(super) async fn discover(arguments: &DiscoverArgs, target: &Api) -> anyhow::Result<String> {
    let body = arguments.body();
    let mut all: Vec<Value> = Vec::new();
    let mut skip = 0;
    let told = loop {
        let query = [("skip", skip.to_string()), ("limit", PAGE.to_string())];
        let mut told = target.call(Method::POST, &["instances", "discover"], &query, Some(&body)).await?;
        let page = told["instances"].as_array().cloned().unwrap_or_default();
        let here = page.iter().filter(|line| line["configured"] == true).count();
        all.retain(|line| line["configured"] == true);
        all.extend(page);
        skip += here;
        if here < PAGE {
            told["total_discovered"] = all.len().into();
            told["instances"] = all.clone().into();
            break told;
        }
    };
    if arguments.json {
        return show::pretty(&told);
    }
    Ok(format!("{}\n{}", show::rows(COLUMNS, &all), table::warnings(&told)))
}

/// The QR code of an answer, drawn for a terminal, and the code to type instead.
fn picture(answer: &Value) -> String {
    let code = answer["code"].as_str().and_then(|code| QrCode::new(code).ok());
    let drawn = code.map(|code| code.render::<Dense1x2>().quiet_zone(true).build());
    let typed = answer["pairing_code"].as_str().map(|code| format!("Pairing code: {code}\n"));
    format!("{}{}", drawn.map(|drawn| format!("{drawn}\n")).unwrap_or_default(), typed.unwrap_or_default())
}
