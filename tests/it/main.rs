//! Integration tests, one binary.

#[cfg(test)]
mod model;
