//! The life of an instance's account: its status, its QR code, and what connects and parts it.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use omnihub_common::{
    audit::{self, Change},
    channel::whatsapp::{
        admin::{AdminError, Connecting, Connection, Pairing},
        recipient::{chat_of, phone_of},
    },
    instance::{ChannelSettings, Instance, Patch, WhatsappSettings},
    key::Actor,
};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{
    documented::by_evolution,
    problem,
    provision::{Asker, arrange, at_hand, to_its_end, update, whatsapp},
    troubles::{After, trouble},
};
use crate::{
    admin::{
        access::{Allowed, CanRead, CanWrite, no_such_instance},
        door::{Routes, get, post},
        fields::invalid,
        openapi::{Doc, field::text, says},
        path::Path,
        query::Parameters,
    },
    evolution::Trouble,
    problem::{FieldError, Problem},
    state::AppState,
};

/// The routes, with their whole path.
pub(super) fn routes() -> Routes {
    Routes::new()
        .route(
            "/api/v1/instances/{name}/status",
            get(status).doc(about("How an instance's account is connected").answers::<Status>()),
        )
        .route(
            "/api/v1/instances/{name}/qr",
            get(qr).doc(
                about("What is to be scanned to pair a phone")
                    .more("With the phone's number there is also a code to type in there, where no connection is under way.")
                    .query([text("phone_number", "The number of the phone, with its country code.")])
                    .answers::<Qr>(),
            ),
        )
        .route(
            "/api/v1/instances/{name}/connect",
            post(connect).doc(
                about("Connect an instance's account")
                    .more("The account is made or adopted and our webhook registered; the instance becomes active.")
                    .answers::<Changed>(),
            ),
        )
        .route(
            "/api/v1/instances/{name}/disconnect",
            post(disconnect).doc(
                about("Stop an instance without unpairing its phone")
                    .more("Evolution stops posting, and the instance answers nobody.")
                    .answers::<Changed>(),
            ),
        )
        .route(
            "/api/v1/instances/{name}/restart",
            post(restart).doc(about("Connect an instance's account anew").answers::<Changed>()),
        )
        .route(
            "/api/v1/instances/{name}/logout",
            post(logout).doc(about("Unpair an instance's phone").answers::<Changed>()),
        )
}

fn about(summary: &'static str) -> Doc {
    by_evolution(says(summary)).problem(400, "The instance is on another channel than WhatsApp.")
}

/// How an account is connected, in the older system's form.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InstanceStatus)]
struct Status {
    instance_name: String,
    channel_type: &'static str,
    /// `connected`, `connecting`, `disconnected`, `not_found` or `error`.
    status: &'static str,
    channel_data: Value,
    /// What its webhooks told last; null when they told nothing.
    connection: Option<ToldConnection>,
}

/// How an account is connected, as its webhooks told it.
#[derive(Debug, Serialize, ToSchema)]
struct ToldConnection {
    /// `open`, `connecting`, `pairing`, `closed`, `logged_out` or `removed`.
    state: &'static str,
    /// Since when.
    since: Option<DateTime<Utc>>,
    /// The channel's number for why.
    reason: Option<i64>,
    /// Since when nothing comes of it, though by its own habit something should have.
    silent_since: Option<DateTime<Utc>>,
}

/// What the webhooks of an instance told; none too when the record cannot be had.
async fn told_connection(state: &AppState, instance: &Instance) -> Option<ToldConnection> {
    let record = state.accounts.as_ref()?.get(instance.id).await.ok()??;
    Some(ToldConnection {
        state: record.state.as_str(),
        since: DateTime::from_timestamp_millis(record.since),
        reason: record.reason,
        silent_since: record.silent_since.and_then(DateTime::from_timestamp_millis),
    })
}

async fn status(
    access: Allowed<CanRead>,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<Status>, Problem> {
    access.sees(&name)?;
    let instance = find(&state, &name).await?;
    let (status, channel_data) = status_of(&state, &instance).await?;
    let connection = told_connection(&state, &instance).await;
    let channel_type = instance.channel_type().as_str();
    Ok(Json(Status { instance_name: name, channel_type, status, channel_data, connection }))
}

/// The word for how an instance is connected, and what Evolution says of it.
pub(super) async fn status_of(state: &AppState, instance: &Instance) -> Result<(&'static str, Value), Problem> {
    let settings = open(state, instance).await?;
    let told = match state.evolution.account(&settings) {
        Ok(account) => account.connection().await,
        Err(error) => Err(error),
    };
    Ok(match told {
        Ok(connection) => {
            let raw = json!({"instance": {"instanceName": settings.whatsapp_instance, "state": connection.as_str()}});
            (word(&connection), json!({"evolution_state": connection.as_str(), "evolution_data": raw}))
        }
        Err(AdminError::NotFound) => ("not_found", json!({"error": AdminError::NotFound.to_string()})),
        Err(error) => ("error", json!({"error": error.to_string()})),
    })
}

/// The older system's word.
pub(super) fn word(connection: &Connection) -> &'static str {
    match connection {
        Connection::Open => "connected",
        Connection::Connecting => "connecting",
        Connection::Close => "disconnected",
        Connection::Other(_) => "error",
    }
}

/// What is to be scanned, in the older system's form.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InstanceQr)]
struct Qr {
    instance_name: String,
    channel_type: &'static str,
    /// The picture, as a `data:` URL.
    qr_code: Option<String>,
    /// The text of the picture, for who draws it.
    code: Option<String>,
    pairing_code: Option<String>,
    auth_url: Option<String>,
    invite_url: Option<String>,
    /// `success`, `unavailable` or `error`.
    status: &'static str,
    message: String,
}

/// `GET .../qr` lets a phone be paired, and so needs more than reading.
async fn qr(
    access: Allowed<CanWrite>,
    State(state): State<AppState>,
    Path(name): Path<String>,
    Parameters(parameters): Parameters,
) -> Result<Json<Qr>, Problem> {
    access.sees(&name)?;
    let number = parameters.get("phone_number").map(|text| digits(text)).transpose();
    let number = number.map_err(|message| invalid(vec![FieldError { field: "phone_number".to_owned(), message }]))?;
    let instance = find(&state, &name).await?;
    let settings = open(&state, &instance).await?;
    let told = match state.evolution.account(&settings) {
        Ok(account) => account.connect(number.as_deref()).await,
        Err(error) => Err(error),
    };
    let (status, mut message, pairing) = scan(told);
    if !instance.is_active {
        message.push_str(" The instance is not active and answers nobody: `connect` makes it active.");
    }
    let (qr_code, code, pairing_code) =
        pairing.map_or((None, None, None), |pairing| (pairing.picture, pairing.code, pairing.pairing_code));
    let channel_type = instance.channel_type().as_str();
    let (auth_url, invite_url) = (None, None);
    Ok(Json(Qr {
        instance_name: name,
        channel_type,
        qr_code,
        code,
        pairing_code,
        auth_url,
        invite_url,
        status,
        message,
    }))
}

/// The digits of a phone number, as Evolution takes them.
pub(super) fn digits(text: &str) -> Result<String, String> {
    let chat = chat_of(text).ok();
    let digits = chat.as_deref().and_then(phone_of).map(str::to_owned);
    digits.ok_or_else(|| "must be a phone number with its country code".to_owned())
}

/// What an answer to `connect` means for who wants to scan.
fn scan(told: Result<Connecting, AdminError>) -> (&'static str, String, Option<Pairing>) {
    match told {
        Ok(Connecting::Scan(pairing)) => {
            ("success", "Scan it with WhatsApp, under linked devices.".to_owned(), Some(pairing))
        }
        Ok(Connecting::Open) => ("unavailable", "It is connected already.".to_owned(), None),
        Ok(Connecting::NotYet) => {
            ("unavailable", "There is no QR code yet: ask again in some seconds.".to_owned(), None)
        }
        Ok(Connecting::Failed(words)) => ("error", format!("Evolution could not begin to connect: {words}."), None),
        Err(error) => ("error", format!("{error}."), None),
    }
}

/// The answer to a change, in the older system's form.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InstanceChanged)]
struct Changed {
    message: String,
    result: Outcome,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// What it came to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InstanceOutcome)]
struct Outcome {
    /// `success` or `warning`; of `connect` what `qr` says.
    status: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    qr_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pairing_code: Option<String>,
}

impl Outcome {
    fn new(status: &'static str, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), qr_code: None, code: None, pairing_code: None }
    }
}

/// `POST .../connect`: makes or adopts the account, registers the webhook, makes the instance
/// active, and begins to connect.
async fn connect(
    access: Allowed<CanWrite>,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<Changed>, Problem> {
    access.sees(&name)?;
    let current = find(&state, &name).await?;
    let asker = Asker::new(&access);
    to_its_end(async move {
        let patch = Patch { is_active: Some(true), ..Patch::default() };
        let (instance, warnings) = arrange(state.clone(), asker.clone(), current, patch).await?;
        let account = state.evolution.account(&open(&state, &instance).await?);
        let told = account.map_err(not_done("Connecting"))?.connect(None).await.map_err(not_done("Connecting"))?;
        note(&state, &asker.actor, "instance.connect", &instance).await?;
        let (status, message, pairing) = scan(Ok(told));
        let mut result = Outcome::new(if status == "unavailable" { "success" } else { status }, message);
        if let Some(pairing) = pairing {
            (result.qr_code, result.code, result.pairing_code) = (pairing.picture, pairing.code, pairing.pairing_code);
        }
        Ok(Json(Changed { message: format!("Instance '{}' is being connected", instance.name), result, warnings }))
    })
    .await
}

/// `POST .../disconnect`: Evolution stops posting and the instance answers nobody; the phone stays
/// paired.
async fn disconnect(
    access: Allowed<CanWrite>,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<Changed>, Problem> {
    access.sees(&name)?;
    let current = find(&state, &name).await?;
    let actor = access.actor().clone();
    to_its_end(async move {
        let settings = open(&state, &current).await?;
        // Inactive first: the watch over webhooks leaves it alone from here on.
        let instance = set_active(&state, &actor, current, false).await?;
        let silenced = state.evolution.silence(&settings).await;
        let silenced = silenced.map_err(|error| trouble(&error, After::RowChanged))?;
        note(&state, &actor, "instance.disconnect", &instance).await?;
        let result = match silenced {
            true => Outcome::new("success", "Evolution no longer posts; the phone stays paired."),
            false => {
                Outcome::new("success", "The instance answers nobody; Evolution had no webhook of ours to turn off.")
            }
        };
        Ok(Json(Changed { message: done(&instance, "disconnected"), result, warnings: Vec::new() }))
    })
    .await
}

/// `POST .../restart`: the account connects anew, and the instance is active.
async fn restart(
    access: Allowed<CanWrite>,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<Changed>, Problem> {
    access.sees(&name)?;
    let current = find(&state, &name).await?;
    let actor = access.actor().clone();
    to_its_end(async move {
        let account = state.evolution.account(&open(&state, &current).await?).map_err(not_done("Restarting"))?;
        let restarted = account.restart().await.map_err(not_done("Restarting"))?;
        let instance = set_active(&state, &actor, current, true).await?;
        note(&state, &actor, "instance.restart", &instance).await?;
        let result = match restarted {
            true => Outcome::new("success", "The account connects anew."),
            false => Outcome::new(
                "warning",
                "The account was not connected, so there was nothing to restart: `connect` connects it.",
            ),
        };
        Ok(Json(Changed { message: done(&instance, "restarted"), result, warnings: Vec::new() }))
    })
    .await
}

/// `POST .../logout`: the phone is unpaired, and the instance answers nobody.
async fn logout(
    access: Allowed<CanWrite>,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<Changed>, Problem> {
    access.sees(&name)?;
    let current = find(&state, &name).await?;
    let actor = access.actor().clone();
    to_its_end(async move {
        let account = state.evolution.account(&open(&state, &current).await?).map_err(not_done("Logging out"))?;
        let parted = account.log_out().await.map_err(not_done("Logging out"))?;
        let instance = set_active(&state, &actor, current, false).await?;
        note(&state, &actor, "instance.logout", &instance).await?;
        let result = match parted {
            true => Outcome::new("success", "The phone is unpaired."),
            false => Outcome::new("success", "The phone was not paired."),
        };
        Ok(Json(Changed { message: done(&instance, "logged out"), result, warnings: Vec::new() }))
    })
    .await
}

async fn find(state: &AppState, name: &str) -> Result<Instance, Problem> {
    state.instances.get(name).await.map_err(problem)?.ok_or_else(|| no_such_instance(name))
}

/// The settings of an instance on WhatsApp, with its secrets.
async fn open(state: &AppState, instance: &Instance) -> Result<WhatsappSettings, Problem> {
    at_hand(state, instance.name.as_str(), whatsapp(instance)?).await
}

async fn set_active(state: &AppState, actor: &Actor, current: Instance, is_active: bool) -> Result<Instance, Problem> {
    if current.is_active == is_active {
        return Ok(current);
    }
    update(state, actor, &current, Patch { is_active: Some(is_active), ..Patch::default() }).await
}

/// A line of the audit log for what was done at Evolution.
pub(super) async fn note(
    state: &AppState,
    actor: &Actor,
    action: &'static str,
    instance: &Instance,
) -> Result<(), Problem> {
    let name = instance.name.as_str();
    let after = match &instance.channel {
        ChannelSettings::Whatsapp(settings) => {
            json!({"is_active": instance.is_active, "whatsapp_instance": settings.whatsapp_instance})
        }
        ChannelSettings::Discord(_) | ChannelSettings::Slack(_) => json!({"is_active": instance.is_active}),
    };
    let instance = Some((instance.id, name));
    let change = Change { action, target: name, instance, before: None, after: Some(after) };
    audit::record(&state.database, actor, change).await.map_err(|error| problem(error.into()))
}

fn not_done(step: &'static str) -> impl Fn(AdminError) -> Problem {
    move |error| trouble(&Trouble::Step { step, error }, After::Asked)
}

fn done(instance: &Instance, what: &str) -> String {
    format!("Instance '{}' {what} successfully", instance.name)
}
