//! The address book of an account on the fake, and what people see of it: `/chat/findContacts`,
//! `findChats`, `fetchProfile` and `updateProfilePicture` of 2.3.6.
//!
//! What a test puts in is answered as the real one stores it; [`Told`] answers what no real one would.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State as Shared};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures_util::stream;
use serde_json::{Map, Value, json};

use super::lifecycle::{Done, serve};
use super::lifecycle_wire::unknown;
use super::routes::{Refusal, authorize, note_unknown};
use super::{FakeEvolution, State, wire};
use crate::record::lock;

/// What an account knows.
#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    contacts: Vec<Value>,
    chats: Vec<Value>,
    /// What WhatsApp tells of somebody, by JID.
    profiles: Vec<(String, Value)>,
    /// The account's own picture, as it was given.
    picture: Option<String>,
}

/// An answer that is scripted to the letter, whatever was asked.
#[derive(Clone, Debug)]
pub enum Told {
    /// This text, with 200 and this content type.
    Text(&'static str, String),
    /// The beginning of a list, and then this row again and again, without end.
    Endless(String),
}

/// A row of `findContacts`.
#[must_use]
pub fn contact_row(jid: &str, push_name: Option<&str>) -> Value {
    let (is_group, is_saved) = (jid.ends_with("@g.us"), push_name.is_some());
    let kind = match (is_group, is_saved) {
        (true, _) => "group",
        (false, true) => "contact",
        (false, false) => "group_member",
    };
    json!({
        "id": "cmfake0000000000000000001",
        "remoteJid": jid,
        "pushName": push_name,
        "profilePicUrl": push_name.map(|_| format!("https://pps.whatsapp.net/v/{jid}.jpg")),
        "createdAt": "2026-11-21T10:00:00.000Z",
        "updatedAt": "2026-11-22T10:00:00.000Z",
        "instanceId": "20b548da-2cca-4941-bffd-8ae8c4db9b12",
        "isGroup": is_group,
        "isSaved": is_saved,
        "type": kind,
    })
}

/// A row of `findChats`, whose last message came at these seconds.
#[must_use]
pub fn chat_row(jid: &str, push_name: Option<&str>, seconds: u64, unread: u64) -> Value {
    json!({
        "id": "cmfake0000000000000000002",
        "remoteJid": jid,
        "pushName": push_name,
        "profilePicUrl": null,
        "updatedAt": "2020-01-01T00:00:00.000Z",
        "windowStart": "2026-11-21T10:00:00.000Z",
        "windowExpires": "2026-11-22T10:00:00.000Z",
        "windowActive": false,
        "lastMessage": {
            "id": "cmfake0000000000000000003",
            "key": {"id": "3EB0", "remoteJid": jid, "fromMe": false},
            "pushName": push_name,
            "messageType": "conversation",
            "message": {"conversation": "Olá"},
            "messageTimestamp": seconds,
        },
        "unreadCount": unread,
        "isSaved": push_name.is_some(),
    })
}

impl FakeEvolution {
    /// Gives an account these contacts.
    pub fn set_contacts(&self, name: &str, rows: Vec<Value>) {
        self.state.change(name, |known| known.account.book.contacts = rows);
    }

    /// Gives an account these chats.
    pub fn set_chats(&self, name: &str, rows: Vec<Value>) {
        self.state.change(name, |known| known.account.book.chats = rows);
    }

    /// Somebody whom an account finds on WhatsApp; nobody else is there.
    pub fn add_profile(&self, name: &str, jid: &str, profile: Value) {
        self.state.change(name, |known| known.account.book.profiles.push((jid.to_owned(), profile)));
    }

    /// The picture that an account was given, an address or base64.
    #[must_use]
    pub fn picture(&self, name: &str) -> Option<String> {
        self.state.read(name, |known| known.account.book.picture.clone()).flatten()
    }

    /// Every call of an operation is answered like this from now on; none = as it should be.
    pub fn tell(&self, operation: &'static str, told: Option<Told>) {
        let mut scripted = lock(&self.state.told);
        scripted.remove(operation);
        scripted.extend(told.map(|told| (operation, told)));
    }
}

impl State {
    /// How many contacts and chats an account has.
    pub(super) fn counts(book: &Book) -> Value {
        json!({ "Message": 0, "Contact": book.contacts.len(), "Chat": book.chats.len() })
    }
}

/// The routes.
pub(super) fn router() -> Router<Arc<State>> {
    Router::new()
        .route("/chat/findContacts/{instance}", post(find_contacts))
        .route("/chat/findChats/{instance}", post(find_chats))
        .route("/chat/fetchProfile/{instance}", post(fetch_profile))
        .route("/chat/updateProfilePicture/{instance}", post(set_picture))
}

type Call = (Shared<Arc<State>>, Path<String>, HeaderMap, Bytes);

async fn find_contacts(state: Shared<Arc<State>>, name: Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    find("findContacts", (state, name, headers, body), |book| book.contacts.clone())
}

async fn find_chats(state: Shared<Arc<State>>, name: Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    find("findChats", (state, name, headers, body), |book| book.chats.clone())
}

/// All rows, or those of one JID; a number becomes one as in `createJid.ts`.
fn find(operation: &'static str, call: Call, rows: impl FnOnce(&Book) -> Vec<Value>) -> Response {
    let (Shared(state), Path(name), headers, body) = call;
    if let Some(told) = lock(&state.told).get(operation).cloned() {
        return told.into_response();
    }
    serve(&state, operation, &name, (&headers, &body), |body| {
        authorize(&state, &name, &headers)?;
        note_unknown(&state, operation, &unknown(body, &["where"]));
        let only = wanted(&state, operation, body)?;
        let mut rows = state.read(&name, |known| rows(&known.account.book)).unwrap_or_default();
        rows.retain(|row| only.as_ref().is_none_or(|jid| row["remoteJid"] == *jid));
        Ok((StatusCode::OK, rows.into()))
    })
}

/// The JID that a filter names.
fn wanted(state: &State, operation: &str, body: &Map<String, Value>) -> Result<Option<String>, Refusal> {
    let Some(filter) = body.get("where").and_then(Value::as_object) else { return Ok(None) };
    note_unknown(state, operation, &unknown(filter, &["remoteJid"]));
    match filter.get("remoteJid").and_then(Value::as_str) {
        Some("") => {
            let message = json!([["The \"remoteJid\" cannot be empty"]]);
            Err((StatusCode::BAD_REQUEST, wire::bad_request(message)))
        }
        given => Ok(given.map(wire::jid)),
    }
}

async fn fetch_profile(
    Shared(state): Shared<Arc<State>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    serve(&state, "fetchProfile", &name, (&headers, &body), |body| {
        authorize(&state, &name, &headers)?;
        note_unknown(&state, "fetchProfile", &unknown(body, &["number"]));
        let number = wire::required(body, "number").map_err(|body| (StatusCode::BAD_REQUEST, body))?;
        connected(&state, &name, "Cannot read properties of undefined (reading 'onWhatsApp')")?;
        let jid = wire::jid(&number);
        let profiles = state.read(&name, |known| known.account.book.profiles.clone()).unwrap_or_default();
        match profiles.into_iter().find(|(known, _)| *known == jid) {
            Some((_, profile)) => Ok((StatusCode::OK, profile)),
            None => {
                let message = json!([{"jid": jid, "exists": false, "number": number}]);
                Err((StatusCode::BAD_REQUEST, wire::bad_request(message)))
            }
        }
    })
}

async fn set_picture(
    Shared(state): Shared<Arc<State>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    serve(&state, "updateProfilePicture", &name, (&headers, &body), |body| -> Done {
        authorize(&state, &name, &headers)?;
        note_unknown(&state, "updateProfilePicture", &unknown(body, &["picture"]));
        let picture = wire::required(body, "picture").map_err(|body| (StatusCode::BAD_REQUEST, body))?;
        connected(&state, &name, "Error updating profile picture")?;
        if !is_picture(&picture) {
            // Its own 400 is caught on the way and becomes this.
            return Err(broken("Error updating profile picture"));
        }
        state.change(&name, |known| known.account.book.picture = Some(picture));
        Ok((StatusCode::OK, json!({"update": "success"})))
    })
}

/// An address whose host has a dot, or base64 without the head of a `data:` URL.
fn is_picture(picture: &str) -> bool {
    match picture.split_once("://") {
        Some(("http" | "https", rest)) => rest.split('/').next().is_some_and(|host| host.contains('.')),
        Some(_) => false,
        None => {
            let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
            !picture.is_empty() && picture.len().is_multiple_of(4) && picture.bytes().all(is_base64)
        }
    }
}

fn connected(state: &State, name: &str, otherwise: &str) -> Result<(), Refusal> {
    let is_open = state.read(name, |known| known.connection == "open").unwrap_or_default();
    if is_open { Ok(()) } else { Err(broken(otherwise)) }
}

fn broken(words: &str) -> Refusal {
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    (status, wire::error(status, &json!(words)))
}

impl IntoResponse for Told {
    fn into_response(self) -> Response {
        match self {
            Self::Text(content_type, text) => ([(CONTENT_TYPE, content_type)], text).into_response(),
            Self::Endless(row) => {
                let piece = Bytes::from(format!("{row},").repeat(1 + 64 * 1024 / (row.len() + 1)));
                let rows = stream::repeat(Ok::<_, Infallible>(piece));
                let begun = stream::iter([Ok(Bytes::from_static(b"["))]);
                let body = Body::from_stream(futures_util::StreamExt::chain(begun, rows));
                ([(CONTENT_TYPE, "application/json")], body).into_response()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "acme-key";

    async fn call(fake: &FakeEvolution, operation: &str, body: Value) -> (u16, Value) {
        let request = reqwest::Client::new().post(format!("{}/chat/{operation}/acme", fake.url()));
        let answer = request.header("apikey", KEY).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn fake() -> FakeEvolution {
        let fake = FakeEvolution::start().await.unwrap();
        fake.add_instance("acme", KEY);
        fake
    }

    #[tokio::test]
    async fn contacts_are_found_by_jid_and_by_number() {
        let fake = fake().await;
        let rows = ["553187654321@s.whatsapp.net", "99@lid"].map(|jid| contact_row(jid, Some("Ana")));
        fake.set_contacts("acme", rows.to_vec());
        assert_eq!(call(&fake, "findContacts", json!({})).await, (200, json!(rows)));
        let by = |jid: &str| json!({"where": {"remoteJid": jid}});
        assert_eq!(call(&fake, "findContacts", by("5531987654321")).await, (200, json!([rows[0]])));
        assert_eq!(call(&fake, "findContacts", by("99@lid")).await, (200, json!([rows[1]])));
        assert_eq!(call(&fake, "findContacts", by("98@lid")).await, (200, json!([])));
        assert_eq!(call(&fake, "findContacts", by("")).await.0, 400);
        assert_eq!(fake.violations(), Vec::<String>::new());
        call(&fake, "findChats", json!({"page": 1, "limit": 10})).await;
        assert_eq!(fake.violations(), ["findChats: unknown field limit", "findChats: unknown field page"]);
    }

    #[tokio::test]
    async fn profiles_and_pictures_need_a_phone() {
        let fake = fake().await;
        fake.add_profile("acme", "5511@s.whatsapp.net", json!({"wuid": "5511@s.whatsapp.net"}));
        assert_eq!(call(&fake, "fetchProfile", json!({"number": "5511"})).await.0, 200);
        let (status, body) = call(&fake, "fetchProfile", json!({"number": "5512"})).await;
        assert_eq!((status, &body["response"]["message"][0]["exists"]), (400, &json!(false)));
        for (picture, status) in [("https://files.test/a.png", 200), ("aGk=", 200), ("http://localhost/a", 500)] {
            assert_eq!(call(&fake, "updateProfilePicture", json!({"picture": picture})).await.0, status);
        }
        assert_eq!(fake.picture("acme").as_deref(), Some("aGk="));
        fake.set_connection("acme", "close");
        assert_eq!(call(&fake, "fetchProfile", json!({"number": "5511"})).await.0, 500);
        assert_eq!(call(&fake, "updateProfilePicture", json!({"picture": "aGk="})).await.0, 500);
    }

    #[tokio::test]
    async fn what_is_scripted_is_told_to_the_letter() {
        let fake = fake().await;
        fake.tell("findChats", Some(Told::Text("text/html", "<html>".to_owned())));
        let text = reqwest::Client::new().post(format!("{}/chat/findChats/acme", fake.url())).send().await.unwrap();
        assert_eq!(text.text().await.unwrap(), "<html>");
        fake.tell("findChats", Some(Told::Endless("7".to_owned())));
        let endless = reqwest::Client::new().post(format!("{}/chat/findChats/acme", fake.url()));
        let (mut endless, mut read) = (endless.send().await.unwrap(), 0);
        while read < 4_000_000 {
            read += endless.chunk().await.unwrap().expect("more").len();
        }
        fake.tell("findChats", None);
        assert_eq!(call(&fake, "findChats", json!({})).await, (200, json!([])));
    }
}
