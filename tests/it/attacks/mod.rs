//! Attacks from the network on the program itself: each for a second or two, while a polite client goes on calling.
//!
//! A server passes when every polite call is answered as ever, when its memory grows by no more than the cap of the attack,
//! and when it stops in order afterwards, which a program that had panicked could not. How fast the polite client was is
//! told, and judged only by the test that is not run with all others, since it says as much about the machine:
//!
//! ```text
//! cargo test --release --test it attacks -- --ignored --nocapture
//! ```
//!
//! The attackers are threads that write bytes by hand ([`frames`]): libraries keep to the protocol.

#![cfg(target_os = "linux")]

mod caller;
mod calls;
mod frames;
mod http1;
mod http2;
mod polite;

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::kills::program::Program;
use crate::served::CORNER_BANK;
use polite::Polite;

/// How long an attack lasts among all other tests.
const SHORT: Duration = Duration::from_millis(700);
/// How long it lasts when rates are judged.
const LONG: Duration = Duration::from_secs(5);
/// The part of its rate that a polite client keeps.
const KEPT_MIN: f64 = 0.9;
/// How many customers the server under attack may have.
const CUSTOMERS_MAX: u64 = 100;

/// One MiB.
const MIB: u64 = 1 << 20;

/// What an attacker knows.
struct Target {
    /// Where the server listens.
    address: SocketAddr,
    /// Which of the attackers it is.
    number: u8,
    common: Arc<Common>,
}

/// What the attackers of one server share.
#[derive(Default)]
struct Common {
    /// Becomes true when the attack has lasted long enough.
    is_over: Mutex<bool>,
    ended: Condvar,
    /// How often they did what they do.
    blows: AtomicU64,
}

impl Target {
    fn is_over(&self) -> bool {
        *self.common.is_over.lock()
    }

    /// Waits until it is over, at most for a time; tells whether it is.
    fn wait(&self, at_most: Duration) -> bool {
        let mut is_over = self.common.is_over.lock();
        if !*is_over {
            self.common.ended.wait_for(&mut is_over, at_most);
        }
        *is_over
    }

    /// Returns an address of this machine from which only this attacker comes, so that it takes no polite caller's places.
    fn own_address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 1, 1 + self.number], 0))
    }

    fn blow(&self) {
        self.common.blows.fetch_add(1, Ordering::Relaxed);
    }
}

impl Common {
    fn end(&self) {
        *self.is_over.lock() = true;
        self.ended.notify_all();
    }
}

/// An attack.
struct Attack {
    name: &'static str,
    /// By how much the server's memory may grow, in MiB, over what it had when it was ready.
    memory_mib_max: u64,
    /// How many do it at a time.
    attackers: u8,
    /// How often it must have been done at least, so that a test which attacks nobody fails.
    blows_min: u64,
    /// What each of them does until it is over. It checks itself what the server has to answer.
    run: fn(&Target),
}

const ALL: [Attack; 14] = [
    http2::RAPID_RESET,
    http2::CONTINUATION_FLOOD,
    http2::PING_FLOOD,
    http2::SETTINGS_FLOOD,
    http2::OVERSIZED_HEADERS,
    http2::LYING_LENGTHS,
    http2::COMPRESSED_BOMB,
    http2::SLOW_BODIES,
    http1::SLOW_HEADERS,
    http1::IDLE_CONNECTIONS,
    http1::HOSTILE_JSON,
    http1::COMPRESSED_JSON,
    calls::NEW_CUSTOMERS,
    calls::NAN_STORM,
];

/// Finds one of what `/proc` says of a process's memory, in bytes.
fn memory(process: u32, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
    let kilobytes = line.trim_start_matches(':').trim().trim_end_matches(" kB");
    kilobytes.parse::<u64>().unwrap() * 1024
}

/// Lets this process and the server have as many files open as the system allows.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}

/// Lets the server and the polite client go before this thread, when rates are judged: in life an attacker has a machine of his own, and takes no time
/// of theirs but by what he sends.
fn yield_to_all_others() {
    // For Linux a thread is a process here.
    rustix::process::setpriority_process(None, 19).unwrap();
}

/// Starts a server of its own for an attack, and returns what is left of the polite client's rate.
async fn survive(attack: &Attack, lasting: Duration) -> f64 {
    let _alone = crate::CORES.lock().await;
    raise_file_limit();
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules");
    std::fs::create_dir(&rules).unwrap();
    std::fs::write(rules.join("rules.yaml"), CORNER_BANK).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_nbo"));
    command
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--customers",
            "0",
            "--durability",
            "none",
        ])
        .args(["--customers-max", &CUSTOMERS_MAX.to_string()])
        .arg("--rules")
        .arg(&rules)
        .arg("--models")
        .arg(folder.path().join("models"))
        // There is no model, so what loads them would only take time.
        .env("ORT_DYLIB_PATH", "/nowhere/libonnxruntime.so");
    let mut program = Program::run(command);
    let (address, _) = program.ready().await;
    let polite = Polite::connect(&address).await;
    let before = polite.rate(lasting / 2).await;
    let calm = memory(program.id(), "VmRSS");

    let common = Arc::new(Common::default());
    let (run, at) = (attack.run, address.trim_start_matches("http://").parse().unwrap());
    let is_judged = lasting == LONG;
    let attackers: Vec<_> = (0..attack.attackers)
        .map(|number| {
            let common = Arc::clone(&common);
            std::thread::spawn(move || {
                if is_judged {
                    yield_to_all_others();
                }
                run(&Target {
                    address: at,
                    number,
                    common,
                });
            })
        })
        .collect();
    let during = polite.rate(lasting).await;
    common.end();
    let ended = tokio::task::spawn_blocking(move || {
        attackers
            .into_iter()
            .map(std::thread::JoinHandle::join)
            .collect::<Vec<_>>()
    });
    for attacker in ended.await.unwrap() {
        attacker.expect("the server answered as it should");
    }
    // Whoever comes next is served as well.
    Polite::connect(&address).await.call().await;

    let grown = memory(program.id(), "VmHWM").saturating_sub(calm);
    let (kept, blows) = (during / before, common.blows.load(Ordering::Relaxed));
    println!(
        "{:24} {blows:>9} blows, memory {:>3} + {:>3} MiB, polite {before:.0} -> {during:.0} calls/s ({:.0} %)",
        attack.name,
        calm / MIB,
        grown / MIB,
        kept * 100.0
    );
    assert!(blows >= attack.blows_min, "there were only {blows} blows");
    assert!(
        grown <= attack.memory_mib_max * MIB,
        "the memory grew by {} MiB, more than {} MiB",
        grown / MIB,
        attack.memory_mib_max
    );
    let said = program.said();
    assert!(!said.contains("panicked"), "{said}");
    program.stop().await;
    kept
}

#[tokio::test]
#[ignore = "judges rates, of a release build: `cargo test --release --test it attacks -- --ignored`"]
async fn under_every_attack_a_polite_client_keeps_nine_tenths_of_its_rate() {
    let mut slowed = Vec::new();
    for attack in ALL {
        let kept = survive(&attack, LONG).await;
        if kept < KEPT_MIN {
            slowed.push(format!("{}: {:.0} %", attack.name, kept * 100.0));
        }
    }
    assert!(slowed.is_empty(), "{slowed:?}");
}

/// Makes a test of each attack.
macro_rules! tests {
    ($($test:ident: $attack:path;)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            survive(&$attack, SHORT).await;
        })*

        #[test]
        fn every_attack_has_a_test() {
            let tested = [$($attack.name),*];
            assert_eq!(tested, ALL.map(|attack| attack.name));
        }
    };
}

tests! {
    who_opens_and_resets_streams_without_end_is_cut_off: http2::RAPID_RESET;
    headers_that_go_on_without_end_are_cut_off: http2::CONTINUATION_FLOOD;
    pings_without_end_cost_no_memory: http2::PING_FLOOD;
    settings_without_end_cost_no_memory: http2::SETTINGS_FLOOD;
    headers_that_are_too_long_are_refused: http2::OVERSIZED_HEADERS;
    messages_that_lie_about_their_length_are_refused: http2::LYING_LENGTHS;
    messages_that_are_compressed_are_refused_without_being_unpacked: http2::COMPRESSED_BOMB;
    bodies_that_never_end_keep_nobody_waiting: http2::SLOW_BODIES;
    headers_that_come_byte_by_byte_keep_nobody_waiting: http1::SLOW_HEADERS;
    thousands_of_idle_connections_keep_nobody_waiting: http1::IDLE_CONNECTIONS;
    json_that_is_nested_or_cut_is_refused: http1::HOSTILE_JSON;
    json_that_is_compressed_is_refused_without_being_unpacked: http1::COMPRESSED_JSON;
    new_customers_without_end_are_refused_beyond_the_limit: calls::NEW_CUSTOMERS;
    numbers_that_are_none_are_refused: calls::NAN_STORM;
}
