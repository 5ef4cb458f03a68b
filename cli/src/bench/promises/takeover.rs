//! A worker that runs turns is killed (SIGKILL): how long until another one asks the agent for one
//! of its conversations, and for the last of them.

use std::time::{Duration, Instant};

use super::{
    Terms,
    changes::{Scene, WentOn},
    row::{About, Row},
    statistics::{median, time, worst},
};

const FIGURE: &str = "takeover";

/// The first conversation goes on so long after the lease has run out.
const GRACE: Duration = Duration::from_secs(1);

/// The measurement: with the default lease, and with a shorter one.
pub(super) async fn measure(terms: Terms) -> anyhow::Result<Vec<Row>> {
    let leases: &[u64] = match (terms.quick, terms.brokers) {
        (true, _) => &[2],
        (false, 3) => &[15, 5],
        (false, _) => &[5, 2],
    };
    let mut rows = Vec::new();
    for lease in leases {
        rows.extend(with_lease(terms, Duration::from_secs(*lease)).await?);
    }
    Ok(rows)
}

async fn with_lease(terms: Terms, lease: Duration) -> anyhow::Result<Vec<Row>> {
    let mut scene = Scene::start(terms.brokers, lease).await?;
    let mut rounds = Vec::new();
    for round in 0..terms.size(6, 2) {
        rounds.push(one_round(&mut scene, round % 2).await?);
    }
    let of = |read: fn(&WentOn) -> Duration| rounds.iter().map(read).collect::<Vec<_>>();
    let (first, last) = (of(|went| went.first), of(|went| went.last));
    let what =
        |part: &str| format!("lease {}: from kill -9 to {part}, median (worst) of {}", time(lease), rounds.len());
    let told = |times: &[Duration]| format!("{} ({})", time(median(times)), time(worst(times)));
    let mut rows = vec![
        Row::note(FIGURE, About::Time, what("the next agent call of its conversations"), told(&first))
            .goal(format!("<= {}", time(lease + GRACE)), worst(&first) <= lease + GRACE),
        Row::note(FIGURE, About::Time, what("the agent call of the last one of them"), told(&last)),
    ];
    rows.extend(scene.end(FIGURE).await?);
    Ok(rows)
}

async fn one_round(scene: &mut Scene, victim: usize) -> anyhow::Result<WentOn> {
    scene.site.shared().await?;
    let customers = scene.site.customers_of(victim).await?;
    let killed = Instant::now();
    scene.site.workers[victim].kill9();
    let went_on = scene.went_on(&customers, killed).await?;
    scene.site.workers[victim].start_again()?;
    scene.site.workers[victim].wait_ready().await?;
    Ok(went_on)
}
