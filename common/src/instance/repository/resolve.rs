//! Instances with every secret at hand, for whoever handles messages: also those that are kept
//! somewhere else.
//!
//! What is absent: the admin API's reads, which show a reference and need no value. Whoever acts for
//! an instance that they gave asks [`Instances::resolve`].

use std::time::Duration;

use futures_util::future::join_all;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};

use super::{Column, Entity, Instances, StoreError};
use crate::instance::{Instance, Lookup};

impl Instances {
    /// The same instance with the values of its secrets, none older than `max_age` where that is given.
    ///
    /// # Errors
    /// [`StoreError::Unresolved`] when one cannot be had and is not remembered either.
    pub async fn resolve(&self, mut instance: Instance, max_age: Option<Duration>) -> Result<Instance, StoreError> {
        let name = instance.name.to_string();
        for secret in instance.secrets_mut() {
            let resolved = self.secrets.resolve(secret, max_age).await;
            *secret = resolved.map_err(|source| StoreError::Unresolved { name: name.clone(), source })?;
        }
        Ok(instance)
    }

    /// All that the lookup names, oldest first: at most one, but for
    /// [`Lookup::WhatsappInstance`].
    ///
    /// # Errors
    /// A failure of the database, or a row that cannot be read.
    pub async fn find(&self, lookup: &Lookup) -> Result<Vec<Instance>, StoreError> {
        let rows = Entity::find().filter(lookup.condition()).order_by_asc(Column::Id).all(&self.database).await?;
        rows.into_iter().map(|row| self.read(row)).collect()
    }

    /// Those of these row ids that are there and can be read, with their secrets.
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn by_ids(&self, ids: &[i64]) -> Result<Vec<Instance>, StoreError> {
        let rows = Entity::find().filter(Column::Id.is_in(ids.iter().copied())).all(&self.database).await?;
        // One that cannot be read is logged when somebody asks for it.
        let readable = rows.into_iter().filter_map(|row| self.read(row).ok());
        let resolved = join_all(readable.map(|instance| self.resolve(instance, None))).await;
        Ok(resolved.into_iter().filter_map(Result::ok).collect())
    }
}
