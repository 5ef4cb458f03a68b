//! `GET /api/v1/doctor`: what is right and wrong with the hub and with the caller's instances.
//!
//! Of the hub itself only who acts on the whole hub is told, on the first page. Instances come by
//! `skip` and `limit`, or one by `instance_name`; each is asked about at its Evolution server and its
//! agent, some at once, and all within the time that a caller waits.

use std::time::Duration;

use axum::{Json, extract::State, http::StatusCode};
use futures_util::{FutureExt as _, StreamExt as _, stream};
use omnihub_common::doctor::{Finding, Probe};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

use super::{
    access::{Allowed, CanRead, no_such_instance},
    door::{Routes, get},
    fields::{invalid, page},
    instances::problem,
    openapi::{
        field::{INSTANCE_NAME, Kind, field},
        says,
    },
    query::Pairs,
};
use crate::{
    doctor::{examine, sorted},
    problem::{FieldError, Problem},
    state::AppState,
};

/// Instances on a page: two rounds of questions that nobody answers end in time.
const PAGE: u64 = 32;
/// Instances that are looked at at once.
const AT_ONCE: usize = 16;
/// For all of them together: a caller waits for 25 s at most.
const PATIENCE: Duration = Duration::from_secs(20);

/// The route.
pub fn routes() -> Routes {
    let doc = says("What is right and wrong with the hub and its instances")
        .more(
            "Each finding says what to do. Of the hub itself a key for every instance is told, on the first page. The \
             Evolution server and the agent of each instance are asked, and so this may take 20 seconds.",
        )
        .query([
            INSTANCE_NAME,
            field("skip", Kind::Whole(0, u32::MAX as u64), "How many instances to leave out."),
            field("limit", Kind::Whole(1, PAGE), "How many instances to look at; 32 unless it says so."),
        ])
        .answers::<Report>();
    Routes::new().route("/api/v1/doctor", get(look).doc(doc))
}

/// The answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DoctorReport)]
struct Report {
    /// The worst first.
    findings: Vec<Finding>,
    /// How many instances were looked at.
    instances: usize,
    /// The `skip` of the next page; null when this is the last.
    next_skip: Option<u64>,
}

async fn look(
    access: Allowed<CanRead>,
    State(state): State<AppState>,
    Pairs(pairs): Pairs,
) -> Result<Json<Report>, Problem> {
    let (skip, limit) = asked_page(&pairs)?;
    let desk = state.doctor.clone().ok_or_else(no_desk)?;
    let end = Instant::now() + PATIENCE;
    let of_hub = async {
        match (skip, access.everyone()) {
            (0, Ok(_)) => desk.look(&state.database, &state.sealed).boxed().await,
            _ => Vec::new(),
        }
    };
    let names = async {
        match pairs.iter().rev().find(|(name, _)| name == "instance_name") {
            Some((_, name)) => one(&access, &state, name).await,
            None => all(&access, &state, skip, limit).await,
        }
    };
    let of_instances = async {
        let Names { names, next_skip, trouble } = names.await?;
        let found = examine_all(&state, desk.probe(), &names, end).await;
        Ok::<_, Problem>((trouble.into_iter().chain(found).collect::<Vec<_>>(), names.len(), next_skip))
    };
    let (of_hub, of_instances) = tokio::join!(of_hub, of_instances);
    let (of_instances, instances, next_skip) = of_instances?;
    Ok(Json(Report { findings: sorted([of_hub, of_instances].concat()), instances, next_skip }))
}

/// The instances to look at.
#[derive(Default)]
struct Names {
    names: Vec<String>,
    next_skip: Option<u64>,
    /// That nobody could say which there are.
    trouble: Option<Finding>,
}

impl Names {
    fn untold() -> Self {
        let remedy = "See what is said of the database.";
        let trouble = Finding::problem("instances", "Nobody can say which instances there are.", remedy);
        Self { trouble: Some(trouble), ..Self::default() }
    }
}

async fn one(access: &Allowed<CanRead>, state: &AppState, name: &str) -> Result<Names, Problem> {
    access.sees(name)?;
    match state.instances.get(name).await {
        Ok(None) => Err(no_such_instance(name)),
        Err(error) if error.is_away() => Ok(Names::untold()),
        // One that cannot be read is there all the same.
        _ => Ok(Names { names: vec![name.to_owned()], ..Names::default() }),
    }
}

/// Without a database the rest is told all the same, to who is told of the hub.
async fn all(access: &Allowed<CanRead>, state: &AppState, skip: u64, limit: u64) -> Result<Names, Problem> {
    match state.instances.names(access.reach(), skip, limit + 1).await {
        Ok(mut names) => {
            let more = names.len() as u64 > limit;
            names.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            Ok(Names { names, next_skip: more.then_some(skip + limit), trouble: None })
        }
        Err(_) if access.everyone().is_ok() => Ok(Names::untold()),
        Err(error) => Err(problem(error)),
    }
}

/// Each instance; one that was not reached in time says so.
async fn examine_all(state: &AppState, probe: &Probe, names: &[String], end: Instant) -> Vec<Finding> {
    let looks: Vec<_> = names.iter().map(|name| examine_until(state, probe, name, end).boxed()).collect();
    stream::iter(looks).buffered(AT_ONCE).collect::<Vec<_>>().await.concat()
}

async fn examine_until(state: &AppState, probe: &Probe, name: &str, end: Instant) -> Vec<Finding> {
    timeout_at(end, examine(state, probe, name)).await.unwrap_or_else(|_| {
        let remedy = format!("Ask for it alone: `omnihub doctor --instance {name}`.");
        vec![Finding::problem("instance", "It was not looked at: too many others did not answer.", remedy).of(name)]
    })
}

/// `skip` and `limit`; a page is no larger than what can be looked at in time.
fn asked_page(pairs: &[(String, String)]) -> Result<(u64, u64), Problem> {
    let (skip, limit) = page(pairs)?;
    if !pairs.iter().any(|(name, _)| name == "limit") {
        return Ok((skip, PAGE));
    }
    if limit > PAGE {
        let message = format!("must be a whole number from 1 to {PAGE}");
        return Err(invalid(vec![FieldError { field: "limit".to_owned(), message }]));
    }
    Ok((skip, limit))
}

fn no_desk() -> Problem {
    let detail = "This process has no queue, and so nothing to look at.";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "queue_unavailable", detail).retry_after(2)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use omnihub_common::{doctor::Verdict, instance::Instances, secret::Keyring};
    use serde_json::json;

    use super::{super::testing::Hub, *};

    /// What is found of an instance, by what was looked at.
    async fn found(hub: &Hub, name: &str) -> Vec<(String, Verdict, String)> {
        let found = examine(&hub.state, &Probe::new().unwrap(), name).await;
        assert!(!format!("{found:?}").contains("planted"), "{found:?}");
        assert!(found.iter().all(|finding| finding.instance.as_deref() == Some(name)), "{found:?}");
        let remedied = |finding: &Finding| finding.verdict == Verdict::Ok || finding.remedy.is_some();
        assert!(found.iter().all(remedied), "{found:?}");
        found.into_iter().map(|finding| (finding.check, finding.verdict, finding.says)).collect()
    }

    fn of<'a>(found: &'a [(String, Verdict, String)], check: &str) -> Option<(Verdict, &'a str)> {
        found.iter().find(|finding| finding.0 == check).map(|finding| (finding.1, finding.2.as_str()))
    }

    #[tokio::test]
    async fn an_instance_that_cannot_be_read_and_one_whose_secret_is_elsewhere() {
        omnihub_common::process::install_tls();
        let mut hub = Hub::new().await;
        hub.add_instance("acme").await;
        let discord = found(&hub, "acme").await;
        assert_eq!(of(&discord, "discord").map(|found| found.0), Some(Verdict::Problem));
        assert_eq!(of(&discord, "agent").map(|found| found.0), Some(Verdict::Problem), "agent.test is no machine");
        assert_eq!(found(&hub, "nobody").await, []);

        let body = json!({"agent_api_key": "env:OMNIHUB_NO_SUCH_SETTING"});
        assert_eq!(hub.call("PUT", "/instances/acme", body).await.status, 200);
        let unresolved = found(&hub, "acme").await;
        assert_eq!(of(&unresolved, "secrets").map(|found| found.0), Some(Verdict::Problem), "{unresolved:?}");

        let other_ring = Arc::new(Keyring::generate());
        hub.state.instances = Arc::new(Instances::new(hub.state.database.clone(), other_ring));
        let unreadable = found(&hub, "acme").await;
        assert_eq!(unreadable.len(), 1);
        let (verdict, says) = of(&unreadable, "instance").unwrap();
        assert!(
            verdict == Verdict::Problem && says.starts_with("Instance `acme` cannot be read: secret `agent_api_key`"),
            "{says}"
        );
    }

    #[tokio::test]
    async fn a_server_that_is_slow_to_say_nothing_is_not_waited_for() {
        omnihub_common::process::install_tls();
        let hub = Hub::new().await;
        hub.add_instance("acme").await;
        let ended = examine_until(&hub.state, &Probe::new().unwrap(), "acme", Instant::now()).await;
        assert!(ended.len() == 1 && ended[0].says.contains("was not looked at"), "{ended:?}");
        let answer = hub.call("GET", "/doctor", "").await;
        assert_eq!((answer.status, answer.json["code"].as_str()), (503, Some("queue_unavailable")));
    }
}
