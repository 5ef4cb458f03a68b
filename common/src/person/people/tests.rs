//! The table on a real SQLite file, and what the recorder writes into it.

use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::{
    instance::testing::{TestTable, everyone, new_instance},
    key::Caller,
    trace::{Outcome, TRACE_EVENT_VERSION, TraceDetails, TraceEvent, TraceRecord, TraceStatus, Traces},
};

async fn table() -> (TestTable, People) {
    let table = TestTable::new().await;
    for name in ["a", "b"] {
        table.instances.create(new_instance(name)).await.unwrap();
    }
    let people = People::new(table.database.clone());
    (table, people)
}

fn me() -> Actor {
    Caller::root().actor().clone()
}

/// Somebody is answered; the recorder may be told so twice.
async fn answered(table: &TestTable, instance: (i64, &str), phone: &str, user_id: Option<&str>) {
    let details = TraceDetails {
        outcome: Some(Outcome::Answered),
        sender_phone: Some(phone.to_owned()),
        sender_id: Some(format!("{phone}@s.whatsapp.net")),
        user_id: user_id.map(str::to_owned),
        ..TraceDetails::default()
    };
    let record = TraceRecord {
        trace_id: Uuid::new_v4(),
        instance_id: instance.0,
        instance_name: instance.1.to_owned(),
        channel_type: "whatsapp".to_owned(),
        status: TraceStatus::Completed,
        received_at: 1_760_000_000_000,
        details,
    };
    let event = TraceEvent { v: TRACE_EVENT_VERSION, revision: 1, record, payload: None };
    for _ in 0..2 {
        Traces::new(table.database.clone()).write(std::slice::from_ref(&event)).await.unwrap();
    }
}

#[tokio::test]
async fn whoever_is_first_answered_gets_one_row_with_the_channel_s_name() {
    let (table, people) = table().await;
    answered(&table, (1, "a"), "5511", None).await;
    answered(&table, (1, "a"), "5511", Some("agent-7")).await;
    answered(&table, (2, "b"), "5511", None).await;
    let (found, total) = people.list(&everyone(), &PersonFilter::default(), 0, 10).await.unwrap();
    assert_eq!((total, found[0].instance_name.as_str(), found[1].instance_name.as_str()), (2, "b", "a"));
    let person = &found[1];
    assert_eq!((person.phone_number.as_str(), person.last_agent_user_id.as_deref()), ("+5511", Some("agent-7")));
    let name = ExternalId { provider: "whatsapp".into(), external_id: "5511@s.whatsapp.net".into() };
    assert_eq!(person.external_ids, [name]);
    assert_eq!(people.list(&Reach::one("a"), &PersonFilter::default(), 0, 10).await.unwrap().1, 1);
    let by = |filter: PersonFilter| {
        let people = people.clone();
        async move { people.list(&everyone(), &filter, 0, 10).await.unwrap().1 }
    };
    assert_eq!(by(PersonFilter { phone_number: Some("5511".into()), ..PersonFilter::default() }).await, 2);
    assert_eq!(
        by(PersonFilter { external_id: Some("5511@s.whatsapp.net".into()), ..PersonFilter::default() }).await,
        2
    );
    assert_eq!(by(PersonFilter { instance_name: Some("nobody".into()), ..PersonFilter::default() }).await, 0);
}

#[tokio::test]
async fn a_person_is_changed_linked_and_unlinked_within_a_reach() {
    let (table, people) = table().await;
    answered(&table, (1, "a"), "1", None).await;
    answered(&table, (1, "a"), "2", None).await;
    let data = json!({"plan": "gold"}).as_object().unwrap().clone();
    let patch = PersonPatch { email: Some(Some("m@x.test".into())), user_data: Some(Some(data)) };
    let (changed, instance) = people.update(&me(), &everyone(), 1, patch.clone()).await.unwrap().unwrap();
    assert_eq!(
        (changed.email.as_deref(), changed.user_data, instance),
        (Some("m@x.test"), Some(json!({"plan": "gold"})), 1)
    );
    assert!(people.update(&me(), &Reach::one("b"), 1, patch).await.unwrap().is_none());
    assert!(people.has_profiles("a").await.unwrap() && !people.has_profiles("b").await.unwrap());
    assert_eq!(people.profile("a", "1").await.unwrap().unwrap().email.as_deref(), Some("m@x.test"));

    let crm = ExternalId { provider: "crm".into(), external_id: "77".into() };
    for _ in 0..2 {
        let (linked, _) = people.link(&me(), &everyone(), 1, crm.clone()).await.unwrap().unwrap();
        assert!(linked.external_ids.contains(&crm) && linked.external_ids.len() == 2);
    }
    assert!(matches!(people.link(&me(), &everyone(), 2, crm.clone()).await, Err(LinkError::Taken)));
    assert!(people.link(&me(), &Reach::one("b"), 1, crm.clone()).await.unwrap().is_none());
    let (unlinked, _) = people.unlink(&me(), &everyone(), 1, &crm).await.unwrap().unwrap();
    assert_eq!(unlinked.external_ids.len(), 1);
    assert!(people.link(&me(), &everyone(), 2, crm).await.unwrap().is_some(), "it is free again");
    let lines = crate::audit::AuditLog::new(table.database.clone());
    let filter = crate::audit::AuditFilter { action: Some("user".into()), ..Default::default() };
    let actions: Vec<_> = lines.list(&everyone(), &filter, 10).await.unwrap().into_iter().map(|l| l.action).collect();
    assert_eq!(actions, ["user.link", "user.unlink", "user.link", "user.update"]);
}
