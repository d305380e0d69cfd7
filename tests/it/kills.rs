//! The program is killed, again and again, while callers are at work, and started anew on the same data: everything that it
//! had acknowledged is there, once, and no limit was exceeded.
//!
//! It is killed from outside at a random moment, or kills itself at a named point (`journal::failpoints`), some of them in
//! the middle of a write or of a checkpoint. After each start
//!
//! * every call that was never answered is made again, as a caller would: with the same request id it reserves at most once
//!   in all, and events are recorded all or not at all;
//! * the customers of the latest rounds are compared with what callers were told: each decision with exactly its contacts,
//!   outcomes and cancellations, attributes, how many events count; repeated events are known;
//! * the contacts of all customers are exported and recounted by the auditor, from the first decision on.
//!
//! `NBO_KILLS=1000 cargo test --test it kills -- --nocapture` kills as often as one likes, with a new data folder every fifty
//! times.

#![cfg(unix)]

mod book;
mod caller;
mod errands;
pub(crate) mod program;

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use book::{Book, Clients};
use caller::{Caller, Doubt, settle};
use program::Program;

/// How often the program is killed when nobody says otherwise.
const KILLS: usize = 20;
/// By which signal a program ends that kills itself.
const SIGABRT: i32 = 6;
/// After how many kills a new data folder is begun: comparing everything takes longer and longer.
const KILLS_PER_FOLDER: usize = 50;
/// Callers, two on each connection; one more runs errands.
const CALLERS: usize = 8;
/// How long a program may take to come to the point at which it kills itself; then it is killed.
const POINT_WITHIN: Duration = Duration::from_secs(3);
/// The customers of so many rounds are compared after each start.
const ROUNDS_COMPARED: usize = 4;

const RULES: &str = "
catalog: {name: kills, time_zone: Europe/Madrid}
channels:
  - {id: web, reservation: 5s}
  - {id: mail, direction: outbound, reservation: 10s}
attributes:
  profile:
    - {id: a0, type: number, range: [0, 1000000]}
    - {id: a1, type: number, range: [0, 1000000]}
    - {id: a2, type: number, range: [0, 1000000]}
    - {id: a3, type: number, range: [0, 1000000]}
    - {id: a4, type: number, range: [0, 1000000]}
    - {id: a5, type: number, range: [0, 1000000]}
    - {id: a6, type: number, range: [0, 1000000]}
    - {id: a7, type: number, range: [0, 1000000]}
events: [{id: visit}]
aggregates: [{id: visits, keep: count, of: visit, within: 7d}]
groups:
  - {id: cards, start_propensity: 0.5}
  - {id: funds, start_propensity: 0.4}
offers:
  - {id: gold, group: cards, name: Gold card, value: 4, treatments: {web: {title: Gold}, mail: {title: Gold}}}
  - {id: plain, group: cards, name: Card, value: 3, treatments: {web: {title: Card}, mail: {title: Card}}}
  - {id: world, group: funds, name: World fund, value: 4, treatments: {web: {title: World}, mail: {title: World}}}
  - {id: home, group: funds, name: Home fund, value: 3, treatments: {web: {title: Home}, mail: {title: Home}}}
placements:
  - {id: top, channels: [web], count_max: 1}
  - {id: list, channels: [web, mail], count_max: 3}
caps:
  - {id: each_offer, at_most: 4, of: decided, within: 3s, each: offer}
  - {id: seen, at_most: 12, of: seen, within: 6s}
  - {id: written, at_most: 5, of: delivered, within: 5s, directions: [outbound]}
volumes:
  - {id: gold_an_hour, at_most: 80, of: decided, per: hour, offers: [gold]}
  - {id: world_seen_a_day, at_most: 60, of: seen, per: day, offers: [world]}
";

/// A folder with rules and data; it is kept when the test fails.
pub(crate) struct Place(TempDir);

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.disable_cleanup(true);
            eprintln!("the data is kept in {}", self.0.path().display());
        }
    }
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("rules")).unwrap();
        std::fs::create_dir(folder.path().join("models")).unwrap();
        std::fs::write(folder.path().join("rules/rules.yaml"), RULES).unwrap();
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    fn journal(&self) -> PathBuf {
        self.path().join("data/journal")
    }

    /// Returns the file that the journal ends in.
    fn last_segment(&self) -> PathBuf {
        let files = std::fs::read_dir(self.journal()).unwrap();
        let files = files.map(|entry| entry.unwrap().path());
        let segments = files.filter(|path| path.extension().is_some_and(|ending| ending == "log"));
        segments.max().unwrap()
    }
}

/// How a program comes to its end.
struct Plan {
    durability: &'static str,
    /// At which point, at which pass.
    point: Option<String>,
    after: Duration,
}

impl Plan {
    fn of(round: usize, random: &mut Pcg64Mcg) -> Self {
        let durability = ["power", "process", "process", "process"][random.random_range(0..4)];
        let points = [
            ("log::after_write", 30..150),
            ("checkpoint::before_rename", 1..3),
            ("log::torn_write", 30..150),
            ("log::trim", 1..3),
            ("log::before_write", 30..150),
            ("checkpoint::writing", 1..120),
            ("log::before_sync", if durability == "power" { 40..120 } else { 1..4 }),
            ("checkpoint::after_rename", 1..3),
        ];
        let point = (round % 3 == 1).then(|| {
            let (name, passes) = points[round / 3 % points.len()].clone();
            format!("{name}:{}", random.random_range(passes))
        });
        Self {
            durability,
            point,
            after: Duration::from_millis(random.random_range(50..700)),
        }
    }
}

/// What a data folder has to hold, over all its programs.
struct Life {
    place: Place,
    book: Arc<Mutex<Book>>,
    doubts: Vec<Doubt>,
    /// How many programs killed themselves in the middle of a write.
    torn: usize,
    /// How many programs said that they cut off what was torn.
    cut: usize,
    /// How many programs began with a checkpoint.
    checkpoints: usize,
    /// What the auditor recounted the last time.
    recounted: Value,
}

impl Life {
    fn new() -> Self {
        Self {
            place: Place::new(),
            book: Arc::default(),
            doubts: Vec::new(),
            torn: 0,
            cut: 0,
            checkpoints: 0,
            recounted: Value::Null,
        }
    }

    /// Starts a program, and looks whether everything is as it should be; returns it with its address and how it got ready.
    async fn start(&mut self, plan: &Plan, rounds: usize) -> (Program, String, String) {
        let mut program = Program::start(self.place.path(), plan.durability, None);
        let (address, took) = program.ready().await;
        let begun = self.note_begin(&program.said());
        let channel = Program::connect(&address).await.unwrap();
        let mut clients = Clients::new(&channel);
        settle(&mut clients, &self.book, &std::mem::take(&mut self.doubts), false).await;
        // Nobody else has the book now.
        let mut book = std::mem::take(&mut *self.book.lock().unwrap());
        book.compare(&clients, rounds).await;
        *self.book.lock().unwrap() = book;
        self.audit(&address);
        let ready = format!(
            "{:<7} ready in {:>4} ms with {begun}",
            plan.durability,
            took.as_millis()
        );
        (program, address, ready)
    }

    /// Reads how a program began.
    fn note_begin(&mut self, said: &str) -> String {
        let line = |what: &str| said.lines().find_map(|line| line.trim().strip_prefix(what));
        self.cut += usize::from(line("warning       cut ").is_some());
        let data = line("data ").expect("it says what it began with");
        let (_, found) = data.rsplit_once(": ").unwrap_or_default();
        let (found, _) = found.split_once(';').unwrap_or(("nothing", ""));
        assert!(
            found == "nothing" && data.contains("new;") || found.contains("records behind it"),
            "{data}"
        );
        self.checkpoints += usize::from(found != "nothing" && !found.starts_with("0 customers"));
        found.to_owned()
    }

    /// Kills a program while it is getting ready.
    async fn kill_while_starting(&self, durability: &str, after_ms: u64) {
        let mut program = Program::start(self.place.path(), durability, None);
        let ended = program.ended(Duration::from_millis(after_ms)).await;
        assert_eq!(ended, None, "it ended before it was killed");
        program.kill();
    }

    /// Recounts all contacts that there are, with the real commands.
    fn audit(&mut self, address: &str) {
        let file = self.place.path().join("contacts.jsonl");
        let exported = nbo(&["export", "contacts", file.to_str().unwrap(), "--to", address]);
        assert!(exported.status.success(), "{exported:?}");
        let audited = nbo(&["audit", file.to_str().unwrap(), "--all", "--json"]);
        let audited: Value = serde_json::from_slice(&audited.stdout).unwrap_or_else(|_| panic!("{audited:?}"));
        assert_eq!(audited["violations"], json!([]));
        self.recounted = audited["recounted"].clone();
        let told = self.book.lock().unwrap();
        // The policies reach back over all processes, so every decision is judged; but for those of the seconds in which rules changed.
        assert!(
            told.has_other_rules || self.recounted["without_policy"] == 0,
            "{}",
            self.recounted
        );
        let contacts = told.customers.values().flat_map(|known| known.decisions.values());
        let contacts: usize = contacts.map(std::collections::BTreeMap::len).sum();
        assert_eq!(self.recounted["contacts"], contacts, "all contacts of all customers");
    }

    /// Lets callers work until the program is dead, and returns how it died.
    async fn until_killed(&mut self, program: &mut Program, address: &str, round: usize, plan: &Plan) -> String {
        let mut callers: Vec<JoinHandle<Doubt>> = Vec::new();
        for connection in 0..CALLERS / 2 {
            // One that kills itself may be faster.
            let channel = match Program::connect(address).await {
                Ok(channel) => channel,
                Err(_) if plan.point.is_some() => break,
                Err(error) => panic!("{error}"),
            };
            for number in [2 * connection, 2 * connection + 1] {
                let caller = Caller::new(number, round, Clients::new(&channel), Arc::clone(&self.book));
                callers.push(tokio::spawn(caller.call_on()));
            }
        }
        if let Ok(channel) = Program::connect(address).await {
            let caller = Caller::new(CALLERS, round, Clients::new(&channel), Arc::clone(&self.book));
            callers.push(tokio::spawn(caller.with_errands(self.place.path()).call_on()));
        }
        let died = match &plan.point {
            None => {
                let ended = program.ended(plan.after).await;
                assert_eq!(ended, None, "it ended before it was killed");
                assert!(
                    !callers.iter().any(JoinHandle::is_finished),
                    "a caller gave up on a living program"
                );
                program.kill();
                format!("killed after {} ms of calls", plan.after.as_millis())
            }
            Some(point) => {
                if let Some(status) = program.ended(POINT_WITHIN).await {
                    assert_eq!(status.code(), None, "it did not kill itself: {status}");
                    self.torn += usize::from(point.starts_with("log::torn_write"));
                    format!("died by itself at {point}")
                } else {
                    program.kill();
                    format!("killed, since it never came to {point}")
                }
            }
        };
        for caller in callers {
            self.doubts.push(caller.await.unwrap());
        }
        died
    }
}

/// Lets callers work until each goes away, at a moment of its own, some with their connection; and then finds out what became of
/// the calls that they did not wait for.
async fn until_gone(life: &mut Life, clients: &mut Clients, address: &str, round: usize, random: &mut Pcg64Mcg) {
    life.book.lock().unwrap().round = round;
    let shared = Program::connect(address).await.unwrap();
    let mut callers: Vec<JoinHandle<Doubt>> = Vec::new();
    for number in 0..CALLERS {
        let own = if number % 2 == 0 {
            shared.clone()
        } else {
            Program::connect(address).await.unwrap()
        };
        let caller = Caller::new(number, round, Clients::new(&own), Arc::clone(&life.book));
        let after = Duration::from_micros(random.random_range(0..40_000));
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + after, after.max(POINT_WITHIN));
        callers.push(tokio::spawn(caller.call_until(async move {
            ticks.tick().await;
        })));
    }
    let mut doubts = Vec::new();
    for caller in callers {
        doubts.push(caller.await.unwrap());
    }
    settle(clients, &life.book, &doubts, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_done_for_callers_who_had_gone_is_in_the_journal_once_and_no_limit_is_exceeded() {
    let mut life = Life::new();
    let mut random = Pcg64Mcg::seed_from_u64(6);
    for (first, durability) in [(0, "process"), (10, "power"), (20, "process"), (30, "power")] {
        // Everything is compared and recounted at each start, after the program before was killed.
        let plan = Plan {
            durability,
            point: None,
            after: Duration::ZERO,
        };
        let (mut program, address, _) = life.start(&plan, usize::MAX).await;
        let mut clients = Clients::new(&Program::connect(&address).await.unwrap());
        for round in first..first + 10 {
            until_gone(&mut life, &mut clients, &address, round, &mut random).await;
        }
        program.kill();
    }
    let plan = Plan {
        durability: "process",
        point: None,
        after: Duration::ZERO,
    };
    let (program, _, _) = life.start(&plan, usize::MAX).await;
    assert!(life.book.lock().unwrap().acknowledged > 0);
    program.stop().await;
}

fn nbo(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_nbo"))
        .args(arguments)
        .output()
        .unwrap()
}

/// Lives through some kills on one data folder, and looks at all of it at the end.
async fn live(first: usize, kills: usize) {
    let mut life = Life::new();
    let mut random = Pcg64Mcg::seed_from_u64(first as u64 + 1_000_000);
    for _ in 0..3 {
        // The very first start is killed as well.
        life.kill_while_starting("process", random.random_range(0..30)).await;
    }
    for round in first..first + kills {
        let mut random = Pcg64Mcg::seed_from_u64(round as u64);
        let plan = Plan::of(round, &mut random);
        life.book.lock().unwrap().round = round;
        // A start that is killed may not get to telling what it cut off.
        if round % 5 == 4 && life.cut >= life.torn {
            life.kill_while_starting(plan.durability, random.random_range(0..120))
                .await;
        }
        let (mut program, mut address, ready) = life.start(&plan, ROUNDS_COMPARED).await;
        if let Some(point) = &plan.point {
            // Where this one dies is not to be while everything is compared.
            program.kill();
            program = Program::start(life.place.path(), plan.durability, Some(point));
            address = match program.ready_unless_ended().await {
                Ok((address, _)) => address,
                // Some points are passed by a start as well, when a checkpoint is due.
                Err(status) => {
                    assert!(status.signal() == Some(SIGABRT), "it did not kill itself: {status}");
                    println!(
                        "{:>4} {ready}, died by itself at {point} before it was ready",
                        round + 1
                    );
                    continue;
                }
            };
        }
        let died = life.until_killed(&mut program, &address, round, &plan).await;
        let book = life.book.lock().unwrap();
        println!(
            "{:>4} {ready}, {died}; {} calls acknowledged so far, {} in doubt",
            round + 1,
            book.acknowledged,
            book.in_doubt + life.doubts.len() as u64,
        );
    }
    // Everything there ever was, after one more kill and after an orderly stop.
    let plan = Plan {
        durability: "process",
        point: None,
        after: Duration::ZERO,
    };
    for _ in 0..2 {
        let (program, _, _) = life.start(&plan, usize::MAX).await;
        program.stop().await;
    }
    assert!(
        life.cut >= life.torn,
        "{} of {} torn writes were told",
        life.cut,
        life.torn
    );
    assert!(life.checkpoints > 0, "no program began with a checkpoint");
    let errands = life.book.lock().unwrap().errands.clone();
    for kind in ["joined", "parted", "campaign run", "import"] {
        // A few kills may be over before each had its turn.
        assert!(
            kills < KILLS || errands.contains_key(kind),
            "no errand was ever a {kind}: {errands:?}"
        );
    }
    println!("acknowledged besides: {errands:?}");
    let (cut, checkpoints, recounted) = (life.cut, life.checkpoints, &life.recounted);
    println!("{cut} torn ends cut off, {checkpoints} starts with a checkpoint; recounted at the end: {recounted}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whenever_it_is_killed_what_was_acknowledged_is_there_once() {
    #[expect(
        clippy::disallowed_methods,
        reason = "how long the test may take is up to who runs it"
    )]
    let kills = std::env::var("NBO_KILLS").map_or(KILLS, |kills| kills.parse().expect("NBO_KILLS is a number"));
    for first in (0..kills).step_by(KILLS_PER_FOLDER) {
        live(first, KILLS_PER_FOLDER.min(kills - first)).await;
    }
}

/// Starts a program and ends it at once after some events.
async fn some_records(place: &Place, records: usize) {
    let mut program = Program::start(place.path(), "process", None);
    let (address, _) = program.ready().await;
    let mut clients = Clients::new(&Program::connect(&address).await.unwrap());
    for number in 0..records {
        let request = nbo::server::wire::RecordEventsRequest {
            customer: Some(crate::served::customer("anna")),
            events: vec![book::visit(&format!("e{number}"))],
            offers: None,
        };
        clients.behaviour.record_events(request).await.unwrap();
    }
    program.kill();
}

#[tokio::test]
async fn a_second_program_on_the_same_data_is_refused_and_told_which_one_has_it() {
    let place = Place::new();
    let mut first = Program::start(place.path(), "process", None);
    let (address, _) = first.ready().await;
    let mut second = Program::start(place.path(), "process", None);
    let status = second.ended(program::READY_WITHIN).await.expect("it gives up");
    assert_eq!(status.code(), Some(1));
    let said = second.said();
    let expected = format!(
        "is used by process {}; stop that, or name another directory",
        first.id()
    );
    assert!(said.contains(&expected), "{said}");
    // The first one goes on.
    let clients = Clients::new(&Program::connect(&address).await.unwrap());
    assert_eq!(clients.profile("anna").await, None);
    first.stop().await;
}

#[tokio::test]
async fn a_flipped_bit_in_the_journal_is_refused_and_told_what_to_do() {
    let place = Place::new();
    some_records(&place, 20).await;
    let file = place.last_segment();
    let good = std::fs::read(&file).unwrap();
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 4;
    std::fs::write(&file, &bad).unwrap();
    let mut program = Program::start(place.path(), "process", None);
    let status = program.ended(program::READY_WITHIN).await.expect("it refuses");
    assert_eq!(status.code(), Some(1));
    let said = program.said();
    for part in [
        "is damaged",
        file.file_name().unwrap().to_str().unwrap(),
        "keep the directory and restore a backup",
    ] {
        assert!(said.contains(part), "{part} is not in: {said}");
    }
    assert_eq!(std::fs::read(&file).unwrap(), bad, "nothing was changed");
    std::fs::write(&file, &good).unwrap();
    let mut program = Program::start(place.path(), "process", None);
    let (address, _) = program.ready().await;
    let clients = Clients::new(&Program::connect(&address).await.unwrap());
    assert_eq!(clients.profile("anna").await.unwrap().profile_version, 20);
    program.stop().await;
}

#[tokio::test]
async fn a_torn_end_of_the_journal_is_cut_off_and_told() {
    let place = Place::new();
    some_records(&place, 20).await;
    let file = place.last_segment();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.truncate(bytes.len() - 5);
    std::fs::write(&file, &bytes).unwrap();
    let mut program = Program::start(place.path(), "process", None);
    let (address, _) = program.ready().await;
    let said = program.said();
    let warning = said
        .lines()
        .find(|line| line.contains("warning       cut "))
        .expect(&said);
    assert!(
        warning.contains("off the end of the log behind record 20") && warning.contains("had not been finished"),
        "{warning}"
    );
    let clients = Clients::new(&Program::connect(&address).await.unwrap());
    // The first record is that of the catalog; the last event was torn.
    assert_eq!(clients.profile("anna").await.unwrap().profile_version, 19);
    program.stop().await;
}
