//! Which conversation a message belongs to: one for each person, whatever the channel calls them.

use std::sync::Arc;

use omnihub_common::{
    channel::whatsapp::{recipient, webhook::Part},
    conversation::whatsapp_session_name,
    instance::{GroupSession, Instance},
    queue::{Alias, Aliases, BucketError, IntakeError, Naming, PersonIds},
};

/// Names conversations. A clone is the same.
#[derive(Clone, Debug)]
pub struct Sessions(Aliases);

impl Sessions {
    /// By what these know of people.
    #[must_use]
    pub fn new(aliases: Aliases) -> Self {
        Self(aliases)
    }

    /// The name of a message's conversation. A person's phone that the message lacks, and an earlier
    /// one had, is written into it.
    ///
    /// # Errors
    /// When nobody can be asked who that is; then the message is not accepted.
    pub(crate) async fn of(&self, instance: &Instance, part: &mut Part) -> Result<String, IntakeError> {
        let by_member = instance.groups.session == GroupSession::User;
        let ids = part.person(by_member);
        let known = self.known(instance, &ids).await.map_err(|error| IntakeError::Unavailable(error.into()))?;
        if let Some(phone) = known.as_ref().and_then(|known| known.phone.as_ref()).filter(|_| ids.phone.is_none()) {
            part.tell_phone(phone);
        }
        let address = match known {
            Some(known) => part.address_of(&known.lane),
            None if by_member => part.member_address(),
            None => part.address(),
        };
        Ok(name(instance, &address))
    }

    /// The name of a chat's conversation.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub(crate) async fn of_chat(&self, instance: &Instance, chat: &str) -> Result<String, BucketError> {
        let known = self.known(instance, &recipient::ids_of(chat)).await?;
        let address = known.map_or_else(|| recipient::address_of(chat), |known| known.lane.clone());
        Ok(name(instance, &address))
    }

    /// The address of the conversation of a person whose phone this is, where it is another one.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub(crate) async fn lane_of(&self, instance: i64, phone: &str) -> Result<Option<String>, BucketError> {
        let known = self.0.of_phone(instance, phone).await?;
        Ok(known.map(|known| known.lane).filter(|lane| lane != phone))
    }

    /// Forgets a person by phone, with whatever else they are called.
    ///
    /// # Errors
    /// When the broker does not confirm; forgetting again is harmless.
    pub(crate) async fn forget(&self, instance: i64, phone: &str) -> Result<(), BucketError> {
        self.0.forget(instance, phone).await
    }

    async fn known(&self, instance: &Instance, ids: &PersonIds) -> Result<Option<Arc<Alias>>, BucketError> {
        let (id, prefix) = (instance.id, instance.session_id_prefix.as_deref());
        self.0.of(Naming { instance: instance.name.as_str(), id, prefix }, ids).await
    }
}

fn name(instance: &Instance, address: &str) -> String {
    whatsapp_session_name(instance.session_id_prefix.as_deref(), instance.name.as_str(), address)
}
