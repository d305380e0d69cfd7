//! `nbo export`: data out of a running server.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};

use super::connect::Server;
use super::erase::Person;
use super::numbers::{counted, grouped};
use crate::server::wire;
use crate::server::wire::contact_service_client::ContactServiceClient;

/// The longest message that is taken: the policies of many reloads of a large catalog come in one.
const MESSAGE_BYTES_MAX: usize = 256 << 20;

/// Writes data of a running server.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// The contacts of all customers with the limits in force, as `nbo audit` reads them: one JSON document a line
    #[command(after_help = "Example:
  nbo export contacts contacts.jsonl && nbo audit contacts.jsonl")]
    Contacts {
        /// The file to write
        file: PathBuf,
        #[command(flatten)]
        server: Server,
    },
    /// Everything that is known of one person, as one JSON document on the standard output
    #[command(after_help = "Examples:
  nbo export customer --customer 4711
  nbo export customer --visitor cookie-9f31 | jq .contacts")]
    Customer(Person),
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When the server cannot be reached or breaks off, or the file cannot be written; an incomplete file is removed.
    pub fn run(&self, out: &mut impl Write) -> Result<ExitCode> {
        let (file, server) = match &self.what {
            What::Contacts { file, server } => (file, server),
            What::Customer(person) => {
                serde_json::to_writer_pretty(&mut *out, &person.document()?)?;
                writeln!(out)?;
                return Ok(ExitCode::SUCCESS);
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let part = file.with_extension("part");
        let exported = runtime.block_on(contacts(server, &part));
        if exported.is_err() {
            // It may never have been begun.
            let _ = std::fs::remove_file(&part);
        }
        let (customers, lines) = exported?;
        std::fs::rename(&part, file).with_context(|| format!("cannot write {}", file.display()))?;
        writeln!(
            out,
            "{} looked at, {} with contacts written to {}",
            counted(customers, "customer"),
            grouped(lines.saturating_sub(1)),
            file.display()
        )?;
        Ok(ExitCode::SUCCESS)
    }
}

async fn contacts(server: &Server, file: &PathBuf) -> Result<(u64, u64)> {
    let request = wire::ExportContactsRequest {};
    let mut messages = ContactServiceClient::new(server.connect().await?)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .export_contacts(request)
        .await?
        .into_inner();
    let written = File::create(file).with_context(|| format!("cannot write {}", file.display()))?;
    let mut written = BufWriter::new(written);
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("exporting {bar:40} {human_pos}/{human_len} customers  {eta} left")
    {
        bar.set_style(style);
    }
    let (mut customers, mut lines) = (0, 0);
    while let Some(message) = messages.message().await? {
        for line in &message.lines {
            writeln!(written, "{line}")?;
        }
        lines += message.lines.len() as u64;
        customers = message.customers;
        bar.set_length(message.customers_total);
        bar.set_position(customers);
    }
    written.flush()?;
    bar.finish_and_clear();
    Ok((customers, lines))
}
