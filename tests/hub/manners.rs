//! What an instance may spend, when it answers, and how.

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use futures_util::future::join_all;
use omnihub_fakes::Behaviour;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{DEADLINE, Database, INSTANCE, Site, on_both_databases, until, webhook};

on_both_databases!(
    a_budget_is_spent_by_all_turns_together_and_survives_a_restart,
    tokens_and_minutes_have_budgets_of_their_own,
    outside_of_its_hours_it_says_so_once,
    hours_are_refused_with_the_place_of_each_flaw,
    answers_quote_where_the_instance_wants_it,
    answers_in_groups_mention_who_asked,
    messages_are_marked_as_read_and_nobody_waits_for_it,
);

const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// Runs until it was not midnight (UTC) meanwhile; each time with another name for an instance.
async fn on_one_day(run: impl AsyncFn(String)) {
    for nth in 0.. {
        let began = Utc::now();
        // What is counted and decided within it must be of one day.
        if (began + TimeDelta::minutes(2)).date_naive() == began.date_naive() || nth > 0 {
            return run(format!("shop{nth}")).await;
        }
        let over = async || Utc::now().date_naive() != began.date_naive();
        until("the day is over", DEADLINE * 4, over).await;
    }
}

/// How a message ended: its outcome's reason, else its outcome.
async fn end_of(site: &Site, trace: &str) -> String {
    let trace = site.ended(trace).await;
    trace["outcome_reason"].as_str().or(trace["outcome"].as_str()).unwrap_or_default().to_owned()
}

fn phone(nth: usize) -> String {
    format!("1415555{:04}", 6100 + nth)
}

async fn a_budget_is_spent_by_all_turns_together_and_survives_a_restart(database: Database) {
    on_one_day(async |name| {
        let mut site = Site::parts(database, Behaviour::Echo).await;
        site.add_instance(&name, json!({"budget_turns_per_day": 3})).await;
        let say = async |nth: usize| end_of(&site, &site.say_to(&name, &phone(nth), "hi").await).await;
        let ends = join_all((0..10).map(say)).await;
        let count = |word: &str| ends.iter().filter(|end| *end == word).count();
        assert_eq!((count("answered"), count("turn_budget_day")), (3, 7), "{ends:?}");
        assert_eq!(site.agent.calls().len(), 3);

        let worker = site.worker.as_mut().unwrap();
        worker.kill9();
        worker.start_again();
        worker.wait_ready().await;
        let trace = site.say_to(&name, &phone(11), "hi").await;
        assert_eq!(end_of(&site, &trace).await, "turn_budget_day");
        let told = site.get(&format!("/api/v1/traces/{trace}/explanation")).await;
        assert!(told["remedy"].as_str().unwrap().contains("--budget-turns-per-day"), "{told}");

        site.change_instance(&name, json!({"budget_turns_per_day": null})).await;
        let answered = async || end_of(&site, &site.say_to(&name, &phone(12), "hi").await).await == "answered";
        until("the change counts", DEADLINE, answered).await;
        site.assert_no_violations();
    })
    .await;
}

async fn tokens_and_minutes_have_budgets_of_their_own(database: Database) {
    let site = &Site::up(database, Behaviour::Echo).await;
    on_one_day(async |name| {
        let model = json!({"agent_instance_type": "openai", "budget_tokens_per_day": 1});
        site.add_instance(&name, model).await;
        let say = async || end_of(site, &site.say_to(&name, &phone(0), "hi").await).await;
        assert_eq!([say().await, say().await], ["answered", "token_budget_day"]);
    })
    .await;
    // The clock may come to the next minute in between: then the same again.
    for nth in 0.. {
        let (name, began) = (format!("minute{nth}"), Utc::now().timestamp() / 60);
        site.add_instance(&name, json!({"budget_turns_per_minute": 1})).await;
        let say = async || end_of(site, &site.say_to(&name, &phone(0), "hi").await).await;
        let ends = [say().await, say().await];
        if Utc::now().timestamp() / 60 == began {
            assert_eq!(ends, ["answered", "turn_budget_minute"]);
            break;
        }
    }
    site.assert_no_violations();
}

/// Opening hours of one weekday, all of it.
fn only(day: DateTime<Utc>) -> Value {
    let mut hours = json!({"time_zone": "UTC"});
    hours[WEEKDAYS[day.weekday().num_days_from_monday() as usize]] = json!(["00:00-24:00"]);
    hours
}

async fn outside_of_its_hours_it_says_so_once(database: Database) {
    const SAYS: &str = "We are closed until Monday.";
    on_one_day(async |name| {
        let mut site = Site::parts(database, Behaviour::Echo).await;
        let later = only(Utc::now() + TimeDelta::days(3));
        let made = site.add_instance(&name, json!({"opening_hours": later, "out_of_office_message": SAYS})).await;
        assert_eq!((&made["opening_hours"], &made["out_of_office_message"]), (&later, &json!(SAYS)));
        let say = async |site: &Site, nth: usize| {
            let trace = site.say_to(&name, &phone(nth), "hi").await;
            site.ended(&trace).await
        };
        let first = say(&site, 0).await;
        assert_eq!((&first["outcome"], &first["outcome_reason"]), (&json!("ignored"), &json!("out_of_office")));
        assert_eq!((&first["agent_response"], first["reply_message_ids"].as_array().unwrap().len()), (&json!(SAYS), 1));
        let told = site.get(&format!("/api/v1/traces/{}/explanation", first["trace_id"].as_str().unwrap())).await;
        assert!(told["sentences"].to_string().contains("The out-of-office text went out"), "{told}");

        // The next worker knows it too.
        let worker = site.worker.as_mut().unwrap();
        worker.kill9();
        worker.start_again();
        worker.wait_ready().await;
        let second = say(&site, 0).await;
        assert_eq!((&second["outcome_reason"], &second["reply_message_ids"]), (&json!("out_of_office"), &json!([])));
        assert_eq!(site.replies_to(&phone(0)), [SAYS]);
        // Another conversation is told for itself.
        say(&site, 1).await;
        assert_eq!(site.replies_to(&phone(1)), [SAYS]);
        assert!(site.agent.calls().is_empty());

        site.change_instance(&name, json!({"opening_hours": only(Utc::now())})).await;
        let answered = async || say(&site, 0).await["outcome"] == "answered";
        until("the change counts", DEADLINE, answered).await;
        assert_eq!(site.replies_to(&phone(0)), [SAYS, "echo: hi"]);
        site.assert_no_violations();
    })
    .await;
}

async fn hours_are_refused_with_the_place_of_each_flaw(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let path = format!("/api/v1/instances/{INSTANCE}");
    let flawed = json!({"opening_hours": {"time_zone": "Mars", "monday": ["09:00-18:00", "17:00-19:00"]},
        "budget_turns_per_day": 0, "quote_replies": "often",
        "mention_in_groups": "everybody"});
    let refused = site.api(Method::PUT, &path, Some(&flawed)).await;
    refused.assert_problem(422, "validation_failed");
    let mut places: Vec<_> =
        refused.body["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect();
    places.sort_unstable();
    let expected = [
        "budget_turns_per_day",
        "mention_in_groups",
        "opening_hours.monday[1]",
        "opening_hours.time_zone",
        "quote_replies",
    ];
    assert_eq!(places, expected);
    let hours = json!({"time_zone": "America/Sao_Paulo", "monday": ["09:00-12:00", "13:00-18:00"]});
    site.change_instance(INSTANCE, json!({"opening_hours": hours})).await;
    assert_eq!(site.get(&path).await["opening_hours"], hours);
    site.change_instance(INSTANCE, json!({"opening_hours": null})).await;
    assert_eq!(site.get(&path).await["opening_hours"], Value::Null);
}

async fn answers_quote_where_the_instance_wants_it(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    for (name, quoting, quotes) in [("always", "always", true), ("groups", "groups", false), ("plain", "never", false)]
    {
        site.add_instance(name, json!({"quote_replies": quoting, "split_over": 0})).await;
        let mut said = webhook(&phone(0), "one\n\ntwo");
        said["instance"] = json!(name);
        let trace = site.accepted(&format!("/webhook/evolution/{name}"), &said).await.remove(0);
        assert_eq!(site.ended(&trace).await["outcome"], "answered");
        let sent: Vec<Value> =
            site.evolution.sent().into_iter().filter(|sent| sent.instance == name).map(|sent| sent.body).collect();
        assert_eq!(sent.len(), 2, "{sent:?}");
        let id = &said["data"]["key"]["id"];
        assert_eq!(sent[0]["quoted"]["key"]["id"] == *id, quotes, "{name}: {sent:?}");
        assert_eq!(sent[1].get("quoted"), None, "{name}");
    }
    site.assert_no_violations();
}

async fn answers_in_groups_mention_who_asked(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let fields = json!({"mention_in_groups": "sender", "group_trigger": "always", "split_over": 0});
    site.add_instance("friendly", fields).await;
    let group = "120363042000000077@g.us";
    let in_group = |participant: &str| {
        let mut said = webhook(&phone(0), "one\n\ntwo");
        said["instance"] = json!("friendly");
        said["data"]["key"]["remoteJid"] = group.into();
        said["data"]["key"]["participant"] = participant.into();
        said["data"]["key"].as_object_mut().unwrap().remove("remoteJidAlt");
        said
    };
    let direct = {
        let mut said = webhook(&phone(0), "one\n\ntwo");
        said["instance"] = json!("friendly");
        said
    };
    let by_phone = in_group(&format!("{}@s.whatsapp.net", phone(0)));
    for (said, person, name) in [
        (by_phone, Some(phone(0)), phone(0)),
        (in_group("112233445566@lid"), Some("112233445566@lid".to_owned()), "112233445566".to_owned()),
        (direct, None, String::new()),
    ] {
        let before = site.evolution.sent().len();
        // In doubt, and out: with its mention it is known again.
        site.evolution.fail_next_after_sending(1, StatusCode::GATEWAY_TIMEOUT, &json!({}));
        let trace = site.accepted("/webhook/evolution/friendly", &said).await.remove(0);
        assert_eq!(site.ended(&trace).await["outcome"], "answered");
        let sent: Vec<Value> = site.evolution.sent().into_iter().skip(before).map(|sent| sent.body).collect();
        let prefix = person.as_ref().map(|_| format!("@{name} ")).unwrap_or_default();
        assert_eq!(
            sent.iter().map(|body| &body["text"]).collect::<Vec<_>>(),
            [&json!(format!("{prefix}echo: one")), &json!("two")]
        );
        assert_eq!(sent[0]["mentioned"], person.map(|person| json!([person])).unwrap_or_default());
        assert_eq!(sent[1].get("mentioned"), None);
    }
    site.assert_no_violations();
}

async fn messages_are_marked_as_read_and_nobody_waits_for_it(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    site.add_instance("polite", json!({"mark_read": true})).await;
    let said = async || {
        let mut said = webhook(&phone(0), "hi");
        said["instance"] = json!("polite");
        let trace = site.accepted("/webhook/evolution/polite", &said).await.remove(0);
        assert_eq!(site.ended(&trace).await["outcome"], "answered");
        said["data"]["key"]["id"].as_str().unwrap().to_owned()
    };
    let id = said().await;
    until("it is marked", DEADLINE, async || site.evolution.read().iter().any(|marked| marked.id == id)).await;
    let marked = site.evolution.read().remove(0);
    assert_eq!((marked.instance.as_str(), marked.chat), ("polite", format!("{}@s.whatsapp.net", phone(0))));

    site.evolution.fail_admin("markMessageAsRead", 1, StatusCode::INTERNAL_SERVER_ERROR, &json!({}));
    said().await;
    let labels = [("instance", "polite"), ("step", "mark_read")];
    let counted = async || site.metric("omnihub_step_failures_total", &labels).await >= 1.0;
    until("the failure is counted", DEADLINE, counted).await;
    let plain = site.say(&phone(1), "hi").await;
    assert_eq!(site.ended(&plain).await["outcome"], "answered");
    assert!(site.evolution.read().iter().all(|marked| marked.instance == "polite"));
    site.assert_no_violations();
}
