//! One tenant's backlog is its own.

use omnihub_fakes::Behaviour;
use serde_json::json;

use crate::harness::{DEADLINE, Database, Site, until, webhook};

const QUOTA: u32 = 5;

async fn post_acme(site: &Site) -> crate::harness::Answer {
    site.post("/webhook/evolution/acme", &webhook("14155558000", "one more")).await
}

/// Posts until the quota refuses; counts are a moment old, so that a few more may get in.
async fn fill(site: &Site) {
    until("the quota refuses", DEADLINE, async || post_acme(site).await.status == 503).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_over_its_quota_gets_503_while_the_others_are_accepted() {
    let mut site = Site::parts(Database::Postgres, Behaviour::Echo).await;
    site.add_instance("other", json!({})).await;
    site.change_instance("acme", json!({"max_backlog": QUOTA})).await;
    let id = site.say_to("acme", "14155558000", "within the quota").await;
    site.ended(&id).await;

    // Counted by the worker.
    site.agent.set_behaviour(Behaviour::Hang);
    fill(&site).await;
    let refused = post_acme(&site).await;
    refused.assert_problem(503, "backlog_full");
    assert!(refused.body["detail"].as_str().unwrap().contains("5 messages"), "{}", refused.text);
    site.say_to("other", "14155558001", "not my quota").await;
    assert!(site.metric("omnihub_backlog_refused_total", &[("instance", "acme")]).await >= 2.0);

    // A larger quota holds at once.
    site.change_instance("acme", json!({"max_backlog": 5_000})).await;
    until("acme is accepted again", DEADLINE, async || post_acme(&site).await.status == 200).await;
    site.change_instance("acme", json!({"max_backlog": QUOTA})).await;

    // Nobody counts: the stream itself tells.
    site.worker.as_mut().unwrap().kill9();
    fill(&site).await;
    site.say_to("other", "14155558001", "still not my quota").await;
    site.change_instance("acme", json!({"max_backlog": 5_000})).await;
    assert_eq!(post_acme(&site).await.status, 200);
    site.change_instance("acme", json!({"max_backlog": QUOTA})).await;
    fill(&site).await;

    // Done with, it may post again.
    site.agent.set_behaviour(Behaviour::Echo);
    site.worker.as_mut().unwrap().start_again();
    until("acme is within its quota", DEADLINE, async || post_acme(&site).await.status == 200).await;
}
