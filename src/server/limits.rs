//! What the server takes at most, and why.

use std::time::Duration;

use crate::domain::time::Millis;
use crate::engine::CLOCK_SKEW_MAX;

/// Events in one call: a page's worth with room to spare, while one customer's lock is held for well under a
/// millisecond. Callers with more send several messages, or a stream.
pub const EVENTS_PER_CALL_MAX: usize = 100;

/// Placements in one call: more than a page has. Each costs a pass over the ranking.
pub const PLACEMENTS_PER_CALL_MAX: usize = 16;

/// Outcomes in one call, as many as events.
pub const OUTCOMES_PER_CALL_MAX: usize = 100;

/// Rows in one message of an import: some 500 kB of 30 attributes, well under [`MESSAGE_BYTES_MAX`].
pub const IMPORT_ROWS_PER_MESSAGE_MAX: usize = 1_000;

/// Rows in one import. All rows wait in memory, about 700 bytes each for 30 attributes, until the last one was good.
pub const IMPORT_ROWS_MAX: u64 = 1_000_000;

/// Faults that an import or an event stream lists: whoever has more has one misunderstanding, not a thousand.
pub const FAULTS_LISTED_MAX: u64 = 1_000;

/// Attributes in one map of a call: more than any schema has, so that the excess is refused in one line.
pub const ATTRIBUTES_PER_MAP_MAX: usize = 256;

/// Customers in the list of one campaign run; some 20 MB of ordinary ids. More are a segment, or everyone.
pub const CUSTOMERS_PER_RUN_MAX: usize = 1_000_000;

/// Bytes in one request for a campaign run: the longest list of ids of up to 56 bytes.
pub const CAMPAIGN_MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Limits over all customers of one campaign run: planning takes time for each.
pub const OFFER_LIMITS_PER_RUN_MAX: usize = 100;

/// Campaign runs at a time: each takes what the machine has left, so more would only wait for each other.
pub const CAMPAIGN_RUNS_MAX: usize = 2;

/// Forecasts and exports at a time: each keeps the keys of all customers, 16 bytes each. And as many replays, which read the
/// journal.
pub const WALKS_MAX: usize = 2;

/// Batches of a campaign run that wait for a slow reader before the run waits as well.
pub const CAMPAIGN_BATCHES_WAITING: usize = 4;

/// How far ahead of the server's clock an event may lie: clocks of phones differ, but not by more.
pub const AHEAD_MAX: Millis = CLOCK_SKEW_MAX;

/// How long ago an event may have happened: a year and some weeks, longer than any window reaches back.
pub const AGE_MAX: Millis = Millis::DAY.times(400);

/// Bytes in one message: ten times what the largest allowed message of ordinary values needs. A longer one is refused
/// before it is decoded.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of a request's headers: ordinary ones take a few hundred.
pub const HEADER_BYTES_MAX: u32 = 16 * 1024;

/// Connections at a time: each costs some tens of kB. Further ones wait in the system's backlog. A connection may grow
/// old: watchers and streams live on theirs, and one that is dead is found by [`KEEP_ALIVE_EVERY`].
pub const CONNECTIONS_MAX: usize = 4_096;

/// Calls at a time on one connection: browsers and channels' servers multiplex, and one connection must not take all
/// the memory. Further ones wait in the client.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 256;

/// Streams that a caller opened and reset before they were looked at, on one connection: one that opens and resets without end
/// is cut off, as the advice on rapid resets (CVE-2023-44487) goes.
pub const RESETS_PENDING_MAX: usize = 20;

/// How long an HTTP/1 connection may take to say what it wants, and may be idle before it does: browsers open another one.
pub const HEADERS_WAITED_FOR: Duration = Duration::from_secs(30);

/// Bytes of an HTTP/1 connection's buffer, and with it of its headers.
pub const HTTP1_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// Watchers at a time: each costs a task and its last list, some kB.
pub const WATCHERS_MAX: usize = 10_000;

/// How often an idle connection is asked whether it still lives: often enough to free the watchers of a call centre's
/// closed laptops, seldom enough to cost nothing.
pub const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(30);

/// How long a connection has to answer that, before it is asked again.
pub const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often it is asked until it is given up.
pub const KEEP_ALIVE_RETRIES: u32 = 3;

/// How long calls in flight may take to finish after a shutdown was asked for: streams that would never end by
/// themselves are cut then.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// The shortest time after which a watcher is told again that time has passed, whatever `valid_until` says.
pub const WATCH_INTERVAL_MIN: Duration = Duration::from_millis(500);

/// How long files have to be quiet before they are read again: editors write a file in several steps, and people save
/// several files.
pub const RELOAD_QUIET: Duration = Duration::from_millis(300);

/// How often it is looked up which folder the name of a folder of rules or models means: two looks at the file system
/// cost microseconds, and somebody who turned a link to a new release waits for no longer than a save takes.
pub const FOLDERS_LOOKED_UP_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_in_words_are_the_limits_in_numbers() {
        assert_eq!(AHEAD_MAX.get(), 5 * 60 * 1_000);
        assert_eq!(AGE_MAX.get(), 400 * 24 * 60 * 60 * 1_000);
    }
}
