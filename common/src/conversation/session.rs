//! Names of a conversation and its person, as the agents know them.
//!
//! They are part of the product's contract: the same person keeps the same session and user id
//! for the life of the conversation, on every worker, without a database.

use uuid::Uuid;

/// The `session_name` of a WhatsApp conversation: `{prefix}{instance}_{address}`, where the
/// address is the person's phone in digits, or the group's id. It is also the key of the
/// conversation's lane.
#[must_use]
pub fn whatsapp_session_name(prefix: Option<&str>, instance: &str, address: &str) -> String {
    format!("{}{instance}_{address}", prefix.unwrap_or_default())
}

/// The `session_id` until the agent names its own: a UUIDv5 of instance and session name.
#[must_use]
pub fn session_id(instance: &str, session_name: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{instance}:{session_name}").as_bytes())
}

/// The `user_id` until the agent names its own: a UUIDv5 (namespace OID) of the phone's digits
/// without `+` and spaces, else of the channel's id of the person, else of the word `default`.
/// Source: the architecture guide, "Phase 2".
#[must_use]
pub fn user_id(phone: Option<&str>, person: &str) -> Uuid {
    let digits: String = phone.unwrap_or_default().chars().filter(|c| *c != '+' && !c.is_whitespace()).collect();
    let name = [digits.as_str(), person, "default"].into_iter().find(|name| !name.is_empty()).unwrap_or("default");
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_guide() {
        assert_eq!(whatsapp_session_name(None, "customer-a", "1234567890"), "customer-a_1234567890");
        assert_eq!(whatsapp_session_name(Some("bot-"), "acme", "5511"), "bot-acme_5511");
        // python: uuid.uuid5(uuid.NAMESPACE_OID, "1234567890")
        assert_eq!(user_id(Some("+1234567890"), "").to_string(), "84d749e3-7f62-58f3-ae22-6d05413aca22");
        assert_eq!(user_id(Some("1234 567890"), "x"), user_id(Some("+1234567890"), ""));
        assert_eq!(user_id(None, ""), Uuid::new_v5(&Uuid::NAMESPACE_OID, b"default"));
        assert_ne!(session_id("a", "b_c"), session_id("a:b", "c"));
    }
}
