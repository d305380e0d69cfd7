//! What the server takes at most, and why. Those of [`Bounds`] can be set when it is started; what the engine takes at
//! most stands in [`crate::engine::Limits`], and the length of ids in [`crate::domain::ids`].

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

/// Bytes in one message: twice what the largest allowed message of ordinary values needs. A longer one is refused
/// before it is decoded; what is decoded can take a hundred times as much memory, since an event that says nothing is two bytes.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// Items in a list of a body in JSON: some times what any list of a call takes, so that whoever has a few too many is told so with all that is
/// wrong besides. More are refused before anything is made of them: 1 MiB of events that say nothing would be 126 of memory.
/// The customers of a campaign run may be more, [`CUSTOMERS_PER_RUN_MAX`].
pub const JSON_ITEMS_MAX: usize = 1_000;

/// Bytes of all requests on one port that are not whole yet: four of the longest that a campaign sends, some hundred thousand ordinary ones. A call
/// that needs more is refused, and may come again; without this one connection could make the server keep a gigabyte.
pub const BODIES_BYTES_MAX: usize = 256 * 1024 * 1024;

/// The part of these that only the beginnings of requests may take.
pub const BODIES_BYTES_KEPT_FOR_SHORT: usize = BODIES_BYTES_MAX / 4;

/// Bytes of such a beginning: ordinary calls have one or two thousand.
pub const BODY_BYTES_SHORT: usize = 16 * 1024;

/// Bytes in a question of health or reflection, which strangers may ask: a name.
pub const QUESTION_BYTES_MAX: usize = 4 * 1024;

/// Bytes of a request's headers: ordinary ones take a few hundred.
pub const HEADER_BYTES_MAX: u32 = 16 * 1024;

/// Connections at a time on the port for everybody: each costs some tens of kB. Further ones wait in the system's backlog.
pub const CONNECTIONS_MAX: usize = 4_096;

/// Connections at a time on the port for administration: people and their programs. They have places of their own, so that a
/// flood on the other port locks no operator out.
pub const ADMIN_CONNECTIONS_MAX: usize = 64;

/// Connections at a time from one address (of IPv6: from one network of 64 bits): further ones are closed at once, so
/// that one address cannot take all places. A gateway before the server is one address; it needs few, since calls share
/// them.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 1_024;

/// How long a TLS handshake may take: two exchanges over the slowest of lines.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// How long a connection may be without a call; then it is closed in order, and a client that has another call connects again.
/// Watchers and streams are calls: they keep theirs open.
pub const IDLE_MAX: Duration = Duration::from_mins(10);

/// How long a call without a stream may take from its headers to its answer, its body included. Forecasts over millions of
/// customers are the slowest.
pub const REQUEST_TIME_MAX: Duration = Duration::from_mins(1);

/// How long calls that last, watchers before all, may go on after their connection was told to go because of its age.
pub const AGE_GRACE: Duration = Duration::from_mins(1);

/// How long a connection has to end in order after it was told to because it was idle.
pub const CLOSING_MAX: Duration = Duration::from_secs(5);

/// Lines in a tokens file: services, not people. Each costs a comparison of 32 bytes for a token that was not seen lately.
pub const TOKENS_MAX: usize = 1_000;

/// Keys in an issuer's JWKS: some old, one in use, one to come.
pub const ISSUER_KEYS_MAX: usize = 100;

/// Bytes of a token: those of issuers that put whole groups in have a few thousand.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Tokens that are remembered as good, so that a signature is checked once and not for each call; some 200 bytes each.
pub const TOKENS_REMEMBERED_MAX: usize = 10_000;

/// By how much the clock of an issuer may differ.
pub const TOKEN_LEEWAY: Millis = Millis::SECOND.times(30);

/// Bytes of a file with certificates, keys or tokens.
pub const SECRET_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// How often files with certificates, keys and tokens are read again: a few small files cost microseconds.
pub const SECRETS_LOOKED_UP_EVERY: Duration = Duration::from_secs(1);

/// Calls at a time on one connection: browsers and channels' servers multiplex, and one connection must not take all
/// the memory. Further ones wait in the client.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 256;

/// Streams that a caller opened and reset before they were looked at, on one connection: one that opens and resets without end
/// is cut off, as the advice on rapid resets (CVE-2023-44487) goes.
pub const RESETS_PENDING_MAX: usize = 20;

/// How long an HTTP/1 connection may take to say what it wants, and may be idle before it does, and how long any new
/// one may take until its first call: browsers open another one.
pub const HEADERS_WAITED_FOR: Duration = Duration::from_secs(30);

/// Bytes of an HTTP/1 connection's buffer, and with it of its headers.
pub const HTTP1_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// Watchers at a time: each costs a task and its last list, some kB.
pub const WATCHERS_MAX: usize = 10_000;

/// Watchers of health at a time, for whom nobody has to be known: each costs a task. Apart from the watchers of offers, so that
/// strangers who watch keep nobody out. Who finds no place is told that health is not watched here, upon which clients go on calling.
pub const HEALTH_WATCHERS_MAX: usize = 4_096;

/// Watchers of health at a time from one address (of IPv6: from one network of 64 bits), so that none takes all places.
pub const HEALTH_WATCHERS_PER_ADDRESS_MAX: usize = 256;

/// How often an idle connection is asked whether it still lives: often enough to free the watchers of a call centre's
/// closed laptops, seldom enough to cost nothing.
pub const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(30);

/// How long a connection has to answer that, before it is asked again.
pub const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may leave what it is sent without an answer: who went away without a word is found by that while
/// there is something to send, and by the questions above while there is not.
pub const UNANSWERED_MAX: Duration = Duration::from_mins(1);

/// How often it is asked until it is given up.
pub const KEEP_ALIVE_RETRIES: u32 = 3;

/// How long calls in flight may take to finish after a shutdown was asked for: streams that would never end by
/// themselves are cut then.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// How long a server that was told to stop goes on while it says that it is not ready: balancers that ask every few seconds
/// need some; without any, clients find out by connecting elsewhere.
pub const DRAIN_DELAY: Duration = Duration::ZERO;

/// Calls that wait for their turn at a time: some kB each, and at fifty microseconds a call the work of most of a second.
pub const WAITING_MAX: usize = 16_384;

/// How long a page view may wait for its turn while more is asked than can be answered, unless a few calls take longer than that: what
/// a decision should take in all, so that what is answered is answered in time.
pub const WAIT_MAX: Duration = Duration::from_millis(1);

/// The shortest time after which a watcher is told again that time has passed, whatever `valid_until` says.
pub const WATCH_INTERVAL_MIN: Duration = Duration::from_millis(500);

/// How long files have to be quiet before they are read again: editors write a file in several steps, and people save
/// several files.
pub const RELOAD_QUIET: Duration = Duration::from_millis(300);

/// How often it is looked up which folder the name of a folder of rules or models means: two looks at the file system
/// cost microseconds, and somebody who turned a link to a new release waits for no longer than a save takes.
pub const FOLDERS_LOOKED_UP_EVERY: Duration = Duration::from_secs(1);

/// The limits that can be set when the server is started. [`Default`] are those of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// [`CONNECTIONS_MAX`].
    pub connections: usize,
    /// [`CONNECTIONS_PER_ADDRESS_MAX`].
    pub connections_per_address: usize,
    /// [`STREAMS_PER_CONNECTION_MAX`].
    pub streams_per_connection: u32,
    /// [`HANDSHAKE_MAX`].
    pub handshake: Duration,
    /// [`HEADERS_WAITED_FOR`]; a connection that has not asked for anything in that time is closed as well.
    pub headers: Duration,
    /// [`IDLE_MAX`].
    pub idle: Duration,
    /// [`REQUEST_TIME_MAX`].
    pub request_time: Duration,
    /// How old a connection may grow until it is told to go, so that clients spread over new servers; nothing for any age.
    pub age: Option<Duration>,
    /// [`AGE_GRACE`].
    pub age_grace: Duration,
    /// [`WAITING_MAX`].
    pub waiting: usize,
    /// [`WAIT_MAX`].
    pub wait: Duration,
    /// [`DRAIN_DELAY`].
    pub drain_delay: Duration,
    /// [`SHUTDOWN_GRACE`].
    pub grace: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: CONNECTIONS_MAX,
            connections_per_address: CONNECTIONS_PER_ADDRESS_MAX,
            streams_per_connection: STREAMS_PER_CONNECTION_MAX,
            handshake: HANDSHAKE_MAX,
            headers: HEADERS_WAITED_FOR,
            idle: IDLE_MAX,
            request_time: REQUEST_TIME_MAX,
            age: None,
            age_grace: AGE_GRACE,
            waiting: WAITING_MAX,
            wait: WAIT_MAX,
            drain_delay: DRAIN_DELAY,
            grace: SHUTDOWN_GRACE,
        }
    }
}

impl Bounds {
    /// Returns the limits for the port for administration.
    #[must_use]
    pub fn for_administration(self) -> Self {
        Self {
            connections: ADMIN_CONNECTIONS_MAX,
            connections_per_address: ADMIN_CONNECTIONS_MAX,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_in_words_are_the_limits_in_numbers() {
        assert_eq!(AHEAD_MAX.get(), 5 * 60 * 1_000);
        assert_eq!(AGE_MAX.get(), 400 * 24 * 60 * 60 * 1_000);
    }
}
