//! `/api/v1/instances/{name}/contacts`: the people and groups that an account knows.

use std::{cmp::Reverse, ops::ControlFlow};

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use omnihub_common::channel::whatsapp::{admin::Contact, recipient};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    Answered, Listing,
    asked::Query,
    page::{Listed, Rank},
    search::{Search, Sought},
};
use crate::{
    admin::{
        access::{Allowed, CanRead},
        instances::reached,
        path::Path,
        query::Pairs,
    },
    problem::Problem,
    state::AppState,
};

/// The step, where it does not work.
const READING: &str = "Reading the contacts";
/// How somebody may be there; of WhatsApp nothing is told.
pub(super) const STATUSES: [&str; 5] = ["online", "offline", "away", "dnd", UNKNOWN];
const UNKNOWN: &str = "unknown";

/// A contact, in the older system's form.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Contact)]
pub(super) struct ContactAnswer {
    id: String,
    name: String,
    channel_type: &'static str,
    instance_name: String,
    avatar_url: Option<String>,
    /// `unknown`: no channel tells it yet.
    status: &'static str,
    is_verified: Option<bool>,
    is_business: Option<bool>,
    channel_data: ChannelData,
    created_at: Option<DateTime<Utc>>,
    last_seen: Option<DateTime<Utc>>,
}

/// What WhatsApp has beside it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ContactChannelData)]
struct ChannelData {
    /// The digits of the number; none of a group, and of whom WhatsApp hides behind an id.
    phone_number: Option<String>,
    is_contact: bool,
    presence: Option<&'static str>,
    whatsapp_name: Option<String>,
    push_name: Option<String>,
    /// Evolution's row; none where it is large.
    #[schema(value_type = Option<Object>)]
    raw_data: Option<Box<RawValue>>,
}

impl ContactAnswer {
    fn new(contact: Contact, instance: &str) -> Self {
        let name = contact.push_name.clone().or_else(|| contact.name.clone());
        Self {
            name: name.unwrap_or_else(|| "Unknown".to_owned()),
            channel_type: "whatsapp",
            instance_name: instance.to_owned(),
            avatar_url: contact.picture,
            status: UNKNOWN,
            is_verified: None,
            is_business: None,
            channel_data: ChannelData {
                phone_number: recipient::phone_of(&contact.id).map(str::to_owned),
                is_contact: contact.is_saved,
                presence: None,
                whatsapp_name: contact.name,
                push_name: contact.push_name,
                raw_data: contact.raw,
            },
            created_at: contact.created_at,
            last_seen: None,
            id: contact.id,
        }
    }
}

impl Listed for Contact {
    fn rank(&self) -> Rank {
        let name = self.push_name.as_ref().or(self.name.as_ref()).map(|name| name.to_lowercase());
        (Reverse(None), name.unwrap_or_default(), self.id.clone())
    }

    fn size(&self) -> usize {
        let texts = [&self.name, &self.push_name, &self.picture];
        let texts: usize = texts.into_iter().flatten().map(String::len).sum();
        texts + self.id.len() + self.raw.as_ref().map_or(0, |raw| raw.get().len())
    }
}

/// A page of contacts.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ContactsPage {
    contacts: Vec<ContactAnswer>,
    #[serde(flatten)]
    answered: Answered,
}

/// `GET .../contacts`: by name, narrowed by `search_query`, `status_filter` and `channel_type`.
pub(super) async fn list(
    access: Allowed<CanRead>,
    State(state): State<AppState>,
    Path(name): Path<String>,
    Pairs(pairs): Pairs,
) -> Result<Json<ContactsPage>, Problem> {
    access.sees(&name)?;
    let mut query = Query::of(pairs);
    let paging = query.paging();
    let search = query.text("search_query").map(|text| Search::new(&text));
    let status = query.one_of("status_filter", &STATUSES);
    query.finish()?;
    let instance = reached::at_hand(&state, &name).await?;
    let listing = Listing::new(&instance, paging);
    if listing.is_elsewhere() {
        return Ok(Json(ContactsPage { contacts: Vec::new(), answered: listing.of_nothing("contacts") }));
    }
    let account = reached::account(&state, &instance)?;
    let wanted = |contact: &Contact| {
        status.is_none_or(|status| status == UNKNOWN)
            && search.as_ref().is_none_or(|search| search.finds([&contact.push_name, &contact.name], &contact.id))
    };
    let mut page = listing.page(&state);
    let told = account.contacts(None, |contact| page.offer(contact, wanted)).await;
    let (rows, answered) = listing.end(READING, told, page.fill())?;
    let contacts = rows.into_iter().map(|contact| ContactAnswer::new(contact, &name)).collect();
    Ok(Json(ContactsPage { contacts, answered }))
}

/// `GET .../contacts/{contact}`: by JID, or by phone number.
pub(super) async fn show(
    access: Allowed<CanRead>,
    State(state): State<AppState>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Json<ContactAnswer>, Problem> {
    access.sees(&name)?;
    let instance = reached::at_hand(&state, &name).await?;
    let account = reached::account(&state, &instance)?;
    let nobody = || super::not_found("Contact", "contact_not_found", &id, &name);
    let sought = Sought::read(&id).ok_or_else(nobody)?;
    let mut found = None;
    let told = account.contacts(Some(sought.asked_for()), |contact| {
        found = contact.filter(|contact| sought.is(&contact.id));
        if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    told.await.map_err(reached::not_told(READING))?;
    found.map(|contact| Json(ContactAnswer::new(contact, &name))).ok_or_else(nobody)
}
