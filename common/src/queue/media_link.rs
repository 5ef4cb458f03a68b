//! Links to files in the object store, for agents that fetch them: `{hub}/media/{token}`.
//!
//! ```text
//! token   base64url(until \n object \n media type) . base64url(keyed BLAKE3 of that)
//! ```
//!
//! A token opens one object until it expires, and nothing else: whoever has one can neither name
//! another object nor live longer. It is made by workers and read by ingress, with a key that both
//! derive from the hub's encryption keys; while those rotate, each of them opens.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use zeroize::Zeroizing;

use crate::secret::Keyring;

/// What the keys are derived for. Another text would make every link worthless.
const PURPOSE: &str = "omnihub 2026 links to media";

/// Links end at a full hour, one to two hours from now: longer than any call of an agent, and the same
/// in most attempts of a turn.
const HOUR: i64 = 3600;

/// No token of ours is longer.
const LONGEST: usize = 1024;

/// What a link opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaLink {
    /// The name of the object.
    pub object: String,
    /// The media type that the channel named; empty where it named none.
    pub media_type: String,
}

/// Makes and reads the tokens of links.
#[derive(Clone)]
pub struct MediaLinks {
    /// The first one signs.
    keys: Vec<Zeroizing<[u8; 32]>>,
}

impl std::fmt::Debug for MediaLinks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MediaLinks")
    }
}

impl MediaLinks {
    /// With the hub's encryption keys.
    #[must_use]
    pub fn new(keyring: &Keyring) -> Self {
        Self { keys: keyring.derive(PURPOSE) }
    }

    /// A token for what is opened, made now (milliseconds since 1970).
    #[must_use]
    pub fn token(&self, link: &MediaLink, now_ms: i64) -> String {
        let until = (now_ms.div_euclid(1000 * HOUR) + 2) * HOUR;
        let said = BASE64.encode(format!("{until}\n{}\n{}", link.object, link.media_type));
        let mark = self.keys.first().map(|key| BASE64.encode(blake3::keyed_hash(key, said.as_bytes()).as_bytes()));
        format!("{said}.{}", mark.unwrap_or_default())
    }

    /// What a token opens now; none when it is not one of ours, or has expired.
    #[must_use]
    pub fn read(&self, token: &str, now_ms: i64) -> Option<MediaLink> {
        let (said, mark) = Some(token).filter(|token| token.len() <= LONGEST)?.split_once('.')?;
        let mark: [u8; 32] = BASE64.decode(mark).ok()?.try_into().ok()?;
        // This comparison takes as long whatever differs.
        let is_ours = |key: &Zeroizing<[u8; 32]>| blake3::keyed_hash(key, said.as_bytes()) == mark;
        if !self.keys.iter().any(is_ours) {
            return None;
        }
        let said = String::from_utf8(BASE64.decode(said).ok()?).ok()?;
        let mut parts = said.splitn(3, '\n');
        let (until, object, media_type) = (parts.next()?, parts.next()?, parts.next()?);
        let is_alive = until.parse::<i64>().ok()?.saturating_mul(1000) > now_ms;
        is_alive.then(|| MediaLink { object: object.to_owned(), media_type: media_type.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "old:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    const NEW: &str = "new:ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";
    const NOW: i64 = 1_795_310_417_000;

    fn links(keys: &str) -> MediaLinks {
        MediaLinks::new(&Keyring::parse(keys).unwrap())
    }

    fn link() -> MediaLink {
        MediaLink { object: "acme-1/0011/media".to_owned(), media_type: "image/png".to_owned() }
    }

    #[test]
    fn a_token_opens_what_it_was_made_for_until_it_expires() {
        let links = links(OLD);
        let token = links.token(&link(), NOW);
        assert!(
            token.len() < 200 && token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)),
            "{token}"
        );
        assert_eq!(links.read(&token, NOW), Some(link()));
        let hours = |n: i64| NOW + n * 3_600_000;
        assert_eq!((links.read(&token, hours(1)), links.read(&token, hours(2))), (Some(link()), None));
        assert_eq!(links.token(&link(), NOW + 1000), token, "the same in another attempt");
    }

    #[test]
    fn whatever_is_changed_opens_nothing() {
        let links = links(OLD);
        let token = links.token(&link(), NOW);
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            // The last character of a mark has bits that mean nothing, and these must be zero.
            assert_eq!(links.read(&changed, NOW), None, "{at}");
        }
        let (said, mark) = token.split_once('.').unwrap();
        let longer = format!("{}.{mark}", BASE64.encode(format!("9999999999\n{}\n", link().object)));
        for wrong in ["", ".", said, mark, &format!("{said}."), &format!(".{mark}"), &longer, &"A".repeat(5000)] {
            assert_eq!(links.read(wrong, NOW), None, "{wrong}");
        }
        assert_eq!(self::links(NEW).read(&token, NOW), None, "another hub's");
    }

    #[test]
    fn while_keys_rotate_each_of_them_opens() {
        let token = links(OLD).token(&link(), NOW);
        let both = links(&format!("{NEW},{OLD}"));
        assert_eq!(both.read(&token, NOW), Some(link()));
        assert_eq!(links(NEW).read(&both.token(&link(), NOW), NOW), Some(link()), "the first one signs");
    }
}
