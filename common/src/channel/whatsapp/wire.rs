//! Evolution's words: how it writes ids, numbers and wrapped contents.
//!
//! Everything here is total: a value of an unexpected kind reads as absent. Source: Evolution API
//! 2.3.6 (`prepareMessage` of whatsapp.baileys.service.ts) and the forms of its older versions.

use serde_json::Value;

/// Keys of `message` that hold another message under `message`; Evolution opens only
/// `documentWithCaptionMessage` itself.
const WRAPPERS: [&str; 11] = [
    "ephemeralMessage",
    "viewOnceMessage",
    "viewOnceMessageV2",
    "viewOnceMessageV2Extension",
    "documentWithCaptionMessage",
    "editedMessage",
    "deviceSentMessage",
    "groupMentionedMessage",
    "associatedChildMessage",
    "lottieStickerMessage",
    "botInvokeMessage",
];

/// How many wrappers are opened; clients nest two at most.
const MAX_WRAPPERS: usize = 8;

/// More digits than any phone number has (E.164: 15), fewer than a group's id.
const MAX_PHONE_DIGITS: usize = 17;

/// From here on a timestamp is in milliseconds: as seconds it would lie after the year 5000.
const FIRST_MILLISECONDS: i64 = 100_000_000_000;

/// The last millisecond of the year 9999; later ones are not times.
const LAST_MILLISECOND: i64 = 253_402_300_799_999;

/// A string field that says something.
pub(super) fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value[name].as_str().filter(|text| !text.trim().is_empty())
}

/// An id or name field: trimmed, absent when blank (`key.participant` is `""` in 1:1 chats).
pub(super) fn word<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    text(value, name).map(str::trim)
}

/// A message and what its wrappers hold, from the outside inwards.
pub(super) fn layers(message: &Value) -> impl Iterator<Item = &Value> {
    std::iter::successors(Some(message), |content| unwrapped(content)).take(MAX_WRAPPERS + 1)
}

/// The content of `message`, however many wrappers are around it.
pub(super) fn open(message: &Value) -> &Value {
    layers(message).last().unwrap_or(message)
}

fn unwrapped(content: &Value) -> Option<&Value> {
    let wrapped = WRAPPERS.iter().map(|name| &content[*name]["message"]);
    let edited = &content["protocolMessage"]["editedMessage"];
    wrapped.chain([edited]).find(|inner| inner.is_object())
}

/// Removes the file that `webhookBase64` puts beside the content, also inside wrappers.
pub(super) fn take_media(message: &mut Value) -> Option<String> {
    take_media_within(message, MAX_WRAPPERS)
}

fn take_media_within(message: &mut Value, depth: usize) -> Option<String> {
    let fields = message.as_object_mut()?;
    let mut taken = match fields.remove("base64") {
        Some(Value::String(file)) if !file.is_empty() => Some(file),
        _ => None,
    };
    if depth > 0 {
        for name in WRAPPERS {
            if let Some(inner) = fields.get_mut(name).and_then(|wrapper| wrapper.get_mut("message")) {
                let within = take_media_within(inner, depth - 1);
                taken = taken.or(within);
            }
        }
    }
    taken
}

/// A 64-bit number in any of its forms: number, decimal string, `{low, high, unsigned}`.
pub(super) fn int64(value: &Value) -> Option<i64> {
    match value {
        // A float saturates when cast, so that no value is out of reach.
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().map(|float| float as i64)),
        Value::String(digits) => digits.trim().parse().ok(),
        Value::Object(halves) => {
            let half = |name: &str| halves.get(name).and_then(Value::as_i64);
            let low = half("low")? & 0xffff_ffff;
            Some((half("high").unwrap_or(0) << 32) | low)
        }
        _ => None,
    }
}

/// `messageTimestamp` in milliseconds since 1970. Evolution writes seconds; a value that can only
/// be milliseconds is taken as such, and what is no time at all is absent.
pub(super) fn timestamp_ms(value: &Value) -> Option<i64> {
    let number = int64(value).filter(|number| *number > 0)?;
    let ms = if number < FIRST_MILLISECONDS { number * 1000 } else { number };
    (ms <= LAST_MILLISECOND).then_some(ms)
}

/// The chat of a message: `key.remoteJid`, else the other form of the same person.
pub(super) fn chat(data: &Value) -> Option<&str> {
    word(&data["key"], "remoteJid").or_else(|| word(&data["key"], "remoteJidAlt"))
}

/// Whether our own account wrote the message; absent means no.
pub(super) fn from_me(data: &Value) -> bool {
    data["key"]["fromMe"].as_bool().unwrap_or(false)
}

/// Whether a JID names a group.
pub(super) fn is_group(jid: &str) -> bool {
    jid.ends_with("@g.us")
}

/// Whether a JID names one person, by phone or by `@lid`.
pub(super) fn is_person(jid: &str) -> bool {
    matches!(jid.rsplit_once('@'), Some((_, "s.whatsapp.net" | "c.us" | "lid")))
}

/// The digits of a phone's JID, without its `:device`; none for every other JID.
pub(super) fn phone(jid: &str) -> Option<&str> {
    let (_, server) = jid.rsplit_once('@')?;
    let digits = local_part(jid);
    let digits = digits.strip_prefix('+').unwrap_or(digits);
    let plausible = (1..=MAX_PHONE_DIGITS).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    (matches!(server, "s.whatsapp.net" | "c.us") && plausible).then_some(digits)
}

/// What stands before `@lid`, without a `:device`; none for every other JID.
pub(super) fn lid(jid: &str) -> Option<&str> {
    let (_, server) = jid.rsplit_once('@')?;
    Some(local_part(jid)).filter(|local| server == "lid" && !local.is_empty())
}

/// What stands before the `@`, without a `:device`.
fn local_part(jid: &str) -> &str {
    let local = jid.split_once('@').map_or(jid, |(local, _)| local);
    local.split_once(':').map_or(local, |(user, _)| user)
}

/// Every id that the key gives the other person of a 1:1 chat, the chat itself first.
///
/// Older versions: `senderPn` and `senderLid` (2.3.0), `previousRemoteJid` (2.3.1 to 2.3.4). Of an
/// own message the sender is our own account, so its two are left out.
pub(super) fn chat_ids(data: &Value) -> Vec<&str> {
    let names: &[&str] = if from_me(data) {
        &["remoteJid", "remoteJidAlt", "previousRemoteJid"]
    } else {
        &["remoteJid", "remoteJidAlt", "previousRemoteJid", "senderPn", "senderLid"]
    };
    names.iter().filter_map(|name| word(&data["key"], name)).collect()
}

/// Every id that the key gives the author in a chat of many. Of a status the author's other id is
/// in `remoteJidAlt`, which groups do not have.
pub(super) fn author_ids(data: &Value) -> Vec<&str> {
    let names = ["participant", "participantAlt", "participantPn", "participantLid", "remoteJidAlt"];
    let names = if chat(data).is_some_and(is_group) { &names[..4] } else { &names[..] };
    names.iter().filter_map(|name| word(&data["key"], name)).collect()
}

/// The conversation's address: the phone's digits of a person where they are known, else what
/// stands before the `@` of the chat. No country prefix is invented.
pub(super) fn address(data: &Value) -> String {
    let chat = chat(data).unwrap_or_default();
    let known = || chat_ids(data).into_iter().find_map(phone);
    if let Some(digits) = is_person(chat).then(known).flatten() {
        return digits.to_owned();
    }
    let local = local_part(chat);
    if local.is_empty() { chat.to_owned() } else { local.to_owned() }
}

/// The ids of the person whose conversation it is: of the other one in a 1:1 chat, and in a group of
/// the author, where each has a conversation (`by_member`). None of other chats.
pub(super) fn person_ids(data: &Value, by_member: bool) -> Vec<&str> {
    match chat(data) {
        Some(chat) if is_person(chat) => chat_ids(data),
        Some(chat) if by_member && is_group(chat) => author_ids(data),
        _ => Vec::new(),
    }
}

/// The address of one member's conversation in a group; elsewhere that of the chat.
pub(super) fn member_address(data: &Value) -> String {
    let chat = address(data);
    let ids = if self::chat(data).is_some_and(is_group) { author_ids(data) } else { Vec::new() };
    let member = ids.iter().find_map(|id| phone(id)).or_else(|| ids.first().map(|id| local_part(id)));
    match member.filter(|member| !member.is_empty()) {
        Some(member) => format!("{chat}_{member}"),
        None => chat,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_64_bit_numbers_in_every_form() {
        for (value, expected) in [
            (json!(1_795_310_417), Some(1_795_310_417)),
            (json!("1795310417"), Some(1_795_310_417)),
            (json!(1_795_310_417.0), Some(1_795_310_417)),
            (json!({"low": 1_761_000_000, "high": 0, "unsigned": true}), Some(1_761_000_000)),
            (json!({"low": 63_408_763, "high": 410, "unsigned": false}), Some(1_761_000_000_123)),
            (json!({"low": -1, "high": 0, "unsigned": true}), Some(4_294_967_295)),
            (json!({"low": -1, "high": -1, "unsigned": false}), Some(-1)),
            (json!({"high": 1}), None),
            (json!("soon"), None),
            (json!(null), None),
            (json!([1]), None),
        ] {
            assert_eq!(int64(&value), expected, "{value}");
        }
    }

    #[test]
    fn reads_timestamps_as_milliseconds() {
        assert_eq!(timestamp_ms(&json!(1_795_310_417)), Some(1_795_310_417_000));
        assert_eq!(timestamp_ms(&json!(1_795_310_417_123_i64)), Some(1_795_310_417_123));
        assert_eq!(timestamp_ms(&json!(0)), None);
        assert_eq!(timestamp_ms(&json!(-5)), None);
        assert_eq!(timestamp_ms(&json!(1e300)), None);
        assert_eq!(timestamp_ms(&json!(i64::MAX)), None);
    }

    #[test]
    fn a_member_has_an_address_of_its_own_in_a_group() {
        let group = |participant: Value| {
            json!({"key": {"remoteJid": "1203@g.us", "participant": participant,
            "participantAlt": "5511987654321:2@s.whatsapp.net"}})
        };
        assert_eq!(member_address(&group("77@lid".into())), "1203_5511987654321");
        assert_eq!(member_address(&json!({"key": {"remoteJid": "1203@g.us", "participant": "77:1@lid"}})), "1203_77");
        assert_eq!(member_address(&json!({"key": {"remoteJid": "1203@g.us", "participant": ""}})), "1203");
        let person = json!({"key": {"remoteJid": "5511987654321@s.whatsapp.net", "participant": "1@lid"}});
        assert_eq!(member_address(&person), "5511987654321");
    }

    #[test]
    fn a_phone_is_digits_without_its_device() {
        assert_eq!(phone("5511987654321@s.whatsapp.net"), Some("5511987654321"));
        assert_eq!(phone("5511987654321:12@s.whatsapp.net"), Some("5511987654321"));
        assert_eq!(phone("5511987654321@c.us"), Some("5511987654321"));
        assert_eq!(phone("99887766554433@lid"), None);
        assert_eq!(phone("120363042000000001@g.us"), None);
        assert_eq!(phone("abc@s.whatsapp.net"), None);
        assert_eq!(phone("@s.whatsapp.net"), None);
        assert_eq!(phone("5511987654321"), None);
    }

    #[test]
    fn an_address_is_the_phone_where_it_is_known() {
        for (key, expected) in [
            (json!({"remoteJid": "5511987654321:3@s.whatsapp.net"}), "5511987654321"),
            (json!({"remoteJid": "998877@lid", "remoteJidAlt": "5511987654321@s.whatsapp.net"}), "5511987654321"),
            (json!({"remoteJid": "998877@lid", "senderPn": "5511987654321@s.whatsapp.net"}), "5511987654321"),
            (json!({"remoteJid": "998877@lid", "senderPn": "551100@s.whatsapp.net", "fromMe": true}), "998877"),
            (json!({"remoteJid": "5511987654321@s.whatsapp.net", "previousRemoteJid": "998877@lid"}), "5511987654321"),
            (json!({"remoteJid": "998877:2@lid"}), "998877"),
            (
                json!({"remoteJid": "120363042000000001@g.us", "remoteJidAlt": "551100@s.whatsapp.net"}),
                "120363042000000001",
            ),
            (json!({"remoteJid": "status@broadcast", "participant": "551100@s.whatsapp.net"}), "status"),
            (json!({"remoteJid": "120363777@newsletter"}), "120363777"),
            (json!({"remoteJid": "87654321@s.whatsapp.net"}), "87654321"),
            (json!({"remoteJid": "@lid"}), "@lid"),
        ] {
            assert_eq!(address(&json!({ "key": key })), expected, "{key}");
        }
    }
}
