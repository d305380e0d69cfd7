//! `nbo health`: whether a server takes calls, for whoever has to start it anew or to wait for it.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::time::timeout;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::connect::Server;

/// How long the server has to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks a server whether it takes calls; ends with 0 when it does, and with 1 when it does not or nobody answers.
///
/// It needs no token. Where the server has TLS, it needs the authority of its certificate.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nbo health
  nbo health --to https://127.0.0.1:50051 --ca ca.pem --server-name offers.bank.example
  until nbo health; do sleep 1; done")]
pub struct Args {
    #[command(flatten)]
    server: Server,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn run(&self, out: &mut impl Write) -> Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let asking = async {
            let connection = self.server.connect().await?;
            let asked = HealthClient::new(connection).check(HealthCheckRequest::default()).await;
            asked.map_err(|status| anyhow::anyhow!("{}", status.message()))
        };
        let asked = runtime.block_on(async { timeout(PATIENCE, asking).await });
        let answer = asked.context("no answer in time")??.into_inner();
        if answer.status() == ServingStatus::Serving {
            writeln!(out, "serving")?;
            return Ok(ExitCode::SUCCESS);
        }
        writeln!(out, "not serving: it is stopping, or its journal has stopped")?;
        Ok(ExitCode::FAILURE)
    }
}
