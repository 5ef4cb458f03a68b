//! The access rules.
//!
//! In the source a rule could stand there twice, in two spellings, and with both actions; two rules
//! that are as long allow there as they do here. So one rule of each number is taken, and it allows
//! where any of them does.

use std::collections::{BTreeMap, HashMap};

use omnihub_common::{
    access::{AccessError, AccessRules, Action, NewRule, Pattern, Rule, RuleFilter, RulePatch},
    instance::WHOLE_HUB,
};

use super::{
    Import,
    report::Tally,
    row::{Problem, Row},
    source::{WIDEST, Walk},
};

/// Rules as the guide and as the public project keep them: one of the two tables is there.
const WALKS: [Walk; 2] = [
    Walk {
        table: "access_rules",
        key: "id",
        columns: &["id", "instance_name", "phone_number", "rule_type"],
        widest: WIDEST,
    },
    Walk {
        table: "access_control_rules",
        key: "id",
        columns: &["id", "instance_name", "phone_number", "action", "rule_type", "reason"],
        widest: WIDEST,
    },
];
/// Rules of this hub that are read at once.
const PAGE: u64 = 500;

/// The rules of an instance of the source, or those for all.
type OfInstance = BTreeMap<Pattern, NewRule>;

impl Import {
    /// Takes over the rules, an instance at a time.
    pub(super) async fn rules(&mut self) {
        let mut all: BTreeMap<Option<String>, OfInstance> = BTreeMap::new();
        for walk in WALKS {
            if let Err(error) = self.collect(walk, &mut all).await {
                self.unreadable("access rules", &error);
            }
        }
        for (whose, rules) in all {
            match self.rules_of(whose.as_deref(), rules).await {
                Ok(tally) => match whose.as_deref() {
                    Some(tenant) => self.tally(tenant, |entry| entry.access_rules.join(tally)),
                    None => self.report.global_rules.join(tally),
                },
                Err(error) => match whose.as_deref() {
                    Some(tenant) => self.fail(tenant, "access rules", &error),
                    None => {
                        self.report.incomplete = true;
                        let why = super::causes(&error);
                        self.report.remarks.push(format!("the rules for every instance could not be written: {why}"));
                    }
                },
            }
        }
    }

    async fn collect(
        &mut self,
        walk: Walk,
        all: &mut BTreeMap<Option<String>, OfInstance>,
    ) -> Result<(), sea_orm::DbErr> {
        let mut after = None;
        loop {
            let page = self.source.page(walk, after.as_deref()).await?;
            let Some(last) = page.last().map(|row| row.place.clone()) else { return Ok(()) };
            for row in page {
                let theirs = row.hint("instance_name");
                let whose = match theirs.as_deref() {
                    None => None,
                    Some(name) => match self.owner(Some(name)) {
                        Some(owner) => Some(owner),
                        None => continue,
                    },
                };
                let rule = read(&row, whose.as_deref().map(|owner| self.tenants[owner].name.to_string()));
                match rule {
                    Ok(rule) => keep(all.entry(whose).or_default(), rule),
                    Err(problem) => {
                        match whose.as_deref() {
                            Some(tenant) => self.tally(tenant, |entry| entry.access_rules.left_out += 1),
                            None => self.report.global_rules.left_out += 1,
                        }
                        self.leave_out(walk.table, row.hint("id"), theirs, problem);
                    }
                }
            }
            after = Some(last);
        }
    }

    async fn rules_of(&mut self, whose: Option<&str>, rules: OfInstance) -> Result<Tally, AccessError> {
        let tenant = whose.and_then(|whose| self.tenants.get(whose));
        let (name, was_there) =
            (tenant.map(|tenant| tenant.name.to_string()), tenant.is_none_or(|tenant| tenant.was_there));
        let row = tenant.map_or(Some(WHOLE_HUB), |tenant| tenant.id);
        let there = if was_there { self.there(name.as_deref()).await? } else { HashMap::new() };
        let (mut tally, mut new) = (Tally::default(), Vec::new());
        for (pattern, rule) in rules {
            let removed = was_there && self.removed.has_rule(name.as_deref(), &pattern);
            match there.get(&pattern) {
                None if removed && !self.mode.overwrite => tally.kept += 1,
                None => new.push(rule),
                Some(there) if there.iter().any(|there| there.action == rule.action) => tally.unchanged += 1,
                Some(_) if !self.mode.overwrite => tally.kept += 1,
                Some(there) => {
                    tally.updated += 1;
                    self.turn(there, rule.action).await?;
                }
            }
        }
        tally.created = new.len() as u64;
        if !self.mode.dry_run {
            self.target.rules.import(&self.target.by, new, false).await?;
            self.changed.extend(row.filter(|_| tally.created + tally.updated > 0));
        }
        Ok(tally)
    }

    /// Makes the rules about somebody say what the source says.
    async fn turn(&self, there: &[Rule], action: Action) -> Result<(), AccessError> {
        if self.mode.dry_run {
            return Ok(());
        }
        for rule in there {
            let patch = RulePatch { action: Some(action), ..RulePatch::default() };
            self.target.rules.update(&self.target.by, &self.target.everyone, rule.id, patch).await?;
        }
        Ok(())
    }

    /// The rules that are here, by whom they mean.
    async fn there(&self, instance: Option<&str>) -> Result<HashMap<Pattern, Vec<Rule>>, AccessError> {
        let rules: &AccessRules = &self.target.rules;
        let mut there: HashMap<Pattern, Vec<Rule>> = HashMap::new();
        let mut filter = RuleFilter { instance_name: instance.map(str::to_owned), ..RuleFilter::default() };
        loop {
            let (page, _) = rules.list(&self.target.everyone, &filter, 0, PAGE).await?;
            filter.before = page.last().map(|rule| rule.id);
            let is_last = (page.len() as u64) < PAGE;
            for rule in page.into_iter().filter(|rule| rule.instance_name.as_deref() == instance) {
                if let Ok(pattern) = Pattern::parse(&rule.phone_number) {
                    there.entry(pattern).or_default().push(rule);
                }
            }
            if is_last {
                return Ok(there);
            }
        }
    }
}

fn keep(rules: &mut OfInstance, rule: NewRule) {
    let kept = rules.entry(rule.pattern.clone()).or_insert_with(|| rule.clone());
    if rule.action == Action::Allow {
        kept.action = Action::Allow;
    }
}

fn read(row: &Row, instance_name: Option<String>) -> Result<NewRule, Problem> {
    let word = match row.text("action")? {
        Some(word) => word,
        None => row.required("rule_type")?,
    };
    let phone_number = row.required("phone_number")?;
    Ok(NewRule {
        action: word.to_ascii_lowercase().parse().map_err(|_| "the action is neither allow nor block")?,
        pattern: Pattern::parse(&phone_number).map_err(|problem| format!("phone_number {problem}"))?,
        phone_number,
        reason: row.text("reason")?,
        instance_name,
    })
}
