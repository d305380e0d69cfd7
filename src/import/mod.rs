//! Brings customers from files: CSV rows become profile changes, by a mapping that people write.
//!
//! All or nothing. The file is read twice: once to check every row against the catalog, which lists everything that is
//! wrong with it, and once to send the rows, which happens only when nothing was wrong or the caller chose to skip the bad rows. The
//! server stages what it receives and applies it at the end of the call, so neither a fault in the last row nor a
//! broken connection leaves half a file behind.
//!
//! [`mapping`] is what people write, [`plan`] is the same resolved against one catalog and one header, [`rows`] reads,
//! [`faults`] keeps what is wrong within bounds. None of these does I/O; the reader is passed in. [`mod@file`] opens, and
//! [`send`] talks to the server.

mod cell;
pub mod check;
pub mod demo;
pub mod faults;
pub mod file;
pub mod mapping;
pub mod plan;
pub mod rows;
pub mod send;

#[cfg(test)]
mod tests;
