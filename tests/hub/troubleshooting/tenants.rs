//! Tenants that see what is not theirs, and a channel that is not there yet.

use omnihub_fakes::Behaviour;
use serde_json::json;

use super::{Line, Symptom};
use crate::{
    doctor::command,
    harness::{ADMIN_KEY, Database, EVOLUTION_KEY, INSTANCE, Site, on_both_databases},
};

on_both_databases!(two_tenants_with_one_account, a_bot_on_discord);

pub(super) const SHARED: Symptom = Symptom {
    title: "Messages are not isolated between tenants",
    lines: &[Line::Doctor(
        "problem",
        "account",
        "Another instance of this hub has the same account at Evolution: the messages of one reach the other.",
    )],
    mends: &[
        "omnihub instance update globex --whatsapp-instance ACCOUNT",
        "omnihub key create globex-only --scope read --instance globex",
    ],
};

pub(super) const DISCORD: Symptom = Symptom {
    title: "The Discord bot does not respond",
    lines: &[Line::Doctor(
        "problem",
        "discord",
        "This version keeps the settings of Discord and does not connect to it: nothing arrives, nobody is answered.",
    )],
    mends: &[],
};

async fn two_tenants_with_one_account(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    site.add_instance("globex", json!({"whatsapp_instance": INSTANCE})).await;
    let mine = site.say("14155554000", "for acme").await;
    site.ended(&mine).await;
    until_named_of_globex(&site).await;
    site.evolution.add_instance("globex", EVOLUTION_KEY);
    SHARED.mend(&site, 0, &[("ACCOUNT", "globex")]).await;
    SHARED.is_gone(&site).await;

    // Whoever reads with a key of one tenant is shown no other one's traces.
    let made = SHARED.mend(&site, 1, &[]).await;
    let key = made.split_whitespace().find(|word| word.starts_with("omni_")).unwrap_or_else(|| panic!("{made}"));
    let (code, traces, complaint) = command(&site, key, "trace list --json").await;
    assert_eq!((code, traces.trim()), (Some(0), "[]"), "{complaint}");
    let (code, traces, _) = command(&site, ADMIN_KEY, "trace list --json").await;
    assert!(code == Some(0) && traces.contains(&mine), "{traces}");
}

/// Both have the account; the page speaks of the one that is to get another.
async fn until_named_of_globex(site: &Site) {
    let (_, report) = crate::doctor::examine(site, ADMIN_KEY, "--instance globex").await;
    let Line::Doctor(verdict, check, says) = SHARED.lines[0] else { unreachable!("a finding") };
    let finding = super::named(&report, verdict, check, says).unwrap_or_else(|| panic!("{report:#}"));
    SHARED.assert_remedy(finding);
}

async fn a_bot_on_discord(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let body = json!({"channel_type": "discord", "discord_bot_token": "planted-token", "evolution_url": null,
                      "evolution_key": null, "provision": null});
    site.add_instance("guild", body).await;
    DISCORD.shows(&site, None).await;
}
