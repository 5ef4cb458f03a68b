//! Customers: the webhooks that Evolution posts for them, and a few people who write them.

use serde_json::{Value, json};

/// The instance token that Evolution shows in every envelope when it is configured to; the hub
/// must neither use nor keep it, so tests look for it everywhere.
pub const ENVELOPE_APIKEY: &str = "7F4C2E90-8A31-4D5B-9C6E-1B2A3C4D5E6F";

/// Where the envelope says that Evolution is; the hub must never call it.
pub const ENVELOPE_SERVER_URL: &str = "http://evolution.invalid:8080";

/// The name of a customer whom nobody named.
const NAME: &str = "Maria Silva";

/// A `messages.upsert` of Evolution 2.3.6 with a text.
///
/// `phone` is digits only, `id` the provider's message id (see [`message_id`]), and `sent_at` the
/// provider's time in seconds since 1970.
#[must_use]
pub fn webhook(instance: &str, phone: &str, id: &str, text: &str, sent_at: u64) -> Value {
    webhook_from(NAME, instance, phone, id, text, sent_at)
}

/// The same, from a customer of this name (`pushName`).
#[must_use]
pub fn webhook_from(name: &str, instance: &str, phone: &str, id: &str, text: &str, sent_at: u64) -> Value {
    json!({
        "event": "messages.upsert",
        "instance": instance,
        "data": {
            "key": {
                "remoteJid": format!("{phone}@s.whatsapp.net"),
                "remoteJidAlt": format!("{}@lid", phone.chars().rev().collect::<String>()),
                "fromMe": false,
                "id": id,
                "participant": "",
                "addressingMode": "pn",
            },
            "pushName": name,
            "status": "DELIVERY_ACK",
            "message": {
                "conversation": text,
                "messageContextInfo": {
                    "deviceListMetadata": {
                        "senderKeyIndexes": [],
                        "recipientKeyIndexes": [],
                        "senderKeyHash": { "0": 249, "1": 90, "2": 186, "3": 185 },
                        "senderTimestamp": { "low": 1_761_000_000, "high": 0, "unsigned": true },
                    },
                    "deviceListMetadataVersion": 2,
                    "messageSecret": { "0": 210, "1": 3, "2": 18, "3": 147 },
                },
            },
            "messageType": "conversation",
            "messageTimestamp": sent_at,
            "instanceId": "20b548da-2cca-4941-bffd-8ae8c4db9b12",
            "source": "android",
        },
        "destination": format!("http://hub.invalid/webhook/evolution/{instance}"),
        // The real one writes its local wall clock with a false `Z`: nothing may rely on it.
        "date_time": "2026-11-22T01:20:17.799Z",
        "sender": "5511999990000@s.whatsapp.net",
        "server_url": ENVELOPE_SERVER_URL,
        "apikey": ENVELOPE_APIKEY,
    })
}

/// A provider's message id of the real form (32 hexadecimal digits), distinct for each `run` and
/// `nth` below 2^60.
#[must_use]
pub fn message_id(run: u64, nth: u64) -> String {
    format!("AC{run:015X}{nth:015X}")
}

/// One scripted customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// The customer's name.
    pub name: &'static str,
    /// The customer's phone, digits only; none of them is in use.
    pub phone: &'static str,
    /// What they write, in order.
    pub texts: &'static [&'static str],
}

/// The customers of the demo, in a few languages and scripts.
#[must_use]
pub fn conversations() -> Vec<Conversation> {
    vec![
        Conversation {
            name: "Maria Silva",
            phone: "5511987650001",
            texts: &["Oi, tudo bem?", "Vocês abrem no sábado?", "Perfeito, obrigada! 🙏"],
        },
        Conversation {
            name: "John Carter",
            phone: "14155550102",
            texts: &["Hi, my order 10482 has not arrived yet", "It was due on Monday", "Great, thanks for checking"],
        },
        Conversation {
            name: "Lucía Fernández",
            phone: "34600000103",
            texts: &["Buenos días, ¿tienen mesas para esta noche?", "Somos cuatro, a las nueve"],
        },
        Conversation {
            name: "佐藤 花子",
            phone: "819000000104",
            texts: &["こんにちは、予約を変更できますか?", "来週の火曜日でお願いします"],
        },
        Conversation {
            name: "محمد علي", phone: "971500000105", texts: &["مرحبا، كم سعر التوصيل؟", "شكرا جزيلا"]
        },
        Conversation {
            name: "Anna Müller",
            phone: "4915100000106",
            texts: &["Guten Tag!\nIch brauche eine Rechnung für März.\n\nGeht das auch als PDF?"],
        },
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_webhook_has_every_key_of_the_recorded_one() {
        let webhook = webhook("acme", "5511987654321", "AC65", "Oi", 1_795_310_417);
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<HashSet<_>>();
        let envelope = ["event", "instance", "data", "destination", "date_time", "sender", "server_url", "apikey"];
        assert_eq!(keys(&webhook), envelope.map(str::to_owned).into());
        let data = ["key", "pushName", "status", "message", "messageType", "messageTimestamp", "instanceId", "source"];
        assert_eq!(keys(&webhook["data"]), data.map(str::to_owned).into());
        let key = ["remoteJid", "remoteJidAlt", "fromMe", "id", "participant", "addressingMode"];
        assert_eq!(keys(&webhook["data"]["key"]), key.map(str::to_owned).into());
        assert_eq!(webhook["data"]["key"]["remoteJid"], "5511987654321@s.whatsapp.net");
        assert_eq!(webhook["data"]["message"]["conversation"], "Oi");
        assert_eq!(webhook["data"]["messageTimestamp"], 1_795_310_417_u64);
    }

    #[test]
    fn ids_are_distinct_and_of_the_real_length() {
        let ids: HashSet<String> = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(run, nth)| message_id(run, nth)).into();
        assert_eq!(ids.len(), 4);
        assert!(ids.iter().all(|id| id.len() == 32));
    }

    #[test]
    fn every_customer_is_another_person() {
        let customers = conversations();
        let phones: HashSet<&str> = customers.iter().map(|customer| customer.phone).collect();
        assert_eq!(phones.len(), customers.len());
        assert!(phones.iter().all(|phone| phone.chars().all(|digit| digit.is_ascii_digit())));
        assert!(customers.iter().all(|customer| !customer.texts.is_empty()));
    }
}
