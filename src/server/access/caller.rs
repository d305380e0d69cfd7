//! Who calls: found out once per call, before anything of it is read.

use std::sync::Arc;

use tokio_rustls::rustls::pki_types::CertificateDer;

use super::table::{Role, Roles};
use crate::domain::time::Timestamp;
use crate::server::status::Refusal;

/// A caller who is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The name of a token or certificate in the tokens file; holders of a JWT are not told apart.
    pub name: String,
    /// What the caller is trusted with.
    pub roles: Roles,
    /// Until when, if there is an end.
    pub until: Option<Timestamp>,
}

impl Caller {
    /// Refuses a call within a call to a caller who lacks its role. Where nobody has to be known there is no caller, and
    /// everybody may do everything.
    ///
    /// # Errors
    /// When there is a caller who lacks the role.
    pub fn require(caller: Option<&Arc<Self>>, role: Role) -> Result<(), Refusal> {
        match caller {
            Some(caller) if !caller.roles.has(role) => Err(Refusal::LacksRole(Roles::of(&[role]))),
            _ => Ok(()),
        }
    }
}

/// The names in the certificate that a connection showed, each as the tokens file writes it: `dns:…` or `uri:…`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer(pub Vec<String>);

impl Peer {
    /// Reads the names of a certificate. One that rustls accepted and that has none is nobody in particular.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        let Ok(certificate) = webpki::EndEntityCert::try_from(certificate) else {
            return Self::default();
        };
        let hosts = certificate.valid_dns_names().map(|name| format!("dns:{name}"));
        let uris = certificate.valid_uri_names().map(|name| format!("uri:{name}"));
        Self(hosts.chain(uris).collect())
    }
}
