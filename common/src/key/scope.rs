//! What a key may be used for.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One kind of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Look at instances, traces, people, dead letters.
    Read,
    /// Change rules, people, conversations, dead letters, and the settings of an instance.
    Write,
    /// Send messages as an instance.
    Send,
    /// Everything, also make and delete instances, and make keys.
    Admin,
}

impl Scope {
    /// All of them, from the least.
    pub const ALL: [Self; 4] = [Self::Read, Self::Write, Self::Send, Self::Admin];

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Send => "send",
            Self::Admin => "admin",
        }
    }
}

/// A word that is no scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected read, write, send or admin")]
pub struct NotAScope;

impl FromStr for Scope {
    type Err = NotAScope;

    fn from_str(word: &str) -> Result<Self, NotAScope> {
        Self::ALL.into_iter().find(|scope| scope.word() == word).ok_or(NotAScope)
    }
}

/// What a key may be used for, all in all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Scopes(BTreeSet<Scope>);

impl Scopes {
    /// Everything.
    #[must_use]
    pub fn all() -> Self {
        Self(BTreeSet::from([Scope::Admin]))
    }

    /// Whether it may be used for this. `admin` is for everything; the others stand for themselves.
    #[must_use]
    pub fn allow(&self, scope: Scope) -> bool {
        self.0.contains(&scope) || self.0.contains(&Scope::Admin)
    }

    /// Whether it may be used for nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads what [`Display`](fmt::Display) writes. Words of a newer version are left out: this
    /// version does not know what they allow.
    #[must_use]
    pub fn read(text: &str) -> Self {
        text.split(',').filter_map(|word| word.parse().ok()).collect()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().collect())
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self.0.iter().map(|scope| scope.word()).collect();
        f.write_str(&words.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_is_everything_and_the_others_are_themselves() {
        for scope in Scope::ALL {
            assert!(Scopes::all().allow(scope));
            assert_eq!(Scopes::from_iter([Scope::Read]).allow(scope), scope == Scope::Read);
            assert!(!Scopes::default().allow(scope));
        }
    }

    #[test]
    fn scopes_are_read_as_written_and_strange_words_allow_nothing() {
        let some = Scopes::from_iter([Scope::Send, Scope::Read]);
        assert_eq!(some.to_string(), "read,send");
        assert_eq!(Scopes::read("read,send"), some);
        assert!(Scopes::read("root,*,").is_empty());
        assert_eq!("Read".parse::<Scope>(), Err(NotAScope));
    }
}
