//! The webhook reader: whatever Evolution, or whoever has found its URL, posts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use omnihub_common::channel::{
    InboundMessage,
    whatsapp::{
        inbound::read_message,
        webhook::{Webhook, read_webhook},
    },
};

fuzz_target!(|body: &[u8]| {
    for path in [None, Some("messages-upsert")] {
        if let Ok(webhook) = read_webhook(body, path) {
            read_parts(webhook);
        }
    }
    if let Ok(data) = serde_json::from_slice(body) {
        let _ = read_message(&data);
    }
});

/// Every message as the ingress and the worker read it: what is kept of it can be read back.
fn read_parts(webhook: Webhook) {
    for mut part in webhook.parts {
        assert!(!part.address().is_empty());
        part.take_media();
        let message = read_message(&part.data);
        let kept = serde_json::to_vec(&message).expect("a message is JSON");
        let read: InboundMessage = serde_json::from_slice(&kept).expect("what was written is read");
        assert_eq!(read.content.kind, message.content.kind);
    }
}
