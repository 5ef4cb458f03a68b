//! Who was answered: a row for each person, in the transaction that records it.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, SubsecRound, Utc};
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect,
    sea_query::{Expr, OnConflict},
};

use super::{
    entity::{external_id, user},
    with_plus,
};
use crate::{
    conversation,
    trace::{Outcome, entity::message_trace},
};

/// Rows of one statement.
const STATEMENT_ROWS: usize = 500;

/// Somebody who was answered.
#[derive(Debug, PartialEq, Eq)]
struct Answered<'a> {
    /// The channel, and its id of the person.
    name: Option<(&'a str, &'a str)>,
    /// What the agent calls them, where it has named them.
    agent_id: Option<&'a str>,
}

/// By instance and phone: sorted, so that two recorders take their locks in the same order.
type ByPhone<'a> = BTreeMap<(&'a str, String), Answered<'a>>;

/// Writes who was answered by these rows and is not written yet. Idempotent, as recording is.
pub(crate) async fn note_answered(
    transaction: &impl ConnectionTrait,
    rows: &[message_trace::Model],
) -> Result<(), DbErr> {
    let answered = of_rows(rows);
    if answered.is_empty() {
        return Ok(());
    }
    let known = known(transaction, &answered).await?;
    let new: Vec<_> = answered.keys().filter(|key| !known.contains_key(&(key.0.to_owned(), key.1.clone()))).collect();
    for some in new.chunks(STATEMENT_ROWS) {
        let rows = some.iter().map(|(instance_name, phone)| new_user(instance_name, phone));
        let conflict =
            OnConflict::columns([user::Column::InstanceName, user::Column::PhoneNumber]).do_nothing().to_owned();
        user::Entity::insert_many(rows).on_conflict(conflict).exec_without_returning(transaction).await?;
    }
    let known = if new.is_empty() { known } else { self::known(transaction, &answered).await? };
    let mut names = Vec::new();
    for ((instance_name, phone), person) in &answered {
        let Some((id, agent_id)) = known.get(&((*instance_name).to_owned(), phone.clone())) else { continue };
        if let Some(named) = person.agent_id.filter(|named| agent_id.as_deref() != Some(*named)) {
            set_agent_id(transaction, *id, named).await?;
        }
        names.extend(person.name.map(|(provider, name)| new_name(instance_name, *id, provider, name)));
    }
    use external_id::Column::{ExternalId, InstanceName, Provider};
    while !names.is_empty() {
        let rest = names.split_off(names.len().min(STATEMENT_ROWS));
        let some = std::mem::replace(&mut names, rest);
        // A name that somebody has linked to another person stays there.
        let conflict = OnConflict::columns([InstanceName, Provider, ExternalId]).do_nothing().to_owned();
        external_id::Entity::insert_many(some).on_conflict(conflict).exec_without_returning(transaction).await?;
    }
    Ok(())
}

fn of_rows(rows: &[message_trace::Model]) -> ByPhone<'_> {
    let mut answered = ByPhone::new();
    for row in rows.iter().filter(|row| row.outcome.as_deref() == Some(Outcome::Answered.as_str())) {
        let Some(phone) = row.sender_phone.as_deref().filter(|phone| !phone.is_empty()) else { continue };
        let name = row.sender_id.as_deref().filter(|id| !id.is_empty()).map(|id| (row.channel_type.as_str(), id));
        // Until the agent has named them it is asked with a name of ours.
        let ours = conversation::user_id(Some(phone), row.sender_id.as_deref().unwrap_or_default()).to_string();
        let agent_id = row.user_id.as_deref().filter(|id| *id != ours);
        answered.insert((row.instance_name.as_str(), with_plus(phone)), Answered { name, agent_id });
    }
    answered
}

type Known = HashMap<(String, String), (i64, Option<String>)>;

async fn known(transaction: &impl ConnectionTrait, answered: &ByPhone<'_>) -> Result<Known, DbErr> {
    use user::Column;
    let columns = [Column::Id, Column::InstanceName, Column::PhoneNumber, Column::LastAgentUserId];
    let rows = user::Entity::find()
        .select_only()
        .columns(columns)
        .filter(Column::InstanceName.is_in(answered.keys().map(|(instance_name, _)| *instance_name)))
        .filter(Column::PhoneNumber.is_in(answered.keys().map(|(_, phone)| phone.as_str())));
    let rows: Vec<(i64, String, String, Option<String>)> = rows.into_tuple().all(transaction).await?;
    Ok(rows.into_iter().map(|(id, instance_name, phone, agent_id)| ((instance_name, phone), (id, agent_id))).collect())
}

async fn set_agent_id(transaction: &impl ConnectionTrait, id: i64, agent_id: &str) -> Result<(), DbErr> {
    user::Entity::update_many()
        .col_expr(user::Column::LastAgentUserId, Expr::value(agent_id))
        .filter(user::Column::Id.eq(id))
        .exec(transaction)
        .await
        .map(drop)
}

fn new_user(instance_name: &str, phone: &str) -> user::ActiveModel {
    user::ActiveModel {
        id: NotSet,
        instance_name: Set(instance_name.to_owned()),
        phone_number: Set(phone.to_owned()),
        email: Set(None),
        user_data: Set(None),
        last_agent_user_id: Set(None),
        created_at: Set(now()),
        updated_at: Set(now()),
    }
}

fn new_name(instance_name: &str, user_id: i64, provider: &str, name: &str) -> external_id::ActiveModel {
    external_id::ActiveModel {
        id: NotSet,
        instance_name: Set(instance_name.to_owned()),
        user_id: Set(user_id),
        provider: Set(provider.to_owned()),
        external_id: Set(name.to_owned()),
        created_at: Set(now()),
    }
}

fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}
