//! The address that Evolution is told to post to.

use std::{net::SocketAddr, time::Duration};

use omnihub_common::{channel::whatsapp::registration::MAX_URL, instance::InstanceName};
use tokio::net::{UdpSocket, lookup_host};
use url::Url;

/// How long the name of a server may take to be found.
const LOOKUP: Duration = Duration::from_secs(4);

/// Where this ingress is reached.
#[derive(Clone, Debug)]
pub struct Door {
    /// `OMNIHUB_PUBLIC_URL`.
    pub public: Option<String>,
    /// Where the listener stands; none in a process without one.
    pub listener: Option<SocketAddr>,
}

/// The address for an instance, and how it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookUrl {
    /// Below `OMNIHUB_PUBLIC_URL`.
    Public(String),
    /// At the local address from which this machine reaches the Evolution server.
    Local(String),
    /// None that Evolution could reach; with the reason.
    None(&'static str),
}

impl WebhookUrl {
    /// The address, if there is one.
    #[must_use]
    pub fn get(&self) -> Option<&str> {
        match self {
            Self::Public(url) | Self::Local(url) => Some(url),
            Self::None(_) => None,
        }
    }

    /// What an operator should know of it.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        match self {
            Self::Public(_) => None,
            Self::Local(url) => Some(format!(
                "OMNIHUB_PUBLIC_URL is not set: Evolution was told to post to {url}, an address of this machine"
            )),
            Self::None(reason) => {
                Some(format!("no webhook was registered: {reason}. Set OMNIHUB_PUBLIC_URL and connect the instance"))
            }
        }
    }
}

impl Door {
    /// The address for an instance whose Evolution server stands at `evolution_url`.
    pub async fn webhook_url(&self, name: &InstanceName, evolution_url: &str) -> WebhookUrl {
        if let Some(public) = self.public_webhook_url(name) {
            return bounded(WebhookUrl::Public(public));
        }
        let Some(listener) = self.listener else { return WebhookUrl::None("this process takes no webhooks") };
        let Some(route) = route_to(evolution_url).await else {
            return WebhookUrl::None(
                "OMNIHUB_PUBLIC_URL is not set, and no local address leads to the Evolution server",
            );
        };
        match reached_at(listener, route) {
            Some(address) => bounded(WebhookUrl::Local(path(&format!("http://{address}"), name))),
            None => WebhookUrl::None(
                "OMNIHUB_PUBLIC_URL is not set, and the hub listens where the Evolution server cannot reach it",
            ),
        }
    }

    /// The address below `OMNIHUB_PUBLIC_URL`, if that is set.
    #[must_use]
    pub fn public_webhook_url(&self, name: &InstanceName) -> Option<String> {
        self.public.as_deref().map(|public| path(public, name))
    }
}

fn path(base: &str, name: &InstanceName) -> String {
    format!("{}/webhook/evolution/{name}", base.trim_end_matches('/'))
}

/// Evolution fails at an address that is longer than its column.
fn bounded(url: WebhookUrl) -> WebhookUrl {
    match url.get() {
        Some(text) if text.len() > MAX_URL => {
            WebhookUrl::None("the address is longer than the 500 characters that Evolution keeps")
        }
        _ => url,
    }
}

/// The local address from which packets leave for a server; nothing is sent.
async fn route_to(url: &str) -> Option<SocketAddr> {
    let url = Url::parse(url.trim()).ok()?;
    let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default()?;
    let found = tokio::time::timeout(LOOKUP, lookup_host((host, port))).await.ok()?.ok()?.next()?;
    let any: SocketAddr = if found.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await.ok()?;
    socket.connect(found).await.ok()?;
    socket.local_addr().ok()
}

/// Where a listener is reached by who would be answered from the address `route`.
fn reached_at(listener: SocketAddr, route: SocketAddr) -> Option<SocketAddr> {
    let everywhere = listener.ip().is_unspecified() && (listener.is_ipv6() || route.is_ipv4());
    if everywhere {
        return Some(SocketAddr::new(route.ip(), listener.port()));
    }
    let comes_through = !listener.ip().is_unspecified() && (!listener.ip().is_loopback() || route.ip().is_loopback());
    comes_through.then_some(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acme() -> InstanceName {
        InstanceName::parse("acme").unwrap()
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_listener_is_reached_where_it_stands() {
        let reached = |listener, route| reached_at(at(listener), at(route)).map(|address| address.to_string());
        assert_eq!(reached("0.0.0.0:8882", "10.0.0.3:5").as_deref(), Some("10.0.0.3:8882"));
        assert_eq!(reached("[::]:8882", "10.0.0.3:5").as_deref(), Some("10.0.0.3:8882"));
        assert_eq!(reached("0.0.0.0:8882", "[fd00::3]:5"), None);
        assert_eq!(reached("127.0.0.1:8882", "127.0.0.1:5").as_deref(), Some("127.0.0.1:8882"));
        assert_eq!(reached("127.0.0.1:8882", "10.0.0.3:5"), None);
        assert_eq!(reached("10.0.0.9:8882", "10.0.0.3:5").as_deref(), Some("10.0.0.9:8882"));
    }

    #[tokio::test]
    async fn the_public_address_wins_and_without_one_the_route_tells() {
        let door = Door { public: Some("https://hub.test/omni/".to_owned()), listener: Some(at("0.0.0.0:8882")) };
        let url = door.webhook_url(&acme(), "http://127.0.0.1:1").await;
        assert_eq!(url, WebhookUrl::Public("https://hub.test/omni/webhook/evolution/acme".to_owned()));
        assert_eq!(url.warning(), None);
        let local = Door { public: None, ..door.clone() }.webhook_url(&acme(), "http://127.0.0.1:1").await;
        assert_eq!(local.get(), Some("http://127.0.0.1:8882/webhook/evolution/acme"));
        assert!(local.warning().unwrap().contains("OMNIHUB_PUBLIC_URL"));
        let long = Door { public: Some(format!("https://hub.test/{}", "x".repeat(500))), listener: None };
        assert_eq!(long.webhook_url(&acme(), "http://127.0.0.1:1").await.get(), None);
        let nowhere = Door { public: None, listener: None }.webhook_url(&acme(), "http://127.0.0.1:1").await;
        assert!(nowhere.warning().unwrap().contains("no webhook was registered"));
    }
}
