//! What somebody has removed here, by the audit log: an import does not bring it back unasked.
//!
//! What is absent: people who were erased. Of them the log keeps nothing, so that whoever erases
//! somebody here must erase them in the source too.

use std::collections::BTreeSet;

use omnihub_common::{
    access::Pattern,
    audit::{AuditFilter, Entry},
};
use sea_orm::DbErr;
use serde_json::Value;

use super::target::Target;

/// Lines of a page.
const PAGE: u64 = 500;

/// What was removed.
#[derive(Debug, Default)]
pub(super) struct Removed {
    instances: BTreeSet<String>,
    /// Instance and pattern.
    rules: BTreeSet<(Option<String>, String)>,
    /// Instance, provider and name.
    names: BTreeSet<(String, String, String)>,
}

impl Removed {
    /// Reads what was.
    pub(super) async fn read(target: &Target) -> Result<Self, DbErr> {
        let mut removed = Self::default();
        each(target, "instance.delete", |line| {
            removed.instances.insert(line.target);
        })
        .await?;
        each(target, "access.delete", |line| {
            if let Ok(pattern) = Pattern::parse(&line.target) {
                removed.rules.insert((line.instance_name, pattern.to_string()));
            }
        })
        .await?;
        each(target, "user.unlink", |line| {
            let (before, after) = (names(line.before.as_ref()), names(line.after.as_ref()));
            let instance = line.instance_name.unwrap_or_default();
            removed
                .names
                .extend(before.difference(&after).map(|(whose, name)| (instance.clone(), whose.clone(), name.clone())));
        })
        .await?;
        Ok(removed)
    }

    /// Whether an instance of this name was deleted.
    pub(super) fn has_instance(&self, name: &str) -> bool {
        self.instances.contains(name)
    }

    /// Whether a rule about these people was removed.
    pub(super) fn has_rule(&self, instance: Option<&str>, pattern: &Pattern) -> bool {
        self.rules.contains(&(instance.map(str::to_owned), pattern.to_string()))
    }

    /// Whether this name was taken from somebody.
    pub(super) fn has_name(&self, instance: &str, provider: &str, name: &str) -> bool {
        self.names.contains(&(instance.to_owned(), provider.to_owned(), name.to_owned()))
    }
}

fn names(person: Option<&Value>) -> BTreeSet<(String, String)> {
    let list = person.and_then(|person| person["external_ids"].as_array());
    let name = |name: &Value| Some((name["provider"].as_str()?.to_owned(), name["external_id"].as_str()?.to_owned()));
    list.into_iter().flatten().filter_map(name).collect()
}

/// Each line of an action, the newest first.
async fn each(target: &Target, action: &str, mut take: impl FnMut(Entry)) -> Result<(), DbErr> {
    let mut filter = AuditFilter { action: Some(action.to_owned()), ..AuditFilter::default() };
    loop {
        let lines = target.log.list(&target.everyone, &filter, PAGE).await?;
        filter.before = lines.last().map(|line| line.id);
        let is_last = (lines.len() as u64) < PAGE;
        lines.into_iter().for_each(&mut take);
        if is_last {
            return Ok(());
        }
    }
}
