//! Where a server is and what is shown to it: the options that every command which calls one has.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, Result};

use crate::server::client::{Connection, Credentials};

/// The server that a command calls.
#[derive(Debug, clap::Args)]
pub(super) struct Server {
    /// The server; `https://…` where it has TLS, and its port for administration where it has one
    #[arg(long, env = "NBO_TO", default_value = "http://127.0.0.1:50051", value_name = "URL")]
    pub(super) to: String,
    #[command(flatten)]
    pub(super) shown: Shown,
}

/// What is shown to a server, and whom it is trusted by.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Shown {
    /// The token to show; better in the environment, since others on the machine can see arguments
    #[arg(long, env = "NBO_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<Secret>,
    /// The file with the authority that issued the server's certificate, as PEM; for `https://…`
    #[arg(long, env = "NBO_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The file with the certificate to show, as PEM, for a server that asks for one
    #[arg(long, env = "NBO_CERT", value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The file with its private key, as PEM
    #[arg(long, env = "NBO_KEY", value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// The name in the server's certificate, when it is not the one in the address
    #[arg(long, env = "NBO_SERVER_NAME", value_name = "NAME")]
    server_name: Option<String>,
}

/// A text that is not shown by accident.
#[derive(Clone)]
struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl Server {
    /// Connects to the server.
    pub(super) async fn connect(&self) -> Result<Connection> {
        Ok(self.shown.credentials()?.connect(&self.to).await?)
    }
}

impl Shown {
    /// Reads the files that are named.
    pub(super) fn credentials(&self) -> Result<Credentials> {
        let identity = match (&self.cert, &self.key) {
            (Some(certificate), Some(key)) => Some((read(certificate)?, read(key)?)),
            _ => None,
        };
        Ok(Credentials {
            token: self.token.clone().map(|token| token.0),
            authorities: self.ca.as_deref().map(read).transpose()?,
            identity,
            server_name: self.server_name.clone(),
        })
    }
}

fn read(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}
