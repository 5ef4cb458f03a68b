//! Forgetting a person: what is known of them, and the removal of everything that the database has.
//!
//! What is not forgotten: access rules that mean them (whoever is blocked stays so), that somebody
//! was erased, when and by whom, without saying who it was, and what others have written: in a group
//! that may quote them, and the questions of a turn that answered several people at once are kept
//! with the traces of the others.

use std::collections::{BTreeSet, HashSet};

use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, EntityTrait, QueryFilter,
    QuerySelect,
};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{entity::user, with_plus};
use crate::{
    audit::{self, Change},
    conversation, database,
    instance::summary,
    key::Actor,
    queue::PersonTracks,
    trace::{bare_phone, entity::message_trace},
};

/// Digits of a phone number that the audit log keeps.
const SHOWN: usize = 4;

/// What the database had of a person.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Erased {
    /// How what is kept of them elsewhere is found.
    #[serde(skip)]
    pub tracks: PersonTracks,
    /// Whether there was a row of `users`.
    pub user: bool,
    /// How many traces there were.
    pub messages: usize,
}

/// A person whom somebody wants to be forgotten.
#[derive(Clone, Copy, Debug)]
pub struct Whom<'a> {
    /// The phone, without its plus.
    pub phone: &'a str,
    /// The address of their conversation, where the phone is not it.
    pub lane: Option<&'a str>,
}

/// How the person is found outside the database; `None` when the instance is not
/// there. It is asked before the erasure: afterwards nobody knows any more.
///
/// # Errors
/// A failure of the database.
pub async fn tracks(
    database: &DatabaseConnection,
    instance_name: &str,
    whom: Whom<'_>,
) -> Result<Option<PersonTracks>, DbErr> {
    find(database, instance_name, whom).await
}

/// Erases the person from an instance; `None` when the instance is not there.
///
/// # Errors
/// A failure of the database; then nothing was erased.
pub async fn erase(
    database: &DatabaseConnection,
    by: &Actor,
    instance_name: &str,
    whom: Whom<'_>,
) -> Result<Option<Erased>, DbErr> {
    let transaction = database::begin_write(database).await?;
    let Some(tracks) = find(&transaction, instance_name, whom).await? else { return Ok(None) };
    let phone = whom.phone;
    let messages = message_trace::Entity::delete_many()
        .filter(message_trace::Column::InstanceName.eq(instance_name))
        .filter(of_person(&tracks.phone, &tracks.sessions))
        .exec(&transaction)
        .await?;
    let users = user::Entity::delete_many()
        .filter(user::Column::InstanceName.eq(instance_name))
        .filter(user::Column::PhoneNumber.eq(with_plus(phone)))
        .exec(&transaction)
        .await?;
    let sessions: Vec<String> = tracks.sessions.iter().cloned().collect();
    conversation::forget(&transaction, instance_name, &sessions).await?;
    let targets = [sessions, vec![with_plus(phone)]].concat();
    audit::forget(&transaction, tracks.instance_id, &["user.", "conversation."], &targets).await?;
    let messages = usize::try_from(messages.rows_affected).unwrap_or(usize::MAX);
    let erased = Erased { tracks, user: users.rows_affected > 0, messages };
    note(&transaction, by, &erased).await?;
    transaction.commit().await?;
    Ok(Some(erased))
}

async fn find(
    database: &impl ConnectionTrait,
    instance_name: &str,
    Whom { phone, lane }: Whom<'_>,
) -> Result<Option<PersonTracks>, DbErr> {
    use message_trace::Column;
    let phone = bare_phone(phone);
    let addresses = [Some(phone), lane];
    let addresses = || addresses.iter().flatten().copied();
    let Some(instance) = summary(database, instance_name).await? else { return Ok(None) };
    let traces = |which: Condition| {
        message_trace::Entity::find().select_only().filter(Column::InstanceName.eq(instance_name)).filter(which)
    };
    let written = traces(Condition::all().add(Column::SenderPhone.eq(phone))).column(Column::SessionName).distinct();
    let written: Vec<Option<String>> = written.into_tuple().all(database).await?;
    let mut decided = Vec::new();
    for address in addresses() {
        decided.extend(conversation::names_ending_with(database, instance_name, address).await?);
    }
    // One without traces and without a decision may still have a checkpoint.
    let prefix = instance.session_id_prefix.as_deref();
    let usual = addresses().map(|address| conversation::whatsapp_session_name(prefix, instance_name, address));
    let is_theirs = |name: &String| addresses().any(|address| is_own(name, address));
    let sessions = written.into_iter().flatten().chain(decided).filter(is_theirs);
    let sessions: BTreeSet<String> = sessions.chain(usual).collect();
    // Of a message whose body was never read the conversation's name is all that is known.
    let ids: Vec<Uuid> = traces(of_person(phone, &sessions)).column(Column::TraceId).into_tuple().all(database).await?;
    Ok(Some(PersonTracks {
        instance_name: instance.name,
        instance_id: instance.id,
        phone: phone.to_owned(),
        sessions,
        traces: HashSet::from_iter(ids),
    }))
}

/// Whether a conversation is with this person alone.
fn is_own(session_name: &str, phone: &str) -> bool {
    session_name.strip_suffix(phone).is_some_and(|rest| rest.ends_with('_'))
}

fn of_person(phone: &str, sessions: &BTreeSet<String>) -> Condition {
    use message_trace::Column;
    Condition::any().add(Column::SenderPhone.eq(phone)).add(Column::SessionName.is_in(sessions))
}

async fn note(transaction: &DatabaseTransaction, by: &Actor, erased: &Erased) -> Result<(), DbErr> {
    let PersonTracks { instance_name, instance_id, phone, .. } = &erased.tracks;
    let (instance, target) = (Some((*instance_id, instance_name.as_str())), masked(phone));
    let after = Some(json!({"user": erased.user, "messages": erased.messages}));
    let change = Change { action: "user.erase", target: &target, instance, before: None, after };
    audit::record(transaction, by, change).await
}

/// A phone number, or a name that ends with one, as it stands where nobody is to be named.
#[must_use]
pub fn masked(phone: &str) -> String {
    let hidden = phone.chars().count().saturating_sub(SHOWN);
    format!("****{}", phone.chars().skip(hidden).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_with_others_is_not_theirs_alone() {
        assert!(is_own("a_5511", "5511") && is_own("dev-a_5511", "5511"));
        for other in ["a_1203@g", "a_995511", "5511", "a_55112"] {
            assert!(!is_own(other, "5511"), "{other}");
        }
    }

    #[test]
    fn of_a_number_the_end_is_shown() {
        assert_eq!((masked("14155557400").as_str(), masked("12").as_str()), ("****7400", "****12"));
    }
}
