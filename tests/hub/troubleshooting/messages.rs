//! Messages that get no answer by choice: each says whose choice.

use omnihub_fakes::Behaviour;
use serde_json::json;

use super::{Line, Symptom};
use crate::{
    doctor::command,
    harness::{ADMIN_KEY, Database, INSTANCE, Site, on_both_databases, webhook},
};

on_both_databases!(whoever_is_not_meant_to_be_answered);

const PHONE: &str = "14155555000";

pub(super) const UNMENTIONED: Symptom = Symptom {
    title: "The bot does not respond in a group",
    lines: &[Line::Explain("in a group the bot answers only when it is mentioned or replied to.")],
    mends: &[],
};

pub(super) const INACTIVE: Symptom = Symptom {
    title: "The webhook returns 200 and nobody is answered",
    lines: &[
        Line::Doctor("hint", "active", "The instance is switched off: it takes messages and answers nobody."),
        Line::Explain("It was ignored: the instance is switched off."),
    ],
    mends: &["omnihub instance update acme --active true"],
};

pub(super) const BLOCKED: Symptom = Symptom {
    title: "One person is not answered",
    lines: &[Line::Explain("It was ignored: an access rule blocks the person who wrote it.")],
    mends: &["omnihub access check PHONE --instance acme", "omnihub access remove ID"],
};

pub(super) const PAUSED: Symptom = Symptom {
    title: "One conversation is not answered any more",
    lines: &[Line::Explain("It was ignored: the bot was silent in this conversation, because somebody had paused it.")],
    mends: &["omnihub conversation resume SESSION --instance acme"],
};

async fn run(site: &Site, line: &str) -> String {
    let (code, printed, complaint) = command(site, ADMIN_KEY, line).await;
    assert_eq!(code, Some(0), "{line}: {complaint}");
    printed
}

/// A message that is ignored; answers its trace.
async fn ignored(site: &Site) -> String {
    let trace = site.say(PHONE, "hello?").await;
    assert_eq!(site.ended(&trace).await["outcome"], "ignored");
    trace
}

async fn answered(site: &Site) {
    let trace = site.say(PHONE, "hello!").await;
    assert_eq!(site.ended(&trace).await["outcome"], "answered");
}

async fn whoever_is_not_meant_to_be_answered(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let mut group = webhook(PHONE, "hello bot");
    group["data"]["key"]["remoteJid"] = "120363042000000009@g.us".into();
    group["data"]["key"]["participant"] = format!("{PHONE}@s.whatsapp.net").into();
    let trace = site.accepted("/webhook/evolution/acme", &group).await.remove(0);
    assert_eq!(site.ended(&trace).await["outcome"], "ignored");
    UNMENTIONED.shows(&site, Some(&trace)).await;

    site.change_instance(INSTANCE, json!({"is_active": false})).await;
    let trace = ignored(&site).await;
    INACTIVE.shows(&site, Some(&trace)).await;
    INACTIVE.mend(&site, 0, &[]).await;
    INACTIVE.is_gone(&site).await;
    answered(&site).await;

    run(&site, &format!("access block {PHONE} --instance acme")).await;
    let trace = ignored(&site).await;
    BLOCKED.shows(&site, Some(&trace)).await;
    let told = BLOCKED.mend(&site, 0, &[("PHONE", PHONE)]).await;
    let rule = told.split("rule ").nth(1).and_then(|rest| rest.split_whitespace().next());
    BLOCKED.mend(&site, 1, &[("ID", rule.unwrap_or_else(|| panic!("{told}")))]).await;
    answered(&site).await;

    let session = format!("acme_{PHONE}");
    run(&site, &format!("conversation pause {session} --instance acme --minutes 30")).await;
    let trace = ignored(&site).await;
    PAUSED.shows(&site, Some(&trace)).await;
    PAUSED.mend(&site, 0, &[("SESSION", &session)]).await;
    answered(&site).await;
    site.assert_no_violations();
}
