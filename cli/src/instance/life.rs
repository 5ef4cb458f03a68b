//! What an instance's account goes through, as commands.

use anyhow::bail;
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
    flat["connection"] = Value::Null;
    for (field, told_as) in [("told_state", "state"), ("since", "since"), ("silent_since", "silent_since")] {
        flat[field] = told["connection"][told_as].clone();
    }
    Ok(format!("{}\n", show::fields(&flat, &[])))
}

/// What a phone scans.
pub(super) async fn qr(QrArgs { one, phone }: &QrArgs, target: &Api) -> anyhow::Result<String> {
    let query: Vec<_> = phone.iter().map(|phone| ("phone_number", phone.clone())).collect();
    let told = target.call(Method::GET, &["instances", one.name.get(), "qr"], &query, None).await?;
    if one.json {
        return show::pretty(&told);
    }
    let message = show::word(&told["message"]);
    if told["status"] == "error" {
        bail!(message);
    }
    Ok(format!("{}{message}\n", picture(&told)))
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
    let found = match all.is_empty() {
        true => "No instances, and no accounts at Evolution.".to_owned(),
        false => show::rows(COLUMNS, &all).to_string(),
    };
    Ok(format!("{found}\n{}", table::warnings(&told)))
}

/// How the squares of a picture are made to differ.
#[derive(Clone, Copy, Debug)]
enum Ink {
    /// Black on white, whatever the terminal's own colours are.
    Colours,
    /// By blocks where it is light: right on a dark terminal.
    Blocks,
}

impl Ink {
    fn of_stdout() -> Self {
        if show::has_colours() { Self::Colours } else { Self::Blocks }
    }
}

/// A code as phones read it: many read none whose light and dark are exchanged.
fn drawn(code: &QrCode, ink: Ink) -> String {
    let mut picture = code.render::<Dense1x2>();
    let picture = picture.quiet_zone(true);
    match ink {
        Ink::Colours => {
            let lines = picture.build();
            lines.lines().map(|line| format!("\u{1b}[30;107m{line}\u{1b}[0m\n")).collect()
        }
        Ink::Blocks => format!("{}\n", picture.dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build()),
    }
}

/// The QR code of an answer, drawn for a terminal, and the code to type instead.
fn picture(answer: &Value) -> String {
    let code = answer["code"].as_str().and_then(|code| QrCode::new(code).ok());
    let drawn = code.map(|code| drawn(&code, Ink::of_stdout()));
    let typed = answer["pairing_code"].as_str().map(|code| format!("Pairing code: {code}\n"));
    format!("{}{}", drawn.unwrap_or_default(), typed.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_sees_dark_on_light() {
        let code = QrCode::new("2@abc").unwrap();
        let blocks = drawn(&code, Ink::Blocks);
        assert!(blocks.lines().next().unwrap().chars().all(|c| c == '█'), "the margin is light:\n{blocks}");
        let colours = drawn(&code, Ink::Colours);
        assert!(colours.lines().all(|line| line.starts_with("\u{1b}[30;107m") && line.ends_with("\u{1b}[0m")));
        assert!(colours.lines().next().unwrap().contains("m    "), "the margin is background:\n{colours}");
    }
}
