//! Secrets at rest: each one encrypted for the one place it stands in.
//!
//! A secret is stored as `v1.<key id>.<base64 of nonce and ciphertext>`, XChaCha20-Poly1305. The
//! key is not the ring's own but one derived for the instance (HKDF-SHA256 of the ring key; info =
//! the instance's row id and the key id), and the associated data is table, row and field: a value
//! that is copied to another row or field no longer opens.
//!
//! What this is not for: a copy of the database without the ring tells nothing, but whoever has
//! both has everything.

use std::fmt;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{CreateMissing, Secret, read_or_create, read_private};
use crate::config::{ConfigError, DataFolder, Settings};

/// The key file in the data folder, in the form of the setting.
pub const ENCRYPTION_KEYS_FILE: &str = "encryption.keys";
/// The setting, `id:base64 of 32 bytes[,...]`; the first key encrypts.
const SETTING: &str = "OMNIHUB_ENCRYPTION_KEYS";
/// The text form of this module.
const VERSION: &str = "v1";
/// Bytes of a ring key.
const KEY_BYTES: usize = 32;
/// Bytes of an XChaCha20 nonce: long enough to be random without a counter.
const NONCE_BYTES: usize = 24;
/// The id of the first key of a ring that the hub makes itself.
const FIRST_KEY_ID: &str = "k1";
/// Keys come from many tools: padded or not.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The place that a secret stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The row id of the instance that the secret belongs to.
    pub instance: i64,
    /// The table.
    pub table: &'static str,
    /// The row in the table; in `instance_configs` the same as `instance`.
    pub row: i64,
    /// The field.
    pub field: &'static str,
}

/// Why a stored secret does not open. None of these says anything of the secret.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It was written with a key that is not in the ring.
    #[error("it is encrypted with key `{id}`, which is not in {SETTING}")]
    UnknownKey {
        /// The key's id.
        id: String,
    },
    /// It is not in the form that this version reads.
    #[error("it is not an encrypted secret")]
    Malformed,
    /// The key does not fit, or it was changed, or it stood somewhere else.
    #[error("it does not open with its key: it was changed, or copied from another place")]
    Refused,
}

/// A key of the ring.
struct RingKey {
    id: String,
    key: Zeroizing<[u8; KEY_BYTES]>,
}

/// The keys that encrypt secrets at rest. The first one encrypts, all of them decrypt.
pub struct Keyring {
    first: RingKey,
    others: Vec<RingKey>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.keys().map(|key| &key.id)).finish()
    }
}

impl Keyring {
    /// Reads a ring, `id:base64[,id:base64...]`.
    ///
    /// # Errors
    /// When there is no key, a key is not 32 bytes of base64, or an id is not unique or has
    /// characters other than letters, digits, `_` and `-`.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let mut keys: Vec<RingKey> = Vec::new();
        let entries = text.split([',', '\n']).map(str::trim).filter(|entry| !entry.is_empty());
        for entry in entries {
            let key = parse_key(entry).map_err(bad)?;
            if keys.iter().any(|other| other.id == key.id) {
                return Err(bad(format!("key id `{}` stands there twice", key.id)));
            }
            keys.push(key);
        }
        let mut keys = keys.into_iter();
        let first = keys.next().ok_or_else(|| bad("no key in it".to_owned()))?;
        Ok(Self { first, others: keys.collect() })
    }

    /// A ring with one new random key.
    #[must_use]
    pub fn generate() -> Self {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        rand::fill(key.as_mut_slice());
        Self { first: RingKey { id: FIRST_KEY_ID.to_owned(), key }, others: Vec::new() }
    }

    /// The ring of this hub: the setting, else the file in the data folder, else a new one that
    /// is kept in that file where that is allowed.
    ///
    /// # Errors
    /// [`ConfigError::Missing`] when there is none and none may be made, [`ConfigError::Bad`] when
    /// it cannot be read or written.
    pub fn load(settings: &dyn Settings, data: &DataFolder, create: CreateMissing) -> Result<Self, ConfigError> {
        if let Some(text) = settings.get(SETTING).map(Zeroizing::new) {
            return Self::parse(&text);
        }
        let path = data.0.join(ENCRYPTION_KEYS_FILE);
        let unusable = |error: std::io::Error| bad(format!("the file {} cannot be used: {error}", path.display()));
        let found = match create {
            CreateMissing::Yes => Some(read_or_create(&path, &Self::generate().to_text()).map_err(unusable)?.0),
            CreateMissing::No => read_private(&path).map_err(unusable)?,
        };
        let found = found.ok_or_else(|| ConfigError::Missing {
            name: SETTING,
            remedy: format!(
                "set it to `k1:` and the output of `openssl rand -base64 32`, the same for every process, or copy \
                 the file {} from where `omnihub up` made it",
                path.display()
            ),
        })?;
        Self::parse(found.expose())
    }

    /// Encrypts a secret for its place, with the first key.
    ///
    /// # Errors
    /// [`SealError::Refused`] when the cipher refuses, which only an absurdly long secret causes.
    pub fn encrypt(&self, place: Place, secret: &Secret) -> Result<String, SealError> {
        let mut nonce = [0; NONCE_BYTES];
        rand::fill(&mut nonce);
        let aad = associated_data(place);
        let payload = Payload { msg: secret.expose().as_bytes(), aad: &aad };
        let ciphertext =
            self.first.cipher(place)?.encrypt(&XNonce::from(nonce), payload).map_err(|_| SealError::Refused)?;
        let body = STANDARD.encode([&nonce[..], &ciphertext].concat());
        Ok(format!("{VERSION}.{}.{body}", self.first.id))
    }

    /// Decrypts what stands in a place.
    ///
    /// # Errors
    /// When the text is not in our form, its key is not in the ring, or it does not open here.
    pub fn decrypt(&self, place: Place, text: &str) -> Result<Secret, SealError> {
        let (id, body) = parts(text)?;
        let key = self.keys().find(|key| key.id == id).ok_or_else(|| SealError::UnknownKey { id: id.to_owned() })?;
        let body = STANDARD.decode(body).map_err(|_| SealError::Malformed)?;
        let (nonce, ciphertext) = body.split_first_chunk::<NONCE_BYTES>().ok_or(SealError::Malformed)?;
        let aad = associated_data(place);
        let payload = Payload { msg: ciphertext, aad: &aad };
        let plain = key.cipher(place)?.decrypt(&XNonce::from(*nonce), payload).map_err(|_| SealError::Refused)?;
        let plain = String::from_utf8(plain).map_err(|_| SealError::Refused)?;
        Ok(Secret::new(plain))
    }

    /// The id of the key that encrypts.
    #[must_use]
    pub fn first_id(&self) -> &str {
        &self.first.id
    }

    /// Whether a key is in the ring.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        self.keys().any(|key| key.id == id)
    }

    /// What stands in a place, encrypted anew with the first key; `None` when it already is.
    ///
    /// # Errors
    /// As [`Keyring::decrypt`].
    pub fn renew(&self, place: Place, text: &str) -> Result<Option<String>, SealError> {
        if key_id(text)? == self.first.id {
            return Ok(None);
        }
        self.encrypt(place, &self.decrypt(place, text)?).map(Some)
    }

    /// A key of its own for one purpose out of each key, in their order.
    #[must_use]
    pub fn derive(&self, purpose: &'static str) -> Vec<Zeroizing<[u8; KEY_BYTES]>> {
        self.keys().map(|key| Zeroizing::new(blake3::derive_key(purpose, key.key.as_slice()))).collect()
    }

    fn keys(&self) -> impl Iterator<Item = &RingKey> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The form that [`Keyring::parse`] reads.
    fn to_text(&self) -> Secret {
        let entries: Vec<String> =
            self.keys().map(|key| format!("{}:{}", key.id, STANDARD.encode(key.key.as_slice()))).collect();
        Secret::new(entries.join(","))
    }
}

impl RingKey {
    /// The cipher with the instance's own data key.
    fn cipher(&self, place: Place) -> Result<XChaCha20Poly1305, SealError> {
        let mut data_key = Zeroizing::new([0; KEY_BYTES]);
        let instance = place.instance.to_be_bytes();
        Hkdf::<Sha256>::new(None, self.key.as_slice())
            .expand_multi_info(&[b"omnihub data key", &instance, self.id.as_bytes()], data_key.as_mut_slice())
            .map_err(|_| SealError::Refused)?;
        XChaCha20Poly1305::new_from_slice(data_key.as_slice()).map_err(|_| SealError::Refused)
    }
}

/// The id of the key that a stored secret was encrypted with.
///
/// # Errors
/// [`SealError::Malformed`] when it is not in the form that this version reads.
pub fn key_id(text: &str) -> Result<&str, SealError> {
    parts(text).map(|(id, _)| id)
}

/// The key id and the body of a stored secret.
fn parts(text: &str) -> Result<(&str, &str), SealError> {
    let mut parts = text.splitn(3, '.');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(VERSION), Some(id), Some(body)) if is_key_id(id) => Ok((id, body)),
        _ => Err(SealError::Malformed),
    }
}

fn bad(problem: String) -> ConfigError {
    ConfigError::Bad { name: SETTING, problem }
}

/// A broken row could hold anything in the place of an id, and errors show it.
fn is_key_id(text: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (1..=32).contains(&text.len()) && text.chars().all(known)
}

/// One `id:base64` entry; the error never shows the entry.
fn parse_key(entry: &str) -> Result<RingKey, String> {
    let (id, key) = entry.split_once(':').ok_or("each entry is `id:base64 of 32 bytes`")?;
    if !is_key_id(id) {
        return Err("a key id has 1 to 32 letters, digits, `_` or `-`".to_owned());
    }
    let decoded = Zeroizing::new(LENIENT.decode(key).map_err(|_| format!("key `{id}` is not base64"))?);
    let key: [u8; KEY_BYTES] =
        decoded.as_slice().try_into().map_err(|_| format!("key `{id}` is {} bytes long, not 32", decoded.len()))?;
    Ok(RingKey { id: id.to_owned(), key: Zeroizing::new(key) })
}

/// Table, row and field, each with its length, so that no two places read the same.
fn associated_data(place: Place) -> Vec<u8> {
    let row = place.row.to_be_bytes();
    let parts: [&[u8]; 3] = [place.table.as_bytes(), &row, place.field.as_bytes()];
    let mut data = Vec::new();
    for part in parts {
        data.extend_from_slice(&(part.len() as u64).to_be_bytes());
        data.extend_from_slice(part);
    }
    data
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const PLACE: Place = Place { instance: 7, table: "instance_configs", row: 7, field: "evolution_key" };

    fn ring(text: &str) -> Keyring {
        Keyring::parse(text).unwrap()
    }

    fn key(byte: u8) -> String {
        STANDARD.encode([byte; 32])
    }

    #[test]
    fn opens_in_its_own_place_only() {
        let ring = Keyring::generate();
        let text = ring.encrypt(PLACE, &Secret::new("s3cret-ü")).unwrap();
        assert!(text.starts_with("v1.k1.") && !text.contains("s3cret"));
        assert_eq!(ring.decrypt(PLACE, &text).unwrap().expose(), "s3cret-ü");
        assert_ne!(ring.encrypt(PLACE, &Secret::new("s3cret-ü")).unwrap(), text, "a nonce of its own");
        let elsewhere = [
            Place { instance: 8, ..PLACE },
            Place { row: 8, ..PLACE },
            Place { table: "users", ..PLACE },
            Place { field: "agent_api_key", ..PLACE },
        ];
        for place in elsewhere {
            assert_eq!(ring.decrypt(place, &text), Err(SealError::Refused), "{place:?}");
        }
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let ring = Keyring::generate();
        let text = ring.encrypt(PLACE, &Secret::new("secret")).unwrap();
        let body = STANDARD.decode(text.rsplit('.').next().unwrap()).unwrap();
        for at in 0..body.len() {
            let mut changed = body.clone();
            changed[at] ^= 1;
            let changed = format!("v1.k1.{}", STANDARD.encode(changed));
            assert_eq!(ring.decrypt(PLACE, &changed), Err(SealError::Refused), "byte {at}");
        }
    }

    #[test]
    fn what_is_not_ours_is_malformed() {
        let ring = Keyring::generate();
        for text in ["", "plain", "v1", "v1.k1", "v2.k1.AAAA", "v1.k1.!!!", "v1.k1.AAAA", "v1.k 1.AAAA"] {
            assert_eq!(ring.decrypt(PLACE, text), Err(SealError::Malformed), "{text}");
        }
    }

    #[test]
    fn a_new_key_goes_in_front_and_the_old_one_still_opens() {
        let old = ring(&format!("a:{}", key(1)));
        let text = old.encrypt(PLACE, &Secret::new("secret")).unwrap();
        let both = ring(&format!("b:{}, a:{}", key(2), key(1)));
        assert_eq!(both.decrypt(PLACE, &text).unwrap().expose(), "secret");
        assert!(both.encrypt(PLACE, &Secret::new("secret")).unwrap().starts_with("v1.b."));
        let new = ring(&format!("b:{}", key(2)));
        assert_eq!(new.decrypt(PLACE, &text), Err(SealError::UnknownKey { id: "a".to_owned() }));
        let swapped = ring(&format!("a:{}", key(2)));
        assert_eq!(swapped.decrypt(PLACE, &text), Err(SealError::Refused));
    }

    #[test]
    fn what_another_key_encrypted_is_renewed_in_its_place_only() {
        let old = ring(&format!("a:{}", key(1)));
        let text = old.encrypt(PLACE, &Secret::new("secret")).unwrap();
        let both = ring(&format!("b:{}, a:{}", key(2), key(1)));
        let renewed = both.renew(PLACE, &text).unwrap().unwrap();
        assert_eq!((key_id(&text), key_id(&renewed)), (Ok("a"), Ok("b")));
        assert_eq!(both.decrypt(PLACE, &renewed).unwrap().expose(), "secret");
        assert_eq!(both.renew(PLACE, &renewed), Ok(None));
        assert_eq!(both.renew(Place { row: 8, ..PLACE }, &text), Err(SealError::Refused));
        assert_eq!(both.renew(PLACE, "plain"), Err(SealError::Malformed));
        assert_eq!((both.first_id(), both.has("a"), both.has("c")), ("b", true, false));
    }

    #[test]
    fn bad_rings_are_refused_without_showing_them() {
        let twice = format!("a:{0},a:{0}", key(1));
        let short = format!("a:{}", STANDARD.encode([1; 16]));
        let nameless = format!(":{}", key(1));
        for text in ["", "noid", "a:%%%", &twice, &short, &nameless] {
            let error = Keyring::parse(text).unwrap_err().to_string();
            assert!(error.contains(SETTING) && !error.contains(&key(1)), "{error}");
        }
        assert!(Keyring::parse(&format!("a:{}", key(1).trim_end_matches('='))).is_ok());
        assert_eq!(format!("{:?}", ring(&format!("a:{}", key(1)))), "{\"a\"}");
    }

    #[test]
    fn only_who_may_makes_a_ring() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder(folder.path().to_owned());
        let none = HashMap::new();
        let missing = Keyring::load(&none, &data, CreateMissing::No);
        assert!(matches!(missing, Err(ConfigError::Missing { name: SETTING, .. })));

        let made = Keyring::load(&none, &data, CreateMissing::Yes).unwrap();
        let text = made.encrypt(PLACE, &Secret::new("secret")).unwrap();
        let found = Keyring::load(&none, &data, CreateMissing::No).unwrap();
        assert_eq!(found.decrypt(PLACE, &text).unwrap().expose(), "secret");

        let set = HashMap::from([(SETTING.to_owned(), format!("a:{}", key(1)))]);
        let set = Keyring::load(&set, &data, CreateMissing::No).unwrap();
        assert!(matches!(set.decrypt(PLACE, &text), Err(SealError::UnknownKey { .. })));
    }
}
