//! The address book of instances: `/api/v1/instances/{name}/contacts` and `/chats`, and the overview
//! of all channels, `/api/v1/channels`.
//!
//! `contacts` and `chats` ask the channel each time and keep nothing; `asked` reads a query, `search`
//! knows who is meant, `page` picks a page out of a list of any length, `documented` is what the document says, `overview` how the
//! instances are connected. A channel that cannot tell yet says so in `partial_errors`.

mod asked;
mod chats;
mod contacts;
mod documented;
mod overview;
mod page;
mod search;
#[cfg(test)]
mod tests;

use axum::http::StatusCode;
use omnihub_common::{
    channel::{ChannelType, whatsapp::admin::AdminError},
    instance::Instance,
};
use serde::Serialize;
use utoipa::ToSchema;

use self::{
    asked::Paging,
    page::{Filled, Listed, Page},
};
use super::{
    door::{Routes, get},
    instances::reached,
};
use crate::{problem::Problem, state::AppState};

/// Seconds after which there may be room in memory.
const RETRY_AFTER: u64 = 5;

/// The routes, with their whole path.
pub fn routes() -> Routes {
    Routes::new()
        .route("/api/v1/channels", get(overview::list).doc(documented::overview()))
        .route("/api/v1/instances/{name}/contacts", get(contacts::list).doc(documented::contacts()))
        .route("/api/v1/instances/{name}/contacts/{contact}", get(contacts::show).doc(documented::contact()))
        .route("/api/v1/instances/{name}/chats", get(chats::list).doc(documented::chats()))
        .route("/api/v1/instances/{name}/chats/{chat}", get(chats::show).doc(documented::chat()))
}

/// What is missing in an answer, in the older system's form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
struct PartialError {
    instance_name: String,
    channel_type: &'static str,
    error_code: &'static str,
    message: String,
}

/// What a page says beside its rows.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PageOfOneInstance)]
struct Answered {
    /// Rows that the filters leave, on this page or not.
    total_count: u64,
    page: u64,
    page_size: u64,
    has_more: bool,
    instance_name: String,
    /// The channel that was asked for, else the instance's.
    channel_type: &'static str,
    partial_errors: Vec<PartialError>,
}

/// A page of a list of one instance, being answered.
#[derive(Debug)]
struct Listing<'a> {
    instance: &'a Instance,
    paging: Paging,
}

impl<'a> Listing<'a> {
    fn new(instance: &'a Instance, paging: Paging) -> Self {
        Self { instance, paging }
    }

    /// Whether the instance has nothing to list: it is on another channel than the one that is asked
    /// for, or on one that cannot tell.
    fn is_elsewhere(&self) -> bool {
        self.paging.channel.is_some_and(|wanted| wanted != self.channel()) || self.channel() != ChannelType::Whatsapp
    }

    /// The answer of such an instance.
    fn of_nothing(&self, what: &str) -> Answered {
        let (name, channel) = (&self.instance.name, self.channel().as_str());
        let error = match self.paging.channel {
            Some(wanted) if wanted != self.channel() => {
                let message = format!("Instance {name} is {channel}, not {}", wanted.as_str());
                self.missing("channel_type_mismatch", message)
            }
            _ => self.missing("channel_cannot_list", format!("The {what} of {channel} cannot be listed yet")),
        };
        self.answered(0, vec![error])
    }

    fn page<T: Listed>(&self, state: &AppState) -> Page<T> {
        Page::new(self.paging.skip(), self.paging.page_size, state.evolution.lists().clone())
    }

    /// The rows of the page, and what is said beside them.
    fn end<T>(
        &self,
        step: &'static str,
        told: Result<(), AdminError>,
        filled: Filled<T>,
    ) -> Result<(Vec<T>, Answered), Problem> {
        if filled.is_full {
            let detail = "The hub reads many long lists at this moment. Try again, or narrow the list.";
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_lists", detail);
            return Err(problem.retry_after(RETRY_AFTER));
        }
        told.map_err(reached::not_told(step))?;
        let missing = (filled.unreadable > 0).then(|| {
            let message = format!("{} rows of Evolution's answer cannot be read", filled.unreadable);
            self.missing("rows_unreadable", message)
        });
        Ok((filled.rows, self.answered(filled.total, missing.into_iter().collect())))
    }

    fn channel(&self) -> ChannelType {
        self.instance.channel_type()
    }

    fn missing(&self, error_code: &'static str, message: String) -> PartialError {
        let instance_name = self.instance.name.to_string();
        PartialError { instance_name, channel_type: self.channel().as_str(), error_code, message }
    }

    fn answered(&self, total_count: u64, partial_errors: Vec<PartialError>) -> Answered {
        let Paging { page, page_size, channel } = self.paging;
        Answered {
            total_count,
            page,
            page_size,
            has_more: page * page_size < total_count,
            instance_name: self.instance.name.to_string(),
            channel_type: channel.unwrap_or_else(|| self.channel()).as_str(),
            partial_errors,
        }
    }
}

/// The answer about one that the account does not know.
fn not_found(what: &str, code: &'static str, id: &str, instance: &str) -> Problem {
    let detail = format!("{what} '{id}' not found in instance '{instance}'");
    Problem::new(StatusCode::NOT_FOUND, code, detail)
}
