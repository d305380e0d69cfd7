//! What is not counted as it happens, but looked up when somebody asks.

use std::sync::OnceLock;

use metrics::{Counter, Gauge, counter, gauge};

/// What a server is found in at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    /// Customers in memory.
    pub customers: usize,
    /// People who were erased and are remembered.
    pub erased: usize,
    /// The journal, if there is one.
    pub journal: Option<FoundJournal>,
    /// The last checkpoint of this process, if it took one, and how old it is in seconds.
    pub checkpoint: Option<(FoundCheckpoint, f64)>,
    /// How many checkpoints were taken, and how many failed.
    pub checkpoints: (u64, u64),
    /// Which activation is in force.
    pub generation: u64,
    /// For how many seconds.
    pub catalog_age: f64,
    /// How many seconds ago files were last read again, if they were.
    pub reload_age: Option<f64>,
    /// Whether they had faults.
    pub reload_refused: bool,
    /// Whether calls are taken.
    pub ready: bool,
    /// For how many seconds the server has been there.
    pub uptime: f64,
}

/// What a journal is found in.
#[derive(Clone, Copy, Debug, Default)]
pub struct FoundJournal {
    /// What it promises.
    pub level: &'static str,
    /// The number of its last record.
    pub written: u64,
    /// The last record that survives a loss of power, where that is promised; else the last one.
    pub settled: u64,
    /// The record that the newest checkpoint stands at.
    pub checkpointed: u64,
    /// Bytes written by this process.
    pub bytes: u64,
    /// How often the disk was waited for.
    pub syncs: u64,
    /// Records that the disk did not take.
    pub refused: u64,
    /// Whether nothing is recorded any more.
    pub stopped: bool,
}

/// What a checkpoint came to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FoundCheckpoint {
    /// How many seconds it took.
    pub seconds: f64,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its customers.
    pub customers: u64,
}

/// The numbers for it.
#[derive(Debug)]
pub struct State {
    level: OnceLock<&'static str>,
    customers: Gauge,
    erased: Gauge,
    resident: Gauge,
    records: Counter,
    bytes: Counter,
    syncs: Counter,
    refused: Counter,
    stopped: Gauge,
    unsettled: Gauge,
    checkpoints: [Counter; 2],
    checkpoint_age: Gauge,
    checkpoint_seconds: Gauge,
    checkpoint_bytes: Gauge,
    checkpoint_customers: Gauge,
    behind: Gauge,
    generation: Gauge,
    catalog_age: Gauge,
    reload_age: Gauge,
    reload_refused: Gauge,
    ready: Gauge,
    uptime: Gauge,
    trace_share: Gauge,
}

impl State {
    /// To be called within the exporter's registry.
    pub(super) fn new() -> Self {
        Self {
            level: OnceLock::new(),
            customers: gauge!("nbo_customers"),
            erased: gauge!("nbo_erased_people"),
            resident: gauge!("nbo_resident_bytes"),
            records: counter!("nbo_journal_records_total"),
            bytes: counter!("nbo_journal_bytes_total"),
            syncs: counter!("nbo_journal_syncs_total"),
            refused: counter!("nbo_journal_refused_total"),
            stopped: gauge!("nbo_journal_stopped"),
            unsettled: gauge!("nbo_journal_unsettled_records"),
            checkpoints: ["taken", "failed"].map(|result| counter!("nbo_checkpoints_total", "result" => result)),
            checkpoint_age: gauge!("nbo_checkpoint_age_seconds"),
            checkpoint_seconds: gauge!("nbo_checkpoint_seconds"),
            checkpoint_bytes: gauge!("nbo_checkpoint_bytes"),
            checkpoint_customers: gauge!("nbo_checkpoint_customers"),
            behind: gauge!("nbo_checkpoint_records_behind"),
            generation: gauge!("nbo_catalog_generation"),
            catalog_age: gauge!("nbo_catalog_age_seconds"),
            reload_age: gauge!("nbo_reload_age_seconds"),
            reload_refused: gauge!("nbo_reload_refused"),
            ready: gauge!("nbo_ready"),
            uptime: gauge!("nbo_uptime_seconds"),
            trace_share: gauge!("nbo_trace_share"),
        }
    }

    /// Says which share of the calls is traced.
    pub fn traced(&self, share: f64) {
        self.trace_share.set(share);
    }

    /// Says what the server is found in.
    pub fn tell(&self, found: &Found) {
        let flag = |is: bool| f64::from(u8::from(is));
        self.customers.set(found.customers as f64);
        self.erased.set(found.erased as f64);
        self.resident.set(resident_bytes().unwrap_or_default() as f64);
        if let Some(journal) = &found.journal {
            let _ = self.level.set(journal.level);
            self.records.absolute(journal.written);
            self.bytes.absolute(journal.bytes);
            self.syncs.absolute(journal.syncs);
            self.refused.absolute(journal.refused);
            self.stopped.set(flag(journal.stopped));
            self.unsettled
                .set(journal.written.saturating_sub(journal.settled) as f64);
            self.behind
                .set(journal.written.saturating_sub(journal.checkpointed) as f64);
        }
        let (taken, failed) = found.checkpoints;
        self.checkpoints[0].absolute(taken);
        self.checkpoints[1].absolute(failed);
        let (last, age) = found.checkpoint.unwrap_or((FoundCheckpoint::default(), found.uptime));
        self.checkpoint_age.set(age);
        self.checkpoint_seconds.set(last.seconds);
        self.checkpoint_bytes.set(last.bytes as f64);
        self.checkpoint_customers.set(last.customers as f64);
        self.generation.set(found.generation as f64);
        self.catalog_age.set(found.catalog_age);
        self.reload_age.set(found.reload_age.unwrap_or(found.uptime));
        self.reload_refused.set(flag(found.reload_refused));
        self.ready.set(flag(found.ready));
        self.uptime.set(found.uptime);
    }

    pub(super) fn level(&self) -> &'static str {
        self.level.get().copied().unwrap_or("none")
    }
}

/// Returns how much memory of the process is in use, where the system tells.
fn resident_bytes() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
        Some(kib << 10)
    }
    #[cfg(not(target_os = "linux"))]
    None
}
