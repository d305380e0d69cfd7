//! Integration tests, one binary.

#[cfg(test)]
mod catalog;
#[cfg(test)]
mod model;
mod population;
