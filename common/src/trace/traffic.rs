//! How much an instance is used to, and when something came last.

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ColumnTrait, Condition, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{Traces, entity::message_trace};

/// Days that make a habit.
const DAYS: i64 = 7;
/// Messages that should have come, over all days together, before their absence says something: by
/// chance nothing comes where five are usual once in 150 times.
const ENOUGH: f64 = 5.0;

/// What came at the same hours of the last days.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Habit {
    /// Messages in all those hours together.
    pub messages: u64,
    /// The days that were counted: fewer of a young instance.
    pub days: u32,
}

impl Habit {
    /// Whether it says something that nothing came in these hours.
    #[must_use]
    pub fn makes_silence_strange(self) -> bool {
        self.days > 0 && self.messages as f64 / f64::from(self.days) >= ENOUGH
    }
}

impl Traces {
    /// When the last message of an instance came in.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn last_received(&self, instance: &str) -> Result<Option<DateTime<Utc>>, DbErr> {
        let query = message_trace::Entity::find().select_only().column(message_trace::Column::ReceivedAt);
        let query = query.filter(message_trace::Column::InstanceName.eq(instance));
        query.order_by_desc(message_trace::Column::ReceivedAt).limit(1).into_tuple().one(&self.database).await
    }

    /// What came between two times on each of the seven days before, as far as the instance was there.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn habit(
        &self,
        instance: &str,
        between: (DateTime<Utc>, DateTime<Utc>),
        there_since: DateTime<Utc>,
    ) -> Result<Habit, DbErr> {
        let (mut hours, mut days) = (Condition::any(), 0);
        for day in (1..=DAYS).map(TimeDelta::days).take_while(|day| between.0 - *day >= there_since) {
            hours = hours.add(message_trace::Column::ReceivedAt.between(between.0 - day, between.1 - day));
            days += 1;
        }
        if days == 0 {
            return Ok(Habit { messages: 0, days });
        }
        let query =
            message_trace::Entity::find().filter(message_trace::Column::InstanceName.eq(instance)).filter(hours);
        Ok(Habit { messages: query.count(&self.database).await?, days })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_habit_makes_a_silence_strange() {
        let strange = |messages, days| Habit { messages, days }.makes_silence_strange();
        assert!(strange(35, 7) && strange(5, 1));
        assert!(!strange(34, 7) && !strange(0, 7) && !strange(0, 0));
    }
}
