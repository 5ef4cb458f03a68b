//! The database goes away: what is known is still accepted and answered, the rest may come again.

use omnihub_fakes::{Behaviour, customers};
use serde_json::json;

use crate::harness::{DEADLINE, Database, Forwarder, Site, Store, message_id, now, until, webhook};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_database_known_instances_are_served() {
    let store = Store::new(Database::Postgres).await;
    let url = store.url();
    let (server, name) = url.rsplit_once('/').unwrap();
    let (login, port) = server.rsplit_once(':').unwrap();
    let cable = Forwarder::to(port.parse().unwrap()).await;
    let through_cable = format!("{login}:{}/{name}", cable.port());
    let site = Site::up_with(Database::Sqlite, Behaviour::Echo, &[("DATABASE_URL", &through_cable)]).await;
    site.add_instance("unseen", json!({"webhook_secret": "planted"})).await;
    // Each instance is known by the way it was asked for.
    let first = site.say("14155554000", "before").await;
    site.ended(&first).await;
    let second = site.accepted("/webhook/evolution", &webhook("14155554000", "by default")).await.remove(0);
    site.ended(&second).await;

    cable.cut();
    for path in ["/webhook/evolution/nobody", "/webhook/evolution/unseen", "/webhook/evolution/acme2?token=planted"] {
        site.post(path, &webhook("14155554000", "lost?")).await.assert_problem(503, "database_unavailable");
    }
    let labels = [("reason", "database_unavailable")];
    assert_eq!(site.metric("omnihub_webhooks_refused_total", &labels).await, 3.0);

    // Known: accepted and answered, on its name and as the default.
    let during = site.say("14155554000", "during").await;
    let by_default = webhook("14155554000", "during, by default");
    let by_default = site.accepted("/webhook/evolution", &by_default).await.remove(0);
    let expected = ["echo: before", "echo: by default", "echo: during", "echo: during, by default"];
    until("both are answered", DEADLINE, async || site.replies_to("14155554000") == expected).await;
    let health = reqwest::get(format!("{}/health", site.hub.url())).await.unwrap();
    assert_eq!(health.status(), 200);
    let health: serde_json::Value = health.json().await.unwrap();
    assert_eq!((&health["status"], &health["services"]["database"]["status"]), (&json!("degraded"), &json!("down")));
    assert_eq!(reqwest::get(format!("{}/readyz", site.hub.url())).await.unwrap().status(), 200);
    let listed = site.api(reqwest::Method::GET, "/api/v1/instances", None).await;
    listed.assert_problem(503, "database_unavailable");

    // Back: the traces catch up, and what was refused is taken.
    cable.mend();
    until("the traces can be read again", DEADLINE, async || {
        let path = format!("/api/v1/traces/{during}");
        site.api(reqwest::Method::GET, &path, None).await.status == 200
    })
    .await;
    for trace in [&during, &by_default] {
        assert_eq!(site.ended(trace).await["outcome"], "answered");
    }
    until("the unseen instance is seen", DEADLINE, async || {
        let webhook = customers::webhook("unseen", "14155554001", &message_id(), "again", now());
        site.post("/webhook/evolution/unseen?token=planted", &webhook).await.status == 200
    })
    .await;
    until("its reply goes out", DEADLINE, async || site.replies_to("14155554001") == ["echo: again"]).await;
    site.assert_no_violations();
}
