//! A secret opens no door but the one it was given for.
//!
//! Whoever may act on the hub as a whole may give an instance a key that its tenant does not know.
//! If the tenant could then name another server, the hub would show that server the key; and one
//! that opens every account of its server would open another tenant's, if they could name that.

use omnihub_common::{
    instance::{AgentPatch, AgentSettings, ChannelSettings, Instance, Patch},
    secret::{MayRefer, Secret},
};
use url::Url;

use crate::admin::fields::Fields;

/// Where a secret that is kept is shown, and whether a change leads it somewhere else.
struct Door<'a> {
    field: &'static str,
    is_named: bool,
    is_another: bool,
    why: &'static str,
    secret: (&'static str, &'a Secret, Option<&'a Secret>),
}

const ANOTHER_SERVER: &str = "leads to another server, which would be shown";
const ANOTHER_ACCOUNT: &str = "names another account, which might be opened by";

impl<'a> Door<'a> {
    fn at(
        field: &'static str,
        now: &str,
        given: Option<&str>,
        secret: (&'static str, &'a Secret, Option<&'a Secret>),
    ) -> Self {
        let is_another = given.is_some_and(|url| !same_server(now, url));
        Self { field, is_named: given.is_some(), is_another, why: ANOTHER_SERVER, secret }
    }
}

/// Notes each door that is given without its secret, unless the caller may act on the hub as a
/// whole. Whether the change names a door at all.
pub(super) fn refuse_without_secret(fields: &mut Fields, current: &Instance, patch: &Patch, may: &MayRefer) -> bool {
    if *may == MayRefer::Anywhere {
        return false;
    }
    let doors = doors(current, patch);
    for door in &doors {
        let (_, kept, given) = door.secret;
        if door.is_another && !is_given_anew(kept, given, may) {
            fields.wrong::<()>(door.field, without_secret(door));
        }
    }
    // The list of fallbacks was made out of what is kept.
    doors.iter().any(|door| door.is_named) || patch.failover.agents.is_some()
}

/// Notes where one agent of several is given another server, and not its key.
pub(super) fn refuse_another_server(fields: &mut Fields, current: &AgentSettings, patch: &AgentPatch, may: &MayRefer) {
    let key = ("agent_api_key", &current.api_key, patch.api_key.as_ref());
    let door = Door::at("agent_api_url", &current.api_url, patch.api_url.as_deref(), key);
    if *may != MayRefer::Anywhere && door.is_another && !is_given_anew(key.1, key.2, may) {
        fields.wrong::<()>(door.field, without_secret(&door));
    }
}

fn without_secret(door: &Door<'_>) -> String {
    let secret = door.secret.0;
    format!("{} the {secret} that is kept here: give {secret} too, in the same request", door.why)
}

fn doors<'a>(current: &'a Instance, patch: &'a Patch) -> Vec<Door<'a>> {
    let agent = &current.agent;
    let key = ("agent_api_key", &agent.api_key, patch.agent.api_key.as_ref());
    let mut doors = vec![Door::at("agent_api_url", &agent.api_url, patch.agent.api_url.as_deref(), key)];
    let transcript = &current.media.transcript;
    if let Some(kept) = &transcript.api_key {
        // While there is no server, each is another one.
        let now = transcript.api_url.as_deref().unwrap_or_default();
        let given = patch.media.transcript_api_key.as_ref();
        // Emptied, nobody is shown it.
        let is_emptied = matches!(given, Some(None));
        let secret = ("transcript_api_key", kept, given.and_then(Option::as_ref));
        let url = patch.media.transcript_api_url.as_ref().and_then(Option::as_deref).filter(|_| !is_emptied);
        doors.push(Door::at("transcript_api_url", now, url, secret));
    }
    if let ChannelSettings::Whatsapp(settings) = &current.channel {
        let given = &patch.whatsapp;
        let secret = ("evolution_key", &settings.evolution_key, given.evolution_key.as_ref());
        doors.push(Door::at("evolution_url", &settings.evolution_url, given.evolution_url.as_deref(), secret));
        let account = given.whatsapp_instance.as_ref().map(|name| name.as_deref().unwrap_or(current.name.as_str()));
        doors.push(Door {
            field: "whatsapp_instance",
            is_named: account.is_some(),
            is_another: account.is_some_and(|name| name != settings.whatsapp_instance),
            why: ANOTHER_ACCOUNT,
            secret,
        });
    }
    doors
}

/// Whether two addresses are of one scheme, host and port.
fn same_server(one: &str, other: &str) -> bool {
    match (Url::parse(one), Url::parse(other)) {
        (Ok(one), Ok(other)) => one.origin() == other.origin(),
        _ => false,
    }
}

/// Whether the caller has shown that the secret is theirs to give: its mask, and the reference that
/// stands in its place, are what anybody sees of it.
fn is_given_anew(kept: &Secret, given: Option<&Secret>, may: &MayRefer) -> bool {
    given.is_some_and(|given| match given.reference() {
        Some(reference) => may.allows(reference),
        None => *given.stored() != kept.mask(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_its_scheme_host_and_port() {
        for (one, other, same) in [
            ("http://a.test", "HTTP://A.test:80/v2", true),
            ("https://a.test:8443/x", "https://a.test:8443", true),
            ("http://a.test", "https://a.test", false),
            ("http://a.test", "http://a.test:8080", false),
            ("http://a.test", "http://a.test.evil.test", false),
            ("http://a.test", "http://b.test", false),
            ("not an address", "not an address", false),
        ] {
            assert_eq!(same_server(one, other), same, "{one} {other}");
        }
    }

    #[test]
    fn what_anybody_sees_of_a_secret_does_not_show_that_it_is_known() {
        let mine = MayRefer::Below("secret/acme".to_owned());
        let kept = Secret::new("planted-agent-1234");
        let anew = |kept: &Secret, given: &str| is_given_anew(kept, Some(&Secret::read(given)), &mine);
        assert!(!is_given_anew(&kept, None, &mine) && !anew(&kept, "****1234"));
        assert!(anew(&kept, "another") && anew(&kept, "planted-agent-1234"));
        let kept = Secret::read("vault://secret/hub/agent#key");
        assert!(!anew(&kept, "vault://secret/hub/agent#key"));
        assert!(anew(&kept, "vault://secret/acme/agent#key") && anew(&kept, "plain"));
    }
}
