//! A cable between the hub and a server, which a test can cut without hurting anybody else.

use std::ops::Deref;

use omnihub_stage::Proxy;

/// A proxy (`omnihub_stage::Proxy`) on a loopback port to another one. Cut on drop.
#[derive(Debug)]
pub(crate) struct Forwarder(Proxy);

impl Forwarder {
    /// A whole cable to `127.0.0.1:<port>`.
    pub(crate) async fn to(port: u16) -> Self {
        Self(Proxy::to(port).await.expect("a proxy"))
    }

    /// Makes the cable whole again.
    pub(crate) fn mend(&self) {
        self.0.heal();
    }
}

impl Deref for Forwarder {
    type Target = Proxy;

    fn deref(&self) -> &Proxy {
        &self.0
    }
}
