//! `POST /api/v1/instance/{name}/fetch-profile` and `/update-profile-picture`: what an account sees of
//! a person, and what people see of it.
//!
//! Both ask Evolution at once and wait for it: neither is a message, so no conversation orders them. The
//! address of a picture is fetched by Evolution, never from here.

use axum::{Json, extract::State};
use omnihub_common::{
    audit::{self, Change},
    channel::{
        File,
        whatsapp::{admin::Profile, outbound, recipient::is_group},
    },
    instance::Instance,
    key::Actor,
};
use serde::Serialize;
use serde_json::{Value, json};
use url::Url;
use utoipa::ToSchema;

use super::{
    access::{Allowed, CanRead, CanSend},
    body::Body,
    door::{Routes, post},
    fields::Fields,
    instances::reached,
    openapi::{
        Doc,
        field::{Field, Kind, field, text},
        says,
    },
    path::Path,
    send,
};
use crate::{problem::Problem, state::AppState};

/// Bytes of a body: a large photo in base64.
const LARGEST_BODY: usize = 8 * 1024 * 1024;

/// The routes, with their whole path.
pub fn routes() -> Routes {
    Routes::new()
        .route("/api/v1/instance/{name}/fetch-profile", post(fetch).doc(fetching()))
        .route("/api/v1/instance/{name}/update-profile-picture", post(set_picture).doc(setting()))
        .with_bodies_up_to(LARGEST_BODY)
}

/// Who is meant.
const PERSON: [Field; 4] = [
    text("phone_number", "A phone number; one of the four is needed."),
    text("phone", "The same."),
    text("to", "The same, or a person's id at the channel."),
    field("user_id", Kind::Such(user_id), "A person of the instance, by their id, where nobody is named otherwise."),
];
/// The account's picture; the last two are the older system's, and mean nothing.
const PICTURE: [Field; 4] = [
    text("picture_url", "Where the picture is: Evolution fetches it. This or `picture_base64` is needed."),
    text("picture_base64", "The picture."),
    field("phone_number", Kind::Such(|| json!({})), "Nothing: the picture is the account's own."),
    field("user_id", Kind::Such(|| json!({})), "Nothing either."),
];

fn user_id() -> Value {
    json!({"type": ["integer", "string", "null"]})
}

fn fetching() -> Doc {
    asked(says("What WhatsApp tells of a person").body(&PERSON, json!({"phone_number": "+5511987654321"})))
        .answers::<Fetched>()
        .problem(422, "Fields are wrong, or the number is not on WhatsApp; `code` says which.")
}

fn setting() -> Doc {
    let example = json!({"picture_url": "https://example.com/logo.png"});
    asked(says("Give an instance's account another picture").body(&PICTURE, example)).answers::<Changed>()
}

/// What a route adds that asks Evolution.
fn asked(doc: Doc) -> Doc {
    doc.problem(400, "The body cannot be read, or the channel has no such thing.")
        .problem(409, "Evolution has no such account.")
        .problem(502, "Evolution did not do its part.")
}

/// A profile, in the older system's form.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FetchedProfile)]
struct Fetched {
    success: bool,
    profile: Profile,
}

/// `POST .../fetch-profile`: of whom `user_id`, `phone_number` or `to` names.
async fn fetch(
    access: Allowed<CanRead>,
    State(state): State<AppState>,
    Path(name): Path<String>,
    body: Body,
) -> Result<Json<Fetched>, Problem> {
    access.sees(&name)?;
    let instance = reached::at_hand(&state, &name).await?;
    let account = reached::account(&state, &instance)?;
    let mut fields = Fields::read(body)?;
    let person = match send::user_id(&mut fields) {
        Some(id) => Some(send::phone_of_user(&state, &name, id).await?),
        None => None,
    };
    let chat = send::recipient(&mut fields, person.as_deref());
    if is_group(&chat) {
        fields.wrong::<()>("phone_number", "must be the number or the id of a person, not of a group");
    }
    fields.finish()?;
    let told = account.profile(&outbound::recipient(&chat, None)).await;
    let profile = told.map_err(reached::not_told("Reading the profile"))?;
    Ok(Json(Fetched { success: true, profile }))
}

/// The answer to a change, in the older system's form.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChangedPicture)]
struct Changed {
    success: bool,
    message_id: Option<String>,
    status: &'static str,
    evolution_response: Value,
    error: Option<String>,
}

/// `POST .../update-profile-picture`: of the account itself, by `picture_url` or `picture_base64`.
async fn set_picture(
    access: Allowed<CanSend>,
    State(state): State<AppState>,
    Path(name): Path<String>,
    body: Body,
) -> Result<Json<Changed>, Problem> {
    access.sees(&name)?;
    let instance = reached::at_hand(&state, &name).await?;
    let account = reached::account(&state, &instance)?;
    let mut fields = Fields::read(body)?;
    // The older system wanted one of these, and made no use of it.
    for unused in ["user_id", "phone_number"] {
        fields.has(unused);
    }
    let (picture, _) = send::file(&mut fields, "picture_url", "picture_base64");
    fields.finish()?;
    let actor = access.actor().clone();
    reached::to_its_end(async move {
        let done = account.set_picture(&picture).await;
        if done.as_ref().err().is_none_or(|error| error.may_have_done()) {
            note(&state, &actor, &instance, &picture, done.is_ok()).await?;
        }
        done.map_err(reached::not_done("Changing the picture"))?;
        let evolution_response = json!({"update": "success"});
        Ok(Json(Changed { success: true, message_id: None, status: "updated", evolution_response, error: None }))
    })
    .await
}

/// A line of the audit log, also for a change that was perhaps not made.
async fn note(
    state: &AppState,
    actor: &Actor,
    instance: &Instance,
    picture: &File,
    is_sure: bool,
) -> Result<(), Problem> {
    let shown = match picture {
        File::Url(address) => json!({"picture_url": without_query(address), "sure": is_sure}),
        File::Base64(file) => json!({"picture_base64_bytes": file.len(), "sure": is_sure}),
    };
    let name = instance.name.as_str();
    let instance = Some((instance.id, name));
    let change = Change { action: "instance.set_picture", target: name, instance, before: None, after: Some(shown) };
    let noted = audit::record(&state.database, actor, change).await;
    noted.map_err(|error| reached::unlisted(error.into()))
}

/// An address without what may be a secret in it.
fn without_query(address: &str) -> Option<String> {
    let mut url = Url::parse(address).ok()?;
    url.set_query(None);
    url.set_fragment(None);
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    Some(url.into())
}

#[cfg(test)]
mod tests;
