//! The names of the instances, without their secrets.

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{Column, Entity, Instances, StoreError};
use crate::key::Reach;

/// What a conversation's name is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceSummary {
    /// The row's id.
    pub id: i64,
    /// The name.
    pub name: String,
    /// What stands before it in session names.
    pub session_id_prefix: Option<String>,
}

impl Instances {
    /// The oldest instances, at most `limit`. Nothing is decrypted, so that many cost little.
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn summaries(&self, limit: u64) -> Result<Vec<InstanceSummary>, StoreError> {
        let columns = [Column::Id, Column::Name, Column::SessionIdPrefix];
        let query = Entity::find().select_only().columns(columns).order_by_asc(Column::Id).limit(limit);
        let rows: Vec<(i64, String, Option<String>)> = query.into_tuple().all(&self.database).await?;
        Ok(rows
            .into_iter()
            .map(|(id, name, session_id_prefix)| InstanceSummary { id, name, session_id_prefix })
            .collect())
    }

    /// The names within a reach from `skip` on, oldest first: also of instances that cannot be read.
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn names(&self, reach: &Reach, skip: u64, limit: u64) -> Result<Vec<String>, StoreError> {
        let mut query = Entity::find().select_only().column(Column::Name).order_by_asc(Column::Id);
        if let Some(names) = reach.names() {
            query = query.filter(Column::Name.is_in(names));
        }
        Ok(query.offset(skip).limit(limit).into_tuple().all(&self.database).await?)
    }
}
