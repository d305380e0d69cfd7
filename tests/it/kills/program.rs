//! The program itself, to be killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tonic::transport::Channel;

/// How long a start may take; each replays some hundred records.
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(20);

/// A running server; it is killed when a test gives up on it, and what it said is told then.
pub(crate) struct Program {
    child: Child,
    /// What it said so far; closed when it has ended.
    said: watch::Receiver<String>,
    begun: Instant,
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("the server had said:\n{}", self.said());
        }
    }
}

impl Program {
    /// Starts a server on a data folder and the rules beside it.
    pub(crate) fn start(folder: &Path, durability: &str, fail: Option<&str>) -> Self {
        Self::start_at(folder, "127.0.0.1:0", durability, fail, &[])
    }

    /// Starts it at an address, with more options.
    pub(crate) fn start_at(
        folder: &Path,
        address: &str,
        durability: &str,
        fail: Option<&str>,
        options: &[&str],
    ) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nbo"));
        command
            .args(["serve", "--listen", address, "--customers", "0"])
            .args(options)
            .args([
                "--durability",
                durability,
                "--checkpoint-after",
                "0.02",
                "--keep-records",
                "0",
            ])
            .arg("--data")
            .arg(folder.join("data"))
            .arg("--rules")
            .arg(folder.join("rules"))
            .arg("--models")
            .arg(folder.join("models"))
            // There is no model, so what loads them would only take time.
            .env("ORT_DYLIB_PATH", "/nowhere/libonnxruntime.so")
            .env_remove("NBO_FAIL");
        if let Some(fail) = fail {
            command.env("NBO_FAIL", fail);
        }
        Self::run(command)
    }

    /// Starts a server by a command.
    pub(crate) fn run(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let begun = Instant::now();
        let mut child = command.spawn().unwrap();
        let saying = Arc::new(watch::Sender::default());
        let said = saying.subscribe();
        listen(child.stdout.take().unwrap(), Arc::clone(&saying));
        listen(child.stderr.take().unwrap(), saying);
        Self { child, said, begun }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn said(&self) -> String {
        self.said.borrow().clone()
    }

    /// Waits until it listens; returns where, and how long it took.
    pub(crate) async fn ready(&mut self) -> (String, Duration) {
        match self.ready_unless_ended().await {
            Ok(ready) => ready,
            Err(status) => panic!("it ended with {status} before it was ready"),
        }
    }

    /// Does the same of a program that may end before; returns how it ended then.
    pub(crate) async fn ready_unless_ended(&mut self) -> Result<(String, Duration), ExitStatus> {
        let listening = self.said.wait_for(|said| address(said).is_some());
        let found = match timeout(READY_WITHIN, listening).await {
            Ok(Ok(said)) => address(&said).unwrap().to_owned(),
            Ok(Err(_)) => return Err(self.child.wait().unwrap()),
            Err(late) => panic!("it is not ready in {READY_WITHIN:?}: {late}"),
        };
        Ok((found, self.begun.elapsed()))
    }

    /// Connects to it, as a program of its own would.
    pub(crate) async fn connect(address: &str) -> Result<Channel, tonic::transport::Error> {
        Channel::from_shared(address.to_owned()).unwrap().connect().await
    }

    /// Ends it without a warning, wherever it is.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until it ends by itself, which closes its output; `None` when it has not after `within`.
    pub(crate) async fn ended(&mut self, within: Duration) -> Option<ExitStatus> {
        let closed = self.said.wait_for(|_| false);
        timeout(within, closed).await.ok()?.err()?;
        Some(self.child.wait().unwrap())
    }

    /// Asks it to stop.
    pub(crate) fn ask_to_stop(&self) {
        let asked = Command::new("kill").arg(self.id().to_string()).status().unwrap();
        assert!(asked.success());
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) async fn stop(mut self) {
        self.ask_to_stop();
        let status = self.ended(READY_WITHIN).await.expect("it stops when it is asked to");
        assert!(status.success(), "{status}");
    }
}

/// Finds where it listens.
fn address(said: &str) -> Option<&str> {
    let line = said.lines().find_map(|line| line.trim().strip_prefix("listening"))?;
    line.split(',').next().map(str::trim)
}

/// Adds what comes out of a pipe to what was said, until the pipe is closed.
fn listen(pipe: impl std::io::Read + Send + 'static, said: Arc<watch::Sender<String>>) {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            said.send_modify(|said| {
                said.push_str(&line);
                said.push('\n');
            });
        }
    });
}
