//! How much anybody may ask of the admin API: a token bucket per key, and one per address for keys
//! that are not known here.
//!
//! A key that was right once is never held back by what others show from the same address. Webhooks
//! and health pages pass none of this: they have limits of their own.

use std::{
    collections::{HashSet, hash_map::RandomState},
    hash::{BuildHasher, Hash},
    net::{IpAddr, Ipv6Addr, SocketAddr},
    num::NonZeroU32,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    extract::ConnectInfo,
    http::{HeaderName, HeaderValue, StatusCode, request::Parts},
};
use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::StateInformationMiddleware,
    state::keyed::DashMapStateStore,
};
use omnihub_common::key::Actor;

use super::beside::Beside;
use crate::problem::Problem;

/// Keys that are not known yet, right or wrong, that an address may show in a minute.
const STRANGERS: NonZeroU32 = NonZeroU32::new(300).unwrap();
/// Buckets, and known keys, that are held at once.
const MOST: usize = 100_000;
/// Whose bucket it is while there are too many addresses.
const ANYBODY: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// What is left of a caller's quota, and what the quota is (draft-ietf-httpapi-ratelimit-headers).
const LEFT: HeaderName = HeaderName::from_static("ratelimit");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

type Buckets<K> = RateLimiter<K, DashMapStateStore<K>, DefaultClock, StateInformationMiddleware>;

/// The buckets of a process.
pub struct RateLimits {
    rate: NonZeroU32,
    /// By the row of a key; none is the root key.
    callers: Buckets<Option<i64>>,
    strangers: Buckets<IpAddr>,
    /// Fingerprints of keys that were right.
    known: Mutex<HashSet<u64>>,
    fingerprints: RandomState,
    hops: usize,
}

impl std::fmt::Debug for RateLimits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RateLimits").field("rate", &self.rate).finish_non_exhaustive()
    }
}

impl RateLimits {
    /// So many requests of a key in a minute, behind so many proxies that say for whom they ask.
    #[must_use]
    pub fn new(rate: NonZeroU32, hops: usize) -> Self {
        Self {
            rate,
            callers: buckets(rate),
            strangers: buckets(STRANGERS),
            known: Mutex::default(),
            fingerprints: RandomState::new(),
            hops,
        }
    }

    /// A request of somebody whose key is right.
    pub(super) fn request(&self, by: &Actor, beside: &Beside) -> Result<(), Problem> {
        let taken = take(&self.callers, by.key_id);
        let left =
            taken.as_ref().map_or_else(|wait| format!("\"key\";r=0;t={wait}"), |left| format!("\"key\";r={left}"));
        say(beside, LEFT, &left);
        say(beside, POLICY, &format!("\"key\";q={};w=60", self.rate));
        taken.map(drop).map_err(|wait| {
            let detail = format!("Your key may ask {} times a minute here. Go on in {wait} s.", self.rate);
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail).retry_after(wait)
        })
    }

    /// Whether a key may be looked up that somebody shows.
    pub(super) fn look_up(&self, shown: &str, parts: &Parts) -> Result<(), Problem> {
        if self.known().contains(&self.fingerprints.hash_one(shown)) {
            return Ok(());
        }
        let address = self.address(parts);
        let crowded = self.strangers.len() >= MOST && {
            self.strangers.retain_recent();
            self.strangers.len() >= MOST
        };
        let taken = take(&self.strangers, if crowded { ANYBODY } else { address });
        taken.map(drop).map_err(|wait| {
            let detail = format!("Too many keys that are not known here came from your address. Go on in {wait} s.");
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_keys", detail).retry_after(wait)
        })
    }

    /// Whether a key that was looked up is one.
    pub(super) fn learn(&self, shown: &str, is_right: bool) {
        let (mut known, fingerprint) = (self.known(), self.fingerprints.hash_one(shown));
        if !is_right {
            known.remove(&fingerprint);
            return;
        }
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(fingerprint);
    }

    fn known(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who asks, as far as the proxies that are known to stand before us can tell: each of them
    /// writes at the end of `X-Forwarded-For` who asked it.
    fn address(&self, parts: &Parts) -> IpAddr {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map_or(ANYBODY, |peer| peer.0.ip());
        let lines = parts.headers.get_all("x-forwarded-for");
        let asked: Vec<&str> =
            lines.iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(',')).collect();
        let named = self.hops.checked_sub(1).and_then(|before| asked.iter().nth_back(before)?.trim().parse().ok());
        owner_of(named.unwrap_or(peer))
    }
}

/// The address that stands for all of one owner: of IPv6 everybody has a whole /64.
fn owner_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address => address,
    }
}

fn buckets<K: Hash + Eq + Clone>(rate: NonZeroU32) -> Buckets<K> {
    RateLimiter::dashmap(Quota::per_minute(rate)).with_middleware()
}

/// Takes a token: what is left then, or after how many seconds there is one.
fn take<K: Hash + Eq + Clone>(buckets: &Buckets<K>, key: K) -> Result<u32, u64> {
    let taken = buckets.check_key(&key);
    taken.map(|state| state.remaining_burst_capacity()).map_err(|until| {
        let wait = until.wait_time_from(DefaultClock::default().now());
        wait.saturating_add(Duration::from_millis(999)).as_secs().max(1)
    })
}

fn say(beside: &Beside, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        beside.say(name, value);
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn limits(rate: u32, hops: usize) -> RateLimits {
        RateLimits::new(NonZeroU32::new(rate).unwrap(), hops)
    }

    fn from(peer: &str, forwarded: &[&str]) -> Parts {
        let peer: IpAddr = peer.parse().unwrap();
        let mut request = Request::builder().extension(ConnectInfo(SocketAddr::new(peer, 1)));
        for line in forwarded {
            request = request.header("x-forwarded-for", *line);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn each_key_has_a_bucket_of_its_own() {
        let limits = limits(2, 0);
        let by = |key_id| Actor { key_id, name: "k".to_owned() };
        let ask = |key_id| limits.request(&by(key_id), &Beside::default()).map_err(|problem| problem.status);
        assert_eq!([ask(Some(1)), ask(Some(1)), ask(Some(1))], [Ok(()), Ok(()), Err(429)]);
        assert_eq!([ask(Some(2)), ask(None)], [Ok(()), Ok(())]);
        let refused = limits.request(&by(Some(1)), &Beside::default()).unwrap_err();
        assert!(refused.retry_after.is_some_and(|wait| (1..=30).contains(&wait)), "{refused:?}");
    }

    #[test]
    fn unknown_keys_are_counted_by_address_and_right_ones_pass() {
        let (limits, bad, good) = (limits(1, 0), from("192.0.2.1", &[]), from("192.0.2.2", &[]));
        let mut refused = 0;
        limits.learn("right", true);
        for _ in 0..STRANGERS.get() + 20 {
            refused += u32::from(limits.look_up("wrong", &bad).is_err());
            limits.learn("wrong", false);
        }
        assert!(refused > 0, "somebody was stopped");
        assert!(limits.look_up("right", &bad).is_ok() && limits.look_up("another", &good).is_ok());
        limits.learn("right", false);
        let stopped = (0..STRANGERS.get() + 20).any(|_| limits.look_up("right", &bad).is_err());
        assert!(stopped, "a key that ended is one like any other");
    }

    #[test]
    fn an_address_is_what_the_last_known_proxy_says() {
        let asked = |hops, lines: &[&str]| limits(1, hops).address(&from("192.0.2.9", lines)).to_string();
        assert_eq!(asked(0, &["198.51.100.1"]), "192.0.2.9");
        assert_eq!(asked(1, &["6.6.6.6, 198.51.100.1"]), "198.51.100.1");
        assert_eq!(asked(2, &["6.6.6.6, 198.51.100.1", "10.0.0.1"]), "198.51.100.1");
        assert_eq!(asked(1, &["2001:db8:1:2:3:4:5:6"]), "2001:db8:1:2::");
        assert_eq!(asked(1, &["::ffff:198.51.100.1"]), "198.51.100.1");
        for nothing in [&[][..], &["unknown"], &["198.51.100.1, "]] {
            assert_eq!(asked(1, nothing), "192.0.2.9");
        }
    }
}
