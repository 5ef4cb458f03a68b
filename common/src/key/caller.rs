//! Who calls.

use super::{Everyone, Reach, Scope, Scopes};

/// Who does something, for the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The row id of the key; none for the root key and for the hub itself.
    pub key_id: Option<i64>,
    /// The name of the key, `root`, or what part of the hub did it.
    pub name: String,
}

impl Actor {
    /// The hub itself, by the name of what did it.
    #[must_use]
    pub fn hub(part: &str) -> Self {
        Self { key_id: None, name: format!("hub:{part}") }
    }
}

/// What a shown key stands for.
#[derive(Clone, Debug)]
pub struct Caller {
    actor: Actor,
    scopes: Scopes,
    reach: Reach,
}

impl Caller {
    /// Whoever shows the root key.
    #[must_use]
    pub fn root() -> Self {
        let actor = Actor { key_id: None, name: "root".to_owned() };
        Self { actor, scopes: Scopes::all(), reach: Reach::Everyone(Everyone::for_admin()) }
    }

    pub(super) fn new(actor: Actor, scopes: Scopes, reach: Reach) -> Self {
        Self { actor, scopes, reach }
    }

    /// Who it is.
    #[must_use]
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Whether they may do such things.
    #[must_use]
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.allow(scope)
    }

    /// The instances they see.
    #[must_use]
    pub fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Proof that they may act on the whole hub.
    #[must_use]
    pub fn everyone(&self) -> Option<Everyone> {
        match self.reach {
            Reach::Everyone(proof) => Some(proof),
            Reach::Only(_) => None,
        }
    }
}
