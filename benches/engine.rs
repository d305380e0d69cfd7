//! Whole calls of the engine on 100,000 customers, with and without the model; see `benches/README.md`.

use std::io::{Write as _, stderr, stdout};

use nbo::bench::{Options, run_engine};

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    let options = Options::default();
    let report = run_engine(&options, &|what| drop(writeln!(stderr(), "{what}")))?;
    stdout().write_all(report.table().as_bytes())?;
    Ok(())
}
