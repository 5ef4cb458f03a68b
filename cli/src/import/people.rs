//! The people and their other names.
//!
//! The Python hub put Brazil's 55 before every number of eleven digits or fewer. Where the traces
//! know the number without it, and none with it, the person gets their own number back.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use omnihub_common::{
    person::{ExternalId, NewPerson},
    trace::is_refusal,
};
use sea_orm::DbErr;
use serde_json::{Map, Value};

use super::{
    Import,
    row::{Problem, Row},
    source::{Schema, WIDEST, Walk},
};
use crate::progress;

const USERS: Walk = Walk {
    table: "users",
    key: "id",
    columns: &["id", "instance_name", "phone_number", "email", "user_data", "last_agent_user_id", "created_at"],
    widest: WIDEST,
};
const NAMES: Walk = Walk {
    table: "user_external_ids",
    key: "id",
    columns: &["id", "user_id", "provider", "external_id", "instance_name"],
    widest: WIDEST,
};
/// What was put before numbers.
const BRAZIL: &str = "55";
/// The digits of numbers that it was put before.
const SHORT: std::ops::RangeInclusive<usize> = 7..=11;

/// Digits of what is kept in the place of numbers, Discord's ids among them.
const MOST_DIGITS: usize = 32;
/// Characters of an address and of other names, as over the API.
const MOST_LETTERS: usize = 254;
/// Bytes of user_data, as over the API.
const MOST_DATA: usize = 16 * 1024;

/// With the row's key in the source.
type Numbered<T> = (Option<String>, T);
/// A name, and the number of whom it is.
type Name = (String, ExternalId);
/// Numbers as they were kept, by instance, and as they are.
type Mended = HashMap<(String, String), String>;

impl Import {
    /// Takes over the people.
    pub(super) async fn people(&mut self) {
        if let Err(error) = self.walk_people().await {
            self.unreadable("users", &error);
        }
    }

    async fn walk_people(&mut self) -> Result<(), DbErr> {
        let bar = progress::bar("users", self.source.count(USERS.table).await?);
        let (mut after, mut done) = (None, 0);
        loop {
            let page = self.source.page(USERS, after.as_deref()).await?;
            let Some(last) = page.last().map(|row| row.place.clone()) else { return Ok(()) };
            done += page.len() as u64;
            let mended = self.mended(&page).await?;
            let mut people: BTreeMap<String, Vec<Numbered<NewPerson>>> = BTreeMap::new();
            for row in page {
                let Some(owner) = self.owner(row.hint("instance_name").as_deref()) else { continue };
                match person(&row, &owner, &mended) {
                    Ok(person) => people.entry(owner).or_default().push((row.hint("id"), person)),
                    Err(problem) => self.leave_out_person(&owner, row.hint("id"), problem),
                }
            }
            for (owner, people) in people {
                self.write_people(&owner, people).await;
            }
            progress::show(&bar, done);
            after = Some(last);
        }
    }

    /// Writes people. Somebody who is no good must not cost the others of the page: what the database
    /// refuses is tried in halves.
    async fn write_people(&mut self, owner: &str, people: Vec<Numbered<NewPerson>>) {
        let mut parts = vec![people];
        while let Some(mut part) = parts.pop() {
            let Some(tenant) = self.tenants.get(owner) else { return };
            let (id, target) = (tenant.id, &self.target);
            let people = part.iter().map(|(_, person)| person.clone()).collect();
            match target.people.import(&target.by, tenant.name.as_str(), people, self.mode).await {
                Ok(counts) => {
                    self.changed.extend(id.filter(|_| !self.mode.dry_run && counts.created + counts.updated > 0));
                    self.tally(owner, |entry| entry.users.add(counts));
                }
                Err(error) if !is_refusal(&error) => return self.fail(owner, "users", &error),
                Err(_) if part.len() > 1 => {
                    let rest = part.split_off(part.len() / 2);
                    parts.extend([rest, part]);
                }
                Err(_) => part.into_iter().for_each(|(row, _)| self.leave_out_person(owner, row, refused())),
            }
        }
    }

    fn leave_out_person(&mut self, owner: &str, row: Option<String>, problem: Problem) {
        self.tally(owner, |entry| entry.users.left_out += 1);
        self.leave_out(USERS.table, row, Some(owner.to_owned()), problem);
    }

    fn leave_out_name(&mut self, owner: &str, row: Option<String>, problem: Problem) {
        self.tally(owner, |entry| entry.external_ids.left_out += 1);
        self.leave_out(NAMES.table, row, Some(owner.to_owned()), problem);
    }

    /// Takes over the other names of people.
    pub(super) async fn names(&mut self) {
        if let Err(error) = self.walk_names().await {
            self.unreadable("other names of users", &error);
        }
    }

    async fn walk_names(&mut self) -> Result<(), DbErr> {
        let bar = progress::bar("other names", self.source.count(NAMES.table).await?);
        let (mut after, mut done) = (None, 0);
        loop {
            let page = self.source.page(NAMES, after.as_deref()).await?;
            let Some(last) = page.last().map(|row| row.place.clone()) else { return Ok(()) };
            done += page.len() as u64;
            let ids: BTreeSet<String> = page.iter().filter_map(|row| row.hint("user_id")).collect();
            let people = self.source.of(USERS, USERS.key, &ids.into_iter().collect::<Vec<_>>()).await?;
            let mended = self.mended(&people).await?;
            let people: HashMap<String, Row> =
                people.into_iter().filter_map(|row| Some((row.hint("id")?, row))).collect();
            let mut names: BTreeMap<String, Vec<Numbered<Name>>> = BTreeMap::new();
            for row in page {
                let person = row.hint("user_id").and_then(|id| people.get(&id));
                let instance = row.hint("instance_name").or_else(|| person?.hint("instance_name"));
                let Some(owner) = self.owner(instance.as_deref()) else { continue };
                match name(&row, person, &owner, &mended) {
                    Ok(name) => names.entry(owner).or_default().push((row.hint("id"), name)),
                    Err(problem) => self.leave_out_name(&owner, row.hint("id"), problem),
                }
            }
            for (owner, names) in names {
                self.write_names(&owner, names).await;
            }
            progress::show(&bar, done);
            after = Some(last);
        }
    }

    /// Writes names, as [`Import::write_people`] does people.
    async fn write_names(&mut self, owner: &str, names: Vec<Numbered<Name>>) {
        let (kept, names): (Vec<_>, Vec<_>) = names.into_iter().partition(|(_, (_, name))| self.stays(owner, name));
        self.tally(owner, |entry| entry.external_ids.kept += kept.len() as u64);
        let mut parts = vec![names];
        while let Some(mut part) = parts.pop() {
            let Some(tenant) = self.tenants.get(owner) else { return };
            let target = &self.target;
            let names = part.iter().map(|(_, name)| name.clone()).collect();
            match target.people.import_names(&target.by, tenant.name.as_str(), names, self.mode).await {
                Ok(counts) => self.tally(owner, |entry| entry.external_ids.add(counts)),
                Err(error) if !is_refusal(&error) => return self.fail(owner, "other names of users", &error),
                Err(_) if part.len() > 1 => {
                    let rest = part.split_off(part.len() / 2);
                    parts.extend([rest, part]);
                }
                Err(_) => part.into_iter().for_each(|(row, _)| self.leave_out_name(owner, row, refused())),
            }
        }
    }

    /// Whether a name was taken from somebody here, and so is not given again.
    fn stays(&self, owner: &str, name: &ExternalId) -> bool {
        let was_there = self.tenants.get(owner).filter(|tenant| tenant.was_there && !self.mode.overwrite);
        was_there.is_some_and(|tenant| self.removed.has_name(tenant.name.as_str(), &name.provider, &name.external_id))
    }

    /// The numbers of these people that were given a 55 which they do not have.
    async fn mended(&self, people: &[Row]) -> Result<Mended, DbErr> {
        if self.source.schema != Schema::Omni {
            return Ok(Mended::new());
        }
        let suspect = |row: &Row| {
            let number = digits(&row.hint("phone_number")?).ok()?;
            let rest = number.strip_prefix(BRAZIL).filter(|rest| SHORT.contains(&rest.len()))?.to_owned();
            Some((row.hint("instance_name")?, number, rest))
        };
        let suspects: Vec<_> = people.iter().filter_map(suspect).collect();
        let numbers: BTreeSet<String> =
            suspects.iter().flat_map(|(_, number, rest)| [number.clone(), rest.clone()]).collect();
        let seen = self.source.senders(&numbers.into_iter().collect::<Vec<_>>()).await?;
        let is_seen = |instance: &String, number: &String| seen.contains(&(instance.clone(), number.clone()));
        let mended = suspects
            .into_iter()
            .filter(|(instance, number, rest)| is_seen(instance, rest) && !is_seen(instance, number));
        Ok(mended.map(|(instance, number, rest)| ((instance, number), rest)).collect())
    }
}

fn refused() -> Problem {
    "the database refuses it".to_owned()
}

fn person(row: &Row, owner: &str, mended: &Mended) -> Result<NewPerson, Problem> {
    Ok(NewPerson {
        phone_number: number(row, owner, mended)?,
        email: word(row, "email")?,
        user_data: user_data(row)?,
        last_agent_user_id: word(row, "last_agent_user_id")?,
        created_at: row.moment("created_at").ok().flatten(),
    })
}

fn word(row: &Row, column: &'static str) -> Result<Option<String>, Problem> {
    match row.text(column)? {
        Some(text) if text.chars().count() > MOST_LETTERS => {
            Err(format!("{column} has more than {MOST_LETTERS} characters"))
        }
        text => Ok(text),
    }
}

fn user_data(row: &Row) -> Result<Option<Map<String, Value>>, Problem> {
    let Some(text) = row.text("user_data")? else { return Ok(None) };
    if text.len() > MOST_DATA {
        return Err(format!("user_data is larger than {} KiB", MOST_DATA / 1024));
    }
    if text.contains("\\u0000") {
        return Err("user_data holds U+0000".to_owned());
    }
    match serde_json::from_str(&text) {
        Ok(Value::Null) => Ok(None),
        Ok(Value::Object(data)) => Ok(Some(data).filter(|data| !data.is_empty())),
        _ => Err("user_data is not a JSON object".to_owned()),
    }
}

/// The person's number, in digits.
fn number(row: &Row, owner: &str, mended: &Mended) -> Result<String, Problem> {
    let number = digits(&row.required("phone_number")?)?;
    Ok(mended.get(&(owner.to_owned(), number.clone())).cloned().unwrap_or(number))
}

fn name(row: &Row, person: Option<&Row>, owner: &str, mended: &Mended) -> Result<(String, ExternalId), Problem> {
    let person = person.ok_or("there is no user with its user_id")?;
    if person.hint("instance_name").as_deref() != Some(owner) {
        return Err("its user belongs to another instance".to_owned());
    }
    let (kept, number) = (digits(&person.required("phone_number")?)?, number(person, owner, mended)?);
    let missing = |column| move || format!("{column} is missing");
    let provider = word(row, "provider")?.ok_or_else(missing("provider"))?;
    let external_id = word(row, "external_id")?.ok_or_else(missing("external_id"))?;
    // A channel's name for them was made of the number.
    let external_id = match external_id.split_once('@') {
        Some((user, server)) if user == kept => format!("{number}@{server}"),
        _ => external_id,
    };
    Ok((number, ExternalId { provider, external_id }))
}

fn digits(phone: &str) -> Result<String, Problem> {
    let plain = |c: &char| !matches!(c, '+' | ' ' | '-' | '(' | ')' | '.');
    let number: String = phone.chars().filter(plain).collect();
    let is_number = (1..=MOST_DIGITS).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { Ok(number) } else { Err("phone_number is not a number".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_digits() {
        assert_eq!(digits("+55 (11) 98765-4321").unwrap(), "5511987654321");
        assert!(digits("maria").is_err() && digits("+").is_err() && digits(&"1".repeat(33)).is_err());
    }
}
