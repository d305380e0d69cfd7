//! The `nbo` command: a table of contents.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;
use nbo::cli::{bench, campaign, check, import, load, schema, serve, sim};

/// The system's allocator keeps memory that replaced versions and models gave back, and takes longer under many threads.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// NBO, a real-time next-best-offer decision engine.
#[derive(Debug, Parser)]
#[command(
    name = "nbo",
    version,
    after_help = "Examples:
  nbo serve                    serves the built-in bank to made-up customers, and shows a call to paste
  nbo check rules/bank         says everything that is wrong with a catalog
  nbo help import              says more about one command"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Bench(bench::Args),
    Campaign(campaign::Args),
    Check(check::Args),
    Import(import::Args),
    Load(load::Args),
    Schema(schema::Args),
    Serve(serve::Args),
    Sim(sim::Args),
}

fn main() -> anyhow::Result<ExitCode> {
    let command = Arguments::parse().command;
    let mut out = std::io::stdout().lock();
    let code = match command {
        Command::Bench(bench) => bench.run(&mut out),
        Command::Campaign(campaign) => campaign.run(&mut out),
        Command::Check(check) => check.run(&mut out),
        Command::Import(import) => import.run(&mut out),
        Command::Load(load) => load.run(&mut out),
        Command::Schema(schema) => schema.run(&mut out),
        Command::Serve(serve) => serve.run(&mut out),
        Command::Sim(sim) => sim.run(&mut out),
    }?;
    out.flush()?;
    Ok(code)
}
