//! The table on a real SQLite file.

use std::collections::BTreeSet;

use super::*;
use crate::{
    audit::{AuditFilter, AuditLog},
    instance::testing::{TestTable, everyone, new_instance},
    key::Caller,
};

fn rule(instance: Option<&str>, phone: &str, action: Action) -> NewRule {
    NewRule {
        instance_name: instance.map(str::to_owned),
        phone_number: phone.to_owned(),
        pattern: Pattern::parse(phone).unwrap(),
        action,
        reason: None,
    }
}

async fn table() -> (TestTable, AccessRules, i64) {
    let table = TestTable::new().await;
    let id = table.instances.create(new_instance("a")).await.unwrap().id;
    table.instances.create(new_instance("b")).await.unwrap();
    let rules = AccessRules::new(table.database.clone());
    (table, rules, id)
}

fn me() -> Actor {
    Caller::root().actor().clone()
}

#[tokio::test]
async fn a_rule_is_made_changed_and_removed_and_each_leaves_a_line() {
    let (table, rules, id) = table().await;
    let (made, announced) = rules.create(&me(), rule(Some("a"), "+55 11*", Action::Block)).await.unwrap();
    assert_eq!((made.phone_number.as_str(), announced), ("+55 11*", id));
    let reason = Some(Some("spam".to_owned()));
    let patch = RulePatch { action: Some(Action::Allow), reason, ..RulePatch::default() };
    let (changed, _) = rules.update(&me(), &everyone(), made.id, patch).await.unwrap().unwrap();
    assert_eq!((changed.action, changed.reason.as_deref()), (Action::Allow, Some("spam")));
    assert_eq!(rules.get(&everyone(), made.id).await.unwrap(), Some(changed));
    assert!(rules.delete(&me(), &everyone(), made.id).await.unwrap().is_some());
    assert!(rules.delete(&me(), &everyone(), made.id).await.unwrap().is_none());
    let filter = AuditFilter { action: Some("access".to_owned()), ..AuditFilter::default() };
    let lines = AuditLog::new(table.database.clone()).list(&Reach::one("a"), &filter, 10).await.unwrap();
    let actions: Vec<_> = lines.iter().map(|line| line.action.as_str()).collect();
    assert_eq!(actions, ["access.delete", "access.update", "access.create"]);
    assert_eq!(lines[1].before.as_ref().unwrap()["action"], "block");
    assert_eq!(lines[1].after.as_ref().unwrap()["action"], "allow");
}

#[tokio::test]
async fn the_same_rule_in_another_spelling_is_the_same() {
    let (_table, rules, _) = table().await;
    for instance in [Some("a"), None] {
        rules.create(&me(), rule(instance, "+5511", Action::Block)).await.unwrap();
        let again = rules.create(&me(), rule(instance, "55 11", Action::Block)).await;
        assert!(matches!(again, Err(AccessError::AlreadyThere)), "{again:?}");
        rules.create(&me(), rule(instance, "5511", Action::Allow)).await.unwrap();
    }
    let nobody = rules.create(&me(), rule(Some("nobody"), "1", Action::Block)).await;
    assert!(matches!(nobody, Err(AccessError::NoInstance)), "{nobody:?}");
}

#[tokio::test]
async fn a_reader_of_one_instance_sees_its_rules_and_no_others() {
    let (table, rules, _) = table().await;
    let (global, announced) = rules.create(&me(), rule(None, "1", Action::Block)).await.unwrap();
    assert_eq!(announced, WHOLE_HUB);
    let (own, _) = rules.create(&me(), rule(Some("a"), "2", Action::Block)).await.unwrap();
    let (other, _) = rules.create(&me(), rule(Some("b"), "3", Action::Allow)).await.unwrap();
    let ids = async |reach: &Reach, filter: RuleFilter| -> (Vec<i64>, u64) {
        let (rules, total) = rules.list(reach, &filter, 0, 10).await.unwrap();
        (rules.iter().map(|rule| rule.id).collect(), total)
    };
    assert_eq!(ids(&everyone(), RuleFilter::default()).await, (vec![other.id, own.id, global.id], 3));
    assert_eq!(ids(&Reach::one("a"), RuleFilter::default()).await, (vec![own.id], 1));
    for id in [global.id, other.id] {
        assert_eq!(rules.get(&Reach::one("a"), id).await.unwrap(), None);
        assert!(rules.delete(&me(), &Reach::one("a"), id).await.unwrap().is_none());
        assert!(rules.update(&me(), &Reach::one("a"), id, RulePatch::default()).await.unwrap().is_none());
    }
    let allowing = RuleFilter { action: Some(Action::Allow), ..RuleFilter::default() };
    assert_eq!(ids(&everyone(), allowing).await.0, [other.id]);
    let named = RuleFilter { pattern: Some(Pattern::parse("+2").unwrap()), ..RuleFilter::default() };
    assert_eq!(ids(&everyone(), named).await.0, [own.id]);
    // Rules go with their instance.
    table.instances.delete("a").await.unwrap();
    table.instances.create(new_instance("a")).await.unwrap();
    assert!(rules.set_of(Some("a")).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_import_is_whole_or_nothing_and_may_be_repeated() {
    let (_table, rules, id) = table().await;
    rules.create(&me(), rule(Some("a"), "1", Action::Block)).await.unwrap();
    let with_reason = |phone: &str, reason: &str| NewRule {
        reason: Some(reason.to_owned()),
        ..rule(Some("a"), phone, Action::Block)
    };
    let lines = vec![
        with_reason("+1", "spam"),
        rule(Some("a"), "2*", Action::Block),
        rule(Some("a"), "+2*", Action::Block),
        rule(None, "3", Action::Allow),
    ];
    let would = rules.import(&me(), lines.clone(), true).await.unwrap();
    assert_eq!((would.created, would.updated, would.unchanged, would.announce.len()), (2, 1, 1, 0));
    assert_eq!(rules.list(&everyone(), &RuleFilter::default(), 0, 10).await.unwrap().1, 1);
    let did = rules.import(&me(), lines.clone(), false).await.unwrap();
    assert_eq!(did, Imported { announce: BTreeSet::from([WHOLE_HUB, id]), ..would });
    let again = rules.import(&me(), lines, false).await.unwrap();
    assert_eq!((again.created, again.updated, again.unchanged), (0, 0, 4));
    let one_is_wrong = vec![rule(Some("a"), "9", Action::Block), rule(Some("nobody"), "9", Action::Block)];
    assert!(matches!(rules.import(&me(), one_is_wrong, false).await, Err(AccessError::NoInstance)));
    assert_eq!(rules.list(&everyone(), &RuleFilter::default(), 0, 10).await.unwrap().1, 3);
}
