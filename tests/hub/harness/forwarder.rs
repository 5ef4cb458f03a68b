//! A cable between the hub and a server, which a test can cut without hurting anybody else.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Forwards connections on a loopback port to another one. Cut on drop.
#[derive(Debug)]
pub(crate) struct Forwarder {
    address: SocketAddr,
    whole: watch::Sender<bool>,
}

impl Forwarder {
    /// A whole cable to `127.0.0.1:<port>`.
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free loopback port");
        let address = listener.local_addr().expect("the port of a bound listener");
        let (whole, state) = watch::channel(true);
        tokio::spawn(serve(listener, port, state));
        Self { address, whole }
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Breaks every connection and every new one, as a server that has gone.
    pub(crate) fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// New connections go through again.
    pub(crate) fn mend(&self) {
        self.whole.send_replace(true);
    }
}

async fn serve(listener: TcpListener, port: u16, state: watch::Receiver<bool>) {
    let mut ends = state.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // The forwarder was dropped.
            _ = async { while ends.changed().await.is_ok() {} } => return,
        };
        let Ok((near, _)) = accepted else { return };
        if *state.borrow() {
            tokio::spawn(carry(near, port, state.clone()));
        }
    }
}

async fn carry(mut near: TcpStream, port: u16, mut state: watch::Receiver<bool>) {
    let Ok(mut far) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut near, &mut far) => {}
        _ = state.wait_for(|whole| !whole) => {}
    }
}
