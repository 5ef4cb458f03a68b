//! The row id behind a name, for rooms whose rows belong to an instance.

use std::collections::HashMap;

use sea_orm::{
    ConnectionTrait, DbErr,
    sea_query::{Expr, ExprTrait, LockType, Query},
};

use super::InstanceSummary;

/// What is announced as changed when something for all instances was: no instance has this row id.
pub const WHOLE_HUB: i64 = 0;

/// The row id of the instance with this name, held until the transaction ends, so that nothing is
/// written for an instance that is being deleted.
pub(crate) async fn row_id(transaction: &impl ConnectionTrait, name: &str) -> Result<Option<i64>, DbErr> {
    Ok(summary(transaction, name).await?.map(|instance| instance.id))
}

/// The same with what the names of its conversations are made of.
pub(crate) async fn summary(transaction: &impl ConnectionTrait, name: &str) -> Result<Option<InstanceSummary>, DbErr> {
    let query = Query::select()
        .columns(["id", "session_id_prefix"])
        .from("instance_configs")
        .and_where(Expr::col("name").eq(name))
        .lock(LockType::KeyShare)
        .to_owned();
    let Some(row) = transaction.query_one(&query).await? else { return Ok(None) };
    let session_id_prefix = row.try_get("", "session_id_prefix")?;
    Ok(Some(InstanceSummary { id: row.try_get("", "id")?, name: name.to_owned(), session_id_prefix }))
}

/// All instances: names and row ids.
pub(crate) async fn row_ids(database: &impl ConnectionTrait) -> Result<HashMap<String, i64>, DbErr> {
    let query = Query::select().columns(["name", "id"]).from("instance_configs").to_owned();
    let rows = database.query_all(&query).await?;
    rows.iter().map(|row| Ok((row.try_get("", "name")?, row.try_get("", "id")?))).collect()
}
