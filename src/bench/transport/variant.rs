//! The servers that are compared: five ways to answer, and each setting that could make one of them cheaper.
//!
//! What cannot matter to a call that does nothing has no row: limits on resets, on headers and on local errors are looked at when one is
//! exceeded, and compression is off. A codec that is kept cannot be compared either: tonic's codecs for protobuf hold nothing but their
//! [`BufferSettings`](tonic::codec::BufferSettings), and its `Grpc` is lent out for the whole of a call.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// How a call is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Base {
    /// As many bytes over bare TCP, without HTTP/2.
    Echo,
    /// Fixed bytes and trailers over HTTP/2, by hyper alone.
    Hyper,
    /// A health service behind tonic's own transport and router.
    Tonic,
    /// The same service called by hyper, without that transport and router, and with the settings of `nbo serve`.
    Straight,
    /// All of `nbo serve`.
    Nbo,
}

impl Base {
    /// Returns what it is, for people.
    const fn phrase(self) -> &'static str {
        match self {
            Self::Echo => "bare TCP, as many bytes",
            Self::Hyper => "HTTP/2 by hyper alone",
            Self::Tonic => "tonic as it comes",
            Self::Straight => "tonic's service, called by hyper",
            Self::Nbo => "`nbo serve`",
        }
    }
}

/// The one thing that is set otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Nothing.
    AsIs,
    /// `TCP_NODELAY` is off.
    Nagle,
    /// A runtime of many threads with so many workers.
    Workers(usize),
    /// Two runtimes of one thread each, with a listener each on the same port (`SO_REUSEPORT`).
    TwoListeners,
    /// How many tasks run until the runtime looks for packets; tokio: 61.
    EventInterval(u32),
    /// How many packets' tasks the runtime takes up at once; tokio: 1,024.
    EventsPerTick(usize),
    /// Bytes of the system's buffers of a connection, for both ways.
    SocketBuffers(usize),
    /// Bytes of the windows for requests, of a stream and of a connection; hyper: 1 MiB.
    Windows(u32),
    /// Windows that grow by what a connection can carry, which hyper finds out by pings.
    AdaptiveWindow,
    /// Bytes of the longest frame; hyper: 16 kiB.
    FrameBytes(u32),
    /// Bytes that wait to be sent, of a stream; hyper: 400 kiB.
    SendBufferBytes(usize),
    /// Calls at a time on one connection; `nbo serve`: 256.
    Streams(Option<u32>),
    /// Bytes of the table of headers that were sent before; h2: 4,096.
    HeaderTable(u32),
    /// HTTP/2's pings ask an idle peer whether it lives, not TCP.
    Pings,
    /// A `date` in each answer.
    Date,
    /// HTTP/2 from the first byte; otherwise the first bytes tell whether it is HTTP/1.
    OnlyHttp2,
    /// tonic's codec is called without generated code, with these buffers: bytes at first, and bytes that are sent at once.
    Codec {
        /// tonic: 8 kiB.
        buffer: usize,
        /// tonic: 32 kiB.
        yield_threshold: usize,
    },
}

/// A server that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Its name on the command line.
    pub name: &'static str,
    /// How it answers.
    pub base: Base,
    /// What is set otherwise.
    pub setting: Setting,
}

const fn of(name: &'static str, base: Base, setting: Setting) -> Variant {
    Variant { name, base, setting }
}

const KIB: usize = 1024;
/// The one with which those are compared that set the codec's buffers.
const CODEC: &str = "codec";

/// All of them: first the five ways, then the settings of each, one at a time.
pub const VARIANTS: [Variant; 38] = [
    of("echo", Base::Echo, Setting::AsIs),
    of("hyper", Base::Hyper, Setting::AsIs),
    of("tonic", Base::Tonic, Setting::AsIs),
    of("straight", Base::Straight, Setting::AsIs),
    of("nbo", Base::Nbo, Setting::AsIs),
    of("tonic-workers-2", Base::Tonic, Setting::Workers(2)),
    of("nbo-workers-1", Base::Nbo, Setting::Workers(1)),
    of("nbo-workers-2", Base::Nbo, Setting::Workers(2)),
    of("nbo-two-listeners", Base::Nbo, Setting::TwoListeners),
    of("nbo-events-16", Base::Nbo, Setting::EventInterval(16)),
    of("nbo-events-512", Base::Nbo, Setting::EventInterval(512)),
    of("nbo-streams-any", Base::Nbo, Setting::Streams(None)),
    of("workers-1", Base::Straight, Setting::Workers(1)),
    of("workers-2", Base::Straight, Setting::Workers(2)),
    of("two-listeners", Base::Straight, Setting::TwoListeners),
    of("events-16", Base::Straight, Setting::EventInterval(16)),
    of("events-512", Base::Straight, Setting::EventInterval(512)),
    of("tick-1", Base::Straight, Setting::EventsPerTick(1)),
    of("nagle", Base::Straight, Setting::Nagle),
    of("sockets-16k", Base::Straight, Setting::SocketBuffers(16 * KIB)),
    of("sockets-1m", Base::Straight, Setting::SocketBuffers(KIB * KIB)),
    of("windows-64k", Base::Straight, Setting::Windows(65_535)),
    of("windows-16m", Base::Straight, Setting::Windows(16 << 20)),
    of("windows-adaptive", Base::Straight, Setting::AdaptiveWindow),
    of("frames-1m", Base::Straight, Setting::FrameBytes(1 << 20)),
    of("send-16k", Base::Straight, Setting::SendBufferBytes(16 * KIB)),
    of("send-4m", Base::Straight, Setting::SendBufferBytes(4 * KIB * KIB)),
    of("streams-any", Base::Straight, Setting::Streams(None)),
    of("streams-16", Base::Straight, Setting::Streams(Some(16))),
    of("table-0", Base::Straight, Setting::HeaderTable(0)),
    of("table-64k", Base::Straight, Setting::HeaderTable(65_536)),
    of("pings", Base::Straight, Setting::Pings),
    of("date", Base::Straight, Setting::Date),
    of("only-http2", Base::Straight, Setting::OnlyHttp2),
    of(CODEC, Base::Straight, codec(8 * KIB, 32 * KIB)),
    of("codec-64", Base::Straight, codec(64, 32 * KIB)),
    of("codec-64k", Base::Straight, codec(64 * KIB, 32 * KIB)),
    of("codec-at-once", Base::Straight, codec(8 * KIB, 1)),
];

const fn codec(buffer: usize, yield_threshold: usize) -> Setting {
    Setting::Codec {
        buffer,
        yield_threshold,
    }
}

impl Variant {
    /// Returns how many threads answer calls.
    #[must_use]
    pub const fn threads(self) -> usize {
        match self.setting {
            Setting::Workers(workers) => workers,
            Setting::TwoListeners => 2,
            _ => 1,
        }
    }

    /// Returns what it is compared with, which differs in this one setting; a base as it is has none.
    #[must_use]
    pub fn compared_with(self) -> Option<Self> {
        let is_compared = |other: &Self| match self.setting {
            Setting::AsIs => false,
            // What looks at the first bytes has no such setting.
            Setting::HeaderTable(_) => other.setting == Setting::OnlyHttp2,
            Setting::Codec { .. } if self.name != CODEC => other.name == CODEC,
            _ => other.base == self.base && other.setting == Setting::AsIs,
        };
        VARIANTS.into_iter().find(is_compared)
    }

    /// Returns the name that it has in the table.
    #[must_use]
    pub fn phrase(self) -> String {
        let set = match self.setting {
            Setting::AsIs => return format!("**{}** (`{}`)", self.base.phrase(), self.name),
            Setting::Nagle => "`TCP_NODELAY` off".to_owned(),
            Setting::Workers(1) => "a runtime of many threads with 1 worker".to_owned(),
            Setting::Workers(workers) => format!("{workers} workers"),
            Setting::TwoListeners => "two runtimes of one thread, `SO_REUSEPORT`".to_owned(),
            Setting::EventInterval(tasks) => format!("the runtime looks for packets after {tasks} tasks"),
            Setting::EventsPerTick(events) => format!("the runtime takes up {events} connection at a time"),
            Setting::SocketBuffers(bytes) => format!("socket buffers of {}", bytes_of(bytes)),
            Setting::Windows(bytes) => format!("windows of {}", bytes_of(bytes as usize)),
            Setting::AdaptiveWindow => "adaptive windows".to_owned(),
            Setting::FrameBytes(bytes) => format!("frames of up to {}", bytes_of(bytes as usize)),
            Setting::SendBufferBytes(bytes) => format!("send buffers of {}", bytes_of(bytes)),
            Setting::Streams(None) => "any number of streams".to_owned(),
            Setting::Streams(Some(streams)) => format!("{streams} streams a connection"),
            Setting::HeaderTable(bytes) => format!("HTTP/2 only, a header table of {}", bytes_of(bytes as usize)),
            Setting::Pings => "HTTP/2's pings, not TCP's".to_owned(),
            Setting::Date => "a `date` in each answer".to_owned(),
            Setting::OnlyHttp2 => "HTTP/2 only, not looked for".to_owned(),
            Setting::Codec { buffer, .. } if self.name == CODEC => {
                format!("no generated code, {} for an answer", bytes_of(buffer))
            }
            Setting::Codec { buffer, .. } if self.name != "codec-at-once" => {
                format!("the same, {} for an answer", bytes_of(buffer))
            }
            Setting::Codec { .. } => "the same, sent without a look for more".to_owned(),
        };
        let base = match self.base {
            Base::Straight => "",
            Base::Nbo => "`nbo serve`: ",
            other => return format!("{}: {set} (`{}`)", other.phrase(), self.name),
        };
        format!("{base}{set} (`{}`)", self.name)
    }
}

fn bytes_of(bytes: usize) -> String {
    match bytes {
        0..KIB => format!("{bytes} bytes"),
        KIB..1_048_576 => format!("{} kiB", bytes.div_ceil(KIB)),
        _ => format!("{} MiB", bytes >> 20),
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl FromStr for Variant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = VARIANTS.map(|variant| variant.name);
        let known = VARIANTS.into_iter().find(|variant| variant.name == text);
        known.ok_or_else(|| {
            let hint = crate::catalog::values::hint(text, names);
            format!("`{text}` is no server that is measured; {hint}")
        })
    }
}

impl Serialize for Variant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_is_found_by_its_own_name_and_each_setting_is_compared_with_its_base() {
        for variant in VARIANTS {
            assert_eq!(variant.name.parse(), Ok(variant));
            let base = variant.compared_with();
            assert_eq!(base.is_none(), variant.setting == Setting::AsIs, "{variant}");
            assert!(
                base.is_none_or(|base| base.base == variant.base && base != variant),
                "{variant}"
            );
        }
    }
}
