//! What Evolution tells of our bubbles: `messages.update`.
//!
//! Source: Evolution API 2.3.6: `{keyId, remoteJid, fromMe, status}`, where the id is in `keyId`; the
//! Cloud API's words are `SENT`, `DELIVERED`, `READ` and `FAILED`. Updates of what others wrote (that
//! we have read it) are not ours to tell of, nor is `DELETED`. Groups are told of as sent only.

use serde_json::Value;

use super::{
    bounds::{LINE, field},
    event::Event,
};
use crate::channel::{Delivery, DeliveryState};

/// Reads what an event tells of our bubbles: one, or some where a bridge collects them.
pub(super) fn read_deliveries(event: &Event, data: &Value) -> Vec<Delivery> {
    if event.as_str() != "messages.update" {
        return Vec::new();
    }
    match data {
        Value::Array(entries) => entries.iter().filter_map(read).collect(),
        single => read(single).into_iter().collect(),
    }
}

fn read(update: &Value) -> Option<Delivery> {
    let status = update["status"].as_str()?;
    // Of what others wrote the Cloud API tells nothing, and of whose it is not always the truth.
    let is_ours = update["fromMe"].as_bool().unwrap_or(false) || matches!(status, "SENT" | "DELIVERED" | "FAILED");
    let state = match status {
        "SERVER_ACK" | "SENT" => DeliveryState::Sent,
        "DELIVERY_ACK" | "DELIVERED" => DeliveryState::Delivered,
        "READ" | "PLAYED" => DeliveryState::Read,
        "ERROR" | "FAILED" => DeliveryState::Failed,
        _ => return None,
    };
    let provider_id = field(update, "keyId", LINE).or_else(|| field(&update["key"], "id", LINE))?;
    is_ours.then_some(Delivery { provider_id, state })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::channel::whatsapp::webhook::read_webhook;

    fn told(data: Value) -> Option<DeliveryState> {
        read_deliveries(&Event::Other("messages.update".into()), &data).first().map(|told| told.state)
    }

    #[test]
    fn the_recorded_updates_move_one_bubble_on() {
        let bodies: [&[u8]; 3] = [
            include_bytes!("fixtures/51-messages-update-server-ack.json"),
            include_bytes!("fixtures/52-messages-update-delivery-ack.json"),
            include_bytes!("fixtures/53-messages-update-read.json"),
        ];
        let told: Vec<_> = bodies.into_iter().flat_map(|body| read_webhook(body, None).unwrap().deliveries).collect();
        let states = [DeliveryState::Sent, DeliveryState::Delivered, DeliveryState::Read];
        assert_eq!(told.iter().map(|told| told.state).collect::<Vec<_>>(), states);
        assert!(told.iter().all(|told| told.provider_id == "3EB02C3EDF8A9C18812E91"));
    }

    #[test]
    fn only_ours_and_only_what_says_something() {
        let update = |from_me: bool, status: &str| json!({"keyId": "A", "fromMe": from_me, "status": status});
        for (status, state) in [
            ("ERROR", Some(DeliveryState::Failed)),
            ("PLAYED", Some(DeliveryState::Read)),
            ("PENDING", None),
            ("DELETED", None),
            ("", None),
        ] {
            assert_eq!((told(update(true, status)), told(update(false, status))), (state, None), "{status}");
        }
        assert_eq!(told(update(false, "READ")), None, "we have read theirs");
        assert_eq!(told(update(false, "FAILED")), Some(DeliveryState::Failed), "of the Cloud API");
        for data in [json!({"fromMe": true, "status": "READ"}), json!({"keyId": " ", "fromMe": true, "status": "READ"})]
        {
            assert_eq!(told(data), None, "no id");
        }
        let older = json!([{"key": {"id": "A"}, "fromMe": true, "status": "READ"}, null, 7]);
        assert_eq!(told(older), Some(DeliveryState::Read));
        assert!(read_deliveries(&Event::MessagesUpsert, &update(true, "READ")).is_empty());
    }
}
