//! Where the server listens, for whom, and within which limits.
//!
//! There is one port for everybody and, where operators want it so, one for administration: the same services and the same
//! callers, but places of its own, and administration is then refused on the first.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;

use super::access::Access;
use super::access::gate::{Gate, Port};
use super::access::hosts::{Host, Hosts};
use super::desk::Desk;
use super::front::{Behind, Front};
use super::http::CorsOrigin;
use super::limits::Bounds;
use super::listen::{self, Door};
use super::overload::Queue;
use super::tls::Tls;

/// The ports of a server.
pub struct Doors {
    /// Where everybody calls.
    pub public: TcpListener,
    /// Where administration is served; without it, it is on the same port as everything.
    pub admin: Option<TcpListener>,
    /// The certificates of both ports; without them nothing is encrypted.
    pub tls: Option<Arc<Tls>>,
    /// Whom the server knows.
    pub access: Arc<Access>,
    /// By which names the server may be called besides loopback; where they are looked at says [`super::access::hosts`].
    pub hosts: Vec<Host>,
    /// What is taken at most.
    pub bounds: Bounds,
}

impl Doors {
    /// Makes one door for everybody who can connect, without TLS: for a loopback address.
    #[must_use]
    pub fn open(listener: TcpListener) -> Self {
        Self {
            public: listener,
            admin: None,
            tls: None,
            access: Arc::new(Access::open_to_everybody()),
            hosts: Vec::new(),
            bounds: Bounds::default(),
        }
    }

    /// Returns the names by which a port may be called.
    fn hosts_of(&self, listener: &TcpListener) -> Hosts {
        let is_open = self.tls.is_none() && self.access.is_open();
        let address = listener.local_addr();
        let is_loopback = address.is_ok_and(|address| address.ip().to_canonical().is_loopback());
        if !is_open || (self.hosts.is_empty() && !is_loopback) {
            return Hosts::Any;
        }
        Hosts::Named(self.hosts.clone())
    }

    /// Serves until `down` becomes true and every call has ended.
    pub(super) async fn serve(
        self,
        behind: Behind,
        cors_origins: &[CorsOrigin],
        desk: &Arc<Desk>,
        down: &watch::Sender<bool>,
    ) {
        // One for both ports: they share the threads.
        let queue = Queue::new(&self.bounds);
        let front = |port, hosts| {
            let gate = Gate::new(Arc::clone(&self.access), Arc::clone(desk), port, hosts);
            // No page of another origin has business with administration.
            let cors_origins = if port == Port::Admin { &[] } else { cors_origins };
            Arc::new(Front::new(desk, behind.clone(), gate, cors_origins, &queue))
        };
        let port = if self.admin.is_some() { Port::Public } else { Port::Only };
        let door = Door {
            bounds: self.bounds,
            tls: self.tls.clone(),
        };
        let hosts = self.hosts_of(&self.public);
        let admin = self.admin.as_ref().map(|admin| self.hosts_of(admin));
        let serving = listen::serve(self.public, door, front(port, hosts), down.subscribe());
        let Some((admin, hosts)) = self.admin.zip(admin) else {
            return serving.await;
        };
        let door = Door {
            bounds: self.bounds.for_administration(),
            tls: self.tls,
        };
        let administration = listen::serve(admin, door, front(Port::Admin, hosts), down.subscribe());
        tokio::join!(serving, administration);
    }
}
