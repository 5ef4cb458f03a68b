//! Whether the agent of an instance is there.
//!
//! Its key is not tried: that would be a question that somebody pays for. What an agent says to the key
//! stands in the traces, see `omnihub explain`.

use omnihub_common::{
    doctor::{Finding, Probe, Seen, Silence, Verdict},
    instance::Instance,
};

/// The word for what is looked at.
const CHECK: &str = "agent";

/// What is found.
pub(super) async fn look(probe: &Probe, instance: &Instance) -> Vec<Finding> {
    let seen = probe.get(&instance.agent.api_url, &["health"], "the agent").await;
    let clock = seen.as_ref().ok().and_then(|seen| seen.clock.clone());
    let clock = clock.filter(|clock| clock.verdict != Verdict::Ok);
    let name = instance.name.as_str();
    let own = format!("`omnihub instance update {name} --agent-api-url URL`");
    let mut findings: Vec<Finding> = std::iter::once(judge(&seen, &own)).chain(clock).collect();
    for fallback in &instance.failover.agents {
        let seen = probe.get(&fallback.agent.api_url, &["health"], "the agent").await;
        let elsewhere = format!("`omnihub instance update {name} --fallback-agents JSON`");
        let finding = judge(&seen, &elsewhere);
        findings.push(Finding { says: format!("Fallback `{}`: {}", fallback.name, finding.says), ..finding });
    }
    findings
}

/// An agent need not have a `/health`: only what shows that questions will fail is a problem.
/// `elsewhere` is the command that says where it is.
fn judge(seen: &Result<Seen, Silence>, elsewhere: &str) -> Finding {
    match seen {
        Err(silence) => Finding::problem(
            CHECK,
            format!("The agent cannot be reached: {silence}."),
            format!("Start the agent, or say where it is: {elsewhere}. What waits goes on by itself."),
        ),
        Ok(Seen { status, .. }) => match status {
            200..=299 => Finding::ok(CHECK, "The agent answers and is well."),
            300..=399 => Finding::problem(
                CHECK,
                format!("agent_api_url leads elsewhere (status {status}), and a call with a key does not follow."),
                format!("Set the final address: {elsewhere}."),
            ),
            404 | 405 => Finding::hint(
                CHECK,
                "The agent answers, and has no /health.",
                format!(
                    "Nothing, where the agent is meant to have none; else look whether the path is right: {elsewhere}."
                ),
            ),
            500..=599 => Finding::problem(
                CHECK,
                format!("The agent answers /health with status {status}: it is not well."),
                "Look at the agent's own log. What waits goes on by itself.",
            ),
            _ => Finding::hint(
                CHECK,
                format!("The agent answers /health with status {status}."),
                "Nothing, where its /health wants a key; whether questions are answered is in `omnihub trace list`.",
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_shows_that_questions_will_fail_is_a_problem() {
        let of = |status| judge(&Ok(Seen { status, clock: None }), "`x`").verdict;
        for (status, verdict) in [
            (200, Verdict::Ok),
            (204, Verdict::Ok),
            (301, Verdict::Problem),
            (401, Verdict::Hint),
            (404, Verdict::Hint),
            (405, Verdict::Hint),
            (500, Verdict::Problem),
            (503, Verdict::Problem),
        ] {
            assert_eq!(of(status), verdict, "{status}");
        }
        let refused = judge(&Err(Silence::Refused), "`omnihub instance update acme --agent-api-url URL`");
        assert_eq!(refused.says, "The agent cannot be reached: the connection was refused.");
        assert!(refused.remedy.unwrap().contains("omnihub instance update acme --agent-api-url URL"));
    }
}
