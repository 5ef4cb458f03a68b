//! The fields of who is asked when an instance's agent does not answer.
//!
//! `fallback_agents` is a list that is given as a whole: an agent that it does not name is no longer
//! asked. Of one whose name is known, what is absent stays, and a mask keeps its secret.

use omnihub_common::{
    instance::{AgentSettings, FailoverPatch, FailoverSettings, FallbackAgent, OnAgentFailure},
    secret::MayRefer,
};
use serde_json::Value;

use super::{agent, body::number, elsewhere::refuse_another_server};
use crate::admin::fields::{Fields, Given};

const FIELD: &str = "fallback_agents";

/// Every field that can be changed.
pub(super) fn patch(fields: &mut Fields, current: Option<&FailoverSettings>, may: &MayRefer) -> FailoverPatch {
    let on_failure = fields.text("on_agent_failure").check(fields, "on_agent_failure", |word| {
        let words = OnAgentFailure::ALL.map(OnAgentFailure::as_str).join(", ");
        OnAgentFailure::parse(&word).ok_or_else(|| format!("must be one of: {words}"))
    });
    let known = current.map_or(&[][..], |current| &current.agents);
    FailoverPatch {
        agents: list(fields).or_default(Vec::new()).map(|list| agents(fields, list, known, may)),
        on_failure: on_failure.or_default(OnAgentFailure::default()),
    }
}

/// Of an instance that is made.
pub(super) fn new(patch: FailoverPatch) -> FailoverSettings {
    let mut settings = FailoverSettings::default();
    patch.apply(&mut settings);
    settings
}

fn list(fields: &mut Fields) -> Given<Vec<Value>> {
    match fields.value(FIELD) {
        None => Given::Absent,
        Some(Value::Null) => Given::Null,
        Some(Value::Array(list)) if list.len() <= FallbackAgent::MOST => Given::Value(list),
        Some(_) => fields.wrong(FIELD, format!("must be a list of at most {} agents", FallbackAgent::MOST)),
    }
}

fn agents(fields: &mut Fields, list: Vec<Value>, known: &[FallbackAgent], may: &MayRefer) -> Vec<FallbackAgent> {
    let mut agents: Vec<FallbackAgent> = Vec::new();
    for (nth, item) in list.into_iter().enumerate() {
        let path = format!("{FIELD}[{nth}]");
        let read = fields.within(&path, item, |fields| Some(fallback(fields, nth, known, may)));
        let Some(read) = read else { continue };
        if agents.iter().any(|other| other.name == read.name) {
            fields.wrong::<()>(&format!("{path}.name"), "must be another one for each agent");
        }
        agents.push(read);
    }
    agents
}

/// One agent of the list; without a rank it comes behind those before it.
fn fallback(fields: &mut Fields, nth: usize, known: &[FallbackAgent], may: &MayRefer) -> FallbackAgent {
    let name = fields.text("name").check(fields, "name", name);
    let name = fields.kept("name", name);
    let name = fields.require("name", name);
    let place = u32::try_from(nth + 1).unwrap_or_default();
    let known = known.iter().find(|fallback| fallback.name == name);
    let rank = number(fields, "rank", FallbackAgent::RANKS).or_default(place);
    let current = known.map(|fallback| &fallback.agent);
    let patch = agent::patch(fields, current, may);
    if fields.has("agent_error_message") {
        fields.wrong::<()>("agent_error_message", "is the instance's own, for all of its agents");
    }
    let unknown: Vec<String> = fields.unknown().map(|name| name.chars().take(64).collect()).collect();
    for name in unknown {
        fields.wrong::<()>(&name, "is no field of an agent");
    }
    let agent = match current {
        None => agent::new(fields, patch),
        Some(current) => {
            refuse_another_server(fields, current, &patch, may);
            let mut changed: AgentSettings = current.clone();
            patch.apply(&mut changed);
            changed
        }
    };
    FallbackAgent { name, rank: rank.or(known.map(|fallback| fallback.rank)).unwrap_or(place), agent }
}

fn name(name: String) -> Result<String, String> {
    let is_known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    match name.len() <= FallbackAgent::LONGEST_NAME && name.chars().all(is_known) && name != FallbackAgent::OWN {
        true => Ok(name),
        false => Err(format!(
            "must be 1 to {} of A-Z, a-z, 0-9, _ and -, and not `{}`, which is the instance's own agent",
            FallbackAgent::LONGEST_NAME,
            FallbackAgent::OWN
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(list: &Value, known: Option<&FailoverSettings>, may: &MayRefer) -> Result<FailoverSettings, Vec<String>> {
        let body = json!({ FIELD: list }).as_object().cloned().unwrap_or_default();
        let mut fields = Fields::of(body);
        let patch = patch(&mut fields, known, may);
        let errors = fields.errors_under("x");
        match errors.is_empty() {
            true => {
                let mut settings = known.cloned().unwrap_or_default();
                patch.apply(&mut settings);
                Ok(settings)
            }
            false => Err(errors.into_iter().map(|error| error.field).collect()),
        }
    }

    #[test]
    fn the_list_is_the_whole_and_what_is_absent_of_a_known_agent_stays() {
        let may = MayRefer::Anywhere;
        let given = json!([
            {"name": "backup", "agent_api_url": "http://b.test", "agent_api_key": "planted-key-b", "agent_timeout": 7},
            {"name": "twin", "rank": 0, "agent_api_url": "http://c.test", "agent_api_key": "planted-key-c"},
        ]);
        let made = read(&given, None, &may).unwrap();
        let ranks = |settings: &FailoverSettings| {
            settings.agents.iter().map(|one| (one.name.clone(), one.rank)).collect::<Vec<_>>()
        };
        assert_eq!(ranks(&made), [("backup".to_owned(), 1), ("twin".to_owned(), 0)]);
        let given = json!([{"name": "backup", "agent_api_key": made.agents[0].agent.api_key.mask()}]);
        let changed = read(&given, Some(&made), &may).unwrap();
        let agent = &changed.agents[0].agent;
        assert_eq!(ranks(&changed), [("backup".to_owned(), 1)]);
        assert_eq!((agent.api_key.expose(), agent.timeout.as_secs()), ("planted-key-b", 7));
        assert!(read(&Value::Null, Some(&made), &may).unwrap().agents.is_empty());
    }

    #[test]
    fn everything_that_is_wrong_is_named_by_its_path() {
        let given = json!([
            {"name": "own", "agent_api_url": "http://b.test", "agent_api_key": "k"},
            {"name": "a", "agent_api_url": "no", "agent_api_key": "k", "rank": 1000},
            {"name": "a", "agent_api_url": "http://b.test", "agent_api_key": "k", "agent_error_message": "x", "evil": 1},
        ]);
        let mut wrong = read(&given, None, &MayRefer::Anywhere).unwrap_err();
        wrong.sort();
        let expected = ["[0].name", "[1].agent_api_url", "[1].rank", "[2].agent_error_message", "[2].evil", "[2].name"];
        assert_eq!(wrong, expected.map(|path| format!("x.{FIELD}{path}")));
        assert!(read(&json!("a"), None, &MayRefer::Anywhere).is_err());
        assert!(read(&json!(["a"]), None, &MayRefer::Anywhere).is_err());
    }

    #[test]
    fn a_key_that_is_kept_is_not_shown_to_another_server() {
        let one = |url: &str| json!([{"name": "a", "agent_api_url": url, "agent_api_key": "planted-key-a"}]);
        let made = read(&one("http://a.test"), None, &MayRefer::Anywhere).unwrap();
        let moved = json!([{"name": "a", "agent_api_url": "http://evil.test"}]);
        assert!(read(&moved, Some(&made), &MayRefer::Nowhere).is_err());
        assert!(read(&moved, Some(&made), &MayRefer::Anywhere).is_ok());
        assert!(read(&one("http://evil.test"), Some(&made), &MayRefer::Nowhere).is_ok());
    }
}
