//! A server that is measured: another process of this program, so that its work is told apart from the generator's.
//!
//! The process listens, says where, and then answers each line that it is told with a line; it ends with its input. Each answer is a mark
//! for those who count its instructions ([`super::instructions`]).

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

use super::cores;
use super::serve::Serving;
use super::variant::Variant;
use crate::bench::measure;

/// What a process says before its address.
const LISTENING: &str = "listening ";
/// What makes the program serve: the server's name.
pub(super) const SERVE_FLAG: &str = "--serve";

/// Serves until `told` ends, on processors that the generator does not use.
///
/// # Errors
/// When there is no port, or nobody hears.
pub fn serve(variant: Variant, told: impl BufRead, mut out: impl Write) -> anyhow::Result<()> {
    cores::keep_server(variant.threads());
    let serving = Serving::start(variant)?;
    writeln!(out, "{LISTENING}{}", serving.address)?;
    out.flush()?;
    for line in told.lines() {
        line?;
        answer_mark(&mut out)?;
    }
    Ok(())
}

#[inline(never)]
fn answer_mark(out: &mut impl Write) -> anyhow::Result<()> {
    writeln!(out, "marked")?;
    Ok(out.flush()?)
}

/// A server, wherever it runs.
pub(super) enum Server {
    /// In a process of its own.
    Apart(Process),
    /// On threads of this process.
    Here(Serving),
}

impl Server {
    /// Starts a server: by running this program, or without one in this process.
    pub(super) fn start(program: Option<&Path>, variant: Variant) -> anyhow::Result<Self> {
        let Some(program) = program else {
            return Ok(Self::Here(Serving::start(variant)?));
        };
        Ok(Self::Apart(Process::start(program, &[], variant)?))
    }

    pub(super) fn address(&self) -> SocketAddr {
        match self {
            Self::Apart(process) => process.address,
            Self::Here(serving) => serving.address,
        }
    }

    /// Returns how long all of its threads have worked so far, where the system tells; the generator's with them when it is no process of
    /// its own.
    pub(super) fn worked(&self) -> Option<Duration> {
        match self {
            Self::Apart(process) => worked(&process.child.id().to_string()),
            Self::Here(_) => worked("self"),
        }
    }
}

/// A process that ends with this value.
pub(super) struct Process {
    pub(super) address: SocketAddr,
    child: Child,
    tell: ChildStdin,
    told: BufReader<ChildStdout>,
}

impl Process {
    /// Runs `program` with these arguments in front of those that make it serve, and waits until it listens.
    pub(super) fn start(program: &Path, before: &[&OsStr], variant: Variant) -> anyhow::Result<Self> {
        let mut child = Command::new(program)
            .args(before)
            .args([SERVE_FLAG, variant.name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (tell, told) = pipes.context("the server has no input or output")?;
        let mut process = Self {
            address: SocketAddr::from(([0, 0, 0, 0], 0)),
            child,
            tell,
            told: BufReader::new(told),
        };
        let line = process.line()?;
        let address = line.strip_prefix(LISTENING).and_then(|address| address.parse().ok());
        process.address = address.with_context(|| format!("the server `{variant}` ended before it listened"))?;
        Ok(process)
    }

    /// Has it set a mark, and waits until it did.
    pub(super) fn mark(&mut self) -> anyhow::Result<()> {
        writeln!(self.tell, "mark")?;
        anyhow::ensure!(!self.line()?.is_empty(), "the server ended");
        Ok(())
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.told.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns how long the threads of a process have worked: to the nanosecond where the scheduler tells, else in steps of 10 ms.
fn worked(process: &str) -> Option<Duration> {
    let precisely = || {
        let mut nanos = 0_u64;
        for thread in std::fs::read_dir(format!("/proc/{process}/task")).ok()? {
            let told = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            nanos += told.split_ascii_whitespace().next()?.parse::<u64>().ok()?;
        }
        (nanos > 0).then(|| Duration::from_nanos(nanos))
    };
    precisely().or_else(|| measure::worked_by(process))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_says_where_it_listens_and_answers_each_line_until_there_are_no_more() {
        let mut said = Vec::new();
        let variant = "echo".parse().unwrap();
        serve(variant, &b"mark\nmark\n"[..], &mut said).unwrap();
        let said = String::from_utf8(said).unwrap();
        let lines: Vec<&str> = said.lines().collect();
        let address: SocketAddr = lines[0].strip_prefix(LISTENING).unwrap().parse().unwrap();
        assert!(address.ip().is_loopback() && address.port() > 0);
        assert_eq!(lines[1..], ["marked", "marked"]);
    }
}
