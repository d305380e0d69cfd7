//! Reads the numbers of a server from its `/metrics`.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::telemetry::ticks;

/// How long the server has to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest page that is read: some hundred times an ordinary one.
const BYTES_MAX: u64 = 16 << 20;

/// Where a server answers.
#[derive(Clone, Debug)]
pub(super) struct Address(String);

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let authority = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        if text.starts_with("https://") {
            return Err(
                "`/metrics` is read without TLS; give the administration port, as in http://127.0.0.1:50052".to_owned(),
            );
        }
        let has_port = authority
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        if has_port && !authority.contains('/') {
            Ok(Self(authority.to_owned()))
        } else {
            Err("write a host and a port, as in http://127.0.0.1:50051".to_owned())
        }
    }
}

impl Address {
    /// Reads all numbers.
    ///
    /// # Errors
    /// When nobody answers there, or not with numbers.
    pub(super) fn look(&self) -> Result<Numbers> {
        let Self(authority) = self;
        let page = self.page();
        let page =
            page.with_context(|| format!("no numbers from http://{authority}/metrics; is `nbo serve` running there?"))?;
        let (head, body) = page.split_once("\r\n\r\n").unwrap_or_default();
        if head.split(' ').nth(1) != Some("200") {
            let status = head.lines().next().unwrap_or("nothing");
            bail!("http://{authority}/metrics answers {status:?} and no numbers; give the port that serves them");
        }
        Ok(Numbers::read(body, ticks()))
    }

    fn page(&self) -> Result<String> {
        let Self(authority) = self;
        let address = authority.to_socket_addrs()?.next().context("the name has no address")?;
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        // HTTP/1.0, so that the page comes in one piece and the connection ends with it.
        write!(stream, "GET /metrics HTTP/1.0\r\nhost: {authority}\r\n\r\n")?;
        let mut page = Vec::new();
        stream.take(BYTES_MAX).read_to_end(&mut page)?;
        Ok(String::from_utf8_lossy(&page).into_owned())
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

    #[test]
    fn an_address_has_a_host_and_a_port() {
        assert!("http://127.0.0.1:50051/".parse::<Address>().is_ok());
        for wrong in [
            "",
            "http://",
            "localhost",
            "localhost:http",
            "https://a:1",
            "http://a:1/metrics",
        ] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }
}
