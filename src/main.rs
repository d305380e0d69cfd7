//! The `nbo` command: a table of contents.

use std::io::{self, StdoutLock, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;
use nbo::cli::{
    agreement, audit, bench, campaign, check, data, erase, export, health, import, load, openapi, replay, schema,
    serve, sim, simulate, token, top,
};

/// The system's allocator keeps memory that replaced versions and models gave back, and takes longer under many threads.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// What the program ends with when whoever read its output went away, as `head` does: what the shell says of a program
/// that the system stopped for it.
const READER_GONE: u8 = 128 + 13;

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
    /// Ends the process at a named point, as in `log::after_write:37`; only in the programs of the tests.
    #[cfg(feature = "failpoints")]
    #[arg(long, env = "NBO_FAIL", hide = true, value_name = "POINT:PASS")]
    fail: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Agreement(agreement::Args),
    Audit(audit::Args),
    Backup(data::BackupArgs),
    Bench(bench::Args),
    Campaign(campaign::Args),
    Check(check::Args),
    Erase(erase::Args),
    Erased(data::ErasedArgs),
    Explain(replay::ExplainArgs),
    Export(export::Args),
    Health(health::Args),
    Import(import::Args),
    Load(load::Args),
    Openapi(openapi::Args),
    Replay(replay::ReplayArgs),
    Restore(data::RestoreArgs),
    Schema(schema::Args),
    Serve(Box<serve::Args>),
    Sim(sim::Args),
    Simulate(simulate::Args),
    Token(token::Args),
    Top(top::Args),
    Verify(data::VerifyArgs),
}

/// Standard output, which remembers that nobody reads it any more.
struct Output {
    out: StdoutLock<'static>,
    closed: bool,
}

impl Output {
    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        self.closed |= result
            .as_ref()
            .is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        result
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes);
        self.note(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.out.flush();
        self.note(flushed)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    #[cfg(feature = "failpoints")]
    if let Some(Err(message)) = arguments.fail.as_deref().map(nbo::journal::failpoints::arm) {
        let _ = writeln!(io::stderr(), "error: {message}");
        return ExitCode::FAILURE;
    }
    let command = arguments.command;
    let mut out = Output {
        out: io::stdout().lock(),
        closed: false,
    };
    match run(command, &mut out) {
        Ok(code) => code,
        Err(_) if out.closed => ExitCode::from(READER_GONE),
        Err(error) => {
            // One line, whatever the environment says about backtraces: it is about the input, not about the program.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command, out: &mut Output) -> anyhow::Result<ExitCode> {
    let code = match command {
        Command::Agreement(agreement) => agreement.run(out),
        Command::Audit(audit) => audit.run(out),
        Command::Backup(backup) => backup.run(out),
        Command::Bench(bench) => bench.run(out),
        Command::Campaign(campaign) => campaign.run(out),
        Command::Check(check) => check.run(out),
        Command::Erase(erase) => erase.run(out),
        Command::Erased(erased) => erased.run(out),
        Command::Explain(explain) => explain.run(out),
        Command::Export(export) => export.run(out),
        Command::Health(health) => health.run(out),
        Command::Import(import) => import.run(out),
        Command::Load(load) => load.run(out),
        Command::Openapi(openapi) => openapi.run(out),
        Command::Replay(replay) => replay.run(out),
        Command::Restore(restore) => restore.run(out),
        Command::Schema(schema) => schema.run(out),
        Command::Serve(serve) => serve.run(out),
        Command::Sim(sim) => sim.run(out),
        Command::Simulate(simulate) => simulate.run(out),
        Command::Token(token) => token.run(out),
        Command::Top(top) => top.run(out),
        Command::Verify(verify) => verify.run(out),
    }?;
    out.flush()?;
    Ok(code)
}
