//! How far our bubbles have come: told to the recorder, and to nobody else.
//!
//! What is absent: nothing is looked up and nothing waited for. Whose bubble it is shows when a trace
//! is read; one of another program's on the same account is kept for as long as traces are, and
//! belongs to none.

use omnihub_common::{
    channel::Delivery,
    instance::Instance,
    queue::{InstanceToken, now_ms},
    trace::Receipt,
};

use super::WebhookState;

/// Tells what an event said of bubbles.
pub(super) async fn tell(state: &WebhookState, instance: &Instance, deliveries: Vec<Delivery>) {
    let token = InstanceToken::new(instance.name.as_str(), instance.id);
    for Delivery { provider_id, state: how_far } in deliveries {
        let receipt = Receipt { instance_id: instance.id, provider_id, state: how_far, at: now_ms() };
        state.traces.receipt(&token, receipt).await;
    }
}
