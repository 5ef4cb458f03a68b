use omnihub_fakes::{
    FakeEvolution,
    evolution::{Told, chat_row, contact_row},
};

use super::*;
use crate::{
    channel::{File, whatsapp::admin::Servers},
    secret::Secret,
};

const KEY: &str = "planted-key";
const ANA: &str = "5511987654321@s.whatsapp.net";

async fn fake() -> (FakeEvolution, EvolutionAdmin) {
    let fake = FakeEvolution::start().await.unwrap();
    fake.add_instance("acme", KEY);
    let account = Servers::new().unwrap().account(fake.url(), &Secret::new(KEY), "acme").unwrap();
    (fake, account)
}

/// The ids of the contacts that are told, `None` where a row cannot be read.
async fn told(account: &EvolutionAdmin) -> Result<Vec<Option<String>>, AdminError> {
    let mut ids = Vec::new();
    let each = |contact: Option<Contact>| {
        ids.push(contact.map(|contact| contact.id));
        ControlFlow::Continue(())
    };
    account.contacts(None, each).await.map(|()| ids)
}

#[test]
fn a_contact_is_read() {
    let contact = Contact::read(&contact_row(ANA, Some(" Ana "))).unwrap();
    assert_eq!((contact.id.as_str(), contact.push_name.as_deref(), contact.is_saved), (ANA, Some("Ana"), true));
    assert!(contact.picture.unwrap().starts_with("https://pps.whatsapp.net/"));
    assert_eq!(contact.created_at.unwrap().to_rfc3339(), "2026-11-21T10:00:00+00:00");
    assert!(contact.raw.unwrap().get().contains("\"type\":\"contact\""));
    let old = Contact::read(&json!({"id": "1@c.us", "name": "Bia", "profilePictureUrl": "http://p"})).unwrap();
    assert_eq!(
        (old.id.as_str(), old.name.as_deref(), old.picture.as_deref()),
        ("1@c.us", Some("Bia"), Some("http://p"))
    );
    for nobody in
        [json!({}), json!({"id": "cm1"}), json!({"remoteJid": 7}), json!(["x@lid"]), json!(null), json!("x@lid")]
    {
        assert!(Contact::read(&nobody).is_none(), "{nobody}");
    }
}

#[test]
fn a_chat_is_read() {
    let chat = Chat::read(&chat_row(ANA, Some("Ana"), 1_761_000_000, 3)).unwrap();
    assert_eq!((chat.unread, chat.is_archived, chat.participants), (3, false, None));
    assert_eq!(chat.last_message_at.unwrap().timestamp(), 1_761_000_000);
    let group = json!({"remoteJid": "1@g.us", "name": "Team", "archived": true, "pinned": 1_761_000_000, "muted": 0,
        "participants": [{}, {}], "description": "d", "updatedAt": "2026-11-22T10:00:00.000Z", "unreadMessages": 1});
    let group = Chat::read(&group).unwrap();
    assert_eq!((group.is_archived, group.is_pinned, group.is_muted), (true, true, false));
    assert_eq!((group.participants, group.unread, group.description.as_deref()), (Some(2), 1, Some("d")));
    assert_eq!(group.last_message_at.unwrap().to_rfc3339(), "2026-11-22T10:00:00+00:00");
}

#[test]
fn what_is_of_another_kind_or_too_long_is_not_there() {
    let odd = json!({"remoteJid": "1@lid", "pushName": {"a": 1}, "profilePicUrl": "x".repeat(4000), "createdAt": "soon",
        "lastMessage": [1], "unreadCount": -1, "archived": "yes", "participants": 7, "size": "2", "updatedAt": 1});
    let chat = Chat::read(&odd).unwrap();
    assert_eq!((chat.push_name, chat.picture, chat.created_at, chat.last_message_at), (None, None, None, None));
    assert_eq!((chat.unread, chat.is_archived, chat.participants), (0, false, None));
    let large = json!({"remoteJid": "1@lid", "pushName": "x".repeat(20_000)});
    let contact = Contact::read(&large).unwrap();
    assert_eq!((contact.push_name.unwrap().len(), contact.raw.is_none()), (LONGEST_TEXT, true));
    assert!(Contact::read(&json!({"remoteJid": format!("{}@lid", "1".repeat(300))})).is_none());
}

#[tokio::test]
async fn a_list_is_told_row_by_row_and_may_be_left() {
    let (fake, account) = fake().await;
    fake.set_contacts("acme", vec![contact_row(ANA, Some("Ana")), contact_row("99@lid", None)]);
    assert_eq!(told(&account).await.unwrap(), [Some(ANA.to_owned()), Some("99@lid".to_owned())]);
    let mut seen = 0;
    let first = account.contacts(Some("+5511987654321"), |_| {
        seen += 1;
        ControlFlow::Break(())
    });
    assert_eq!((first.await, seen), (Ok(()), 1));
    let none = account.chats(None, |_| panic!("there is none"));
    assert_eq!(none.await, Ok(()));
    assert_eq!(fake.violations(), Vec::<String>::new());
    let bodies: Vec<Value> = fake.admin_calls().into_iter().map(|call| call.body).collect();
    assert_eq!(bodies, [json!({}), json!({"where": {"remoteJid": "+5511987654321"}}), json!({})]);
}

#[tokio::test]
async fn rows_that_cannot_be_read_stand_in_nobodys_way() {
    let (fake, account) = fake().await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let large = json!({"remoteJid": "2@lid", "x": "y".repeat(LARGEST_ROW)});
    let rows = format!(
        "[{{\"remoteJid\":\"1@lid\",\"a\":\"{KEY}\"}},{deep},{large},7,{{\"a\":}},\"\\ud800\",{{}}, {{\"remoteJid\":\"3@lid\"}}]"
    );
    fake.tell("findContacts", Some(Told::Text("application/json", rows)));
    let ids = told(&account).await.unwrap();
    assert_eq!((ids.len(), ids[0].as_deref(), ids[7].as_deref()), (8, Some("1@lid"), Some("3@lid")));
    assert!(ids[1..7].iter().all(Option::is_none), "{ids:?}");
    let mut raw = String::new();
    let each = |contact: Option<Contact>| {
        raw = contact.and_then(|contact| contact.raw).map(|raw| raw.get().to_owned()).unwrap_or_default();
        ControlFlow::Break(())
    };
    account.contacts(None, each).await.unwrap();
    assert_eq!(raw, r#"{"a":"[hidden]","remoteJid":"1@lid"}"#);
}

#[tokio::test]
async fn an_answer_that_is_no_list_is_said_to_be_none() {
    let (fake, account) = fake().await;
    for text in ["<html>Bad gateway</html>", "{\"contacts\":[]}", "null", "", "[{\"remoteJid\":\"1@lid\"},", "[1]2"] {
        fake.tell("findContacts", Some(Told::Text("text/html", text.to_owned())));
        assert_eq!(told(&account).await, Err(AdminError::Unreadable), "{text}");
    }
    fake.tell("findContacts", None);
    fake.fail_admin("findContacts", 1, http::StatusCode::BAD_GATEWAY, &json!({"message": format!("no {KEY}")}));
    let failing = AdminError::Failing { status: 502, message: "no [hidden]".to_owned() };
    assert_eq!(told(&account).await, Err(failing));
    fake.lose("acme");
    assert_eq!(told(&account).await, Err(AdminError::NotFound));
    drop(fake);
    let gone = Servers::new().unwrap().account("http://127.0.0.1:9", &Secret::new(KEY), "acme").unwrap();
    assert!(matches!(told(&gone).await, Err(AdminError::Away { may_have_done: false, .. })));
}

#[tokio::test]
async fn a_list_without_an_end_is_left() {
    let (fake, account) = fake().await;
    let small = Bounds { bytes: 1024 * 1024, rows: 500 };
    for (row, most) in [(contact_row(ANA, Some("Ana")).to_string(), 500), (format!("\"{}\"", "x".repeat(20_000)), 60)] {
        fake.tell("findContacts", Some(Told::Endless(row)));
        let mut rows = 0;
        let each = |_: Option<Contact>| {
            rows += 1;
            ControlFlow::Continue(())
        };
        let told = account.list("findContacts", None, small, Contact::read, each).await;
        assert_eq!(told, Err(AdminError::TooLarge));
        assert!((1..=most).contains(&rows), "{rows}");
    }
}

#[tokio::test]
async fn a_profile_is_read_and_a_picture_set() {
    let (fake, account) = fake().await;
    let told = json!({"wuid": ANA, "name": "Ana", "numberExists": true, "picture": null, "status": "busy",
        "isBusiness": true, "email": "a@b.test", "description": 7, "website": "https://b.test", "noise": [1]});
    fake.add_profile("acme", ANA, told);
    let profile = account.profile("5511987654321").await.unwrap();
    let expected = json!({"wuid": ANA, "name": "Ana", "numberExists": true, "picture": null, "status": "busy",
        "isBusiness": true, "email": "a@b.test", "description": null, "website": "https://b.test"});
    assert_eq!(serde_json::to_value(profile).unwrap(), expected);
    assert_eq!(account.profile("14155550100").await, Err(AdminError::NotOnWhatsapp));
    account.set_picture(&File::Base64("aGk=".to_owned())).await.unwrap();
    assert_eq!(fake.picture("acme").as_deref(), Some("aGk="));
    let refused = account.set_picture(&File::Url("http://localhost/a.png".to_owned())).await.unwrap_err();
    assert!(matches!(refused, AdminError::Failing { status: 500, .. }), "{refused:?}");
    assert_eq!(fake.violations(), Vec::<String>::new());
}
