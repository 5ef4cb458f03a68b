//! Customers who write all the time, a little faster than they are answered: something always
//! waits. What is not accepted they post again.

use std::time::{Duration, Instant};

use tokio::{task::JoinSet, time::interval};
use tokio_util::sync::CancellationToken;

use super::{
    super::load::{Message, Poster},
    ledger::Written,
};

pub(super) const INSTANCES: usize = 4;
const CUSTOMERS: usize = 64;

/// Each of them writes so often.
const EVERY: Duration = Duration::from_secs(1);

/// How long the agent takes, in milliseconds.
pub(super) const PACE: &str = "1150";

/// The customers, writing.
pub(super) struct Customers {
    stop: CancellationToken,
    writing: JoinSet<anyhow::Result<Vec<Written>>>,
}

impl Customers {
    /// They begin; every text begins with `word`.
    pub(super) fn begin(poster: &Poster, word: &str) -> Self {
        let (stop, mut writing) = (CancellationToken::new(), JoinSet::new());
        for customer in 0..CUSTOMERS {
            writing.spawn(write(poster.clone(), word.to_owned(), customer, stop.clone()));
        }
        Self { stop, writing }
    }

    /// They stop; answers what was accepted, each customer's in order.
    pub(super) async fn end(mut self) -> anyhow::Result<Vec<Written>> {
        self.stop.cancel();
        let mut all = Vec::new();
        while let Some(written) = self.writing.join_next().await {
            all.extend(written??);
        }
        Ok(all)
    }
}

/// The name of an instance, by the number of a customer of it.
pub(super) fn instance(customer: usize) -> String {
    format!("shop{}", customer % INSTANCES)
}

async fn write(poster: Poster, word: String, customer: usize, stop: CancellationToken) -> anyhow::Result<Vec<Written>> {
    // Not all in the same moment.
    tokio::time::sleep(EVERY.mul_f64(customer as f64 / CUSTOMERS as f64)).await;
    let (mut tick, mut written) = (interval(EVERY), Vec::new());
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        let text = format!("{word} c{customer} m{}", written.len());
        poster.until_accepted(&Message::new(&instance(customer), customer, text.clone())).await?;
        written.push(Written { customer, text, accepted: Instant::now() });
    }
    Ok(written)
}
