//! What the program is told from outside: files, and what they make.

pub mod assembly;
pub mod files;
