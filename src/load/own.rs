//! A server of one's own, for a measurement that disturbs nobody: another process of this program on a free port, with data of its
//! own.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::available_parallelism;

/// A server that ends with this value.
#[derive(Debug)]
pub struct OwnServer {
    child: Child,
    address: String,
    /// Where it keeps its data, so that it disturbs no other's.
    _data: Removed,
    /// Kept open: a server whose output nobody takes any more would end.
    _told: Option<BufReader<ChildStdout>>,
}

impl OwnServer {
    /// Starts `program`, which is `nbo`, with the built-in bank, that many made-up customers, and that many threads; waits
    /// until it is ready.
    ///
    /// # Errors
    /// When it cannot be started or ends before it is ready; what it says about it goes to the error output.
    pub fn start(program: &Path, customers: usize, threads: usize) -> io::Result<Self> {
        Self::start_with(program, customers, threads, &[])
    }

    /// Starts it with more arguments of `nbo serve`, which can name another catalog than the built-in bank.
    ///
    /// # Errors
    /// As for [`OwnServer::start`].
    pub fn start_with(program: &Path, customers: usize, threads: usize, more: &[&OsStr]) -> io::Result<Self> {
        let data = Removed(std::env::temp_dir().join(format!("nbo-load-{}", std::process::id())));
        let mut command = Command::new(program);
        command.arg("serve").arg("--data").arg(&data.0);
        command.args([
            "--listen",
            "127.0.0.1:0",
            "--log",
            "warn",
            "--customers",
            &customers.to_string(),
            "--threads",
            &threads.to_string(),
        ]);
        command.args(more);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut told = child.stdout.take().map(BufReader::new);
        let lines = told.iter_mut().flat_map(BufRead::lines).map_while(Result::ok);
        let ready = lines.into_iter().find_map(|line| ready_at(&line).map(str::to_owned));
        if let Some(address) = ready {
            return Ok(Self {
                child,
                address,
                _data: data,
                _told: told,
            });
        }
        end(&mut child);
        Err(io::Error::other("the server ended before it was ready"))
    }

    /// Returns where it listens, as in `http://127.0.0.1:40123`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}

/// Returns how many threads a server should have that shares the machine with the generator: one less than there are cores.
#[must_use]
pub fn threads_beside_the_generator() -> usize {
    available_parallelism().map_or(1, |cores| cores.get() - 1).max(1)
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// A folder that is removed when it is not needed any more.
#[derive(Debug)]
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        // It may never have been made.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn end(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

/// Finds the address in the line with which a server says that it is ready.
fn ready_at(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("listening")?;
    let word = rest.split_whitespace().find(|word| word.starts_with("http://"))?;
    Some(word.trim_end_matches(','))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_the_line_that_says_ready() {
        let line = "  listening     http://127.0.0.1:40123, ready (1.2 s)";
        assert_eq!(ready_at(line), Some("http://127.0.0.1:40123"));
        assert_eq!(
            ready_at("  catalog       Bank 0123456789abcdef: 104 offers (80 ms)"),
            None
        );
    }
}
