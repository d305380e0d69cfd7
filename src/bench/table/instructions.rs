//! How many instructions a call takes, where Valgrind is there to count them.
//!
//! The program runs itself under callgrind, which looks at nothing but the calls: it counts within one function, and writes what
//! it has counted whenever that function ends. So the ways to decide follow each other in one run, on one catalog.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use super::place::{Place, Prepared, Size, Way};
use crate::bench::durability::Removed;

/// The function within which is counted, as callgrind names it.
const COUNTED: &str = concat!(module_path!(), "::counted_by_callgrind");

/// What makes the program count: the position of the size among those of the table.
const COUNT_FLAG: &str = "--count";

/// How many calls are counted, after one that is not.
const CALLS: usize = 20;
/// How many of the rival's.
const RIVAL_CALLS: usize = 3;

fn calls(way: Way) -> usize {
    if way == Way::Rival { RIVAL_CALLS } else { CALLS }
}

/// Tells whether Valgrind is there.
pub(super) fn can_count() -> bool {
    let asked = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// Makes the calls that are counted, in the program that callgrind looks at.
///
/// # Errors
/// As for the table.
pub(super) fn make_calls(size: Size, ways: &[Way]) -> anyhow::Result<()> {
    let place = Place::new(Size {
        customers: 8 * (CALLS + 1),
        ..size
    })?;
    for &way in ways {
        let mut prepared = place.begin(way, false, calls(way) + 1)?;
        prepared.call(0)?;
        counted_by_callgrind(&mut prepared)?;
    }
    Ok(())
}

#[inline(never)]
fn counted_by_callgrind(prepared: &mut Prepared<'_>) -> anyhow::Result<()> {
    for at in 1..prepared.requests.len() {
        prepared.call(at)?;
    }
    Ok(())
}

/// Counts the instructions of a call of each way, by running `program` with this argument under callgrind.
///
/// # Errors
/// When that program fails, or callgrind writes something else than it used to.
pub(super) fn count(program: &Path, which: usize, ways: &[Way]) -> anyhow::Result<Vec<f64>> {
    let folder = Removed(std::env::temp_dir().join(format!("nbo-count-{}", std::process::id())));
    std::fs::create_dir_all(&folder.0)?;
    let out = folder.0.join("calls");
    let mut option = OsString::from("--callgrind-out-file=");
    option.push(&out);
    let ran = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--collect-atstart=no"])
        .args([format!("--toggle-collect={COUNTED}"), format!("--dump-after={COUNTED}")])
        .arg(option)
        .arg(program)
        .args([COUNT_FLAG, &which.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .context("cannot run valgrind")?;
    ensure!(
        ran.status.success(),
        "under valgrind the calls failed: {}",
        String::from_utf8_lossy(&ran.stderr)
    );
    let counted = |(number, &way): (usize, &Way)| {
        let path = out.with_extension((number + 1).to_string());
        let text = std::fs::read_to_string(&path).with_context(|| format!("callgrind wrote no {}", path.display()))?;
        let total = total(&text).context("callgrind wrote no sum of what it counted")?;
        Ok(total as f64 / calls(way) as f64)
    };
    ways.iter().enumerate().map(counted).collect()
}

/// Finds the sum in what callgrind wrote.
pub(in crate::bench) fn total(text: &str) -> Option<u64> {
    let sum = |line: &str| {
        let rest = line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:"))?;
        rest.split_whitespace().next()?.parse().ok()
    };
    text.lines().find_map(sum).filter(|&sum| sum > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_read_from_what_callgrind_writes_and_nothing_counted_is_no_sum() {
        let text = "version: 1\nevents: Ir\nfn=(1) x\n1 5\n\ntotals: 1234567\n";
        assert_eq!(total(text), Some(1_234_567));
        assert_eq!(total("events: Ir\nsummary: 0\n"), None);
        assert_eq!(total("events: Ir\n"), None);
    }
}
