//! Encrypting everything anew with the ring's first key.
//!
//! Where it stands is in the texts themselves: each names its key. So it may be cut anywhere and
//! begun again, and two at once do each row once. A page of rows is one transaction that no other
//! writer of the table is beside, and after each the others get as much time as it took.

use std::time::{Duration, Instant};

use sea_orm::DbErr;
use serde_json::json;

use super::{PAGE, SealedText, SealedValues, table::Table};
use crate::{
    audit::{self, Change},
    key::Actor,
    secret::{Place, SealError, key_id},
};

/// So many that cannot be encrypted anew are named; all are counted.
const NAMED: usize = 100;

/// A secret that cannot be encrypted anew, since it does not open.
#[derive(Debug)]
pub struct Stuck {
    /// Where it stands.
    pub place: Place,
    /// Why it does not open.
    pub why: SealError,
}

/// What has come of a rotation.
#[derive(Debug, Default)]
pub struct Rotation {
    /// Secrets that were encrypted anew.
    pub rotated: u64,
    /// Secrets that could not be.
    pub stuck: u64,
    /// The first of those.
    pub named: Vec<Stuck>,
    /// Whether everything was looked at; if not, there was no time for it.
    pub finished: bool,
}

impl Rotation {
    /// The texts of a row that change.
    fn renew(&mut self, values: &SealedValues, row: &[SealedText]) -> Vec<SealedText> {
        let mut renewed = Vec::new();
        for SealedText { place, text } in row {
            match values.keyring.renew(*place, text) {
                Ok(Some(text)) => renewed.push(SealedText { place: *place, text }),
                Ok(None) => {}
                Err(why) => {
                    self.stuck += 1;
                    if self.named.len() < NAMED {
                        self.named.push(Stuck { place: *place, why });
                    }
                }
            }
        }
        renewed
    }
}

impl SealedValues {
    /// Encrypts everything anew that does not lie under the ring's first key, for about as long as
    /// it may take.
    ///
    /// # Errors
    /// A failure of the database; what was done before it stays done.
    pub async fn rotate(&self, by: &Actor, within: Duration) -> Result<Rotation, DbErr> {
        let (began, mut rotation) = (Instant::now(), Rotation::default());
        for table in Table::ALL {
            let mut after = 0;
            loop {
                let texts = table.page(&self.database, after, PAGE).await?;
                let Some(last) = texts.last() else { break };
                after = last.place.row;
                let due = self.due(&texts);
                if due.is_empty() {
                    continue;
                }
                // A call always gets on, however short its time.
                if rotation.rotated > 0 && began.elapsed() >= within {
                    return Ok(rotation);
                }
                let page_began = Instant::now();
                self.rotate_rows(table, &due, by, &mut rotation).await?;
                tokio::time::sleep(page_began.elapsed()).await;
            }
        }
        rotation.finished = true;
        Ok(rotation)
    }

    /// The rows that something is to be done to.
    fn due(&self, texts: &[SealedText]) -> Vec<i64> {
        let is_due = |text: &&SealedText| key_id(&text.text) != Ok(self.keyring.first_id());
        let mut rows: Vec<i64> = texts.iter().filter(is_due).map(|text| text.place.row).collect();
        rows.dedup();
        rows
    }

    /// A page, in one transaction with its line of the audit log.
    async fn rotate_rows(&self, table: Table, rows: &[i64], by: &Actor, rotation: &mut Rotation) -> Result<(), DbErr> {
        let transaction = table.begin_alone(&self.database).await?;
        let (mut changed_rows, mut values) = (0_u64, 0_u64);
        // As they are now that nobody changes them.
        let texts = table.of_rows(&transaction, rows).await?;
        for row in texts.chunk_by(|one, next| one.place.row == next.place.row) {
            let renewed = rotation.renew(self, row);
            if let Some(first) = renewed.first() {
                table.put(&transaction, first.place.row, &renewed).await?;
                (changed_rows, values) = (changed_rows + 1, values + renewed.len() as u64);
            }
        }
        if values > 0 {
            let after = json!({"key": self.first_key(), "table": table.name(), "rows": changed_rows, "values": values});
            let change = Change {
                action: "key.rotate",
                target: self.first_key(),
                instance: None,
                before: None,
                after: Some(after),
            };
            audit::record(&transaction, by, change).await?;
        }
        transaction.commit().await?;
        rotation.rotated += values;
        Ok(())
    }
}
