//! Integration tests, one binary.

#[cfg(test)]
mod bank;
#[cfg(test)]
mod catalog;
mod demo;
#[cfg(test)]
mod model;
#[cfg(test)]
mod population;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod tidy;
