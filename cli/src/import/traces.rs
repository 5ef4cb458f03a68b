//! The traces and their payloads.
//!
//! A trace that is here stays as it is, and its payloads are not even read. Those of the source keep
//! files and secrets, which are taken out before they are written.

use std::collections::{BTreeMap, HashMap, HashSet};

use omnihub_common::{
    channel::ChannelType,
    trace::{
        Stage, StagePayload, TraceDetails, TraceEvent, TraceRecord, bare_phone, ended_before, is_refusal,
        older_payload, presentable, revision,
    },
};
use sea_orm::DbErr;
use serde_json::Value;
use uuid::Uuid;

use super::{
    Import, Tenant,
    row::{Problem, Row},
    source::{LARGEST, PAGE, Schema, Source, WIDEST, Walk},
};
use crate::progress;

const TRACES: Walk = Walk {
    table: "message_traces",
    key: "trace_id",
    columns: &[
        "trace_id",
        "instance_name",
        "whatsapp_message_id",
        "sender_phone",
        "sender_name",
        "sender_jid",
        "message_type",
        "message_content",
        "has_media",
        "has_quoted_message",
        "message_length",
        "session_name",
        "session_id",
        "agent_session_id",
        "user_id",
        "received_at",
        "created_at",
        "processing_started_at",
        "agent_request_at",
        "agent_response_at",
        "evolution_send_at",
        "completed_at",
        "status",
        "error_message",
        "error_stage",
        "agent_processing_time_ms",
        "total_processing_time_ms",
        "agent_request_tokens",
        "agent_response_tokens",
        "agent_response",
        "agent_response_success",
        "agent_response_length",
        "agent_tools_used",
        "evolution_response_code",
        "evolution_success",
        "channel_success",
    ],
    widest: WIDEST,
};
/// Payloads in a table of their own.
const PAYLOADS: Walk = Walk {
    table: "trace_payloads",
    key: "id",
    columns: &["trace_id", "stage", "timestamp", "status_code", "payload_compressed"],
    widest: LARGEST,
};
/// Payloads in the trace's row, and the stages that they are of.
const INLINE: Walk = Walk {
    table: "message_traces",
    key: "trace_id",
    columns: &["trace_id", "incoming_payload", "agent_request_payload", "agent_response_payload", "outgoing_payload"],
    widest: LARGEST,
};

/// A trace that is to be written.
struct Wanted {
    /// Its key in the source.
    key: String,
    record: TraceRecord,
    payloads: HashMap<Stage, StagePayload>,
}

impl Import {
    /// Takes over the traces.
    pub(super) async fn traces(&mut self) {
        if let Err(error) = self.walk_traces().await {
            self.unreadable("traces", &error);
        }
    }

    async fn walk_traces(&mut self) -> Result<(), DbErr> {
        let bar = progress::bar("traces", self.source.count(TRACES.table).await?);
        let mut told = HashSet::new();
        let (mut after, mut done) = (None, 0);
        loop {
            let page = self.source.page(TRACES, after.as_deref()).await?;
            let Some(last) = page.last().map(|row| row.place.clone()) else { return Ok(()) };
            done += page.len() as u64;
            for (owner, traces) in self.by_owner(page) {
                self.write_traces(&owner, traces, &mut told).await?;
            }
            progress::show(&bar, done);
            after = Some(last);
        }
    }

    /// The traces of a page that can be read, by the instance that they are of.
    fn by_owner(&mut self, page: Vec<Row>) -> BTreeMap<String, Vec<Wanted>> {
        let mut traces: BTreeMap<String, Vec<Wanted>> = BTreeMap::new();
        for row in page {
            let Some(owner) = self.owner(row.hint("instance_name").as_deref()) else { continue };
            match wanted(&row, &self.tenants[&owner]) {
                Ok(trace) => traces.entry(owner).or_default().push(trace),
                Err(problem) => self.leave_out_trace(&owner, row.hint("trace_id"), problem),
            }
        }
        traces
    }

    /// Writes what is not here yet. An error is the source's.
    async fn write_traces(
        &mut self,
        owner: &str,
        traces: Vec<Wanted>,
        told: &mut HashSet<String>,
    ) -> Result<(), DbErr> {
        let ids: Vec<Uuid> = traces.iter().map(|trace| trace.record.trace_id).collect();
        let known = match self.target.traces.known(&ids).await {
            Ok(known) => known,
            Err(error) => {
                self.fail(owner, "traces", &error);
                return Ok(());
            }
        };
        let mut new: Vec<_> = traces.into_iter().filter(|trace| !known.contains(&trace.record.trace_id)).collect();
        let there = (ids.len() - new.len()) as u64;
        let would = if self.mode.dry_run { new.len() as u64 } else { 0 };
        self.tally(owner, |entry| {
            entry.traces.unchanged += there;
            entry.traces.created += would;
        });
        if self.mode.dry_run || new.is_empty() {
            return Ok(());
        }
        self.read_payloads(owner, &mut new).await?;
        let first = told.insert(owner.to_owned());
        match self.write_batch(owner, &new, first).await {
            Ok(written) => self.tally(owner, |entry| entry.traces.created += written as u64),
            // One that is no good must not cost the others of its page.
            Err(error) if is_refusal(&error) => self.one_by_one(owner, new, first).await,
            Err(error) => self.fail(owner, "traces", &error),
        }
        Ok(())
    }

    async fn one_by_one(&mut self, owner: &str, traces: Vec<Wanted>, mut first: bool) {
        for trace in traces {
            match self.write_batch(owner, std::slice::from_ref(&trace), first).await {
                Ok(written) => {
                    first = false;
                    self.tally(owner, |entry| entry.traces.created += written as u64);
                }
                Err(error) if is_refusal(&error) => {
                    self.leave_out_trace(owner, Some(trace.key), "the database refuses it".to_owned());
                }
                Err(error) => return self.fail(owner, "traces", &error),
            }
        }
    }

    async fn write_batch(&self, owner: &str, traces: &[Wanted], first: bool) -> Result<usize, DbErr> {
        let secrets: Vec<&str> = self.tenants[owner].secrets.iter().map(|secret| secret.expose()).collect();
        let events: Vec<TraceEvent> = traces.iter().flat_map(|trace| events(trace, &secrets)).collect();
        let wanted = first.then_some((&self.target.by, self.source.place.as_str()));
        self.target.traces.import(&events, wanted).await
    }

    fn leave_out_trace(&mut self, owner: &str, row: Option<String>, problem: Problem) {
        self.tally(owner, |entry| entry.traces.left_out += 1);
        self.leave_out(TRACES.table, row, Some(owner.to_owned()), problem);
    }

    /// Reads the payloads of traces. One that is damaged or too large is missed, not the trace.
    async fn read_payloads(&mut self, owner: &str, traces: &mut [Wanted]) -> Result<(), DbErr> {
        debug_assert!(traces.len() as u64 <= PAGE);
        let secrets: Vec<&str> = self.tenants[owner].secrets.iter().map(|secret| secret.expose()).collect();
        let places: HashMap<String, usize> =
            traces.iter().enumerate().map(|(n, trace)| (trace.key.clone(), n)).collect();
        let keys: Vec<String> = traces.iter().map(|trace| trace.key.clone()).collect();
        let mut missed = 0;
        let mut take = |row: Row| {
            let Some(trace) = row.hint("trace_id").and_then(|key| traces.get_mut(*places.get(&key)?)) else { return };
            missed += put(trace, &row, &secrets);
        };
        missed += match self.source.schema {
            Schema::Guide => read_inline(&self.source, &keys, &mut take).await?,
            Schema::Omni | Schema::Roadmap => {
                let weighed = ["payload_compressed"];
                self.source.heavy(PAYLOADS, "trace_id", &keys, &weighed, &mut take).await?
            }
        };
        self.report.payloads_missed += missed;
        Ok(())
    }
}

async fn read_inline(source: &Source, keys: &[String], take: &mut impl FnMut(Row)) -> Result<u64, DbErr> {
    source.heavy(INLINE, INLINE.key, keys, &INLINE.columns[1..], take).await
}

/// Puts the payloads of a row to their trace; how many cannot be read.
fn put(trace: &mut Wanted, row: &Row, secrets: &[&str]) -> u64 {
    let mut missed = 0;
    let mut keep = |stage: Stage, at: Option<i64>, status_code: Option<i32>, body: Option<Value>| match body {
        // The last one of a stage is what became of it.
        Some(body) => {
            let body = presentable(body, secrets);
            let at = at.unwrap_or(trace.record.received_at);
            trace.payloads.insert(stage, StagePayload { stage, at, status_code, body });
        }
        None => missed += 1,
    };
    let details = &trace.record.details;
    let inline = [
        ("incoming_payload", Stage::WebhookReceived, None),
        ("agent_request_payload", Stage::AgentRequest, details.agent_request_at),
        ("agent_response_payload", Stage::AgentResponse, details.agent_response_at),
        ("outgoing_payload", Stage::ChannelSend, details.channel_send_at),
    ];
    for (column, stage, at) in inline {
        match row.text(column) {
            Ok(None) => {}
            Ok(Some(text)) => {
                keep(stage, at, None, serde_json::from_str(&text).ok().filter(|body: &Value| !body.is_null()))
            }
            Err(_) => keep(stage, at, None, None),
        }
    }
    if let Some(stage) = row.hint("stage").as_deref().and_then(stage) {
        let body = row.hint("payload_compressed").and_then(|text| older_payload(&text).ok());
        keep(stage, row.ms("timestamp"), row.small("status_code"), body);
    }
    missed
}

/// The stage of the Python hub's word for it. Its streams never ran.
fn stage(word: &str) -> Option<Stage> {
    match word {
        "webhook_received" => Some(Stage::WebhookReceived),
        "agent_request" => Some(Stage::AgentRequest),
        "agent_response" => Some(Stage::AgentResponse),
        "evolution_send" | "discord_send" => Some(Stage::ChannelSend),
        _ => None,
    }
}

/// The events that a trace would have left, each with the whole row.
fn events(trace: &Wanted, secrets: &[&str]) -> Vec<TraceEvent> {
    let (record, details) = (&trace.record, &trace.record.details);
    let revision = revision(1, record.status, details.outcome);
    // The payloads are fit to be shown already; a note that a file was there would be taken for one.
    let event = |payload| TraceEvent { payload, ..TraceEvent::new(revision, record.clone(), None, secrets) };
    match trace.payloads.is_empty() {
        true => vec![event(None)],
        false => trace.payloads.values().cloned().map(|payload| event(Some(payload))).collect(),
    }
}

fn wanted(row: &Row, tenant: &Tenant) -> Result<Wanted, Problem> {
    let key = row.required("trace_id")?;
    let trace_id = Uuid::try_parse(&key).map_err(|_| "trace_id is not a UUID")?;
    let received = ["received_at", "created_at", "processing_started_at"];
    let received_at = received.into_iter().find_map(|column| row.ms(column)).ok_or("no time says when it came")?;
    let (status, outcome, reason) = ended_before(&row.text("status")?.unwrap_or_default());
    let details = TraceDetails {
        outcome: Some(outcome),
        outcome_reason: reason.map(str::to_owned),
        attempts: Some(1),
        error_stage: row.hint("error_stage").map(|word| match word.as_str() {
            "evolution_send" | "discord_send" => Stage::ChannelSend.as_str().to_owned(),
            _ => word,
        }),
        error_message: row.excerpt("error_message"),
        ..answer(row, received_at, message(row, tenant.channel))
    };
    let record = TraceRecord {
        trace_id,
        // A dry run writes nothing.
        instance_id: tenant.id.unwrap_or_default(),
        instance_name: tenant.name.to_string(),
        channel_type: tenant.channel.as_str().to_owned(),
        status,
        received_at,
        details,
    };
    Ok(Wanted { key, record, payloads: HashMap::new() })
}

/// What the person sent.
fn message(row: &Row, channel: ChannelType) -> TraceDetails {
    let phone = row.hint("sender_phone");
    // Discord's ids stood in the place of numbers.
    let (sender_phone, sender_id) = match channel {
        ChannelType::Whatsapp => (phone.map(|phone| bare_phone(&phone).to_owned()), row.hint("sender_jid")),
        ChannelType::Discord | ChannelType::Slack => (None, row.hint("sender_jid").or(phone)),
    };
    TraceDetails {
        provider_message_id: row.hint("whatsapp_message_id"),
        sender_phone,
        sender_name: row.excerpt("sender_name"),
        sender_id,
        message_type: row.hint("message_type"),
        message_length: row.small("message_length"),
        message_content: row.excerpt("message_content"),
        has_media: row.flag("has_media").ok().flatten(),
        has_quoted_message: row.flag("has_quoted_message").ok().flatten(),
        session_name: row.hint("session_name"),
        session_id: row.hint("session_id").or_else(|| row.hint("agent_session_id")),
        user_id: row.hint("user_id"),
        ..TraceDetails::default()
    }
}

/// What was made of it.
fn answer(row: &Row, received_at: i64, message: TraceDetails) -> TraceDetails {
    let flag = |column| row.flag(column).ok().flatten();
    let (agent_response, evolution_success) = (row.excerpt("agent_response"), flag("evolution_success"));
    let length = || agent_response.as_ref().and_then(|text| i32::try_from(text.chars().count()).ok());
    let completed_at = row.ms("completed_at");
    // In zones other than UTC it was wrong, and mostly negative.
    let took = row.small("total_processing_time_ms").filter(|ms| *ms >= 0);
    let between = || completed_at.and_then(|at| i32::try_from(at - received_at).ok()).filter(|ms| *ms >= 0);
    TraceDetails {
        processing_started_at: row.ms("processing_started_at"),
        agent_request_at: row.ms("agent_request_at"),
        agent_response_at: row.ms("agent_response_at"),
        channel_send_at: row.ms("evolution_send_at"),
        completed_at,
        agent_processing_time_ms: row.small("agent_processing_time_ms").filter(|ms| *ms >= 0),
        total_processing_time_ms: took.or_else(between),
        agent_response_length: row.small("agent_response_length").or_else(length),
        agent_response_success: flag("agent_response_success"),
        agent_request_tokens: row.small("agent_request_tokens"),
        agent_response_tokens: row.small("agent_response_tokens"),
        agent_tools_used: row.small("agent_tools_used"),
        evolution_response_code: row.small("evolution_response_code"),
        channel_success: flag("channel_success").or(evolution_success),
        evolution_success,
        agent_response,
        ..message
    }
}
