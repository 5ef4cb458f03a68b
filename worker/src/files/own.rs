//! Links to files of our own store, for agents that fetch them from the hub.

use omnihub_common::queue::{MediaLink, MediaLinks, now_ms};

use super::FileRef;

/// Where agents reach the hub, and what opens a file there.
#[derive(Clone, Debug)]
pub(crate) struct OwnLinks {
    base: String,
    links: MediaLinks,
}

impl OwnLinks {
    /// Below the hub's public address.
    pub(crate) fn new(public_url: &str, links: MediaLinks) -> Self {
        Self { base: format!("{}/media/", public_url.trim_end_matches('/')), links }
    }

    /// The link to a file that is in the store.
    pub(super) fn to(&self, at: &FileRef, media_type: String) -> String {
        let link = MediaLink { object: at.object.clone(), media_type };
        format!("{}{}", self.base, self.links.token(&link, now_ms()))
    }
}
