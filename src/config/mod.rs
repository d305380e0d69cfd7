//! What the program is told from outside: files, so far.

pub mod files;
