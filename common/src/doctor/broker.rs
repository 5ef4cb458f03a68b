//! The broker: whether it answers, and whether the streams are there as they were laid out.

use async_nats::jetstream::{response::Response, stream::Info};
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::Value;

use super::{Finding, clock, told};
use crate::{
    config::{ConfigError, Settings},
    queue::{Fsync, Layout, Nats, PrepareError, now_ms, read_layout, streams},
};

/// Streams that are asked for at once.
const AT_ONCE: usize = 8;
/// Where the layout is made.
const MAKE: &str = "Run `omnihub migrate up`.";

/// The layout that the settings ask for; none where they say nothing of it, as beside `omnihub up`, which
/// knows how its own server writes.
///
/// # Errors
/// Names the setting that cannot be used.
pub fn wanted(settings: &dyn Settings) -> Result<Option<Layout>, ConfigError> {
    let says = ["OMNIHUB_NATS_FSYNC", "OMNIHUB_NATS_REPLICAS"].iter().any(|name| settings.get(name).is_some());
    says.then(|| Layout::load(settings)).transpose()
}

/// What is found, and the layout where the streams have one.
pub async fn look(nats: &Nats, wanted: Option<&Layout>) -> (Vec<Finding>, Option<Layout>) {
    if !nats.connected() {
        let remedy = "Start it, or correct NATS_URL; webhooks get 503 meanwhile, and Evolution tries them again.";
        return (vec![Finding::problem("broker", "NATS does not answer.", remedy)], None);
    }
    let version = nats.js.client().server_info().version;
    let mut found = vec![Finding::ok("broker", format!("NATS {version} answers, with JetStream."))];
    let layout = match read_layout(&nats.js).await {
        Ok(layout) => layout,
        Err(error) => {
            let says = format!("The streams cannot be used: {}.", told(&error));
            let remedy = match error {
                PrepareError::Layout(_) => "Run the version of Omnihub that made them, or a newer one.",
                PrepareError::Absent => MAKE,
                _ => "Look at the NATS server's log: JetStream may have no leader or no room.",
            };
            found.push(Finding::problem("streams", says, remedy));
            return (found, None);
        }
    };
    found.extend(streams_of(nats, &layout).await);
    found.push(disk(&layout, wanted));
    (found, Some(layout))
}

/// Each stream and bucket, and how many copies of it there are.
async fn streams_of(nats: &Nats, layout: &Layout) -> Vec<Finding> {
    let names = streams::names(layout);
    let asked: Vec<_> = names.iter().map(|name| ask(nats, name)).collect();
    let told: Vec<Option<Told>> = stream::iter(asked).buffered(AT_ONCE).collect().await;
    let told = names.iter().zip(&told);
    let mut found: Vec<Finding> = told.filter_map(|(name, told)| wrong_with(name, told.as_ref(), layout)).collect();
    if found.is_empty() {
        let copies = if layout.replicas == 1 { "one copy" } else { "every copy" };
        found.push(Finding::ok("streams", format!("All {} streams are there, with {copies} of each.", names.len())));
    }
    let asked = now_ms();
    if let Some(theirs) = ask(nats, streams::TRACES).await.and_then(|told| told.at) {
        found.push(clock::compare("the NATS server", theirs, 1, asked, now_ms()));
    }
    found
}

/// A stream, as far as it matters here.
struct Told {
    copies: usize,
    /// Copies that are away or behind.
    behind: Vec<String>,
    /// When the server said so, in milliseconds since 1970.
    at: Option<i64>,
}

/// The time of an answer, which the client's own type leaves out.
#[derive(Deserialize)]
struct Stamp {
    ts: chrono::DateTime<chrono::Utc>,
}

async fn ask(nats: &Nats, name: &str) -> Option<Told> {
    let answer: Value = nats.js.request(format!("STREAM.INFO.{name}"), &()).await.ok()?;
    let at = Stamp::deserialize(&answer).ok().map(|stamp| stamp.ts.timestamp_millis());
    let Ok(Response::Ok(info)) = serde_json::from_value::<Response<Info>>(answer) else { return None };
    let peers = info.cluster.map(|cluster| cluster.replicas).unwrap_or_default();
    let behind = peers.into_iter().filter(|peer| peer.offline || !peer.current).map(|peer| peer.name).collect();
    Some(Told { copies: info.config.num_replicas, behind, at })
}

fn wrong_with(name: &str, told: Option<&Told>, layout: &Layout) -> Option<Finding> {
    let check = "streams";
    let Some(told) = told else {
        return Some(Finding::problem(check, format!("The stream {name} is not there."), MAKE));
    };
    if told.copies != layout.replicas {
        let says = format!("The stream {name} has {} copies, the queue {}.", told.copies, layout.replicas);
        return Some(Finding::hint(check, says, MAKE));
    }
    let behind = told.behind.join(", ");
    let says = format!("Copies of the stream {name} are away or behind: {behind}.");
    let remedy = "Start those NATS servers, or wait until they have caught up: until then fewer may fail.";
    (!behind.is_empty()).then(|| Finding::problem(check, says, remedy))
}

/// What a power loss may take.
fn disk(layout: &Layout, wanted: Option<&Layout>) -> Finding {
    let check = "disk";
    let made = (layout.fsync, layout.replicas);
    if wanted.is_some_and(|wanted| made != (wanted.fsync, wanted.replicas)) {
        return Finding::hint(
            check,
            "OMNIHUB_NATS_FSYNC or OMNIHUB_NATS_REPLICAS say another layout than the streams were made with, which wins.",
            "Set them as the streams are; to change the streams, remove them while nothing waits, then run \
             `omnihub migrate up`.",
        );
    }
    match made {
        (Fsync::Always, _) => Finding::ok(
            check,
            "The streams are laid out for NATS servers that write through (`sync_interval: always`).",
        ),
        (Fsync::Interval, 1) => Finding::hint(
            check,
            "A power loss may take the last two minutes of accepted messages: one server, which does not write through.",
            "Give NATS `sync_interval: always` and the hub OMNIHUB_NATS_FSYNC=always, or run three servers and set \
             OMNIHUB_NATS_REPLICAS=3, before the streams are made.",
        ),
        (Fsync::Interval, copies) => {
            Finding::ok(check, format!("Each message is on {copies} servers before it is accepted."))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::{super::Verdict, *};

    fn layout(fsync: &str, replicas: &str) -> Layout {
        let settings = [("OMNIHUB_NATS_FSYNC", fsync), ("OMNIHUB_NATS_REPLICAS", replicas)];
        let settings: HashMap<_, _> = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Layout::load(&settings).unwrap()
    }

    #[test]
    fn what_a_power_loss_may_take_is_said() {
        let found = |fsync, replicas| disk(&layout(fsync, replicas), Some(&layout(fsync, replicas))).verdict;
        assert_eq!(found("always", "1"), Verdict::Ok);
        assert_eq!(found("default", "3"), Verdict::Ok);
        assert_eq!(found("default", "1"), Verdict::Hint);
        assert_eq!(disk(&layout("always", "1"), None).verdict, Verdict::Ok);
        assert!(wanted(&HashMap::new()).unwrap().is_none());
        let differs = disk(&layout("default", "1"), Some(&layout("always", "1")));
        assert!(differs.says.contains("OMNIHUB_NATS_FSYNC"), "{}", differs.says);
    }

    #[test]
    fn a_stream_without_its_copies_is_named() {
        let (alone, three) = (layout("default", "1"), layout("default", "3"));
        let told = |copies, behind: &[&str]| Told {
            copies,
            behind: behind.iter().map(|&name| name.to_owned()).collect(),
            at: None,
        };
        assert!(wrong_with("DEAD", Some(&told(1, &[])), &alone).is_none());
        assert!(wrong_with("DEAD", None, &alone).unwrap().says.contains("DEAD is not there"));
        assert_eq!(wrong_with("DEAD", Some(&told(1, &[])), &three).unwrap().verdict, Verdict::Hint);
        let behind = wrong_with("DEAD", Some(&told(3, &["b"])), &three).unwrap();
        assert_eq!(behind.says, "Copies of the stream DEAD are away or behind: b.");
    }
}
