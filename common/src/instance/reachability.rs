//! Addresses that mean another place to everybody who calls them. They are said, never changed.

use std::net::{IpAddr, Ipv4Addr};

use url::{Host, Url};

/// What is to be known about a base URL, as the end of a sentence that begins with the field's name.
#[must_use]
pub fn address_warning(url: &str) -> Option<&'static str> {
    let url = Url::parse(url.trim()).ok()?;
    let address = match url.host()? {
        Host::Domain(name) => {
            let name = name.trim_end_matches('.');
            let is_local = name == "localhost" || name.ends_with(".localhost");
            return is_local.then_some(LOOPBACK);
        }
        Host::Ipv4(address) => IpAddr::V4(address),
        Host::Ipv6(address) => address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4),
    };
    match address {
        _ if address.is_unspecified() => Some(UNSPECIFIED),
        _ if address.is_loopback() => Some(LOOPBACK),
        IpAddr::V4(address) if is_docker_bridge(address) => Some(DOCKER),
        _ => None,
    }
}

const LOOPBACK: &str = "is a loopback address: each machine, and each container, means itself by it";
const UNSPECIFIED: &str = "is an address to listen on, not one to call";
const DOCKER: &str = "is an address of a Docker bridge: it is reached from that one machine only, and may change";

/// Docker's default bridge, and the gateways of the networks that it makes after it.
fn is_docker_bridge(address: Ipv4Addr) -> bool {
    matches!(address.octets(), [172, 17, ..] | [172, 18..=31, 0, 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_means_another_place_elsewhere_is_named() {
        for url in [
            "http://localhost:1",
            "http://LOCALHOST./x",
            "http://127.0.0.2",
            "http://[::1]",
            "http://[::ffff:127.0.0.1]",
        ] {
            assert_eq!(address_warning(url), Some(LOOPBACK), "{url}");
        }
        for url in ["http://0.0.0.0:8882", "http://[::]"] {
            assert_eq!(address_warning(url), Some(UNSPECIFIED), "{url}");
        }
        for url in ["http://172.17.0.1:8886", "https://172.17.3.4", "http://172.18.0.1"] {
            assert_eq!(address_warning(url), Some(DOCKER), "{url}");
        }
        for url in
            ["http://172.18.0.5", "http://10.0.0.1", "http://evolution:8080", "http://host.docker.internal", "no"]
        {
            assert_eq!(address_warning(url), None, "{url}");
        }
    }
}
