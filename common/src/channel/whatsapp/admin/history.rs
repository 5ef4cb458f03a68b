//! The messages that an account has kept, for who has missed some.
//!
//! Source: `POST /chat/findMessages` of Evolution API 2.3.6: `where.messageTimestamp` with `gte` and
//! `lte`, `page` from 1, `offset` = rows of a page; the answer is newest first, under
//! `messages.records`, with the number of `messages.pages`. Versions that know no such filter page
//! through everything that was ever kept.

use chrono::{DateTime, SecondsFormat, Utc};
use reqwest::Method;
use serde_json::{Value, json};

use super::{AdminError, EvolutionAdmin, MAX_LIST, PATIENT};
use crate::channel::whatsapp::webhook::Part;

/// Rows of a page.
const PAGE: usize = 50;

/// A stretch of time, both ends in it.
#[derive(Clone, Copy, Debug)]
pub struct Stretch {
    /// Its begin; counted in whole seconds, as the channel does.
    pub since: DateTime<Utc>,
    /// Its end.
    pub until: DateTime<Utc>,
}

impl Stretch {
    /// Whether a message was sent in it; one without a time was not.
    fn has(&self, part: &Part) -> bool {
        let (since, until) = (self.since.timestamp() * 1000, self.until.timestamp_millis());
        part.provider_at_ms.is_some_and(|at| (since..=until).contains(&at))
    }
}

impl EvolutionAdmin {
    /// How many pages hold what was sent in a stretch: the last of them holds the oldest. None = 0.
    ///
    /// # Errors
    /// Why Evolution did not tell.
    pub async fn pages_of(&self, stretch: Stretch) -> Result<u64, AdminError> {
        let (first, pages) = self.page(stretch, 1).await?;
        if !first.iter().any(|part| stretch.has(part)) {
            return Ok(0);
        }
        // Where the filter is known the last page is the answer; else it lies between.
        let (mut has, mut beyond) = (1, pages.max(1) + 1);
        let mut looked_at = pages;
        while has + 1 < beyond {
            let (found, _) = self.page(stretch, looked_at).await?;
            if found.iter().any(|part| stretch.has(part)) {
                has = looked_at;
            } else {
                beyond = looked_at;
            }
            looked_at = has.midpoint(beyond);
        }
        Ok(has)
    }

    /// What others wrote to the account, of a page of a stretch, in the order in which it was sent.
    ///
    /// # Errors
    /// Why Evolution did not tell.
    pub async fn received(&self, stretch: Stretch, page: u64) -> Result<Vec<Part>, AdminError> {
        let (mut parts, _) = self.page(stretch, page).await?;
        parts.retain(|part| !part.from_me && stretch.has(part));
        // Seconds are all that is told; within one the newest comes first.
        parts.reverse();
        parts.sort_by_key(|part| part.provider_at_ms);
        Ok(parts)
    }

    async fn page(&self, stretch: Stretch, page: u64) -> Result<(Vec<Part>, u64), AdminError> {
        let at = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Millis, true);
        let body = json!({
            "where": {"messageTimestamp": {"gte": at(stretch.since), "lte": at(stretch.until)}},
            "page": page,
            "offset": PAGE,
        });
        let request = self.on(Method::POST, ["chat", "findMessages"]).json(&body);
        let mut told = self.ask(request, PATIENT, MAX_LIST).await?;
        let pages = told["messages"]["pages"].as_u64().unwrap_or(1);
        // Older versions answer with the rows alone.
        let records = if told.is_array() { told.take() } else { told["messages"]["records"].take() };
        let Value::Array(records) = records else { return Err(AdminError::Unreadable) };
        Ok((records.into_iter().filter_map(Part::kept).collect(), pages))
    }
}
