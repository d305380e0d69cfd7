//! TLS: who the server is, and, when it asks for that, who its callers are.
//!
//! TLS 1.2 and 1.3 with the ciphers that rustls takes for safe. With a file of authorities for clients every connection
//! has to show a certificate of theirs; what its holder may do is said in the tokens file ([`super::access::tokens`]).
//! Certificates are read again when their files change ([`super::renewed`]): connections that stand go on, new ones get
//! the new certificate. Withdrawn certificates are not looked up: give clients short-lived ones.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::renewed::{Renewed, Unusable};

/// What the server shows of itself, and asks of its callers.
pub type Tls = Renewed<ServerConfig>;

/// Where certificates lie, as PEM.
#[derive(Clone, Debug)]
pub struct Files {
    /// The server's certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities whose certificates callers have to show; without them callers need none.
    pub client_authorities: Option<PathBuf>,
}

/// Reads the files. Blocks.
///
/// # Errors
/// When a file cannot be read, holds no certificate or key, or the key is not the certificate's.
pub fn open(files: &Files) -> Result<Arc<Tls>, Unusable> {
    let mut paths = vec![files.certificate.clone(), files.key.clone()];
    paths.extend(files.client_authorities.clone());
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    Renewed::open("TLS", paths, move |contents| config(contents, &names))
}

/// Makes the configuration from the contents of the files of these names.
fn config(contents: &[Vec<u8>], names: &[String]) -> Result<ServerConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let chain = certificates(&contents[0], &names[0])?;
    let key = PrivateKeyDer::from_pem_slice(&contents[1])
        .map_err(|error| format!("{} holds no private key in PEM: {error}", names[1]))?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match contents.get(2) {
        None => builder.with_no_client_auth(),
        Some(authorities) => {
            let roots = roots(authorities, &names[2])?;
            let verifier = verifier(roots, provider).map_err(|error| format!("{}: {error}", names[2]))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| format!("{} and {}: {error}", names[0], names[1]))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn verifier(
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
) -> Result<
    Arc<dyn tokio_rustls::rustls::server::danger::ClientCertVerifier>,
    tokio_rustls::rustls::server::VerifierBuilderError,
> {
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()
}

fn certificates(pem: &[u8], name: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| format!("{name} is no PEM: {error}"))?;
    if found.is_empty() {
        return Err(format!("{name} holds no certificate in PEM"));
    }
    Ok(found)
}

fn roots(pem: &[u8], name: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem, name)? {
        roots
            .add(certificate)
            .map_err(|error| format!("{name} holds what is no authority: {error}"))?;
    }
    Ok(roots)
}
