//! The broker comes back with the store of an earlier time: what a power loss leaves where writes
//! are not forced to the disk. Its sequences are given again, to other messages and other records.

use std::{path::Path, time::Duration};

use omnihub_fakes::Behaviour;

use super::DEADLINE;
use crate::harness::{Deployment, Ledger, phone, until};

const CONVERSATIONS: usize = 20;
/// Messages of each conversation before the copy, after it, and after the loss.
const BEFORE: usize = 2;
const LOST: usize = 5;
const AFTER: usize = 6;

/// Three servers that were put back elect leaders for everything first.
const RECOVERED: Duration = Duration::from_secs(120);

async fn post(deployment: &Deployment, nths: std::ops::Range<usize>) {
    let posts = (0..CONVERSATIONS).map(|conversation| {
        let nths = nths.clone();
        async move {
            for nth in nths {
                deployment.post_until_accepted(&Ledger::webhook(conversation, nth), DEADLINE).await;
            }
        }
    });
    futures_util::future::join_all(posts).await;
}

/// What was sent into a conversation, by the number of the message it answers.
fn answers(deployment: &Deployment, conversation: usize) -> Vec<usize> {
    let sent = deployment.evolution.sent().into_iter().filter(|sent| sent.number == phone(conversation));
    let suffix = format!(" of {conversation}");
    sent.map(|sent| {
        let nth = sent.text.strip_prefix("echo: message ").and_then(|text| text.strip_suffix(&suffix));
        nth.unwrap_or_else(|| panic!("{} in conversation {conversation}", sent.text)).parse().unwrap()
    })
    .collect()
}

fn slow() -> Behaviour {
    Behaviour::slow(Duration::from_millis(150), Behaviour::Echo)
}

/// Copies the store while its servers stand.
async fn copy_store(deployment: &mut Deployment, to: &Path) {
    match (&mut deployment.nats, &mut deployment.cluster) {
        (Some(nats), _) => {
            nats.snapshot(to);
            nats.start_again().await;
        }
        (_, Some(cluster)) => {
            cluster.kill9();
            cluster.snapshot(to).unwrap();
            cluster.start_again().await.unwrap();
        }
        (None, None) => unreachable!("parts apart have a broker"),
    }
}

/// All servers die at once, and come back with the copy.
async fn put_store_back(deployment: &mut Deployment, copy: &Path) {
    match (&mut deployment.nats, &mut deployment.cluster) {
        (Some(nats), _) => {
            nats.put_back(copy);
            nats.start_again().await;
        }
        (_, Some(cluster)) => {
            cluster.put_back(copy).unwrap();
            cluster.start_again().await.unwrap();
        }
        (None, None) => unreachable!("parts apart have a broker"),
    }
}

#[tokio::test]
async fn a_store_put_back_loses_what_it_lost_and_takes_nothing_new_for_old() {
    put_back(Deployment::apart(slow(), &["w1", "w2"]).await).await;
}

#[tokio::test]
async fn three_stores_put_back_lose_what_they_lost_and_take_nothing_new_for_old() {
    put_back(Deployment::apart_on_three(slow(), &["w1", "w2"]).await).await;
}

async fn put_back(mut deployment: Deployment) {
    post(&deployment, 0..BEFORE).await;
    let answered = CONVERSATIONS * BEFORE;
    deployment.evolution.wait_for_sent(answered, DEADLINE).await.unwrap();
    deployment.settle(CONVERSATIONS).await;

    let copy = tempfile::tempdir().unwrap();
    let copy = copy.path().join("store");
    copy_store(&mut deployment, &copy).await;
    post(&deployment, BEFORE..BEFORE + LOST).await;
    // Some of them are answered, some are being asked, some wait.
    deployment.evolution.wait_for_sent(answered + CONVERSATIONS, DEADLINE).await.unwrap();
    put_store_back(&mut deployment, &copy).await;

    let (first, end) = (BEFORE + LOST, BEFORE + LOST + AFTER);
    post(&deployment, first..end).await;
    let all_answered = async || {
        let new = |conversation| answers(&deployment, conversation).into_iter().filter(|nth| *nth >= first).count();
        (0..CONVERSATIONS).all(|conversation| new(conversation) >= AFTER)
    };
    until("everything posted after the loss is answered", RECOVERED, all_answered).await;
    deployment.settle(CONVERSATIONS).await;

    for conversation in 0..CONVERSATIONS {
        let answers = answers(&deployment, conversation);
        assert!(answers.is_sorted(), "conversation {conversation}: {answers:?}");
        let kept: Vec<usize> = answers.iter().copied().filter(|nth| *nth < BEFORE || *nth >= first).collect();
        let wanted: Vec<usize> = (0..BEFORE).chain(first..end).collect();
        assert_eq!(kept, wanted, "conversation {conversation}: {answers:?}");
        let mut once = answers.clone();
        once.dedup();
        assert_eq!(once, answers, "conversation {conversation}");
    }
    deployment.assert_no_violations();
    assert!(deployment.workers.iter_mut().all(|worker| worker.is_running()));
}
