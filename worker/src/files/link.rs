//! The file behind a link: an Evolution with an S3 store puts one into the message.
//!
//! Whoever may post a webhook may name any link, and gets what is behind it through the agent. So only
//! public addresses are dialled: a store inside is named by who runs the hub (`EVOLUTION_MINIO_URL`), and
//! a file that is refused here is asked of Evolution itself. Addresses at which machines tell of
//! themselves (link-local, metadata) are never dialled, and nobody sends the call elsewhere: no
//! redirects, no proxy.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use http::{HeaderValue, header::HOST};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::outbound::{CONNECT, USER_AGENT};

/// How long a file may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A presigned link has some hundred characters.
pub(super) const LONGEST_LINK: usize = 4096;

/// Addresses of metadata services that are not link-local.
const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192)];
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254);

/// Why there is no file behind a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkError {
    /// It has more bytes than were asked for.
    TooLarge,
    /// It cannot be followed, or nothing is behind it.
    Dead,
}

/// Follows links.
#[derive(Clone)]
pub(crate) struct Links {
    client: reqwest::Client,
    /// Where the store is reached instead of the host that links name.
    instead: Option<Url>,
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Links")
    }
}

impl Links {
    /// `instead` is where the store is reached, when only Evolution's network knows the host in a link.
    pub(crate) fn new(instead: Option<Url>) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .no_gzip()
            // The signature covers the header `Host`, which HTTP/2 does not have.
            .http1_only()
            .connect_timeout(CONNECT)
            .timeout(PATIENCE)
            .user_agent(USER_AGENT)
            .dns_resolver(Arc::new(Dialled(Reach::of(instead.as_ref()))))
            .build()?;
        Ok(Self { client, instead })
    }

    /// The file behind a link, of at most so many bytes.
    pub(super) async fn follow(&self, link: &str, most: u64) -> Result<Vec<u8>, LinkError> {
        let (url, host) = target(link, self.instead.as_ref()).ok_or(LinkError::Dead)?;
        let answer = self.client.get(url).header(HOST, host).send().await;
        let mut answer = answer.ok().filter(|answer| answer.status().is_success()).ok_or(LinkError::Dead)?;
        if answer.content_length().is_some_and(|length| length > most) {
            return Err(LinkError::TooLarge);
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|_| LinkError::Dead)? {
            if (bytes.len() + chunk.len()) as u64 > most {
                return Err(LinkError::TooLarge);
            }
            bytes.extend_from_slice(&chunk);
        }
        if bytes.is_empty() { Err(LinkError::Dead) } else { Ok(bytes) }
    }
}

/// What is called for a link, and the `Host` that it was signed for; none when it must not be.
fn target(link: &str, instead: Option<&Url>) -> Option<(Url, HeaderValue)> {
    let (mut url, reach) = (Url::parse(link).ok()?, Reach::of(instead));
    let is_plain = matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
    let host = match url.port() {
        Some(port) => format!("{}:{port}", url.host_str()?),
        None => url.host_str()?.to_owned(),
    };
    if let Some(instead) = instead {
        url.set_scheme(instead.scheme()).ok()?;
        url.set_host(instead.host_str()).ok()?;
        url.set_port(instead.port()).ok()?;
    }
    let may_be_dialled = match url.host()? {
        Host::Domain(_) => true,
        Host::Ipv4(address) => reach.takes(address.into()),
        Host::Ipv6(address) => reach.takes(address.into()),
    };
    let host = HeaderValue::from_str(&host).ok()?;
    (is_plain && may_be_dialled).then_some((url, host))
}

/// Which addresses are dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// Those that everybody reaches.
    Public,
    /// Those inside too: who runs the hub has named the store.
    Inside,
}

impl Reach {
    fn of(instead: Option<&Url>) -> Self {
        if instead.is_some() { Self::Inside } else { Self::Public }
    }

    /// Whether an address is one at which only services are, and no machine tells of itself.
    fn takes(self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => {
                let is_nowhere = v4.octets()[0] == 0 || v4.is_broadcast() || v4.is_multicast();
                let is_shared = v4.octets()[0] == 100 && (64..128).contains(&v4.octets()[1]);
                let is_inside = v4.is_loopback() || v4.is_private() || is_shared;
                let tells_of_itself = v4.is_link_local() || METADATA_V4.contains(&v4);
                !is_nowhere && !tells_of_itself && (self == Self::Inside || !is_inside)
            }
            IpAddr::V6(v6) => match (v6.to_ipv4_mapped(), v6.segments()) {
                (Some(v4), _) => self.takes(v4.into()),
                // The same through NAT64.
                (None, [0x64, 0xff9b, 0, 0, 0, 0, high, low]) => {
                    self.takes(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)).into())
                }
                _ => {
                    let is_nowhere = v6.is_unspecified() || v6.is_multicast();
                    let is_inside = v6.is_loopback() || v6.is_unique_local();
                    let tells_of_itself = v6.is_unicast_link_local() || v6 == METADATA_V6;
                    !is_nowhere && !tells_of_itself && (self == Self::Inside || !is_inside)
                }
            },
        }
    }
}

/// Finds the addresses of a name, and of these only those that may be dialled.
struct Dialled(Reach);

impl Resolve for Dialled {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let may_be_dialled: Vec<SocketAddr> = found.filter(|found| reach.takes(found.ip())).collect();
            let addresses: Addrs = Box::new(may_be_dialled.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    #[test]
    fn no_machine_is_asked_about_itself() {
        let takes = |reach: Reach, address: &str| reach.takes(address.parse().unwrap());
        for address in ["93.184.216.34", "2606:2800:220:1::1"] {
            assert!(takes(Reach::Public, address) && takes(Reach::Inside, address), "{address}");
        }
        let inside = ["127.0.0.1", "10.1.2.3", "172.16.0.9", "192.168.0.1", "100.64.0.1", "::1", "fd00::1"];
        for address in inside.into_iter().chain(["::ffff:10.0.0.1", "64:ff9b::a00:1"]) {
            assert!(!takes(Reach::Public, address) && takes(Reach::Inside, address), "{address}");
        }
        let refused = ["169.254.169.254", "100.100.100.200", "192.0.0.192", "0.0.0.0", "0.1.2.3", "255.255.255.255"];
        let refused_too =
            ["224.0.0.1", "fe80::1", "fd00:ec2::254", "::", "ff02::1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"];
        for address in refused.into_iter().chain(refused_too) {
            assert!(!takes(Reach::Public, address) && !takes(Reach::Inside, address), "{address}");
        }
    }

    #[test]
    fn the_host_is_replaced_and_the_signature_kept() {
        let to = |link: &str, instead: Option<&str>| {
            let instead = instead.map(|url| Url::parse(url).unwrap());
            target(link, instead.as_ref()).map(|(url, host)| (url.to_string(), host.to_str().unwrap().to_owned()))
        };
        let link = "http://minio:9000/evolution/a%20b/1.jpg?X-Amz-Signature=5d%2Fe&X-Amz-SignedHeaders=host";
        assert_eq!(to(link, None), Some((link.to_owned(), "minio:9000".to_owned())));
        let elsewhere = link.replace("http://minio:9000", "https://files.test");
        assert_eq!(to(link, Some("https://files.test/")), Some((elsewhere, "minio:9000".to_owned())));
        let refused = ["ftp://minio/a", "file:///etc/passwd", "http://a:b@minio/x", "no link", "http://[fe80::1]/x"];
        for link in refused.into_iter().chain(["http://169.254.169.254/latest", "http://2852039166/latest"]) {
            assert_eq!(to(link, None), None, "{link}");
        }
        for inside in ["http://127.0.0.1:9000/a", "http://[::1]/a", "http://10.0.0.1/a"] {
            assert_eq!(to(inside, None), None, "{inside}");
        }
    }

    /// A store that answers this once; what it was asked.
    async fn store(answer: &'static str) -> (Links, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let instead = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 4096];
            let length = stream.read(&mut asked).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&asked[..length]).to_ascii_lowercase()
        });
        (Links::new(Some(instead)).unwrap(), serving)
    }

    #[tokio::test]
    async fn a_file_is_fetched_and_bounded() {
        const LINK: &str = "http://minio:9000/b/1.jpg?X-Amz-Signature=5d";
        let whole = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";
        let unknown = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello";
        let moved = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
        for (answer, most, expected) in [
            (whole, 5, Ok(b"hello".to_vec())),
            (whole, 4, Err(LinkError::TooLarge)),
            (unknown, 5, Ok(b"hello".to_vec())),
            (unknown, 4, Err(LinkError::TooLarge)),
            (moved, 5, Err(LinkError::Dead)),
            ("HTTP/1.1 403 Forbidden\r\ncontent-length: 5\r\n\r\nhello", 5, Err(LinkError::Dead)),
        ] {
            let (links, asked) = store(answer).await;
            assert_eq!(links.follow(LINK, most).await, expected, "{answer}");
            let asked = asked.await.unwrap();
            assert!(asked.starts_with("get /b/1.jpg?x-amz-signature=5d http/1.1"), "{asked}");
            assert!(asked.contains("host: minio:9000\r\n"), "{asked}");
        }
    }
}
