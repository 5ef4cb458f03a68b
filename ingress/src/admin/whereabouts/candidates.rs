//! The conversations that a question may be about.
//!
//! What the database has seen is certain. A message that the recorder has not written yet is found
//! all the same: a person's conversation has a name that can be made from the phone.

use omnihub_common::{
    conversation::whatsapp_session_name, instance::InstanceSummary, trace::entity::message_trace::Model,
};

/// A conversation to look for.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) instance_id: i64,
    pub(super) instance_name: String,
    pub(super) conversation: String,
    /// The newest message that the database has of it; none for a guess.
    pub(super) last: Option<Model>,
}

impl Candidate {
    fn is(&self, instance_id: i64, conversation: &str) -> bool {
        (self.instance_id, self.conversation.as_str()) == (instance_id, conversation)
    }
}

/// The digits of a phone number, however it is written; none when it is something else.
pub(super) fn digits(phone: &str) -> Option<String> {
    let known = |c: char| c.is_ascii_digit() || c.is_whitespace() || "+-.()".contains(c);
    let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
    (phone.chars().all(known) && !digits.is_empty()).then_some(digits)
}

/// The conversations of these rows, newest first, each once, at most `limit`.
pub(super) fn seen(rows: Vec<Model>, limit: usize) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = Vec::new();
    for row in rows {
        let Some(conversation) = row.session_name.clone() else { continue };
        if found.len() == limit || found.iter().any(|known| known.is(row.instance_id, &conversation)) {
            continue;
        }
        let (instance_id, instance_name) = (row.instance_id, row.instance_name.clone());
        found.push(Candidate { instance_id, instance_name, conversation, last: Some(row) });
    }
    found
}

/// Adds the conversation that a person of this phone would have with each instance.
pub(super) fn guess_person(found: &mut Vec<Candidate>, instances: &[InstanceSummary], phone: &str) {
    let name = |instance: &InstanceSummary| {
        Some(whatsapp_session_name(instance.session_id_prefix.as_deref(), &instance.name, phone))
    };
    guess(found, instances, name);
}

/// Adds the instances whose conversations are named like this one.
pub(super) fn guess_conversation(found: &mut Vec<Candidate>, instances: &[InstanceSummary], conversation: &str) {
    let name = |instance: &InstanceSummary| {
        let begins = whatsapp_session_name(instance.session_id_prefix.as_deref(), &instance.name, "");
        conversation.starts_with(&begins).then(|| conversation.to_owned())
    };
    guess(found, instances, name);
}

fn guess(found: &mut Vec<Candidate>, instances: &[InstanceSummary], name: impl Fn(&InstanceSummary) -> Option<String>) {
    let certain = found.len();
    for instance in instances {
        let Some(conversation) = name(instance) else { continue };
        if found[..certain].iter().any(|known| known.is(instance.id, &conversation)) {
            continue;
        }
        let (instance_id, instance_name) = (instance.id, instance.name.clone());
        found.push(Candidate { instance_id, instance_name, conversation, last: None });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(id: i64, name: &str, prefix: Option<&str>) -> InstanceSummary {
        InstanceSummary { id, name: name.into(), session_id_prefix: prefix.map(str::to_owned) }
    }

    #[test]
    fn a_phone_is_its_digits() {
        assert_eq!(digits("+55 (11) 98765-4321").as_deref(), Some("5511987654321"));
        for none in ["", "+", "acme_5511", "5511@s.whatsapp.net"] {
            assert_eq!(digits(none), None, "{none}");
        }
    }

    #[test]
    fn names_are_made_as_the_door_makes_them() {
        let instances = [instance(1, "acme", None), instance(2, "ac", Some("bot-")), instance(3, "ac", None)];
        let names = |found: &[Candidate]| {
            found.iter().map(|found| (found.instance_id, found.conversation.clone())).collect::<Vec<_>>()
        };
        let mut found = Vec::new();
        guess_person(&mut found, &instances, "5511");
        assert_eq!(names(&found), [(1, "acme_5511".into()), (2, "bot-ac_5511".into()), (3, "ac_5511".into())]);
        guess_person(&mut found, &instances, "5511");
        assert_eq!(found.len(), 3, "none twice");

        let mut found = Vec::new();
        guess_conversation(&mut found, &instances, "bot-ac_1203@g");
        assert_eq!(names(&found), [(2, "bot-ac_1203@g".into())]);
    }
}
