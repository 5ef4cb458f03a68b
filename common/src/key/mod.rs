//! Who may use the admin API, for what, and on which instances.
//!
//! The cast: [`root`] is the key of the hub's owner, who may do everything; [`Keys`] is the table of
//! the others, each with its [`Scopes`] and its [`Reach`]; `pepper` is what their hashes are keyed
//! with. [`Caller`] is what a shown key stands for.
//!
//! The API is never open: there is always a root key.

mod caller;
mod entity;
mod keys;
mod pepper;
mod reach;
pub mod root;
mod scope;
pub(crate) mod sealed;

pub use caller::{Actor, Caller};
pub use keys::{ApiKey, KeyError, Keys, NewKey};
pub use reach::{Everyone, Reach};
pub use root::{AdminKey, Created, admin_key_file};
pub use scope::{Scope, Scopes};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use crate::secret::Secret;

/// What a key that the hub made begins with, so that scanners for leaked keys can know it.
const PREFIX: &str = "omni_";
/// Random bytes of a key that the hub made.
const KEY_BYTES: usize = 32;

/// A new random key.
fn generate() -> Secret {
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    rand::fill(bytes.as_mut_slice());
    Secret::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes.as_slice())))
}
