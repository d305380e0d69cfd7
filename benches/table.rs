//! What is wanted of a decision beside what it takes, in one run; see `benches/README.md`.

use std::env::current_exe;
use std::io::{Write as _, stderr, stdout};

use alloc_tracker::{Allocator, Session};
use clap::Parser;
use mimalloc::MiMalloc;
use nbo::bench::table::{Allocated, Options, make_counted_calls, measure};

/// The program's own allocator, which notes for each thread how much is asked for. That costs a call two additions for each time it
/// asks, which is in all figures.
#[global_allocator]
static GLOBAL: Allocator<MiMalloc> = Allocator::new(MiMalloc);

/// Measures all cases of the table, in some minutes.
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
    /// Make the calls whose instructions are counted
    #[arg(long, hide = true)]
    count: Option<usize>,
    /// What cargo says to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let server = env!("CARGO_BIN_EXE_nbo").into();
    let options = if arguments.quick {
        Options::quick(server)
    } else {
        let counter = (!arguments.no_instructions).then(current_exe).transpose()?;
        Options::whole(server, counter)
    };
    if let Some(which) = arguments.count {
        return make_counted_calls(&options, which);
    }
    let table = measure(&options, &counted, &|what| drop(writeln!(stderr(), "{what}")))?;
    if arguments.json {
        serde_json::to_writer_pretty(stdout(), &table)?;
        writeln!(stdout())?;
    } else {
        stdout().write_all(table.markdown().as_bytes())?;
    }
    Ok(())
}

/// Counts what some work asks the allocator for.
fn counted(work: &mut dyn FnMut()) -> Allocated {
    let session = Session::new();
    let operation = session.operation("calls");
    {
        let _span = operation.measure_thread();
        work();
    }
    let report = session.to_report();
    let noted = report.operations().map(|(_, operation)| Allocated {
        bytes: operation.total_bytes_allocated(),
        count: operation.total_allocations_count(),
    });
    noted.last().unwrap_or_default()
}
