//! A page of the instances on one channel, or on any, and how many there are.

use sea_orm::{ColumnTrait, Condition, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{Column, Entity, Instances, StoreError};
use crate::{channel::ChannelType, instance::Instance, key::Reach};

impl Instances {
    /// A page of the instances within a reach that are on `channel`, oldest first; and how many there
    /// are on all pages.
    ///
    /// # Errors
    /// A failure of the database, or a row that cannot be read.
    pub async fn page(
        &self,
        reach: &Reach,
        channel: Option<ChannelType>,
        skip: u64,
        limit: u64,
    ) -> Result<(Vec<Instance>, u64), StoreError> {
        let wanted = Condition::all()
            .add_option(reach.names().map(|names| Column::Name.is_in(names)))
            .add_option(channel.map(|channel| Column::ChannelType.eq(channel.as_str())));
        let all = Entity::find().filter(wanted);
        let total = all.clone().count(&self.database).await?;
        let page = all.order_by_asc(Column::Id).offset(skip).limit(limit).all(&self.database).await?;
        let page: Result<Vec<Instance>, StoreError> = page.into_iter().map(|row| self.read(row)).collect();
        Ok((page?, total))
    }
}
