//! A worker is killed (SIGKILL) and started again at once under the same id, as a supervisor does:
//! how long until it asks the agent for one of its conversations. Another worker is there, and
//! must not have taken them meanwhile.

use std::time::{Duration, Instant};

use super::{
    Terms,
    changes::Scene,
    row::{About, Row},
    statistics::{median, time, worst},
};

const FIGURE: &str = "restart";

/// The first conversation goes on so long after the kill.
const GOAL: Duration = Duration::from_millis(200);

/// The lease: a restart that took longer would be a takeover.
const LEASE: Duration = Duration::from_secs(5);

struct Round {
    from_kill: Duration,
    from_spawn: Duration,
    last_from_kill: Duration,
    kept: bool,
}

/// The measurement.
pub(super) async fn measure(terms: Terms) -> anyhow::Result<Vec<Row>> {
    let mut scene = Scene::start(terms.brokers, LEASE).await?;
    let mut rounds = Vec::new();
    for round in 0..terms.size(20, 4) {
        rounds.push(one_round(&mut scene, round % 2).await?);
    }
    let of = |read: fn(&Round) -> Duration| rounds.iter().map(read).collect::<Vec<_>>();
    let from_kill = of(|round| round.from_kill);
    let told = |times: &[Duration]| format!("{} ({})", time(median(times)), time(worst(times)));
    let what = |part: &str| format!("{part}, median (worst) of {}", rounds.len());
    let row = |part: &str, times: &[Duration]| Row::note(FIGURE, About::Time, what(part), told(times));
    let mut rows = vec![
        row("from kill -9 to its next agent call", &from_kill)
            .goal(format!("median <= {}", time(GOAL)), median(&from_kill) <= GOAL),
        row("from the spawn of the new process to the same", &of(|round| round.from_spawn)),
        row("from kill -9 until all its conversations go on", &of(|round| round.last_from_kill)),
        Row::count(
            FIGURE,
            "restarts that kept every partition",
            rounds.iter().filter(|r| r.kept).count(),
            rounds.len(),
        ),
    ];
    rows.extend(scene.end(FIGURE).await?);
    Ok(rows)
}

async fn one_round(scene: &mut Scene, victim: usize) -> anyhow::Result<Round> {
    scene.site.shared().await?;
    let customers = scene.site.customers_of(victim).await?;
    let killed = Instant::now();
    scene.site.workers[victim].kill9();
    let spawned = Instant::now();
    scene.site.workers[victim].start_again()?;
    let went_on = scene.went_on(&customers, killed).await?;
    // Nobody else has them: the owners are whom they were.
    let kept = scene.site.customers_of(victim).await? == customers;
    scene.site.workers[victim].wait_ready().await?;
    let from_spawn = went_on.first.saturating_sub(spawned.duration_since(killed));
    Ok(Round { from_kill: went_on.first, from_spawn, last_from_kill: went_on.last, kept })
}
