//! Securing connections: TLS and Noise, either or both, in an order that the configuration chooses.

use super::{
    buffered::{Ahead, Gathered},
    config::Security,
};
use futures::{AsyncRead, AsyncWrite, FutureExt as _, TryFutureExt as _, future::BoxFuture, future::Either};
use libp2p::{
    PeerId,
    core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo},
    identity::Keypair,
    noise, tls,
};

/// A handshake that failed.
#[derive(Debug, thiserror::Error)]
pub enum SecurityError {
    /// TLS.
    #[error(transparent)]
    Tls(#[from] tls::UpgradeError),
    /// Noise.
    #[error(transparent)]
    Noise(#[from] noise::Error),
    /// The keys can't be used.
    #[error("this node's key can't make a certificate: {0}")]
    Key(String),
}

#[derive(Clone)]
enum Offer {
    Tls(tls::Config),
    Noise(noise::Config),
}

/// What is offered, best first.
#[derive(Clone)]
pub struct Secure(Vec<Offer>);

impl Secure {
    /// Offers these.
    ///
    /// # Errors
    /// When the key can't be used.
    pub fn new(keys: &Keypair, kinds: &[Security]) -> Result<Self, SecurityError> {
        let key = |e: &dyn std::fmt::Display| SecurityError::Key(e.to_string());
        let offers = kinds.iter().map(|kind| match kind {
            Security::Tls => tls::Config::new(keys).map(Offer::Tls).map_err(|e| key(&e)),
            Security::Noise => noise::Config::new(keys).map(Offer::Noise).map_err(|e| key(&e)),
        });
        offers.collect::<Result<_, _>>().map(Self)
    }

    fn offered(self, name: &str) -> Option<Offer> {
        self.0.into_iter().find(|offer| offer.name() == name)
    }
}

impl Offer {
    fn name(&self) -> &'static str {
        match self {
            Self::Tls(_) => "/tls/1.0.0",
            Self::Noise(_) => "/noise",
        }
    }
}

impl UpgradeInfo for Secure {
    type Info = &'static str;
    type InfoIter = std::vec::IntoIter<&'static str>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.iter().map(Offer::name).collect::<Vec<_>>().into_iter()
    }
}

/// A secured connection.
type Secured<C> = Gathered<Either<tls::TlsStream<Ahead<C>>, noise::Output<Ahead<C>>>>;
type Handshake<C> = BoxFuture<'static, Result<(PeerId, Secured<C>), SecurityError>>;

fn unknown<C: Send + 'static>(name: &str) -> Handshake<C> {
    let error = SecurityError::Key(format!("{name} was agreed on, and never offered"));
    futures::future::ready(Err(error)).boxed()
}

impl<C: AsyncRead + AsyncWrite + Send + Unpin + 'static> InboundConnectionUpgrade<C> for Secure {
    type Output = (PeerId, Secured<C>);
    type Error = SecurityError;
    type Future = Handshake<C>;

    fn upgrade_inbound(self, socket: C, info: Self::Info) -> Self::Future {
        let socket = Ahead::new(socket);
        match self.offered(info) {
            Some(Offer::Tls(tls)) => tls
                .upgrade_inbound(socket, info)
                .map_ok(|(peer, out)| (peer, Gathered::new(Either::Left(out))))
                .err_into()
                .boxed(),
            Some(Offer::Noise(noise)) => noise
                .upgrade_inbound(socket, info)
                .map_ok(|(peer, out)| (peer, Gathered::new(Either::Right(out))))
                .err_into()
                .boxed(),
            None => unknown(info),
        }
    }
}

impl<C: AsyncRead + AsyncWrite + Send + Unpin + 'static> OutboundConnectionUpgrade<C> for Secure {
    type Output = (PeerId, Secured<C>);
    type Error = SecurityError;
    type Future = Handshake<C>;

    fn upgrade_outbound(self, socket: C, info: Self::Info) -> Self::Future {
        let socket = Ahead::new(socket);
        match self.offered(info) {
            Some(Offer::Tls(tls)) => tls
                .upgrade_outbound(socket, info)
                .map_ok(|(peer, out)| (peer, Gathered::new(Either::Left(out))))
                .err_into()
                .boxed(),
            Some(Offer::Noise(noise)) => noise
                .upgrade_outbound(socket, info)
                .map_ok(|(peer, out)| (peer, Gathered::new(Either::Right(out))))
                .err_into()
                .boxed(),
            None => unknown(info),
        }
    }
}
