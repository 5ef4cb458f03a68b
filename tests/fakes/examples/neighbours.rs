//! A fake Evolution and a fake agent for a hub that is tried from outside: writes their addresses
//! and keys as the hub's settings, one a line, and serves until its input ends.
//!
//! The Evolution has a key for all its accounts, has those that the arguments name, paired, and makes
//! those it is asked for. The agent refuses to answer who asks it to "refuse".

use std::io::Write;

use axum::http::StatusCode;
use omnihub_fakes::{Answer, Behaviour, FakeAgent, FakeEvolution};
use serde_json::json;

const GLOBAL_KEY: &str = "everything";

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let (evolution, agent) = runtime.block_on(start())?;
    let mut out = std::io::stdout();
    writeln!(out, "EVOLUTION_API_URL={}\nEVOLUTION_API_KEY={GLOBAL_KEY}", evolution.url())?;
    writeln!(out, "AGENT_API_URL={}\nAGENT_API_KEY={}", agent.url(), agent.key())?;
    out.flush()?;
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

async fn start() -> anyhow::Result<(FakeEvolution, FakeAgent)> {
    let evolution = FakeEvolution::start().await?;
    evolution.set_global_key(GLOBAL_KEY);
    for name in std::env::args().skip(1) {
        evolution.add_instance(&name, &format!("of-{name}"));
    }
    let refused = Answer::json(StatusCode::NOT_FOUND, &json!({"detail": "no such agent"}));
    let agent = FakeAgent::start(Behaviour::custom(move |call| match call.message().contains("refuse") {
        true => refused.clone(),
        false => Answer::text(call, "an answer"),
    }));
    Ok((evolution, agent.await?))
}
