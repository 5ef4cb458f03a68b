//! An instance for unit tests, and what a turn may weigh.

use std::time::Duration;

use chrono::DateTime;
use omnihub_common::{
    instance::{
        AccountWatch, AgentOptions, AgentProtocol, AgentSettings, BudgetSettings, ChannelSettings, FailoverSettings,
        GroupSettings, Instance, InstanceName, OfficeSettings, ReplySettings, TakeoverSettings, TurnSettings,
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
            options: AgentOptions::default(),
        },
        failover: FailoverSettings::default(),
        turns: TurnSettings::default(),
        takeover: TakeoverSettings::default(),
        groups: GroupSettings::default(),
        budget: BudgetSettings::default(),
        office: OfficeSettings::default(),
        reply: ReplySettings::default(),
        media: Default::default(),
        trace_retention_days: None,
        channel: ChannelSettings::Whatsapp(WhatsappSettings {
            evolution_url: "http://127.0.0.1:1".into(),
            evolution_key: Secret::new("evolution-key-for-tests"),
            whatsapp_instance: "acme".into(),
            webhook_base64: true,
            webhook_secret: None,
            webhook_secret_previous: None,
            webhook_url: None,
            watch: AccountWatch::default(),
        }),
        created_at: DateTime::UNIX_EPOCH,
        updated_at: DateTime::UNIX_EPOCH,
    }
}

#[test]
fn a_turn_whose_messages_are_not_all_here_speaks_for_the_others_only_once_they_are_answered() {
    use omnihub_common::queue::{Answer, MessageId, MessageKey, OpenTurn, Phase};
    let id = |provider_id| {
        let key =
            MessageKey { instance_id: 1, kind: "message", chat: "c", from_me: false, provider_id, discriminator: "" };
        MessageId::of(&key)
    };
    let both = vec![id("a"), id("b")];
    let open = |phase| Some(OpenTurn { phase, attempt: 2, ..OpenTurn::new(both.clone()) });
    let mut asking = open(Phase::Asking);
    assert_eq!(super::ids_of(&mut asking, vec![id("a")]), [id("a")], "b may still come");
    assert_eq!(asking.map(|open| (open.ids, open.attempt)), Some((vec![id("a")], 2)));
    let mut sending = open(Phase::Sending(Answer::default()));
    assert_eq!(super::ids_of(&mut sending, vec![id("a")]), both);
    assert_eq!(super::ids_of(&mut open(Phase::Asking), both.clone()), both);
    assert_eq!(super::ids_of(&mut open(Phase::Asking), vec![id("a"), id("c")]), [id("a"), id("c")]);
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
