//! What a call costs that does nothing, from bare TCP to `nbo serve`, and what settings change; see `benches/README.md`.

use std::env::current_exe;
use std::io::{Write as _, stderr, stdin, stdout};

use clap::Parser;
use nbo::bench::transport::variant::Variant;
use nbo::bench::transport::{Options, child, measure};

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures all servers in turns, in some minutes.
#[derive(Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
struct Arguments {
    /// See in seconds that it works; the figures say nothing
    #[arg(long)]
    quick: bool,
    /// Leave out the instructions
    #[arg(long)]
    no_instructions: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Only these servers, by their names, and those that they are compared with
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    only: Vec<Variant>,
    /// How often each server is measured
    #[arg(long)]
    rounds: Option<usize>,
    /// Be one of the servers
    #[arg(long, hide = true)]
    serve: Option<Variant>,
    /// What cargo says to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(variant) = arguments.serve {
        return child::serve(variant, stdin().lock(), stdout());
    }
    let program = current_exe()?;
    let mut options = if arguments.quick {
        Options::quick(Some(program))
    } else {
        Options::whole(program)
    };
    options.with_instructions &= !arguments.no_instructions;
    options.rounds = arguments.rounds.unwrap_or(options.rounds).max(1);
    if !arguments.only.is_empty() {
        options.variants = arguments.only;
    }
    let report = measure(&options, &|what| drop(writeln!(stderr(), "{what}")))?;
    if arguments.json {
        serde_json::to_writer_pretty(stdout(), &report)?;
        writeln!(stdout())?;
    } else {
        stdout().write_all(report.markdown().as_bytes())?;
    }
    Ok(())
}
