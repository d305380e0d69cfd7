//! `nbo erase`: a person out of a running server, for good.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use super::connect::Server;
use super::numbers::counted;
use crate::server::client::Connection;
use crate::server::wire;
use crate::server::wire::customer::Identity;
use crate::server::wire::profile_service_client::ProfileServiceClient;

/// The longest document that is taken: a thousand contacts and more.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Who a command is about, and where.
#[derive(Debug, clap::Args)]
pub struct Person {
    /// A customer by the bank's own id
    #[arg(
        long,
        value_name = "ID",
        required_unless_present = "visitor",
        conflicts_with = "visitor"
    )]
    customer: Option<String>,
    /// A visitor by the id of a cookie or device
    #[arg(long, value_name = "ID")]
    visitor: Option<String>,
    #[command(flatten)]
    server: Server,
}

/// Erases a person: destroys the key of all that is kept about them, and remembers only not to contact them.
///
/// When it has ended, nothing in memory, journal and checkpoints can be read about the person any more, and no offer is
/// decided for them. There is no way back. Copies of the data folder are not reached: a backup of before has the key of before.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nbo erase --customer 4711
  nbo export customer --customer 4711 > 4711.json && nbo erase --customer 4711")]
pub struct Args {
    #[command(flatten)]
    person: Person,
}

impl Person {
    fn wire(&self) -> wire::Customer {
        let known = self.customer.clone().map(Identity::Id);
        wire::Customer {
            identity: known.or_else(|| self.visitor.clone().map(Identity::AnonymousId)),
        }
    }

    async fn connect(&self) -> Result<ProfileServiceClient<Connection>> {
        let connection = self.server.connect().await?;
        Ok(ProfileServiceClient::new(connection).max_decoding_message_size(MESSAGE_BYTES_MAX))
    }

    /// Asks for everything that is known of the person.
    ///
    /// # Errors
    /// When the server cannot be reached, or knows nothing.
    pub(super) fn document(&self) -> Result<serde_json::Value> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let exported = runtime.block_on(async {
            let request = wire::ExportCustomerRequest {
                customer: Some(self.wire()),
            };
            let exported = self.connect().await?.export_customer(request).await;
            exported.map_err(|status| anyhow::anyhow!("{}", status.message()))
        })?;
        serde_json::from_str(&exported.into_inner().json).context("the server sent no document")
    }
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When the server cannot be reached, or cannot erase all of it.
    pub fn run(&self, out: &mut impl Write) -> Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let erased = runtime.block_on(async {
            let request = wire::EraseCustomerRequest {
                customer: Some(self.person.wire()),
            };
            let erased = self.person.connect().await?.erase_customer(request).await;
            erased.map_err(|status| anyhow::anyhow!("{}", status.message()))
        })?;
        let erased = erased.into_inner();
        let known = if erased.existed {
            "erased"
        } else {
            "nothing was known, and nothing will be"
        };
        writeln!(out, "{known}; {} destroyed", counted(erased.destroyed_keys, "key"))?;
        Ok(ExitCode::SUCCESS)
    }
}
