//! What the program is told from outside: files, and what they make.

pub mod assembly;
pub mod data;
pub mod files;
pub mod past;
pub mod restored;
#[cfg(test)]
mod restored_tests;
pub mod upkeep;
#[cfg(test)]
mod upkeep_tests;
pub mod versions;
