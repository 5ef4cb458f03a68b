//! The table on a real SQLite file.

use chrono::TimeDelta;

use super::*;
use crate::{
    audit::{AuditFilter, AuditLog},
    instance::testing::{TestTable, everyone, new_instance},
    key::Caller,
};

async fn table() -> (TestTable, Pauses) {
    let table = TestTable::new().await;
    for name in ["a", "b"] {
        table.instances.create(new_instance(name)).await.unwrap();
    }
    let pauses = Pauses::new(table.database.clone());
    (table, pauses)
}

fn pause(until: Option<DateTime<Utc>>) -> Pause {
    Pause { until, is_takeover: false }
}

#[tokio::test]
async fn a_takeover_lasts_from_the_last_message_and_not_every_message_is_a_change() {
    let (_table, pauses) = table().await;
    let (noon, slack) = (now() + TimeDelta::hours(1), TimeDelta::minutes(3));
    let take = async |until| pauses.take_over("a", "a_1", until, slack).await.unwrap().is_some();
    assert!(take(noon).await);
    assert!(!take(noon + TimeDelta::minutes(3)).await && take(noon + TimeDelta::minutes(4)).await);
    let taken = pauses.of("a").await.unwrap()["a_1"];
    assert_eq!(taken, Pause { until: Some(noon + TimeDelta::minutes(4)), is_takeover: true });

    pauses.pause(Caller::root().actor(), "a", "a_1", None, None).await.unwrap();
    assert!(!take(noon + TimeDelta::days(9)).await, "an operator's has no end");
    assert!(pauses.hand_back("a", "a_1").await.unwrap().is_some());
    assert!(pauses.of("a").await.unwrap().is_empty());
    assert!(pauses.take_over("nobody", "x", noon, slack).await.unwrap().is_none());
}

#[tokio::test]
async fn a_pause_lasts_until_its_end_or_until_it_is_resumed() {
    let (table, pauses) = table().await;
    let caller = Caller::root();
    let me = caller.actor();
    assert_eq!(pauses.get("a", "a_1").await.unwrap(), Standing::active("a", "a_1"));
    assert!(pauses.pause(me, "nobody", "x", None, None).await.unwrap().is_none());
    let (resumed, _) = pauses.resume(me, "a", "a_1").await.unwrap().unwrap();
    assert!(!resumed.is_paused(now()), "one that was active stays so");

    let (_, instance) = pauses.pause(me, "a", "a_1", None, Some("mine".into())).await.unwrap().unwrap();
    assert_eq!(instance, 1);
    let standing = pauses.get("a", "a_1").await.unwrap();
    assert!(standing.is_paused(now()) && standing.paused_by.as_deref() == Some("root"));
    let soon = now() + TimeDelta::hours(1);
    pauses.pause(me, "a", "a_2", Some(soon), None).await.unwrap();
    pauses.pause(me, "a", "a_3", Some(now() - TimeDelta::hours(1)), None).await.unwrap();
    assert!(!pauses.get("a", "a_3").await.unwrap().is_paused(now()), "its end is past");
    assert_eq!(
        pauses.of("a").await.unwrap(),
        Paused::from([("a_1".into(), pause(None)), ("a_2".into(), pause(Some(soon)))])
    );
    assert!(pauses.of("b").await.unwrap().is_empty());

    pauses.resume(me, "a", "a_1").await.unwrap();
    assert_eq!(pauses.of("a").await.unwrap().len(), 1);
    let filter = AuditFilter { action: Some("conversation".to_owned()), ..AuditFilter::default() };
    let lines = AuditLog::new(table.database.clone()).list(&Reach::one("a"), &filter, 10).await.unwrap();
    let actions: Vec<_> = lines.iter().map(|line| (line.action.as_str(), line.target.as_str())).collect();
    assert_eq!(actions[0], ("conversation.resume", "a_1"));
    assert_eq!(actions.len(), 4);
}

#[tokio::test]
async fn a_reader_sees_the_pauses_of_its_instances() {
    let (_table, pauses) = table().await;
    let caller = Caller::root();
    for (instance, session) in [("a", "a_1"), ("b", "b_1"), ("b", "b_2")] {
        pauses.pause(caller.actor(), instance, session, None, None).await.unwrap();
    }
    let names = async |reach: &Reach, instance: Option<&str>| -> (Vec<String>, u64) {
        let (found, total) = pauses.list(reach, instance, 0, 10).await.unwrap();
        (found.into_iter().map(|standing| standing.session_name).collect(), total)
    };
    assert_eq!(names(&everyone(), None).await, (vec!["b_2".to_owned(), "b_1".to_owned(), "a_1".to_owned()], 3));
    assert_eq!(names(&Reach::one("a"), None).await, (vec!["a_1".to_owned()], 1));
    assert_eq!(names(&Reach::one("a"), Some("b")).await, (vec![], 0));
}
