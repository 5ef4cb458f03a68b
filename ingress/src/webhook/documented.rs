//! What is said of the webhooks' routes in the OpenAPI document.

use serde_json::{Value, json};

use super::Answer;
use crate::admin::openapi::{
    Doc,
    field::{Field, text},
    says,
};

/// Where a sender's proof may stand.
const TOKEN: Field = text("token", "The instance's `webhook_secret`, where the sender sends no headers of its own.");
const SECRET: Field = text("x-webhook-secret", "The instance's `webhook_secret`.");
const SIGNED: Field =
    text("authorization", "`Bearer` with the `webhook_secret`, or with a token that Evolution signed with it.");

/// `/webhook/evolution`.
pub(super) fn default() -> Doc {
    webhook(says("A webhook of Evolution for the default instance"))
        .more("An instance that the body names is taken instead when its own secret is proved.")
}

/// `/webhook/evolution/{instance}`.
pub(super) fn named() -> Doc {
    webhook(says("A webhook of Evolution for an instance"))
        .more(
            "200 means that the queue has the messages; their traces are named. An event's word in the place of \
               the name means the default instance.",
        )
        .problem(404, "There is no WhatsApp instance of this name.")
}

/// `/webhook/evolution/{instance}/{event}`.
pub(super) fn by_event() -> Doc {
    webhook(says("A webhook of Evolution for an instance, with its event in the path"))
        .problem(404, "There is no WhatsApp instance of this name.")
}

fn webhook(doc: Doc) -> Doc {
    doc.query([TOKEN])
        .headers([SECRET, SIGNED])
        .content("application/json", json!({"type": "object"}), example(), true)
        .answers::<Answer>()
        .problem(401, "The sender does not prove that it knows the instance's secret.")
        .problem(503, "It was not accepted; post it again.")
}

fn example() -> Value {
    json!({
        "event": "messages.upsert",
        "instance": "acme",
        "data": {
            "key": {"remoteJid": "5511987654321@s.whatsapp.net", "fromMe": false, "id": "3EB0C431C5D1B2A6F0E1"},
            "pushName": "Maria Silva",
            "message": {"conversation": "Do you open on Sunday?"},
            "messageType": "conversation",
            "messageTimestamp": 1_795_310_417,
        },
    })
}
