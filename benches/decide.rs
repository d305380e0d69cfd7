//! The stages of one decision on catalogs of 100, 1,000 and 10,000 offers; see `benches/README.md`.

use std::io::{Write as _, stderr, stdout};

use nbo::bench::{Options, run_stages};

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    let options = Options {
        calls: 20_000,
        ..Options::default()
    };
    let report = run_stages(&options, &|what| drop(writeln!(stderr(), "{what}")))?;
    stdout().write_all(report.table().as_bytes())?;
    Ok(())
}
