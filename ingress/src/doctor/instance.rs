//! One instance: whether it may answer, whether its secrets can be had, its account and its agent.

use omnihub_common::{
    doctor::{Finding, Probe, told, within},
    instance::{ChannelSettings, Instance, StoreError, address_warning},
};

use super::{PATIENCE_WITH_INSTANCE, agent, evolution};
use crate::state::AppState;

/// What is found of the instance of this name; nothing when there is none.
pub(crate) async fn examine(state: &AppState, probe: &Probe, name: &str) -> Vec<Finding> {
    let look = async {
        match state.instances.get(name).await {
            Ok(Some(instance)) => look(state, probe, instance).await,
            Ok(None) => Vec::new(),
            Err(error) => vec![unreadable(&error, name)],
        }
    };
    let found = within(PATIENCE_WITH_INSTANCE, "instance", look).await;
    found.into_iter().map(|finding| finding.of(name)).collect()
}

async fn look(state: &AppState, probe: &Probe, instance: Instance) -> Vec<Finding> {
    let name = instance.name.to_string();
    let mut found = vec![active(&instance)];
    found.extend(addresses(&instance));
    let resolved = state.instances.resolve(instance.clone(), None).await;
    if let Err(error) = &resolved {
        found.push(unresolved(error, &name));
    }
    let account = async {
        match (&instance.channel, resolved.as_ref().map(|resolved| &resolved.channel)) {
            (ChannelSettings::Discord(_), _) => vec![not_connected("discord", "Discord")],
            (ChannelSettings::Slack(_), _) => vec![not_connected("slack", "Slack")],
            (ChannelSettings::Whatsapp(_), Ok(ChannelSettings::Whatsapp(settings))) => {
                evolution::look(state, probe, &instance, settings).await
            }
            // Without its key nobody can ask.
            (ChannelSettings::Whatsapp(_), _) => Vec::new(),
        }
    };
    let (account, agent) = tokio::join!(account, agent::look(probe, &instance));
    found.extend(account);
    found.extend(agent);
    found
}

fn active(instance: &Instance) -> Finding {
    let name = &instance.name;
    if instance.is_active {
        return Finding::ok("active", "The instance is switched on.");
    }
    let remedy = format!(
        "`omnihub instance update {name} --active true` switches it on, `omnihub instance connect {name}` too."
    );
    Finding::hint("active", "The instance is switched off: it takes messages and answers nobody.", remedy)
}

fn addresses(instance: &Instance) -> Vec<Finding> {
    let name = &instance.name;
    let mut all = vec![("agent_api_url", "--agent-api-url", instance.agent.api_url.as_str())];
    if let ChannelSettings::Whatsapp(settings) = &instance.channel {
        all.push(("evolution_url", "--evolution-url", settings.evolution_url.as_str()));
    }
    let warned = |(field, option, url)| {
        let says = format!("{field} {}.", address_warning(url)?);
        let remedy = format!(
            "Unless that is meant, name the machine as the hub and its workers reach it: `omnihub instance update {name} \
             {option} URL`."
        );
        Some(Finding::hint("address", says, remedy))
    };
    all.into_iter().filter_map(warned).collect()
}

fn not_connected(check: &'static str, channel: &str) -> Finding {
    Finding::problem(
        check,
        format!(
            "This version keeps the settings of {channel} and does not connect to it: nothing arrives, nobody is answered."
        ),
        "Let people write over WhatsApp until a version connects.",
    )
}

fn unresolved(error: &StoreError, name: &str) -> Finding {
    let remedy = format!(
        "Mend what the reference leads to, or give another one with `omnihub instance update {name}`; what waits goes on \
         by itself."
    );
    Finding::problem("secrets", format!("{}.", capital(&told(error))), remedy)
}

fn unreadable(error: &StoreError, name: &str) -> Finding {
    match error {
        StoreError::Unreadable { .. } => Finding::problem(
            "instance",
            format!("{}.", capital(&told(error))),
            format!(
                "Give the processes the key that it was written with, or delete it with `omnihub instance delete {name}`."
            ),
        ),
        _ => Finding::problem("instance", "The instance cannot be looked at.", "See what is said of the database."),
    }
}

/// The beginning of a sentence.
pub(super) fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
