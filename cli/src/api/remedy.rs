//! What to do about a hub's refusal, in the words of this program.
//!
//! The hub says what is wrong, and where it can also what to do, for every client; here stands the
//! command that does it. By the problem's code first, else by its status.

/// What to do, as a sentence. `wait` is the hub's `Retry-After`, in seconds.
pub(super) fn remedy(status: u16, code: &str, wait: Option<u64>) -> Option<String> {
    let again = || wait.map_or("Try again in a moment.".to_owned(), |seconds| format!("Try again in {seconds} s."));
    let words = match (status, code) {
        (_, "scope_missing" | "whole_hub_only") => {
            "Set OMNIHUB_API_KEY to the root key, or to one that may: `omnihub key list` shows which may what, \
             `omnihub key create --help` how one is made."
        }
        (_, "instance_not_found") => {
            "`omnihub instance list` shows which there are; a key for some instances sees only those."
        }
        (_, "trace_not_found") => "`omnihub trace list` shows which there are; old ones go by themselves.",
        (_, "dead_letter_not_found") => "`omnihub dead list` shows which there are; they go after 30 days.",
        (_, "rule_not_found") => "`omnihub access list` shows which there are.",
        (_, "user_not_found") => "`omnihub user list` shows who is known.",
        (_, "key_not_found") => "`omnihub key list` shows which there are.",
        (_, "instance_exists") => "`omnihub instance update NAME` changes it.",
        (_, "instance_changed") => "`omnihub instance show NAME` says what it is now.",
        (_, "instance_unreadable") => "`omnihub doctor` says which key is missing.",
        (_, "evolution_instance_missing") => "`omnihub instance connect NAME` makes it again.",
        (_, "evolution_instance_in_use") => {
            "`omnihub instance list` shows which one has it; give this one another with --whatsapp-instance."
        }
        (_, "evolution_unreachable") => {
            "Look whether the server at evolution_url runs and this hub reaches it. `--provision false` of `instance add` \
             and `instance update` keeps the instance without asking Evolution; `omnihub instance connect NAME` does the \
             rest later."
        }
        (_, "evolution_key_refused") => "`omnihub instance update NAME --evolution-key KEY` sets the right one.",
        (_, "evolution_failing" | "evolution_refused" | "evolution_unreadable") => {
            "Look at the Evolution server's own log; `omnihub doctor --instance NAME` asks it again."
        }
        (_, "rule_exists") => "`omnihub access list` shows it.",
        (_, "inactive") => "`omnihub instance update NAME --active true` switches it on.",
        (_, "secret_refused" | "secret_away") => "`omnihub doctor --instance NAME` says which reference leads nowhere.",
        (_, "backlog_full" | "queue_full") => {
            "`omnihub doctor` says whether workers are there; what waits goes down by itself when they are."
        }
        (404, "not_found") => "The hub may be older than this program: compare `omnihub --version` there and here.",
        (422, _) => {
            "Correct what is named, see --help of the command. Options have `-` where fields have `_`; start_date and \
             end_date are --since and --until."
        }
        (429, _) => return Some(format!("{} OMNIHUB_API_RATE raises what a key may ask.", again())),
        (503, _) => return Some(format!("{} `omnihub doctor` says what is away.", again())),
        (500 | 502 | 504, _) => "Look at the hub's log; `omnihub doctor` may say more.",
        (413 | 415, _) => "`omnihub --version` there and here should be the same; of a file, make it smaller.",
        _ => return None,
    };
    Some(words.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_that_is_no_word_about_the_request_itself_has_a_remedy() {
        for status in [413, 415, 422, 429, 500, 502, 503, 504] {
            assert!(remedy(status, "a code that nobody knows", None).is_some(), "{status}");
        }
        assert_eq!(remedy(400, "invalid_json", None), None, "no command of ours sends that");
    }

    #[test]
    fn a_wait_is_said() {
        assert_eq!(
            remedy(503, "database_unavailable", Some(5)).as_deref(),
            Some("Try again in 5 s. `omnihub doctor` says what is away.")
        );
        assert!(
            remedy(429, "too_many_requests", None).is_some_and(|words| words.starts_with("Try again in a moment."))
        );
        assert!(remedy(502, "evolution_unreachable", None).is_some_and(|words| words.contains("--provision false")));
    }
}
