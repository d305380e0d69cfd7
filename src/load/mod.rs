//! An open-loop load generator for the server's gRPC face, and for JSON beside it.
//!
//! **Latency** is measured at a fixed arrival rate, from the moment at which a call was *due*: when the server stalls,
//! calls go on falling due, and each of them waits, as customers would. A generator that waits for an answer
//! before it sends the next call would leave the stall out of the figures (coordinated omission). How late the generator
//! itself was is measured too, and shown.
//!
//! A shared machine stands still now and then, for tens of milliseconds. So the p99 is also told of each tenth of a second by
//! itself ([`windows`]), beside the same of a byte that goes to another thread and back over TCP alone.
//!
//! **The top rate** is measured by a closed loop: a fixed number of calls always under way.
//!
//! **Overload** is measured on request, at a multiple of the top rate and in turns with it ([`flood`]).
//!
//! **The floor** is a call that does nothing, the standard health check, over the same connections, to the same server
//! and in the same run: what gRPC, the kernel and the shared cores cost. On shared machines the ratio to the floor is the
//! result and the absolute figures are a remark, so the kinds of calls take turns, in short slices.
//!
//! Calls by JSON go over the same HTTP/2 connections; their own floor is a route that does nothing.
//!
//! Callers share the machine with the server, so the client is one thread for all connections and the time. That thread
//! keeps a core busy while it waits for the next call to fall due; a server of one's own leaves it that core.
//!
//! Customers are the demo population's ids, `demo-000001` and on: the first half is only read, so that its cached lists
//! hold; the second half is written.

pub mod calls;
pub mod figures;
mod flood;
mod json;
mod latencies;
pub mod nothing;
pub mod own;
mod pacer;
mod run;
mod runner;
mod stream;
mod tcp;
mod traffic;
pub mod windows;

pub use run::{LoadError, Rate, Settings, Step, run};
