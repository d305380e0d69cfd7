//! How many instructions a call takes in the server, where Valgrind is there to count them.
//!
//! The server runs under callgrind, which writes what it has counted whenever the server is about to set a mark. Between two marks calls are
//! made one after the other, so each comes alone: what calls share that come together, they do not share here.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

use super::child::Process;
use super::variant::Variant;
use super::{protocol, within};
use crate::bench::durability::Removed;
use crate::bench::table::counted as total;
use crate::load::nothing::Generator;

/// The function in front of which callgrind writes, as it names it.
const MARK: &str = "nbo::bench::transport::child::answer_mark*";
/// Calls before those that are counted.
const CALLS_BEFORE: u64 = 200;
/// Calls between two marks.
const CALLS: u64 = 100;
/// How often they are counted: what comes in two parts on a busy machine takes some hundreds more, so the least counts.
const TIMES: usize = 5;

/// Tells whether Valgrind is there.
pub(super) fn can_count() -> bool {
    let asked = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// Counts the instructions of a call.
///
/// # Errors
/// When the server fails under callgrind, or callgrind writes something else than it used to.
pub(super) fn count(program: &Path, variant: Variant) -> anyhow::Result<f64> {
    let folder = Removed(std::env::temp_dir().join(format!("nbo-transport-{}", std::process::id())));
    std::fs::create_dir_all(&folder.0)?;
    let out = folder.0.join("calls");
    let mut option = OsString::from("--callgrind-out-file=");
    option.push(&out);
    let dump = format!("--dump-before={MARK}");
    let before: [&OsStr; 5] = [
        "--tool=callgrind".as_ref(),
        "--quiet".as_ref(),
        dump.as_ref(),
        &option,
        program.as_ref(),
    ];
    let mut server = Process::start("valgrind".as_ref(), &before, variant)?;
    within(async {
        let generator = Generator::connect(server.address, protocol(variant), 1, Duration::ZERO).await?;
        generator.alone(CALLS_BEFORE).await?;
        server.mark()?;
        for _ in 0..TIMES {
            generator.alone(CALLS).await?;
            server.mark()?;
        }
        Ok(())
    })?;
    let counted = |number: usize| {
        // The first one is of what was before.
        let path = out.with_extension((number + 2).to_string());
        let text = std::fs::read_to_string(&path).with_context(|| format!("callgrind wrote no {}", path.display()))?;
        total(&text).context("callgrind wrote no sum of what it counted")
    };
    let totals: Vec<u64> = (0..TIMES).map(counted).collect::<anyhow::Result<_>>()?;
    let least = totals.into_iter().min().context("nothing was counted")?;
    Ok(least as f64 / CALLS as f64)
}
