//! The `nbo` command: a table of contents.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use nbo::cli::{bench, check, import, load, schema};

/// NBO, a real-time next-best-offer decision engine.
#[derive(Debug, Parser)]
#[command(name = "nbo", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Bench(bench::Args),
    Check(check::Args),
    Import(import::Args),
    Load(load::Args),
    Schema(schema::Args),
}

fn main() -> anyhow::Result<ExitCode> {
    let command = Arguments::parse().command;
    let mut out = std::io::stdout().lock();
    let code = match command {
        Command::Bench(bench) => bench.run(&mut out),
        Command::Check(check) => check.run(&mut out),
        Command::Import(import) => import.run(&mut out),
        Command::Load(load) => load.run(&mut out),
        Command::Schema(schema) => schema.run(&mut out),
    }?;
    out.flush()?;
    Ok(code)
}
