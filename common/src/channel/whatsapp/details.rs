//! What each kind of content has beside its text, read from Evolution's words.
//!
//! Reading is total and bounded. Left out on purpose: the code of a group's invite, the token of an
//! order, and whatever opens the encrypted file of a medium.

use chrono::{DateTime, SecondsFormat};
use serde_json::Value;

use super::{
    bounds::{ID, LINE, LIST, URL, clip, count, field, flag, line},
    vcard, wire,
};
use crate::channel::{
    Album, CalendarEvent, Choice, Detail, GroupInvite, Link, MediaFacts, MessageKind, Order, Place, Poll, Reaction,
    Referral, SharedContact,
};

/// A longer answer of a form is not kept, in bytes.
const LONGEST_PARAMS: usize = 16 * 1024;

/// Amounts come in thousandths.
const THOUSAND: u64 = 1000;

/// The detail of a content, where its kind has one.
pub(super) fn detail(kind: MessageKind, body: &Value) -> Option<Detail> {
    Some(match kind {
        MessageKind::Text => Detail::Link(link(body)?),
        MessageKind::Image
        | MessageKind::Video
        | MessageKind::Gif
        | MessageKind::VideoNote
        | MessageKind::Audio
        | MessageKind::Voice
        | MessageKind::Document
        | MessageKind::Sticker => Detail::Media(media(body)),
        MessageKind::Location => Detail::Location(Place { live: flag(body, "isLive"), ..place(body) }),
        MessageKind::LiveLocation => Detail::Location(Place { live: true, ..place(body) }),
        MessageKind::Contact => Detail::Contacts(vec![contact(body)]),
        MessageKind::Contacts => Detail::Contacts(list(body, "contacts").map(contact).collect()),
        MessageKind::Reaction => Detail::Reaction(reaction(body)),
        MessageKind::Poll => Detail::Poll(poll(body)),
        MessageKind::ButtonReply => Detail::Choice(button_choice(body, "selectedButtonId")),
        MessageKind::TemplateReply => Detail::Choice(button_choice(body, "selectedId")),
        MessageKind::ListReply => Detail::Choice(list_choice(body)),
        MessageKind::InteractiveReply => Detail::Choice(form_choice(body)),
        MessageKind::Album => Detail::Album(album(body)),
        MessageKind::GroupInvite => Detail::GroupInvite(group_invite(body)),
        MessageKind::Event => Detail::Event(event(body)),
        MessageKind::Order => Detail::Order(order(body)),
        MessageKind::Template | MessageKind::Pin | MessageKind::Unknown => return None,
    })
}

/// What the person clicked before they wrote: `context` is the message's `contextInfo`.
pub(super) fn referral(context: &Value) -> Option<Referral> {
    let shown = &context["externalAdReply"];
    let referral = Referral {
        is_ad: flag(shown, "showAdAttribution")
            || wire::word(shown, "sourceType") == Some("ad")
            || wire::word(shown, "ctwaClid").is_some()
            || wire::word(context, "conversionSource").is_some(),
        title: line(shown, "title"),
        body: line(shown, "body"),
        url: field(shown, "sourceUrl", URL),
        source_id: field(shown, "sourceId", ID),
        click_id: field(shown, "ctwaClid", ID),
        app: field(context, "entryPointConversionApp", ID),
    };
    (referral.title.is_some() || referral.body.is_some() || referral.url.is_some()).then_some(referral)
}

fn list<'a>(body: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    body[name].as_array().map(Vec::as_slice).unwrap_or_default().iter().take(LIST)
}

fn link(body: &Value) -> Option<Link> {
    let url = field(body, "canonicalUrl", URL).or_else(|| field(body, "matchedText", URL))?;
    Some(Link { url, title: line(body, "title"), description: line(body, "description") })
}

/// The Cloud API says `filename` and `animated` where the app says `fileName` and `isAnimated`.
fn media(body: &Value) -> MediaFacts {
    let name = line(body, "fileName").or_else(|| line(body, "filename")).or_else(|| line(body, "title"));
    MediaFacts {
        file_name: name.map(|name| name.rsplit(['/', '\\']).next().unwrap_or_default().to_owned()),
        size: count(body, "fileLength"),
        seconds: count(body, "seconds"),
        width: count(body, "width"),
        height: count(body, "height"),
        pages: count(body, "pageCount").filter(|pages| *pages > 0),
        animated: flag(body, "isAnimated") || flag(body, "animated"),
    }
}

fn place(body: &Value) -> Place {
    let degrees = |name: &str, most: f64| body[name].as_f64().filter(|degrees| degrees.abs() <= most);
    Place {
        latitude: degrees("degreesLatitude", 90.0),
        longitude: degrees("degreesLongitude", 180.0),
        name: line(body, "name"),
        address: line(body, "address"),
        accuracy_m: count(body, "accuracyInMeters"),
        live: false,
    }
}

fn contact(body: &Value) -> SharedContact {
    vcard::read(wire::word(body, "displayName"), body["vcard"].as_str().unwrap_or_default())
}

fn reaction(body: &Value) -> Reaction {
    Reaction {
        emoji: field(body, "text", ID),
        message_id: field(&body["key"], "id", ID).unwrap_or_default(),
        ours: flag(&body["key"], "fromMe"),
    }
}

fn poll(body: &Value) -> Poll {
    Poll {
        question: line(body, "name").unwrap_or_default(),
        options: list(body, "options").filter_map(|option| line(option, "optionName")).collect(),
        choose: count(body, "selectableOptionsCount").unwrap_or_default(),
    }
}

fn button_choice(body: &Value, id: &str) -> Choice {
    Choice { id: field(body, id, ID), title: line(body, "selectedDisplayText"), ..Choice::default() }
}

fn list_choice(body: &Value) -> Choice {
    Choice {
        id: field(&body["singleSelectReply"], "selectedRowId", ID),
        title: line(body, "title"),
        description: line(body, "description"),
        ..Choice::default()
    }
}

/// A form answers in JSON; a quick reply is a form with an id and a title.
fn form_choice(body: &Value) -> Choice {
    let form = &body["nativeFlowResponseMessage"];
    let answered = form["paramsJson"].as_str().filter(|params| params.len() <= LONGEST_PARAMS);
    let params: Value = answered.and_then(|params| serde_json::from_str(params).ok()).unwrap_or_default();
    let title =
        line(&body["body"], "text").or_else(|| line(&params, "display_text")).or_else(|| line(&params, "title"));
    Choice {
        id: field(&params, "id", ID),
        title,
        description: line(&params, "description"),
        form: field(form, "name", ID),
        params: Some(params).filter(|params| !params.is_null()),
    }
}

fn album(body: &Value) -> Album {
    let expected = |name: &str| count(body, name).unwrap_or_default();
    Album { images: expected("expectedImageCount"), videos: expected("expectedVideoCount") }
}

fn group_invite(body: &Value) -> GroupInvite {
    GroupInvite {
        group: field(body, "groupJid", ID).unwrap_or_default(),
        name: line(body, "groupName"),
        expires_at: time(&body["inviteExpiration"]),
    }
}

fn event(body: &Value) -> CalendarEvent {
    CalendarEvent {
        name: line(body, "name").unwrap_or_default(),
        description: line(body, "description"),
        starts_at: time(&body["startTime"]),
        ends_at: time(&body["endTime"]),
        place: Some(place(&body["location"])).filter(|place| *place != Place::default()),
        join_link: field(body, "joinLink", URL),
        cancelled: flag(body, "isCanceled"),
    }
}

fn order(body: &Value) -> Order {
    let total = count(body, "totalAmount1000");
    Order {
        id: field(body, "orderId", ID).unwrap_or_default(),
        title: line(body, "orderTitle"),
        items: count(body, "itemCount"),
        total: total.map(amount),
        currency: wire::word(body, "totalCurrencyCode").map(|code| clip(code, LINE.min(8))),
    }
}

/// Thousandths as a decimal number: two places, three where the third is not 0.
fn amount(thousandths: u64) -> String {
    let (whole, rest) = (thousandths / THOUSAND, thousandths % THOUSAND);
    match rest % 10 {
        0 => format!("{whole}.{:02}", rest / 10),
        _ => format!("{whole}.{rest:03}"),
    }
}

fn time(value: &Value) -> Option<String> {
    let time = DateTime::from_timestamp_millis(wire::timestamp_ms(value)?)?;
    Some(time.to_rfc3339_opts(SecondsFormat::Secs, true))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_amount_has_its_decimals() {
        assert_eq!([0, 25_000, 1_990, 1_005, 10].map(amount), ["0.00", "25.00", "1.99", "1.005", "0.01"]);
    }

    #[test]
    fn a_place_is_on_earth() {
        let place = place(&json!({"degreesLatitude": 91, "degreesLongitude": "x", "name": " Home "}));
        assert_eq!(place, Place { name: Some("Home".into()), ..Place::default() });
    }

    #[test]
    fn what_opens_something_is_not_kept() {
        let invite = json!({"groupJid": "1@g.us", "inviteCode": "SECRET"});
        let order = json!({"orderId": "1", "token": "SECRET"});
        let image = json!({"mediaKey": {"0": 1}, "directPath": "/SECRET", "url": "https://mmg.whatsapp.net/SECRET"});
        for (kind, body) in
            [(MessageKind::GroupInvite, invite), (MessageKind::Order, order), (MessageKind::Image, image)]
        {
            let kept = serde_json::to_string(&detail(kind, &body)).unwrap();
            assert!(!kept.contains("SECRET") && !kept.contains("mediaKey"), "{kept}");
        }
    }

    #[test]
    fn a_form_answers_with_whatever_it_asked() {
        let form = json!({"body": {"text": "Sent"}, "nativeFlowResponseMessage":
            {"name": "flow", "paramsJson": "{\"flow_token\":\"t\",\"size\":[1,2]}"}});
        let choice = form_choice(&form);
        assert_eq!(choice.params, Some(json!({"flow_token": "t", "size": [1, 2]})));
        assert_eq!((choice.title.as_deref(), choice.form.as_deref()), (Some("Sent"), Some("flow")));
        let broken = json!({"nativeFlowResponseMessage": {"name": "flow", "paramsJson": "{"}});
        assert_eq!(form_choice(&broken).params, None);
    }

    #[test]
    fn a_file_s_name_has_no_folder() {
        let names = ["../../etc/passwd", "C:\\temp\\a.pdf", "a.pdf"];
        let read = names.map(|name| media(&json!({"fileName": name})).file_name.unwrap());
        assert_eq!(read, ["passwd", "a.pdf", "a.pdf"]);
    }

    #[test]
    fn lists_and_lines_are_bounded() {
        let options: Vec<Value> = (0..5000).map(|_| json!({"optionName": "x".repeat(5000)})).collect();
        let poll = poll(&json!({"name": "é".repeat(5000), "options": options}));
        assert_eq!((poll.options.len(), poll.question.chars().count()), (LIST, LINE));
        assert!(poll.options.iter().all(|option| option.len() == LINE));
    }
}
