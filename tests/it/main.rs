//! Integration tests, one binary.

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod bank;
#[cfg(test)]
mod campaign;
#[cfg(test)]
mod catalog;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod decoders;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod durable;
#[cfg(test)]
mod factorised;
#[cfg(test)]
mod http;
#[cfg(test)]
mod import;
#[cfg(test)]
mod joined;
#[cfg(test)]
mod kills;
#[cfg(test)]
mod load;
#[cfg(test)]
mod model;
#[cfg(test)]
mod overload;
#[cfg(test)]
mod population;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod safety;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod seen;
#[cfg(test)]
mod serve;
#[cfg(test)]
mod served;
#[cfg(test)]
mod simulator;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod two_stages;
#[cfg(test)]
mod what_if;

/// Held by a test that takes all cores for a while, and by those whose clients wait for answers no longer than people would.
#[cfg(test)]
static CORES: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
