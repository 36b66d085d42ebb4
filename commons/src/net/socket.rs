//! TCP sockets, in plaintext or with TLS. This is the only file that names `TcpStream`.
//!
//! It binds, accepts and dials. All other code uses a [`Socket`] and does not see its implementation.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream, ToSocketAddrs};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::keys::PublicKey;
use crate::limits::{DIAL_TIMEOUT, FIRST_BYTE_TIMEOUT, HANDSHAKE_TIMEOUT, KEEPALIVE_IDLE, KEEPALIVE_PROBE};
use crate::net::first_bytes::FirstBytes;
use crate::net::tls::{Identity, proven_key};

/// A connection to another program.
#[derive(Debug)]
pub struct Socket {
    stream: Stream,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Encrypted(Box<TlsStream<FirstBytes<TcpStream>>>, PublicKey),
}

/// A bound port that accepts connections.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
}

/// The protocol that the first byte of a connection shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstByte {
    /// JSON objects in plaintext.
    Plaintext,
    /// A TLS handshake.
    Tls,
    /// An unsupported protocol.
    Neither,
}

impl Listener {
    /// Binds an address. Port 0 picks a free port.
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await? })
    }

    /// Takes over a listening socket that another program has bound. Must be called within a runtime.
    pub fn inherited(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self { listener: TcpListener::from_std(listener)? })
    }

    /// The bound address.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Accepts the next connection and returns it with its remote address.
    pub async fn accept(&self) -> io::Result<(Socket, SocketAddr)> {
        let (stream, from) = self.listener.accept().await?;
        Ok((Socket::new(stream)?, canonical(from)))
    }
}

impl Socket {
    fn new(stream: TcpStream) -> io::Result<Self> {
        // Frames are short, and a person waits for each.
        stream.set_nodelay(true)?;
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_PROBE);
        SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
        Ok(Self { stream: Stream::Plain(stream) })
    }

    /// Connects within [`DIAL_TIMEOUT`].
    pub async fn dial(address: impl ToSocketAddrs) -> io::Result<Self> {
        let stream = timeout(DIAL_TIMEOUT, TcpStream::connect(address)).await??;
        Self::new(stream)
    }

    /// Connects from one of the addresses of this computer, as [`Self::dial`] does.
    pub async fn dial_from(source: IpAddr, address: SocketAddr) -> io::Result<Self> {
        let socket = if source.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.bind((source, 0).into())?;
        Self::new(timeout(DIAL_TIMEOUT, socket.connect(address)).await??)
    }

    /// Connects and encrypts with the identity `me`. The other side has then proven [`Self::remote_key`]. The caller
    /// must check that key before it sends anything. An answer in plaintext is an error that holds a
    /// [`PlaintextAnswer`](crate::net::first_bytes::PlaintextAnswer).
    pub async fn dial_encrypted(address: impl ToSocketAddrs, me: &Identity) -> io::Result<Self> {
        Self::dial(address).await?.encrypt(me).await
    }

    /// Encrypts a dialled connection, as [`Self::dial_encrypted`] does.
    pub async fn encrypt(self, me: &Identity) -> io::Result<Self> {
        let stream = self.into_tcp()?;
        // TLS requires a server name, but SNI is off, so the name is never sent.
        let name = ServerName::IpAddress(stream.peer_addr()?.ip().into());
        let stream = FirstBytes::remembering(stream);
        let connecting = TlsConnector::from(me.client()).connect(name, stream).into_fallible();
        match timeout(HANDSHAKE_TIMEOUT, connecting).await? {
            Ok(mut stream) => {
                stream.get_mut().0.forget();
                Self::encrypted(stream.into())
            }
            // The connection is useless afterwards, as after a reset.
            Err((error, stream)) => Err(match stream.plaintext_answer().await {
                Some(answer) => io::Error::new(io::ErrorKind::ConnectionReset, answer),
                None => error,
            }),
        }
    }

    /// Accepts a TLS handshake that [`Self::opening`] has seen, with the identity `me`.
    pub async fn accept_encrypted(self, me: &Identity) -> io::Result<Self> {
        let accepting = TlsAcceptor::from(me.server()).accept(FirstBytes::forgetting(self.into_tcp()?));
        Self::encrypted(timeout(HANDSHAKE_TIMEOUT, accepting).await??.into())
    }

    fn encrypted(stream: TlsStream<FirstBytes<TcpStream>>) -> io::Result<Self> {
        let key = proven_key(stream.get_ref().1).map_err(io::Error::other)?;
        Ok(Self { stream: Stream::Encrypted(Box::new(stream), key) })
    }

    fn into_tcp(self) -> io::Result<TcpStream> {
        match self.stream {
            Stream::Plain(stream) => Ok(stream),
            Stream::Encrypted(..) => Err(io::Error::other("the connection is encrypted already")),
        }
    }

    fn tcp(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(stream) => stream,
            Stream::Encrypted(stream, _) => stream.get_ref().0.stream(),
        }
    }

    /// The key that the other side has proven; `None` for plaintext.
    #[must_use]
    pub fn remote_key(&self) -> Option<PublicKey> {
        match &self.stream {
            Stream::Plain(_) => None,
            Stream::Encrypted(_, key) => Some(*key),
        }
    }

    /// Peeks at the first byte. It fails if none arrives within [`FIRST_BYTE_TIMEOUT`].
    pub async fn opening(&self) -> io::Result<FirstByte> {
        let mut first = [0];
        if timeout(FIRST_BYTE_TIMEOUT, self.tcp().peek(&mut first)).await?? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(match first[0] {
            b'{' => FirstByte::Plaintext,
            byte if byte.is_ascii_whitespace() => FirstByte::Plaintext,
            0x16 => FirstByte::Tls,
            _ => FirstByte::Neither,
        })
    }

    /// The address of this end.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(canonical(self.tcp().local_addr()?))
    }

    /// The address of the other end.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(canonical(self.tcp().peer_addr()?))
    }
}

/// Checks an address of the form `host:port`. It does not check that the host exists.
pub fn host_and_port(text: &str) -> Result<String, &'static str> {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(text.to_owned()),
        _ => Err("an address is HOST:PORT, as in 127.0.0.1:6060"),
    }
}

/// Resolves a `host:port` to its first address.
pub async fn resolve(address: &str) -> io::Result<SocketAddr> {
    let mut found = tokio::net::lookup_host(address).await?;
    found.next().map(canonical).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Converts an IPv4-mapped IPv6 address to the IPv4 address.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Encrypted(stream, _) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Encrypted(stream, _) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Encrypted(stream, _) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Encrypted(stream, _) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for good in ["127.0.0.1:6060", "[::1]:0", "chat.example:65535"] {
            assert_eq!(host_and_port(good).as_deref(), Ok(good));
        }
        for bad in ["", "chat.example", "6060", ":6060", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:x"] {
            assert!(host_and_port(bad).is_err(), "{bad}");
        }
    }
}
