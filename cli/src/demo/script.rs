//! What happens in the demo's conversations.

use omnihub_fakes::customers::{Conversation, conversations, webhook_from};
use serde_json::{Value, json};

/// How often Evolution posts a repeated webhook in all.
pub(super) const POSTS_OF_A_REPEATED: usize = 3;

/// The message that is reacted to: some bubble of the business.
const REACTED_TO: &str = "3EB0C0FFEE0000000001";

/// One conversation.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    /// The customer's name.
    pub(super) name: &'static str,
    /// The customer's phone, digits only.
    pub(super) phone: &'static str,
    /// What is written, in order.
    pub(super) lines: Vec<Line>,
}

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The customer writes.
    Text(&'static str),
    /// The customer writes, and Evolution posts the webhook more than once.
    Repeated(&'static str),
    /// The customer reacts to an answer.
    Reaction,
    /// Somebody at the business writes from the phone, past the hub.
    Own(&'static str),
}

/// How a message must end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// With these bubbles.
    Answered(Vec<String>),
    /// Without an answer, for this reason.
    Ignored(&'static str),
}

/// The conversations: the recorded customers, and among their lines what else a hub must cope
/// with. Each such line has others behind it, so that a wrong answer to it would be seen.
pub(super) fn scenes() -> Vec<Scene> {
    conversations().into_iter().enumerate().map(|(nth, customer)| scene(nth, &customer)).collect()
}

fn scene(nth: usize, customer: &Conversation) -> Scene {
    let mut lines: Vec<Line> = customer.texts.iter().map(|text| Line::Text(text)).collect();
    match (nth, lines.first_mut()) {
        (0, Some(first)) => *first = Line::Repeated(customer.texts[0]),
        (1, Some(_)) => lines.insert(1, Line::Own("(from the shop's phone) I am looking into it")),
        (2, Some(_)) => lines.insert(1, Line::Reaction),
        _ => {}
    }
    Scene { name: customer.name, phone: customer.phone, lines }
}

impl Line {
    /// The webhook that Evolution posts for it.
    pub(super) fn webhook(self, scene: &Scene, instance: &str, id: &str, sent_at: u64) -> Value {
        let text = self.text().unwrap_or_default();
        let mut webhook = webhook_from(scene.name, instance, scene.phone, id, text, sent_at);
        match self {
            Self::Text(_) | Self::Repeated(_) => {}
            Self::Own(_) => webhook["data"]["key"]["fromMe"] = true.into(),
            Self::Reaction => {
                let key = json!({ "remoteJid": webhook["data"]["key"]["remoteJid"], "fromMe": true, "id": REACTED_TO });
                webhook["data"]["messageType"] = "reactionMessage".into();
                webhook["data"]["message"] = json!({ "reactionMessage": { "key": key, "text": "👍" } });
            }
        }
        webhook
    }

    /// What is written; none for a reaction.
    pub(super) fn text(self) -> Option<&'static str> {
        match self {
            Self::Text(text) | Self::Repeated(text) | Self::Own(text) => Some(text),
            Self::Reaction => None,
        }
    }

    /// How often its webhook is posted.
    pub(super) fn posts(self) -> usize {
        if matches!(self, Self::Repeated(_)) { POSTS_OF_A_REPEATED } else { 1 }
    }

    /// How it must end: the agent echoes, and the hub splits an answer on its blank lines.
    pub(super) fn ending(self) -> Ending {
        match self {
            Self::Text(text) | Self::Repeated(text) => {
                Ending::Answered(format!("echo: {text}").split("\n\n").map(str::to_owned).collect())
            }
            Self::Reaction => Ending::Ignored("reaction"),
            Self::Own(_) => Ending::Ignored("from_me"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_shows_what_the_demo_promises() {
        let scenes = scenes();
        let lines = || scenes.iter().flat_map(|scene| &scene.lines);
        let has = |line: fn(&Line) -> bool| lines().any(line);
        assert!(has(|line| matches!(line, Line::Repeated(_))));
        assert!(has(|line| line.ending() == Ending::Ignored("from_me")));
        assert!(has(|line| line.ending() == Ending::Ignored("reaction")));
        assert!(has(|line| matches!(line.ending(), Ending::Answered(bubbles) if bubbles.len() > 1)));
        // A wrong answer to one of these would be noticed only when others come after it.
        let odd = |line: Option<&Line>| matches!(line, Some(Line::Repeated(_) | Line::Reaction | Line::Own(_)));
        assert!(!scenes.iter().any(|scene| odd(scene.lines.last())));
    }

    #[test]
    fn a_reaction_and_an_own_message_look_like_the_recorded_ones() {
        let scene = &scenes()[0];
        let reaction = Line::Reaction.webhook(scene, "demo", "1", 2);
        assert_eq!(reaction["data"]["message"]["reactionMessage"]["text"], "👍");
        assert_eq!(Line::Own("a").webhook(scene, "demo", "1", 2)["data"]["key"]["fromMe"], true);
    }
}
