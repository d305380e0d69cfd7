//! The `nbo` command.
fn main() {}
