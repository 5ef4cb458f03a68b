//! Whether a server speaks a protocol as the hub needs it, for whoever writes one. The questions are
//! written and the answers read by the code that asks agents for customers.
//!
//! What is absent: nothing here judges how long anything took, and nothing is asked twice that failed.

use std::time::{Duration, Instant};

use chrono::DateTime;
use http::{HeaderMap, HeaderName, HeaderValue};
use omnihub_common::{
    conversation::Decision,
    instance::{
        AgentKind, AgentOptions, AgentProtocol, AgentSettings, BudgetSettings, ChannelSettings, DiscordSettings,
        FailoverSettings, GroupSettings, Instance, InstanceName, OfficeSettings, ReplySettings, TakeoverSettings,
        TurnSettings,
    },
    secret::Secret,
};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{AgentError, CallContext, Client, Files, Question, Reply, Said, answer::Failure, ask, call, request};
use crate::outbound;

/// The server that is looked at, and how it is spoken to.
#[derive(Clone, Debug)]
pub struct Target {
    /// The base URL.
    pub url: String,
    /// The key.
    pub key: Secret,
    /// The protocol.
    pub protocol: AgentProtocol,
    /// The agent to name.
    pub agent_id: Option<String>,
    /// `hive`: whether it is an agent or a team.
    pub kind: AgentKind,
    /// Whether it is to answer piece by piece.
    pub stream: bool,
    /// `webhook`: what calls are signed with.
    pub webhook_secret: Option<Secret>,
    /// How long one call may take.
    pub timeout: Duration,
}

/// What a look brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is as the hub needs it.
    Ok,
    /// It is not.
    Failed,
    /// It was not looked at: the protocol knows nothing of it, or what comes before it failed.
    Skipped,
}

/// One look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was seen.
    pub detail: String,
    /// How long the server took, in milliseconds.
    pub took_ms: u64,
}

/// Looks at a server.
///
/// # Errors
/// When no client can be made.
pub async fn check(target: &Target) -> Result<Vec<Finding>, reqwest::Error> {
    let look = Look { client: Client::new(outbound::client()?), instance: instance(target), session: Uuid::new_v4() };
    let turn = Uuid::new_v4().to_string();
    let (first, took) = look.ask(&turn, None).await;
    let mut findings = vec![reachable(&first, took)];
    if findings[0].verdict != Verdict::Ok {
        return Ok(findings);
    }
    findings.push(answered(&first, took));
    match first {
        Ok(reply) => {
            findings.push(streamed(target, &reply));
            findings.push(look.again(&turn, &reply).await);
            findings.push(look.session(target.protocol, &reply).await);
        }
        Err(_) => findings.extend(["stream", "same key again", "session"].map(|check| skipped(check, "no answer"))),
    }
    findings.push(look.refuses_a_wrong_key(target).await);
    findings.push(look.refuses_a_wrong_signature(target).await);
    findings.push(look.refuses_a_question_without_fields().await);
    Ok(findings)
}

/// What a server is asked with.
struct Look {
    client: Client,
    instance: Instance,
    session: Uuid,
}

type Asked = (Result<Reply, AgentError>, u64);

impl Look {
    /// Asks one question in this turn; of an agent's own session when it has named one.
    async fn ask(&self, turn: &str, session: Option<&str>) -> Asked {
        self.ask_as(&self.instance, turn, session).await
    }

    async fn ask_as(&self, instance: &Instance, turn: &str, session: Option<&str>) -> Asked {
        let question = self.question(turn, session);
        let since = Instant::now();
        let answer =
            ask(&self.client, instance, request(instance, &question, &[]), Files::default(), context(turn)).await;
        (answer, since.elapsed().as_millis().try_into().unwrap_or(u64::MAX))
    }

    fn question(&self, turn: &str, session: Option<&str>) -> Question {
        let text = "Hello! This is a check by omnihub: please answer with one short sentence.";
        Question {
            turn_id: turn.to_owned(),
            message: text.to_owned(),
            message_type: "text",
            messages: vec![Said {
                id: format!("check-{turn}"),
                kind: "text",
                text: text.to_owned(),
                media: None,
                at_ms: Some(chrono::Utc::now().timestamp_millis()),
            }],
            media_contents: Vec::new(),
            contents: Vec::new(),
            session_name: format!("check_{}", self.session.simple()),
            session_id: session.map_or_else(|| self.session.to_string(), str::to_owned),
            user_id: Uuid::new_v5(&Uuid::NAMESPACE_OID, b"omnihub agent check").to_string(),
            agent_knows_user: false,
            user: json!({"phone_number": "+10000000000", "email": null, "user_data": {"name": "omnihub agent check"}}),
            quoted: None,
            reply_url: None,
        }
    }

    /// After a crash or a timeout the same question comes with the same key.
    async fn again(&self, turn: &str, first: &Reply) -> Finding {
        let (second, took) = self.ask(turn, None).await;
        match second {
            Ok(second) if second.text == first.text => finding("same key again", Verdict::Ok, "the same answer", took),
            Ok(_) => finding("same key again", Verdict::Ok, "answered anew: the Idempotency-Key is not minded", took),
            Err(error) => finding("same key again", Verdict::Failed, error.message, took),
        }
    }

    /// An agent that names a session names it again when it is asked in it.
    async fn session(&self, protocol: AgentProtocol, first: &Reply) -> Finding {
        if matches!(protocol, AgentProtocol::Openai | AgentProtocol::Webhook) {
            return skipped("session", "the protocol names none");
        }
        let Some(named) = &first.session_id else {
            return finding("session", Verdict::Ok, "none is named: the hub goes on with its own id", 0);
        };
        let (second, took) = self.ask(&Uuid::new_v4().to_string(), Some(named)).await;
        match second {
            Ok(Reply { session_id: Some(session), .. }) if session == *named => {
                finding("session", Verdict::Ok, "kept from one question to the next", took)
            }
            Ok(_) => finding("session", Verdict::Failed, "it is another one after the second question", took),
            Err(error) => finding("session", Verdict::Failed, error.message, took),
        }
    }

    async fn refuses_a_wrong_key(&self, target: &Target) -> Finding {
        if target.key.expose().is_empty() {
            return skipped("wrong key", "no key was given");
        }
        let mut instance = self.instance.clone();
        instance.agent.api_key = Secret::new(format!("wrong-{}", Uuid::new_v4().simple()));
        self.refuses("wrong key", &instance).await
    }

    async fn refuses_a_wrong_signature(&self, target: &Target) -> Finding {
        if target.protocol != AgentProtocol::Webhook || target.webhook_secret.is_none() {
            return skipped("wrong signature", "nothing is signed");
        }
        let mut instance = self.instance.clone();
        instance.agent.options.webhook_secret = Some(Secret::new(SOME_SECRET));
        self.refuses("wrong signature", &instance).await
    }

    /// 401 is the one status that makes the hub wait for whoever mends it.
    async fn refuses(&self, check: &'static str, instance: &Instance) -> Finding {
        let (answer, took) = self.ask_as(instance, &Uuid::new_v4().to_string(), None).await;
        match answer {
            Ok(_) => finding(check, Verdict::Failed, "it is answered all the same", took),
            Err(AgentError { decision: Decision::Hold(_), .. }) => {
                finding(check, Verdict::Ok, "refused with 401", took)
            }
            Err(AgentError { status: Some(403), .. }) => {
                let detail = "refused with 403: the hub gives up; with 401 it would wait for the right one";
                finding(check, Verdict::Failed, detail, took)
            }
            Err(error) => finding(check, Verdict::Failed, error.message, took),
        }
    }

    /// What never gets better is refused as such, so that it is not asked for again.
    async fn refuses_a_question_without_fields(&self) -> Finding {
        const CHECK: &str = "error form";
        let since = Instant::now();
        let call = call(&self.instance, json!({}), Files::default(), context(&Uuid::new_v4().to_string()));
        let answer = match call {
            Ok(call) => self.client.post(call).await,
            Err(failure) => Err(failure),
        };
        let took = since.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
        match answer.map(|answer| answer.status) {
            Ok(status @ (400 | 422)) => finding(CHECK, Verdict::Ok, format!("an empty question gets {status}"), took),
            Ok(status @ 500..) => {
                let detail =
                    format!("an empty question gets {status}, which the hub would ask again for: use 400 or 422");
                finding(CHECK, Verdict::Failed, detail, took)
            }
            Ok(status) => {
                finding(CHECK, Verdict::Failed, format!("an empty question gets {status}: use 400 or 422"), took)
            }
            Err(failure) => finding(CHECK, Verdict::Failed, said(failure), took),
        }
    }
}

/// One that is no server's.
const SOME_SECRET: &str = "whsec_b21uaWh1YiBhZ2VudCBjaGVjazogd3Jvbmch";

fn reachable(first: &Result<Reply, AgentError>, took: u64) -> Finding {
    match first {
        Ok(reply) => finding("reachable", Verdict::Ok, format!("it answers with status {}", reply.status), took),
        Err(AgentError { status: Some(status), .. }) => {
            finding("reachable", Verdict::Ok, format!("it answers with status {status}"), took)
        }
        Err(error) => finding("reachable", Verdict::Failed, error.message.clone(), took),
    }
}

fn answered(first: &Result<Reply, AgentError>, took: u64) -> Finding {
    match first {
        Ok(reply) if reply.text.trim().is_empty() => {
            finding("answer", Verdict::Failed, "it can be read and has no text: the person gets nothing", took)
        }
        Ok(reply) => finding("answer", Verdict::Ok, format!("{} characters of text", reply.text.chars().count()), took),
        Err(error) if error.is_later() => {
            let detail = "it answers later (202): a hub with OMNIHUB_PUBLIC_URL names a reply_url and waits there, a check does not";
            finding("answer", Verdict::Skipped, detail, took)
        }
        Err(error) => {
            let then = match &error.decision {
                Decision::Again(_) => "the hub would ask again",
                Decision::Hold(_) => "the hub would wait until the instance is changed",
                Decision::Dead(_) => "the hub would give up",
            };
            finding("answer", Verdict::Failed, format!("{}; {then}", error.message), took)
        }
    }
}

fn streamed(target: &Target, reply: &Reply) -> Finding {
    let came = reply.body.get("stream").filter(|stream| stream.is_object());
    match (target.stream && target.protocol.streams(), came) {
        (false, None) => skipped("stream", "it was not asked for one"),
        (false, Some(_)) => finding("stream", Verdict::Failed, "it streams although it was not asked to", 0),
        (true, None) => {
            finding("stream", Verdict::Failed, "it answers in one piece although it was asked to stream", 0)
        }
        (true, Some(stream)) if stream["differs_from_complete"] == Value::Bool(true) => {
            finding("stream", Verdict::Failed, "the pieces are not what its end says the whole is", 0)
        }
        (true, Some(stream)) => finding("stream", Verdict::Ok, format!("{} events, and an end", stream["events"]), 0),
    }
}

fn finding(check: &'static str, verdict: Verdict, detail: impl Into<String>, took_ms: u64) -> Finding {
    Finding { check, verdict, detail: detail.into(), took_ms }
}

fn skipped(check: &'static str, why: &str) -> Finding {
    finding(check, Verdict::Skipped, why, 0)
}

fn said(failure: Failure) -> String {
    AgentError::from(failure).message
}

fn context(turn: &str) -> CallContext {
    let trace = Uuid::new_v4();
    let parent = format!("00-{}-{:016x}-00", trace.simple(), trace.as_u64_pair().1);
    let parent = HeaderValue::from_str(&parent).map(|parent| (HeaderName::from_static("traceparent"), parent));
    CallContext {
        idempotency_key: turn.to_owned(),
        request_id: trace.to_string(),
        trace_headers: HeaderMap::from_iter(parent),
        heard: None,
    }
}

/// An instance that no table has and no message reaches, for what asking needs of one.
fn instance(target: &Target) -> Instance {
    Instance {
        id: 0,
        name: InstanceName::default(),
        is_active: true,
        is_default: false,
        session_id_prefix: None,
        agent: AgentSettings {
            api_url: target.url.clone(),
            api_key: target.key.clone(),
            agent_id: target.agent_id.clone(),
            default_agent: None,
            timeout: target.timeout,
            protocol: target.protocol,
            error_message: None,
            options: AgentOptions {
                kind: target.kind,
                stream: target.stream,
                webhook_secret: target.webhook_secret.clone(),
                ..AgentOptions::default()
            },
        },
        failover: FailoverSettings::default(),
        turns: TurnSettings::default(),
        groups: GroupSettings::default(),
        budget: BudgetSettings::default(),
        office: OfficeSettings::default(),
        takeover: TakeoverSettings::default(),
        reply: ReplySettings::default(),
        media: Default::default(),
        trace_retention_days: None,
        channel: ChannelSettings::Discord(DiscordSettings {
            bot_token: None,
            client_id: None,
            guild_id: None,
            default_channel_id: None,
        }),
        created_at: DateTime::UNIX_EPOCH,
        updated_at: DateTime::UNIX_EPOCH,
    }
}
