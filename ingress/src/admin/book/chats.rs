//! `/api/v1/instances/{name}/chats`: the conversations that an account has, with the bot or without it.

use std::{cmp::Reverse, ops::ControlFlow};

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use omnihub_common::channel::whatsapp::{admin::Chat, recipient::is_group};
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
const READING: &str = "Reading the chats";
/// What a chat may be; there are threads elsewhere.
pub(super) const TYPES: [&str; 4] = ["direct", "group", "channel", "thread"];

/// A chat, in the older system's form.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Chat)]
pub(super) struct ChatAnswer {
    id: String,
    name: String,
    chat_type: &'static str,
    channel_type: &'static str,
    instance_name: String,
    participant_count: Option<u64>,
    is_muted: bool,
    is_archived: bool,
    is_pinned: bool,
    description: Option<String>,
    avatar_url: Option<String>,
    unread_count: u64,
    channel_data: ChannelData,
    created_at: Option<DateTime<Utc>>,
    last_message_at: Option<DateTime<Utc>>,
}

/// What WhatsApp has beside it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChatChannelData)]
struct ChannelData {
    /// The id, where it is a group.
    group_id: Option<String>,
    /// Evolution's row, with the last message; none where it is large.
    #[schema(value_type = Option<Object>)]
    raw_data: Option<Box<RawValue>>,
}

impl ChatAnswer {
    fn new(chat: Chat, instance: &str) -> Self {
        let name = chat.name.or(chat.push_name);
        Self {
            name: name.unwrap_or_else(|| "Unknown".to_owned()),
            chat_type: chat_type(&chat.id),
            channel_type: "whatsapp",
            instance_name: instance.to_owned(),
            participant_count: chat.participants,
            is_muted: chat.is_muted,
            is_archived: chat.is_archived,
            is_pinned: chat.is_pinned,
            description: chat.description,
            avatar_url: chat.picture,
            unread_count: chat.unread,
            channel_data: ChannelData { group_id: is_group(&chat.id).then(|| chat.id.clone()), raw_data: chat.raw },
            created_at: chat.created_at,
            last_message_at: chat.last_message_at,
            id: chat.id,
        }
    }
}

impl Listed for Chat {
    fn rank(&self) -> Rank {
        (Reverse(self.last_message_at), String::new(), self.id.clone())
    }

    fn size(&self) -> usize {
        let texts = [&self.name, &self.push_name, &self.picture, &self.description];
        let texts: usize = texts.into_iter().flatten().map(String::len).sum();
        texts + self.id.len() + self.raw.as_ref().map_or(0, |raw| raw.get().len())
    }
}

/// The older system's word.
fn chat_type(id: &str) -> &'static str {
    match id.rsplit_once('@') {
        Some((_, "g.us")) => "group",
        Some((_, "broadcast" | "newsletter")) => "channel",
        _ => "direct",
    }
}

/// A page of chats.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChatsPage {
    chats: Vec<ChatAnswer>,
    #[serde(flatten)]
    answered: Answered,
}

/// What a list of chats is narrowed to.
#[derive(Debug)]
struct Filter {
    chat_type: Option<&'static str>,
    archived: Option<bool>,
    unread: Option<bool>,
    search: Option<Search>,
}

impl Filter {
    fn read(query: &mut Query) -> Self {
        Self {
            chat_type: query.one_of("chat_type_filter", &TYPES),
            archived: query.flag("archived"),
            unread: query.flag("unread"),
            search: query.text("search_query").map(|text| Search::new(&text)),
        }
    }

    fn takes(&self, chat: &Chat) -> bool {
        self.chat_type.is_none_or(|wanted| wanted == chat_type(&chat.id))
            && self.archived.is_none_or(|wanted| wanted == chat.is_archived)
            && self.unread.is_none_or(|wanted| wanted == (chat.unread > 0))
            && self.search.as_ref().is_none_or(|search| search.finds([&chat.name, &chat.push_name], &chat.id))
    }
}

/// `GET .../chats`: the latest first, narrowed by `chat_type_filter`, `archived`, `unread`,
/// `search_query` and `channel_type`.
pub(super) async fn list(
    access: Allowed<CanRead>,
    State(state): State<AppState>,
    Path(name): Path<String>,
    Pairs(pairs): Pairs,
) -> Result<Json<ChatsPage>, Problem> {
    access.sees(&name)?;
    let mut query = Query::of(pairs);
    let (paging, filter) = (query.paging(), Filter::read(&mut query));
    query.finish()?;
    let instance = reached::at_hand(&state, &name).await?;
    let listing = Listing::new(&instance, paging);
    if listing.is_elsewhere() {
        return Ok(Json(ChatsPage { chats: Vec::new(), answered: listing.of_nothing("chats") }));
    }
    let account = reached::account(&state, &instance)?;
    let mut page = listing.page(&state);
    let told = account.chats(None, |chat| page.offer(chat, |chat| filter.takes(chat))).await;
    let (rows, answered) = listing.end(READING, told, page.fill())?;
    let chats = rows.into_iter().map(|chat| ChatAnswer::new(chat, &name)).collect();
    Ok(Json(ChatsPage { chats, answered }))
}

/// `GET .../chats/{chat}`: by JID, or by phone number.
pub(super) async fn show(
    access: Allowed<CanRead>,
    State(state): State<AppState>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Json<ChatAnswer>, Problem> {
    access.sees(&name)?;
    let instance = reached::at_hand(&state, &name).await?;
    let account = reached::account(&state, &instance)?;
    let nothing = || super::not_found("Chat", "chat_not_found", &id, &name);
    let sought = Sought::read(&id).ok_or_else(nothing)?;
    let mut found = None;
    let told = account.chats(Some(sought.asked_for()), |chat| {
        found = chat.filter(|chat| sought.is(&chat.id));
        if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    told.await.map_err(reached::not_told(READING))?;
    found.map(|chat| Json(ChatAnswer::new(chat, &name))).ok_or_else(nothing)
}
