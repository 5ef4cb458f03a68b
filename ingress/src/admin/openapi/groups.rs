//! The groups that the document shows its routes in.

/// A group, and how the paths in it begin. The longest beginning decides.
struct Group {
    name: &'static str,
    says: &'static str,
    paths: &'static [&'static str],
}

/// In the order in which they are shown.
const GROUPS: [Group; 13] = [
    Group {
        name: "Instances",
        says: "The tenants: a channel and the agent that answers on it.",
        paths: &["/api/v1/instances"],
    },
    Group { name: "Messages", says: "Messages that a program sends.", paths: &["/api/v1/instance/"] },
    Group {
        name: "Contacts and chats",
        says: "What the accounts of instances know, asked of the channel each time; profiles are there too.",
        paths: &[
            "/api/v1/channels",
            "/api/v1/instances/{name}/contacts",
            "/api/v1/instances/{name}/chats",
            "/api/v1/instance/{name}/fetch-profile",
            "/api/v1/instance/{name}/update-profile-picture",
        ],
    },
    Group {
        name: "Conversations",
        says: "Where the bot is silent, because a person has taken over.",
        paths: &["/api/v1/instances/{name}/conversations"],
    },
    Group {
        name: "People",
        says: "Who writes: what the agent is told of them, everything that is kept of one, and its erasure.",
        paths: &["/api/v1/users", "/api/v1/instances/{name}/people"],
    },
    Group { name: "Access", says: "The rules that say who is answered.", paths: &["/api/v1/access"] },
    Group {
        name: "Traces",
        says: "What happened to each message, where it is now, and what many come to.",
        paths: &["/api/v1/traces", "/api/v1/where"],
    },
    Group { name: "Dead letters", says: "Messages that could not be answered.", paths: &["/api/v1/dead-letters"] },
    Group { name: "Keys", says: "Who else may use the API, and the secrets at rest.", paths: &["/api/v1/keys"] },
    Group {
        name: "Doctor",
        says: "What is right and wrong with the hub and its instances, and what to do.",
        paths: &["/api/v1/doctor"],
    },
    Group { name: "Audit", says: "Who changed what.", paths: &["/api/v1/audit"] },
    Group {
        name: "Webhooks",
        says: "What the channels post, and agents that answer later; no key is asked for, but a secret of its own is.",
        paths: &["/webhook", "/api/v1/replies"],
    },
    Group {
        name: "Health",
        says: "Whether the hub works, what it counts, and this document. Open to everybody.",
        paths: &["/"],
    },
];

/// The name of the group of a path.
pub(super) fn of(path: &str) -> &'static str {
    let begins = GROUPS.iter().flat_map(|group| group.paths.iter().map(move |begin| (begin, group.name)));
    let matching = begins.filter(|(begin, _)| path.starts_with(**begin));
    matching.max_by_key(|(begin, _)| begin.len()).map_or("Others", |(_, name)| name)
}

/// Each name with what it is about.
pub(super) fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    GROUPS.iter().map(|group| (group.name, group.says))
}
