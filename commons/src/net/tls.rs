//! TLS 1.3 with raw public keys (RFC 7250) in both directions, without certificates, names and tickets.
//! Each side proves its Ed25519 key. The caller receives the key and must check that it is the expected one.

use std::sync::Arc;
use std::{fmt, io};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme, version,
};
use zeroize::Zeroizing;

use crate::keys::{PublicKey, Seed};

/// Prefix of the 32 bytes of an Ed25519 public key in its SubjectPublicKeyInfo (RFC 8410).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Prefix of the 32 bytes of an Ed25519 seed in PKCS #8 (RFC 8410).
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Purpose of a connection. Each has its own ALPN protocol, so that one cannot be mistaken for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A peer's session with the tracker.
    Session,
    /// A link between two peers, or the tracker's PING to a peer.
    Link,
}

impl Purpose {
    fn alpn(self) -> Vec<u8> {
        match self {
            Self::Session => b"p2p-chat-session/1".to_vec(),
            Self::Link => b"p2p-chat-link/1".to_vec(),
        }
    }
}

/// A key that is configured for one purpose, both to dial and to accept. Cheap to clone.
#[derive(Clone)]
pub struct Identity {
    key: PublicKey,
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Identity {
    /// Derives the identity from a seed. It fails only if the cryptographic library does.
    pub fn new(seed: &Seed, purpose: Purpose) -> io::Result<Self> {
        Self::make(seed, purpose).map_err(io::Error::other)
    }

    fn make(seed: &Seed, purpose: Purpose) -> Result<Self, Error> {
        let der = Zeroizing::new([&PKCS8_PREFIX[..], seed.as_bytes()].concat());
        let signing = aws_lc_rs::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(der.as_slice()))?;
        let public =
            signing.public_key().ok_or(Error::General("a key without a public half".into()))?.to_vec();
        let key = ed25519_key(&public)?;
        let own = Arc::new(CertifiedKey::new(vec![CertificateDer::from(public)], signing));

        let provider = Arc::new(CryptoProvider {
            // The hybrid key exchange resists a later quantum computer. The second one is for programs without it.
            kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519],
            ..aws_lc_rs::default_provider()
        });
        let verifier = Arc::new(RawKeys { algorithms: provider.signature_verification_algorithms });
        let mut client = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone())
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(own.clone())));
        client.resumption = Resumption::disabled();
        client.enable_sni = false;
        client.alpn_protocols = vec![purpose.alpn()];
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(own)));
        server.send_tls13_tickets = 0;
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.alpn_protocols = vec![purpose.alpn()];
        Ok(Self { key, client: Arc::new(client), server: Arc::new(server) })
    }

    /// The public key of the identity.
    #[must_use]
    pub fn key(&self) -> PublicKey {
        self.key
    }

    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        self.client.clone()
    }

    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        self.server.clone()
    }
}

/// The key that the other side of a finished handshake has proven. The connection must have agreed on its purpose.
pub(crate) fn proven_key(connection: &rustls::CommonState) -> Result<PublicKey, Error> {
    if connection.alpn_protocol().is_none() {
        return Err(Error::NoApplicationProtocol);
    }
    let shown =
        connection.peer_certificates().and_then(<[_]>::first).ok_or(Error::NoCertificatesPresented)?;
    ed25519_key(shown)
}

fn ed25519_key(spki: &[u8]) -> Result<PublicKey, Error> {
    let key = spki.strip_prefix(&SPKI_PREFIX).and_then(|key| key.try_into().ok());
    key.map(PublicKey::new).ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))
}

/// A verifier that requires an Ed25519 key and the proof of its private key. The caller judges which key it is.
#[derive(Debug)]
struct RawKeys {
    algorithms: WebPkiSupportedAlgorithms,
}

impl RawKeys {
    fn verify(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(key.as_ref());
        verify_tls13_signature_with_raw_key(message, &key, signature, &self.algorithms)
    }
}

fn no_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::PeerIncompatible(rustls::PeerIncompatible::Tls12NotOffered))
}

impl ServerCertVerifier for RawKeys {
    fn verify_server_cert(
        &self,
        key: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        ed25519_key(key).map(|_| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _key: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify(message, key, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for RawKeys {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        key: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        ed25519_key(key).map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _key: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify(message, key, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::net::socket::{FirstByte, Listener, Socket};

    fn identity(purpose: Purpose) -> Identity {
        Identity::new(&Seed::random().unwrap(), purpose).unwrap()
    }

    async fn met(dialer: Identity, listener: Identity) -> io::Result<(Socket, Socket)> {
        let port = Listener::bind("127.0.0.1:0").await?;
        let address = port.local_addr()?;
        let accepting = async {
            let (socket, _) = port.accept().await?;
            assert_eq!(socket.opening().await?, FirstByte::Tls);
            socket.accept_encrypted(&listener).await
        };
        let (dialled, accepted) = tokio::join!(Socket::dial_encrypted(address, &dialer), accepting);
        Ok((dialled?, accepted?))
    }

    #[tokio::test]
    async fn each_side_gets_the_key_that_the_other_has_proven() {
        let (ana, bob) = (identity(Purpose::Link), identity(Purpose::Link));
        let (mut near, mut far) = met(ana.clone(), bob.clone()).await.unwrap();
        assert_eq!((near.remote_key(), far.remote_key()), (Some(bob.key()), Some(ana.key())));
        near.write_all(b"hello").await.unwrap();
        let mut received = [0; 5];
        far.read_exact(&mut received).await.unwrap();
        assert_eq!(&received, b"hello");
    }

    #[tokio::test]
    async fn a_session_cannot_be_taken_for_a_link() {
        assert!(met(identity(Purpose::Session), identity(Purpose::Link)).await.is_err());
    }

    #[test]
    fn a_seed_makes_the_same_key_always_and_is_not_shown() {
        let seed = Seed::new([7; 32]);
        let key = |purpose| Identity::new(&seed, purpose).unwrap().key();
        assert_eq!(key(Purpose::Session), key(Purpose::Link));
        assert_eq!(format!("{seed:?}"), "Seed(..)");
    }
}
