//! Keys that rows need and this process does not have: it must not begin.
//!
//! It would serve some tenants and hold the messages of the others for a reason that nobody looks
//! for, and what it writes could be unreadable to the process that has the right keys.

use std::collections::BTreeSet;

use sea_orm::DbErr;

use super::{SealedValues, Survey};
use crate::config::Settings;

/// The setting: ids of keys that are lost for good, `id[,...]`. What lies under them counts as lost, and
/// the hub begins without it, so that those instances can be deleted or given new secrets.
const LOST: &str = "OMNIHUB_LOST_KEYS";

/// Rows need keys that the ring does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the ring lacks keys that encrypted rows need: {}. Add them to OMNIHUB_ENCRYPTION_KEYS (or the file of keys) \
     behind the first one; for a key that is lost for good, name its id in {LOST}, and its instances can be deleted or \
     given new secrets",
    .0.iter().map(|(id, rows)| format!("`{id}` ({rows} rows)")).collect::<Vec<_>>().join(", ")
)]
pub struct MissingKeys(pub Vec<(String, u64)>);

impl MissingKeys {
    /// Those of a survey; `None` when nothing is missing but what is known to be lost.
    fn of(survey: &Survey, lost: &BTreeSet<String>) -> Option<Self> {
        let missing = survey.keys.iter().filter(|(id, count)| !count.in_ring && !lost.contains(*id));
        let missing: Vec<(String, u64)> = missing.map(|(id, count)| (id.clone(), count.rows)).collect();
        (!missing.is_empty()).then_some(Self(missing))
    }
}

impl SealedValues {
    /// The keys that this process would miss.
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn missing_keys(&self, settings: &dyn Settings) -> Result<Option<MissingKeys>, DbErr> {
        let lost = settings.get(LOST).unwrap_or_default();
        let lost = lost.split(',').map(|id| id.trim().to_owned()).collect();
        Ok(MissingKeys::of(&self.survey().await?, &lost))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::KeyCount, *};

    #[test]
    fn what_is_missing_is_named_with_its_rows_and_what_is_lost_is_not() {
        let count = |in_ring, rows| KeyCount { in_ring, rows, values: rows * 2 };
        let keys = [("a", count(true, 1)), ("b", count(false, 7)), ("c", count(false, 1))];
        let keys = keys.map(|(id, count)| (id.to_owned(), count)).into();
        let survey = Survey { keys, malformed: 3 };
        let missing = MissingKeys::of(&survey, &BTreeSet::new()).unwrap();
        assert_eq!(missing.0, [("b".to_owned(), 7), ("c".to_owned(), 1)]);
        let text = missing.to_string();
        assert!(text.contains("`b` (7 rows), `c` (1 rows)") && text.contains("OMNIHUB_LOST_KEYS"), "{text}");
        let lost = BTreeSet::from(["b".to_owned(), "c".to_owned()]);
        assert_eq!(MissingKeys::of(&survey, &lost), None);
    }
}
