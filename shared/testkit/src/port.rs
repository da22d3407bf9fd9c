//! Ports for servers that have to be told theirs before they start.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

/// A port of loopback where nobody listens, and which the kernel gives to nobody: only who asks for it by number listens there, as
/// often as wanted. For as long as it is kept.
#[derive(Debug)]
pub struct Port {
    address: SocketAddr,
    _bound: TcpSocket,
}

impl Port {
    /// Takes one that is free.
    pub fn take() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        // Two may share a port if both say so and one does not listen; every server of ours says so.
        socket.set_reuseaddr(true).expect("a new socket");
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
        let address = socket.local_addr().expect("bound");
        Self { address, _bound: socket }
    }

    /// Where it is.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn a_port_is_for_whoever_asks_for_it_by_number() {
        let port = Port::take();
        for _ in 0..2 {
            let refused = TcpStream::connect(port.address()).await.expect_err("nobody listens");
            assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
            let server = TcpListener::bind(port.address()).await.expect("it is free");
            let client = TcpStream::connect(port.address()).await.expect("connected");
            let (taken, _) = server.accept().await.expect("a client");
            drop((client, taken));
        }
        // As the kernel chooses, without the port there is one more to be given.
        let others: Vec<_> = (0..200).map(|_| Port::take()).collect();
        assert!(others.iter().all(|other| other.address() != port.address()));
    }
}
