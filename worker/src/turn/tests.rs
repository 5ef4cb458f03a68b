//! An instance for unit tests, and what a turn may weigh.

use std::time::Duration;

use chrono::DateTime;
use omnihub_common::{
    instance::{
        AgentProtocol, AgentSettings, ChannelSettings, Instance, InstanceName, ReplySettings, TurnSettings,
        WhatsappSettings,
    },
    secret::Secret,
};

/// An active WhatsApp instance.
pub(crate) fn instance() -> Instance {
    Instance {
        id: 1,
        name: InstanceName::parse("acme").unwrap(),
        is_active: true,
        is_default: false,
        session_id_prefix: None,
        agent: AgentSettings {
            api_url: "http://127.0.0.1:1".into(),
            api_key: Secret::new("agent-key-for-tests"),
            agent_id: Some("helper".into()),
            default_agent: None,
            timeout: Duration::from_secs(60),
            protocol: AgentProtocol::Automagik,
            error_message: None,
        },
        turns: TurnSettings::default(),
        reply: ReplySettings { enable_auto_split: true, split_over: 1000 },
        channel: ChannelSettings::Whatsapp(WhatsappSettings {
            evolution_url: "http://127.0.0.1:1".into(),
            evolution_key: Secret::new("evolution-key-for-tests"),
            whatsapp_instance: "acme".into(),
            webhook_base64: true,
            webhook_secret: None,
            webhook_secret_previous: None,
        }),
        created_at: DateTime::UNIX_EPOCH,
        updated_at: DateTime::UNIX_EPOCH,
    }
}

/// What a step holds while it waits, apart from what it points to.
fn size<A, F>(_step: impl Fn(A) -> F) -> usize {
    size_of::<F>()
}

#[test]
fn a_turn_that_waits_is_small() {
    use super::{Exit, Turn, part::Part};
    let leave = |(turn, parts, exit): (&'static mut Turn, Vec<Part>, Exit)| turn.leave(parts, exit);
    for (step, size) in [("the whole turn", size(Turn::run)), ("its end", size(leave))] {
        assert!(size <= 4096, "{step} holds {size} bytes");
    }
}
