//! The account of an instance: its server, its key, its phone and its webhook.

use omnihub_common::{
    channel::whatsapp::admin::{Account, AdminError, Connection, WebhookRow},
    doctor::{Finding, Probe, Verdict},
    instance::{ChannelSettings, Instance, Lookup, WhatsappSettings, address_warning},
};

use super::instance::capital;
use crate::{
    evolution::{Trouble, same_server},
    state::AppState,
};

/// What is found. `settings` are the instance's, with the values of its secrets.
pub(super) async fn look(
    state: &AppState,
    probe: &Probe,
    instance: &Instance,
    settings: &WhatsappSettings,
) -> Vec<Finding> {
    let name = instance.name.as_str();
    let mut found: Vec<Finding> = shared(state, instance, settings).await.into_iter().collect();
    let (told, clock) = tokio::join!(state.evolution.told(settings), clock(probe, settings));
    found.extend(clock);
    let account = match told {
        Ok(Some(account)) => account,
        Ok(None) => {
            found.push(missing(name));
            return found;
        }
        Err(trouble) => {
            found.push(untold(&trouble, name));
            return found;
        }
    };
    found.push(Finding::ok("evolution", "Evolution answers and takes the key."));
    found.push(connection(&account, instance));
    found.push(webhook(state, name, settings).await);
    found
}

/// What the server's clock is worth a word for.
async fn clock(probe: &Probe, settings: &WhatsappSettings) -> Option<Finding> {
    let seen = probe.get(&settings.evolution_url, &[], "the Evolution server").await.ok()?;
    seen.clock.filter(|clock| clock.verdict != Verdict::Ok)
}

/// What is written to an account that two instances have is everybody's: each answers as itself.
async fn shared(state: &AppState, instance: &Instance, settings: &WhatsappSettings) -> Option<Finding> {
    let name = instance.name.as_str();
    let others = state.instances.find(&Lookup::WhatsappInstance(settings.whatsapp_instance.clone())).await.ok()?;
    let has_it = |other: &Instance| match &other.channel {
        ChannelSettings::Whatsapp(theirs) => {
            other.id != instance.id && same_server(&theirs.evolution_url, &settings.evolution_url)
        }
        ChannelSettings::Discord(_) | ChannelSettings::Slack(_) => false,
    };
    others.iter().any(has_it).then(|| {
        Finding::problem(
            "account",
            "Another instance of this hub has the same account at Evolution: the messages of one reach the other.",
            format!("Give each its own: `omnihub instance update {name} --whatsapp-instance ACCOUNT`."),
        )
    })
}

fn missing(name: &str) -> Finding {
    Finding::problem(
        "evolution",
        "The Evolution server has no account of this name.",
        format!(
            "`omnihub instance connect {name}` makes it; or name the one that is there: `omnihub instance update {name} \
             --whatsapp-instance ACCOUNT`."
        ),
    )
}

/// The one table from why Evolution did not tell to what is to be done.
fn untold(trouble: &Trouble, name: &str) -> Finding {
    let error = match trouble {
        Trouble::Step { error, .. } => error,
        other => {
            let remedy = format!("Look at it: `omnihub instance show {name}`.");
            return Finding::problem("evolution", format!("{}.", capital(&other.to_string())), remedy);
        }
    };
    let remedy = match error {
        AdminError::KeyRefused => format!(
            "Set the account's own key: `omnihub instance update {name} --evolution-key KEY`. What waits goes on at once."
        ),
        AdminError::Away { .. } | AdminError::Misconfigured(_) => format!(
            "Start the Evolution server, or say where it is: `omnihub instance update {name} --evolution-url URL`. What \
             waits goes on by itself."
        ),
        AdminError::Unreadable | AdminError::NotFound | AdminError::TooLarge | AdminError::NotOnWhatsapp => format!(
            "Look whether evolution_url leads to an Evolution server (2.x): `omnihub instance update {name} \
             --evolution-url URL`."
        ),
        AdminError::Failing { .. } | AdminError::Forbidden(_) | AdminError::Refused { .. } => {
            "Look at the Evolution server's own log.".to_owned()
        }
    };
    Finding::problem("evolution", format!("{}.", capital(&error.to_string())), remedy)
}

fn connection(account: &Account, instance: &Instance) -> Finding {
    let (check, name) = ("connection", &instance.name);
    match &account.connection {
        Connection::Open => Finding::ok(check, "The phone is connected."),
        Connection::Connecting => Finding::hint(
            check,
            "The phone is being connected.",
            format!("Where it stays so, scan the code of `omnihub instance qr {name}`."),
        ),
        Connection::Close | Connection::Other(_) if !instance.is_active => Finding::hint(
            check,
            "The phone is not connected, and the instance is switched off.",
            format!("`omnihub instance connect {name}` switches it on and begins to connect."),
        ),
        Connection::Close | Connection::Other(_) => Finding::problem(
            check,
            "The phone is not connected: nothing arrives, and no answer goes out.",
            format!("Scan the code of `omnihub instance qr {name}` with WhatsApp, under linked devices."),
        ),
    }
}

async fn webhook(state: &AppState, name: &str, settings: &WhatsappSettings) -> Finding {
    if let Some(url) = &settings.webhook_url {
        return match state.evolution.wrong_with(settings).await {
            Ok(wrong) if wrong.is_empty() && leads_to_itself(url, &settings.evolution_url) => itself(name),
            Ok(wrong) => ours(&wrong, name),
            Err(trouble) => untold(&trouble, name),
        };
    }
    let account = state.evolution.account(settings);
    match account {
        Ok(account) => match account.webhook().await {
            Ok(found) => theirs(found.as_ref(), name),
            Err(error) => untold(&Trouble::Step { step: "Reading the webhook", error }, name),
        },
        Err(error) => untold(&Trouble::Step { step: "Reading the webhook", error }, name),
    }
}

/// One that the hub has registered.
fn ours(wrong: &[&str], name: &str) -> Finding {
    if wrong.is_empty() {
        return Finding::ok("webhook", "Evolution posts here, what the hub reads and as it was registered.");
    }
    Finding::problem(
        "webhook",
        format!("The webhook at Evolution is not as it was registered: {}.", wrong.join(", ")),
        format!(
            "`omnihub instance connect {name}` registers it again; every OMNIHUB_WEBHOOK_CHECK seconds the hub does too."
        ),
    )
}

/// Whether the address of a webhook means another machine to its Evolution server than to us.
fn leads_to_itself(webhook_url: &str, evolution_url: &str) -> bool {
    address_warning(webhook_url).is_some() && address_warning(evolution_url).is_none()
}

fn itself(name: &str) -> Finding {
    Finding::problem(
        "webhook",
        "Evolution was told to post to an address that means itself there, not the hub.",
        format!(
            "Set OMNIHUB_PUBLIC_URL to the hub's address as Evolution reaches it, then `omnihub instance connect {name}`."
        ),
    )
}

/// One that somebody else looks after.
fn theirs(found: Option<&WebhookRow>, name: &str) -> Finding {
    let take_over = format!("`omnihub instance connect {name}` lets the hub register it and look after it.");
    let Some(found) = found.filter(|found| found.enabled) else {
        let says = "No webhook is registered at Evolution: nothing of this instance arrives.";
        return Finding::problem("webhook", says, take_over);
    };
    let path = found.url.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    let leads_here = ["/webhook/evolution".to_owned(), format!("/webhook/evolution/{name}")];
    let says = if leads_here.iter().any(|end| path.ends_with(end.as_str())) {
        "The webhook at Evolution was registered by somebody else, and the hub does not look after it."
    } else {
        "The webhook at Evolution does not lead to /webhook/evolution of a hub."
    };
    Finding::hint("webhook", says, take_over)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(url: &str, enabled: bool) -> WebhookRow {
        WebhookRow {
            url: url.to_owned(),
            enabled,
            events: Vec::new(),
            by_events: false,
            base64: true,
            headers: serde_json::Map::new(),
        }
    }

    #[test]
    fn a_webhook_of_somebody_else_is_a_hint_and_none_a_problem() {
        assert_eq!(theirs(None, "acme").verdict, Verdict::Problem);
        assert_eq!(theirs(Some(&row("http://h/webhook/evolution", false)), "acme").verdict, Verdict::Problem);
        for url in ["http://h/webhook/evolution", "https://h/base/webhook/evolution/acme/?token=planted"] {
            let found = theirs(Some(&row(url, true)), "acme");
            assert!(found.verdict == Verdict::Hint && found.says.contains("somebody else"), "{found:?}");
        }
        let found = theirs(Some(&row("http://other/hook?token=planted", true)), "acme");
        assert!(found.says.contains("does not lead") && !format!("{found:?}").contains("planted"), "{found:?}");
    }

    #[test]
    fn an_address_that_means_another_machine_there_is_told_from_one_machine() {
        let here = "http://127.0.0.1:8882/webhook/evolution/acme";
        assert!(leads_to_itself(here, "http://evolution.test:8080"));
        assert!(!leads_to_itself(here, "http://localhost:8080"));
        assert!(!leads_to_itself("https://hub.test/webhook/evolution/acme", "http://evolution.test:8080"));
    }

    #[test]
    fn each_trouble_has_its_remedy() {
        let of = |error| untold(&Trouble::Step { step: "Looking", error }, "acme");
        let refused = of(AdminError::KeyRefused);
        assert_eq!(refused.says, "Evolution does not take the key.");
        assert!(refused.remedy.unwrap().contains("omnihub instance update acme --evolution-key KEY"));
        let away = of(AdminError::Away { message: "Evolution cannot be reached".to_owned(), may_have_done: false });
        assert_eq!(away.says, "Evolution cannot be reached.");
        assert!(away.remedy.unwrap().contains("--evolution-url URL"));
        assert!(untold(&Trouble::UnknownId, "acme").says.starts_with("The Evolution server has no instance"));
    }
}
