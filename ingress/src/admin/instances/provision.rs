//! Making and changing instances together with their accounts at Evolution, never half.
//!
//! What the caller sees as one step is several, on two sides. A step that fails is followed by what
//! takes the earlier ones back, or by an answer that says what the same call will complete. A process
//! that dies in the middle leaves an instance that `connect`, or PUT with the server's key, completes.
//! And in each order no webhook is refused meanwhile which was accepted before.

use axum::http::StatusCode;
use omnihub_common::{
    instance::{ChannelSettings, Instance, Lookup, NewInstance, Patch, StoreError, WhatsappSettings},
    key::{Actor, Everyone},
    secret::Secret,
};

use super::{
    after_delete, problem,
    troubles::{After, not_at_hand, not_on_whatsapp, trouble},
};
use crate::{
    admin::access::{Allowed, no_such_instance},
    evolution::{Look, Progress, Registered, Trouble, same_server},
    problem::Problem,
    state::AppState,
};

/// Who asks for a change.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    /// For the audit log.
    pub(super) actor: Actor,
    /// Whether they may act on the whole hub.
    pub(super) whole_hub: Option<Everyone>,
}

impl Asker {
    /// The caller.
    pub(super) fn new<S>(access: &Allowed<S>) -> Self {
        Self { actor: access.actor().clone(), whole_hub: access.everyone().ok() }
    }
}

/// Runs a change to its end, also when the caller hangs up or the request takes too long.
pub(in crate::admin) async fn to_its_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::spawn(change).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Makes an instance on WhatsApp and makes or adopts its account.
///
/// The row first, so that no webhook meets a name that is not there yet; it goes again when the
/// Evolution side does not work. `number` are the digits of the phone that the account is meant for.
pub(super) async fn make(
    state: AppState,
    asker: Asker,
    mut new: NewInstance,
    number: Option<String>,
) -> Result<(Instance, Vec<String>), Problem> {
    let actor = asker.actor;
    let ChannelSettings::Whatsapp(given) = &new.channel else { return Err(not_on_whatsapp()) };
    let given = at_hand(&state, new.name.as_str(), given).await?;
    if state.instances.get(new.name.as_str()).await.map_err(problem)?.is_some() {
        return Err(problem(StoreError::NameTaken));
    }
    let asked = |error| trouble(&error, After::NothingDone);
    let mut look = state.evolution.look(&given, asker.whole_hub).await.map_err(asked)?;
    look.number = number;
    nobody_else_has(&state, &look, &given.evolution_url, None).await?;
    let url = state.evolution.webhook_url(&new.name, &given.evolution_url).await;
    let wanted = WhatsappSettings {
        evolution_key: own_key(&given, &look),
        whatsapp_instance: look.name.clone(),
        webhook_secret: given.webhook_secret.clone().or_else(|| url.get().map(|_| Secret::random())),
        webhook_url: url.get().map(str::to_owned),
        ..given
    };
    new.channel = ChannelSettings::Whatsapp(wanted.clone());
    let made = state.instances.by(&actor).create(new).await.map_err(problem)?;
    state.announcer.changed(made.id).await;
    let mut progress = Progress::default();
    match state.evolution.settle(&wanted, &look, true, &mut progress).await {
        Ok(registered) => {
            let made = keep_token(&state, &actor, made, progress.token).await?;
            tracing::info!(instance.name = %made.name, instance.id = made.id, "an instance was made");
            Ok((made, warnings(url.warning(), registered)))
        }
        Err(error) => {
            let left = state.evolution.undo(&wanted, progress).await;
            if let Some(deleted) = state.instances.by(&actor).delete(made.name.as_str()).await.map_err(problem)? {
                after_delete(&state, &deleted).await;
            }
            Err(trouble(&error, After::Undone(left)))
        }
    }
}

/// Changes an instance, and its account where the hub looks after it and the change concerns it.
/// `provision` takes the account on, or lets go of it.
pub(super) async fn change(
    state: AppState,
    asker: Asker,
    current: Instance,
    mut patch: Patch,
    provision: Option<bool>,
    names_evolution: bool,
) -> Result<(Instance, Vec<String>), Problem> {
    let wanted = patch.clone().applied(&current);
    let (is_ours, differs) = match (&current.channel, &wanted.channel) {
        (ChannelSettings::Whatsapp(before), ChannelSettings::Whatsapp(after)) => {
            (before.webhook_url.is_some(), before != after || (wanted.is_active && !current.is_active))
        }
        _ => (false, false),
    };
    match provision {
        Some(true) => return arrange(state, asker, current, patch).await,
        None if is_ours && differs => return arrange(state, asker, current, patch).await,
        None if is_ours && names_evolution => {
            // Nothing is to change there: what Evolution cannot confirm now is not in the way.
            match arrange(state.clone(), asker.clone(), current.clone(), patch.clone()).await {
                Err(problem) if problem.status == StatusCode::BAD_GATEWAY.as_u16() => {
                    let changed = update(&state, &asker.actor, &current, patch).await?;
                    return Ok((changed, vec![problem.detail]));
                }
                done => return done,
            }
        }
        Some(false) => patch.whatsapp.webhook_url = Some(None),
        None => {}
    }
    let changed = update(&state, &asker.actor, &current, patch).await?;
    tracing::info!(instance.name = %changed.name, instance.id = changed.id, "an instance was changed");
    Ok((changed, Vec::new()))
}

/// Changes an instance and brings its account in line: makes or adopts it, registers the webhook.
pub(super) async fn arrange(
    state: AppState,
    asker: Asker,
    current: Instance,
    mut patch: Patch,
) -> Result<(Instance, Vec<String>), Problem> {
    let before = whatsapp(&current)?;
    let name = current.name.as_str();
    let given = at_hand(&state, name, whatsapp(&patch.clone().applied(&current))?).await?;
    let look = state.evolution.look(&given, asker.whole_hub).await;
    let look = look.map_err(|error| trouble(&error, After::NothingDone))?;
    nobody_else_has(&state, &look, &given.evolution_url, Some(current.id)).await?;
    let url = state.evolution.webhook_url(&current.name, &given.evolution_url).await;
    let moved = !same_server(&before.evolution_url, &given.evolution_url) || before.whatsapp_instance != look.name;
    patch.whatsapp.whatsapp_instance = Some(Some(look.name.clone()));
    patch.whatsapp.evolution_key = Some(own_key(&given, &look));
    patch.whatsapp.webhook_url = Some(url.get().map(str::to_owned));
    if moved && before.webhook_url.is_some() {
        // Who knew the secret was the account that is left.
        patch.whatsapp.replace_webhook_secrets = Some(Secret::random());
    } else if given.webhook_secret.is_none() && url.get().is_some() {
        patch.whatsapp.webhook_secret = Some(Some(Secret::random()));
    }
    let new_to_us = moved || before.webhook_url.is_none();
    // Where webhooks were accepted without a secret, Evolution learns it before we ask for it;
    // everywhere else we accept the new one before Evolution uses it.
    let evolution_first = before.webhook_secret.is_none() && !moved;
    let change = Arranged { state: &state, actor: &asker.actor, look: &look, new_to_us };
    let (changed, registered) = match evolution_first {
        true => change.evolution_first(&current, patch).await?,
        false => change.row_first(&current, patch).await?,
    };
    let mut warnings = warnings(url.warning(), registered);
    if moved {
        warnings.extend(leave(&state, name, before).await);
    }
    tracing::info!(instance.name = %changed.name, instance.id = changed.id, "an instance was changed");
    Ok((changed, warnings))
}

/// Silences the account that an instance has left.
async fn leave(state: &AppState, name: &str, before: &WhatsappSettings) -> Option<String> {
    let said = match at_hand(state, name, before).await {
        Ok(before) => state.evolution.silence(&before).await.err()?.to_string(),
        Err(problem) => problem.detail,
    };
    Some(format!("the account that was left may still post here, and is refused: {said}"))
}

/// The two orders of [`arrange`].
struct Arranged<'a> {
    state: &'a AppState,
    actor: &'a Actor,
    look: &'a Look,
    new_to_us: bool,
}

impl Arranged<'_> {
    async fn row_first(&self, current: &Instance, patch: Patch) -> Result<(Instance, Registered), Problem> {
        let changed = self.update(current, patch).await?;
        let settings = at_hand(self.state, changed.name.as_str(), whatsapp(&changed)?).await?;
        let mut progress = Progress::default();
        let settled = self.state.evolution.settle(&settings, self.look, self.new_to_us, &mut progress).await;
        let registered = settled.map_err(|error| trouble(&error, After::RowChanged))?;
        Ok((keep_token(self.state, self.actor, changed, progress.token).await?, registered))
    }

    async fn evolution_first(&self, current: &Instance, mut patch: Patch) -> Result<(Instance, Registered), Problem> {
        let wanted = patch.clone().applied(current);
        let settings = at_hand(self.state, wanted.name.as_str(), whatsapp(&wanted)?).await?;
        let mut progress = Progress::default();
        let settled = self.state.evolution.settle(&settings, self.look, self.new_to_us, &mut progress).await;
        if let Some(token) = progress.token.clone() {
            patch.whatsapp.evolution_key = Some(token);
        }
        let failed = match settled {
            Ok(registered) => match self.update(current, patch).await {
                Ok(changed) => return Ok((changed, registered)),
                Err(problem) => Err(problem),
            },
            Err(error) => Ok(error),
        };
        let left = self.state.evolution.undo(&settings, progress).await;
        Err(failed.map_or_else(|problem| problem, |error| trouble(&error, After::Undone(left))))
    }

    async fn update(&self, current: &Instance, patch: Patch) -> Result<Instance, Problem> {
        update(self.state, self.actor, current, patch).await
    }
}

/// Changes a row and tells every process.
pub(super) async fn update(
    state: &AppState,
    actor: &Actor,
    current: &Instance,
    patch: Patch,
) -> Result<Instance, Problem> {
    let name = current.name.as_str();
    let changed = state.instances.by(actor).update(name, patch).await.map_err(problem)?;
    let changed = changed.ok_or_else(|| no_such_instance(name))?;
    state.announcer.changed(changed.id).await;
    Ok(changed)
}

/// Keeps the key that Evolution chose, where that is not the one we asked for.
async fn keep_token(
    state: &AppState,
    actor: &Actor,
    instance: Instance,
    token: Option<Secret>,
) -> Result<Instance, Problem> {
    let Some(token) = token else { return Ok(instance) };
    let mut patch = Patch::default();
    patch.whatsapp.evolution_key = Some(token);
    update(state, actor, &instance, patch).await
}

/// An account posts to one instance: a second one would take its webhook from the first.
async fn nobody_else_has(state: &AppState, look: &Look, url: &str, but: Option<i64>) -> Result<(), Problem> {
    let others = state.instances.find(&Lookup::WhatsappInstance(look.name.clone())).await.map_err(problem)?;
    let has_it = |other: &Instance| match &other.channel {
        ChannelSettings::Whatsapp(theirs) => {
            Some(other.id) != but && theirs.webhook_url.is_some() && same_server(&theirs.evolution_url, url)
        }
        ChannelSettings::Discord(_) | ChannelSettings::Slack(_) => false,
    };
    if others.iter().any(has_it) { Err(trouble(&Trouble::InUse, After::NothingDone)) } else { Ok(()) }
}

/// The account's own key; a reference that leads to it is kept as it is.
fn own_key(given: &WhatsappSettings, look: &Look) -> Secret {
    let leads_there = given.evolution_key.matches(look.token.expose());
    if leads_there { given.evolution_key.clone() } else { look.token.clone() }
}

/// The settings of an instance with the values of its secrets, also those that are kept elsewhere.
pub(super) async fn at_hand(
    state: &AppState,
    name: &str,
    settings: &WhatsappSettings,
) -> Result<WhatsappSettings, Problem> {
    let mut settings = settings.clone();
    let secrets = [Some(&mut settings.evolution_key), settings.webhook_secret.as_mut()];
    for secret in secrets.into_iter().flatten() {
        let resolved = state.instances.secrets().resolve(secret, None).await;
        *secret = resolved.map_err(|error| not_at_hand(name, &error))?;
    }
    Ok(settings)
}

/// The settings of an instance that is on WhatsApp.
pub(super) fn whatsapp(instance: &Instance) -> Result<&WhatsappSettings, Problem> {
    match &instance.channel {
        ChannelSettings::Whatsapp(settings) => Ok(settings),
        ChannelSettings::Discord(_) | ChannelSettings::Slack(_) => Err(not_on_whatsapp()),
    }
}

fn warnings(of_url: Option<String>, registered: Registered) -> Vec<String> {
    of_url.into_iter().chain(registered.warnings).collect()
}
