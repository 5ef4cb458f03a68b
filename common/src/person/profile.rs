//! What the agent is told of a person beside what the channel says.

use std::{sync::Arc, time::Instant};

use moka::future::Cache;
use sea_orm::{DatabaseConnection, DbErr};
use serde_json::{Map, Value};

use super::People;
use crate::instance::{Directory, Instance, Unavailable};

/// How many people are remembered.
const CAPACITY: u64 = 100_000;

/// What an operator has told of a person.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// The address.
    pub email: Option<String>,
    /// Whatever else, in the operator's own words.
    pub user_data: Map<String, Value>,
}

impl Profile {
    pub(super) fn new(email: Option<String>, user_data: Option<Value>) -> Self {
        let user_data = match user_data {
            Some(Value::Object(data)) => data,
            _ => Map::new(),
        };
        Self { email, user_data }
    }
}

/// Whose profile it is: of an instance, by its row id, the person with this phone; without a phone
/// whether anybody of the instance has one.
type Whose = (i64, Option<String>);

/// What was read, when, and under which number of the directory's trust.
#[derive(Clone, Debug)]
struct Remembered {
    profile: Option<Arc<Profile>>,
    at: Instant,
    stamp: u64,
}

/// The profiles, as those who ask agents see them.
///
/// Most instances have none, which is known of each of them: then nothing is read for a message.
/// The memory holds as long as the [`Directory`]'s. While the database is down what was last read
/// is told, and of somebody who was not read before nothing: a question that lacks an address is
/// better than none.
#[derive(Debug)]
pub struct Profiles {
    directory: Arc<Directory>,
    people: People,
    remembered: Cache<Whose, Remembered>,
}

impl Profiles {
    /// Over the table; the directory tells of changes.
    #[must_use]
    pub fn new(database: DatabaseConnection, directory: Arc<Directory>) -> Self {
        let remembered = Cache::builder().max_capacity(CAPACITY).build();
        Self { directory, people: People::new(database), remembered }
    }

    /// What the agent is to know of somebody.
    pub async fn of(&self, instance: &Instance, phone: &str) -> Option<Arc<Profile>> {
        let name = instance.name.as_str();
        let any = async { Ok(self.people.has_profiles(name).await?.then(Profile::default)) };
        self.ask((instance.id, None), any).await?;
        self.ask((instance.id, Some(phone.to_owned())), self.people.profile(name, phone)).await
    }

    async fn ask(
        &self,
        whose: Whose,
        read: impl Future<Output = Result<Option<Profile>, DbErr>>,
    ) -> Option<Arc<Profile>> {
        let remembered = self.remembered.get(&whose).await;
        if let Some(remembered) = &remembered
            && remembered.at.elapsed() < self.directory.good_for(whose.0, remembered.stamp, false)
        {
            return remembered.profile.clone();
        }
        let (stamp, at) = (self.directory.stamp(), Instant::now());
        let read: Result<Option<Profile>, Unavailable> = self.directory.ask(read).await;
        match read {
            Ok(profile) => {
                let profile = profile.map(Arc::new);
                let now = Remembered { profile: profile.clone(), at, stamp };
                self.remembered.insert(whose, now).await;
                profile
            }
            Err(_) => remembered.and_then(|remembered| remembered.profile),
        }
    }
}
