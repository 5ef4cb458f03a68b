//! How much is encrypted with which key.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::DbErr;

use super::{PAGE, SealedText, SealedValues, table::Table};
use crate::secret::key_id;

/// What lies under one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyCount {
    /// Whether this process has the key.
    pub in_ring: bool,
    /// How many rows have something under it.
    pub rows: u64,
    /// How many secrets.
    pub values: u64,
}

/// What lies under each key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// By key id.
    pub keys: BTreeMap<String, KeyCount>,
    /// Texts that stand in the place of a secret and are none.
    pub malformed: u64,
}

impl Survey {
    /// How many secrets lie under other keys than this one.
    #[must_use]
    pub fn beside(&self, first: &str) -> u64 {
        self.keys.iter().filter(|(id, _)| *id != first).map(|(_, count)| count.values).sum()
    }

    /// Counts a row.
    fn add(&mut self, texts: &[SealedText]) {
        let mut ids = BTreeSet::new();
        for text in texts {
            let Ok(id) = key_id(&text.text) else {
                self.malformed += 1;
                continue;
            };
            self.keys.entry(id.to_owned()).or_default().values += 1;
            ids.insert(id);
        }
        for id in ids {
            self.keys.entry(id.to_owned()).or_default().rows += 1;
        }
    }
}

impl SealedValues {
    /// The id of the key that encrypts.
    #[must_use]
    pub fn first_key(&self) -> &str {
        self.keyring.first_id()
    }

    /// Counts everything, without opening anything.
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn survey(&self) -> Result<Survey, DbErr> {
        let mut survey = Survey::default();
        for table in Table::ALL {
            let mut after = 0;
            loop {
                // Nothing is locked here: a page may be large.
                let texts = table.page(&self.database, after, PAGE * 10).await?;
                let Some(last) = texts.last() else { break };
                after = last.place.row;
                texts.chunk_by(|one, next| one.place.row == next.place.row).for_each(|row| survey.add(row));
            }
        }
        for (id, count) in &mut survey.keys {
            count.in_ring = self.keyring.has(id);
        }
        Ok(survey)
    }
}
