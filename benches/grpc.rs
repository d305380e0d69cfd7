//! Calls over gRPC to a server of its own, beside a call that does nothing; see `benches/README.md`.

use std::io::stdout;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use nbo::cli::load::Args;
use nbo::load::own::{OwnServer, threads_beside_the_generator};

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The customers of the server; half of them are only read.
const CUSTOMERS: usize = 10_000;

#[derive(Parser)]
struct Load {
    #[command(flatten)]
    args: Args,
}

fn main() -> anyhow::Result<ExitCode> {
    let nbo = Path::new(env!("CARGO_BIN_EXE_nbo"));
    let server = OwnServer::start(nbo, CUSTOMERS, threads_beside_the_generator())?;
    let load = Load::parse_from([
        "nbo load",
        "--to",
        server.address(),
        "--customers",
        &CUSTOMERS.to_string(),
    ]);
    load.args.run(&mut stdout())
}
