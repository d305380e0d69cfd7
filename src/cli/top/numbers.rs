//! Reads the numbers of a server from its `/metrics`.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::runtime::{self, Runtime};
use tokio::time::timeout;

use crate::cli::connect::Server;
use crate::server::client::{Credentials, get};
use crate::telemetry::ticks;

/// How long the server has to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where numbers are read.
pub(super) struct Source {
    runtime: Runtime,
    credentials: Credentials,
    to: String,
}

impl Source {
    /// Reads what is shown to the server.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(super) fn of(server: &Server) -> Result<Self> {
        Ok(Self {
            runtime: runtime::Builder::new_current_thread().enable_all().build()?,
            credentials: server.shown.credentials()?,
            to: server.to.trim_end_matches('/').to_owned(),
        })
    }

    /// Reads all numbers, over a connection of its own: the server may have been started anew.
    ///
    /// # Errors
    /// When nobody answers there, or not with numbers.
    pub(super) fn look(&self) -> Result<Numbers> {
        let Self {
            runtime,
            credentials,
            to,
        } = self;
        let asking = async {
            let connection = credentials.connect(to).await?;
            Ok::<_, anyhow::Error>(get(connection, "/metrics").await?)
        };
        let asked = runtime.block_on(async { timeout(PATIENCE, asking).await });
        let asked = asked.map_err(anyhow::Error::from).flatten();
        let (status, page) =
            asked.with_context(|| format!("no numbers from {to}/metrics; is `nbo serve` running there?"))?;
        if !status.is_success() {
            bail!(
                "{to}/metrics answers {status} and no numbers; give the port that serves them (--to), and a token with the role operate"
            );
        }
        Ok(Numbers::read(&String::from_utf8_lossy(&page), ticks()))
    }
}

/// One line.
#[derive(Clone, Debug)]
pub(super) struct Line {
    labels: HashMap<String, String>,
    pub(super) value: f64,
}

impl Line {
    /// Returns the value of a label; empty when there is none.
    pub(super) fn label(&self, label: &str) -> &str {
        self.labels.get(label).map_or("", String::as_str)
    }
}

/// All numbers at one moment.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    lines: HashMap<String, Vec<Line>>,
    /// When they were read, in nanoseconds.
    at: u64,
}

impl Numbers {
    /// Reads the text that was served at a moment, in nanoseconds; what is no number is left out.
    #[must_use]
    pub fn read(text: &str, at: u64) -> Self {
        let mut lines: HashMap<String, Vec<Line>> = HashMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let Ok(value) = value.parse() else { continue };
            let (name, labels) = name.split_once('{').unwrap_or((name, ""));
            let labels = self::labels(labels.trim_end_matches('}'));
            lines.entry(name.to_owned()).or_default().push(Line { labels, value });
        }
        Self { lines, at }
    }

    /// Returns the lines of a name.
    pub(super) fn all(&self, name: &str) -> &[Line] {
        self.lines.get(name).map_or(&[], Vec::as_slice)
    }

    /// Returns the sum over the lines of a name that have these labels.
    pub(super) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let all = self.all(name).iter();
        let matching = all.filter(|line| labels.iter().all(|(label, value)| line.label(label) == *value));
        matching.map(|line| line.value).sum()
    }

    /// Returns the seconds since an earlier look.
    pub(super) fn seconds_since(&self, before: &Self) -> f64 {
        self.at.saturating_sub(before.at) as f64 / 1e9
    }
}

/// Reads labels as the server writes them.
fn labels(text: &str) -> HashMap<String, String> {
    let mut labels = HashMap::new();
    let mut rest = text;
    while let Some((name, quoted)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut chars = quoted.chars();
        while let Some(char) = chars.next() {
            match char {
                '"' => break,
                '\\' => match chars.next() {
                    Some('n') => value.push('\n'),
                    other => value.extend(other),
                },
                plain => value.push(plain),
            }
        }
        labels.insert(name.trim_start_matches(',').to_owned(), value);
        rest = chars.as_str();
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_with_their_labels() {
        let text = "# HELP a b\na{x=\"1\",y=\"say \\\"so\\\", {or} not\"} 2\na{x=\"2\"} 3\nb 4.5\n";
        let numbers = Numbers::read(text, 0);
        assert_eq!((numbers.sum("a", &[]), numbers.sum("a", &[("x", "2")])), (5.0, 3.0));
        assert_eq!(numbers.all("a")[0].label("y"), "say \"so\", {or} not");
        assert!((numbers.sum("b", &[]) - 4.5).abs() < 1e-9);
    }
}
