//! The table of what is wanted of a decision and what it takes: `cargo bench --bench table`.
//!
//! Every case is measured in one run on one machine: in this process one call after the other on one thread, over gRPC by the load
//! generator against a server of its own. The call that does nothing is measured with them, and all p50s stand beside its own, since
//! times drift with the machine as it does. Each customer is asked for once in shuffled order, so no predictor learns anybody.
//!
//! Beside it the same job is done by a CEL interpreter and plain ONNX Runtime ([`rival`]). It must find the same offers.
//!
//! Bytes are counted by the allocator of the program that runs this, after the times were taken and on other customers; the program
//! says how. Instructions are counted by Valgrind, on a few calls of a program of its own ([`mod@instructions`]).

mod calls;
mod instructions;
mod place;
pub mod report;
mod rival;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(super) use instructions::total as counted;
pub use place::Size;

use self::calls::{Calls, Plan};
use self::place::{Place, Way};
use self::report::{Gain, Goal, Row, Table};
use super::catalog::Conditions;
use super::measure::Meter;
use super::report::{machine, with_commas};
use super::{Progress, memory};
use crate::model::Runtime;

/// What some work asked the allocator for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allocated {
    /// Bytes, all together.
    pub bytes: u64,
    /// How often.
    pub count: u64,
}

/// Does some work and counts what it asks the allocator for.
pub type Counting<'a> = &'a dyn Fn(&mut dyn FnMut()) -> Allocated;

/// How many calls' allocations are counted.
const COUNTED_CALLS: usize = 200;
/// Calls to one crowd before it is the other's turn.
const TURN: usize = 250;

/// What to run.
///
/// The server should have some hundred customers at least: nobody of the half that is written may have two calls under way.
#[derive(Clone, Debug)]
pub struct Options {
    /// `nbo`, which serves the calls over gRPC.
    pub server: PathBuf,
    /// This program, to be run again where instructions are counted; without it they are not.
    pub counter: Option<PathBuf>,
    /// How long each kind of call is measured over gRPC: for the top rate, at half of it, and at the rate of all.
    pub duration: Duration,
    /// Calls that fall due in a second where all kinds over gRPC are compared, so few that none waits for another.
    pub rate: f64,
    /// Customers of that server.
    pub served: usize,
    /// A small, a middling and a large catalog.
    pub sizes: [Size; 3],
    /// Few and many customers, of the small catalog.
    pub crowds: [usize; 2],
    /// Whether the figures say nothing.
    pub is_quick: bool,
}

impl Options {
    /// The whole table; takes some minutes.
    #[must_use]
    pub fn whole(server: PathBuf, counter: Option<PathBuf>) -> Self {
        let size = |offers, conditions, customers, calls, rival_calls| Size {
            offers,
            conditions,
            customers,
            calls,
            rival_calls,
        };
        Self {
            server,
            counter,
            duration: Duration::from_secs(5),
            rate: 2_000.0,
            served: 100_000,
            sizes: [
                size(100, Conditions::Two, 80_000, 10_000, 2_000),
                size(1_000, Conditions::Two, 32_000, 4_000, 200),
                size(10_000, Conditions::Ten, 16_000, 2_000, 20),
            ],
            crowds: [10_000, 1_000_000],
            is_quick: false,
        }
    }

    /// The same with little of everything, to see in seconds that it works.
    #[must_use]
    pub fn quick(server: PathBuf) -> Self {
        let whole = Self::whole(server, None);
        let size = |size: Size, offers| Size {
            offers,
            customers: 400,
            calls: 50,
            rival_calls: 5,
            ..size
        };
        let [small, middling, large] = whole.sizes;
        Self {
            duration: Duration::from_millis(200),
            rate: 200.0,
            served: 400,
            sizes: [size(small, 20), size(middling, 40), size(large, 60)],
            crowds: [160, 480],
            is_quick: true,
            ..whole
        }
    }
}

/// A way to decide, and what is wanted of it: the p50 and the p99, in microseconds.
#[derive(Clone, Copy)]
struct Wanted {
    way: Way,
    p50_us: Option<f64>,
    p99_us: Option<f64>,
}

impl Wanted {
    const fn of(way: Way, p50_us: f64) -> Self {
        Self {
            way,
            p50_us: Some(p50_us),
            p99_us: None,
        }
    }
}

/// Nothing is wanted of the rival.
const RIVAL: Wanted = Wanted {
    way: Way::Rival,
    p50_us: None,
    p99_us: None,
};
const LINEAR_IN_A_LARGE_CATALOG: Wanted = Wanted {
    p99_us: Some(1_000.0),
    ..Wanted::of(Way::Linear, 300.0)
};

/// The ways that are measured on each catalog: first ours, with which the rival, the last, is compared.
const WAYS: [&[Wanted]; 3] = [
    &[Wanted::of(Way::Trees, 25.0), Wanted::of(Way::Cached, 2.0), RIVAL],
    &[Wanted::of(Way::Trees, 120.0), RIVAL],
    &[Wanted::of(Way::Trees, 800.0), LINEAR_IN_A_LARGE_CATALOG, RIVAL],
];

/// Returns those of the ways that this machine can do.
fn ways(which: usize) -> Vec<Wanted> {
    let has_runtime = Runtime::load(None).is_ok();
    let can = |wanted: &Wanted| has_runtime || wanted.way != Way::Rival;
    WAYS[which].iter().copied().filter(can).collect()
}

/// Measures everything.
///
/// # Errors
/// When something that the benches bring along does not fit together, no server can be started, or the interpreter finds
/// other offers than we do. Without ONNX Runtime the rival is left out, without Valgrind the instructions, and a note says so.
pub fn measure(options: &Options, counting: Counting<'_>, progress: Progress<'_>) -> anyhow::Result<Table> {
    let plan = Plan {
        program: &options.server,
        customers: options.served,
        duration: options.duration,
        rate: options.rate,
    };
    let calls = Calls::measure(plan, progress)?;
    let mut table = Table {
        machine: machine(),
        is_quick: options.is_quick,
        sizes: options.sizes.to_vec(),
        rows: Vec::new(),
        gains: Vec::new(),
        notes: Vec::new(),
    };
    for (which, &size) in options.sizes.iter().enumerate() {
        table
            .rows
            .extend(in_process(which, size, counting, progress, &mut table.gains)?);
    }
    table.rows.extend(crowds(options, counting, progress)?);
    table.rows.extend(calls.rows()?);
    table.notes.extend(calls.notes());
    if let Err(error) = instructions(options, &mut table, progress) {
        table.notes.push(format!("No instructions: {error:#}"));
    }
    let floor_us = calls.floor_us().unwrap_or(f64::NAN);
    for row in &mut table.rows {
        row.of_floor_p50 = row.p50_us / floor_us;
    }
    if table.gains.is_empty() {
        table.notes.push("No ONNX Runtime, so no rival.".to_owned());
    }
    Ok(table)
}

/// Makes the calls of one size for the program that counts instructions.
///
/// # Errors
/// When there is no such size, and as for [`measure`].
pub fn make_counted_calls(options: &Options, which: usize) -> anyhow::Result<()> {
    anyhow::ensure!(which < WAYS.len(), "there are {} sizes, numbered from 0", WAYS.len());
    let ways: Vec<Way> = ways(which).iter().map(|wanted| wanted.way).collect();
    instructions::make_calls(options.sizes[which], &ways)
}

/// Times all ways on one catalog, and counts the bytes of each.
fn in_process(
    which: usize,
    size: Size,
    counting: Counting<'_>,
    progress: Progress<'_>,
    gains: &mut Vec<Gain>,
) -> anyhow::Result<Vec<Row>> {
    progress(&format!("{} offers, {} customers", size.offers, size.customers));
    let place = Place::new(size)?;
    let mut rows = Vec::new();
    for Wanted { way, p50_us, p99_us } in ways(which) {
        let name = name(size, way);
        progress(&name);
        let is_rival = way == Way::Rival;
        let calls = if is_rival { size.rival_calls } else { size.calls };
        let mut row = Row::of(&place.begin(way, false, calls)?.timing(&name)?);
        if let Some(limit) = p50_us {
            row = row.p50_at_most(limit);
        }
        if let Some(limit) = p99_us {
            row = row.p99_below(limit);
        }
        count_bytes(&place, way, calls, counting, &mut row)?;
        rows.push(row);
    }
    if let [ours, .., rival] = &rows[..]
        && rows.len() == WAYS[which].len()
    {
        gains.push(Gain {
            offers: size.offers,
            ours_us: ours.p50_us,
            rival_us: rival.p50_us,
        });
    }
    Ok(rows)
}

fn count_bytes(place: &Place, way: Way, calls: usize, counting: Counting<'_>, row: &mut Row) -> anyhow::Result<()> {
    let mut prepared = place.begin(way, true, calls.min(COUNTED_CALLS) + 1)?;
    // The first makes room for what is used again.
    prepared.call(0)?;
    let calls = prepared.requests.len() - 1;
    let mut result = Ok(());
    let allocated = counting(&mut || {
        for at in 1..=calls {
            if let Err(error) = prepared.call(at) {
                result = Err(error);
            }
        }
    });
    result?;
    row.allocated_bytes = Some(allocated.bytes as f64 / calls as f64);
    row.allocations = Some(allocated.count as f64 / calls as f64);
    Ok(())
}

/// Says what a way is on a catalog.
fn name(size: Size, way: Way) -> String {
    let each = match size.conditions {
        Conditions::Two => 2,
        Conditions::Ten | Conditions::TenSelective => 10,
    };
    let (offers, conditions) = (with_commas(size.offers), with_commas(size.offers * each));
    let how = match way {
        Way::Trees => "100 trees, nothing cached, exact caps",
        Way::Cached => "cached list, exact caps",
        Way::Linear => "a linear model, nothing cached, exact caps",
        Way::Rival => "CEL interpreter, 100 trees in plain ort, sorted; no caps",
    };
    format!("{offers} offers, {conditions} conditions, {how}")
}

/// Asks few customers and many in turns.
fn crowds(options: &Options, counting: Counting<'_>, progress: Progress<'_>) -> anyhow::Result<Vec<Row>> {
    let [few, many] = options.crowds;
    progress(&format!("{many} customers"));
    let size = |customers| Size {
        customers,
        ..options.sizes[0]
    };
    let few = Place::new(size(few))?;
    let many = Place::with(size(many), Arc::clone(&few.trees))?;
    let calls = few.size.calls.min(few.size.customers / 8);
    let places = [&few, &many];
    let mut meters = [Meter::new()?, Meter::new()?];
    let mut prepared = [
        few.begin(Way::Trees, false, calls)?,
        many.begin(Way::Trees, false, calls)?,
    ];
    for first in (0..calls).step_by(TURN) {
        for (prepared, meter) in prepared.iter_mut().zip(&mut meters) {
            prepared.time(first..calls.min(first + TURN), meter)?;
        }
    }
    let mut rows = Vec::new();
    for (place, meter) in places.into_iter().zip(meters) {
        let customers = with_commas(place.size.customers);
        let name = format!(
            "{customers} customers, {} offers, 100 trees, nothing cached",
            place.size.offers
        );
        let mut row = Row::of(&meter.finish(&name));
        count_bytes(place, Way::Trees, calls, counting, &mut row)?;
        rows.push(row);
    }
    let times = rows[1].p50_us / rows[0].p50_us;
    rows[1].goals = memory_goals(&many);
    rows[1]
        .goals
        .push(Goal::at_most("p50, times that of few customers", times, 1.5, ""));
    Ok(rows)
}

fn memory_goals(place: &Place) -> Vec<Goal> {
    let memory = memory::measure(&place.trees, &place.world.engine, place.grown);
    let limit = 300.0;
    let goal = |what, bytes| Goal::at_most(what, bytes, limit, "bytes");
    let mut goals = vec![
        goal("30 attributes, 10 aggregates, 10 contacts, packed", memory.goal),
        goal("all of a customer, packed", memory.packed),
    ];
    goals.extend(
        memory
            .resident
            .map(|bytes| goal("growth of the process by a customer", bytes)),
    );
    goals
}

/// Counts instructions where that is possible, and else says what is missing.
fn instructions(options: &Options, table: &mut Table, progress: Progress<'_>) -> anyhow::Result<()> {
    let Some(program) = &options.counter else {
        table.notes.push("Instructions were not asked for.".to_owned());
        return Ok(());
    };
    if !instructions::can_count() {
        let note = "No instructions: `valgrind` is not there (as in `apt install valgrind`).";
        table.notes.push(note.to_owned());
        return Ok(());
    }
    for (which, &size) in options.sizes.iter().enumerate() {
        progress(&format!("instructions, {} offers", size.offers));
        let ways: Vec<Way> = ways(which).iter().map(|wanted| wanted.way).collect();
        let counted = instructions::count(program, which, &ways)?;
        for (&way, counted) in ways.iter().zip(counted) {
            let name = name(size, way);
            if let Some(row) = table.rows.iter_mut().find(|row| row.case == name) {
                row.instructions = Some(counted);
            }
        }
    }
    Ok(())
}
