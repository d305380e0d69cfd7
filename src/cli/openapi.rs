//! `nbo openapi`: the contract over HTTP as an OpenAPI document, for generators and for people.

use std::io::Write;
use std::process::ExitCode;

use crate::server::http::openapi;

/// Prints the OpenAPI 3.1 document of the contract over HTTP, which a server also answers `GET /openapi.json` with.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  nbo openapi > openapi.json")]
pub struct Args {}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When the text cannot be written.
    pub fn run(&self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        writeln!(out, "{}", serde_json::to_string_pretty(&openapi::document())?)?;
        Ok(ExitCode::SUCCESS)
    }
}
