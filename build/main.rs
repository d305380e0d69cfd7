//! The build script: what the program needs besides its own sources.

mod onnxruntime;
mod proto;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    onnxruntime::provide();
    proto::compile()
}

/// Tells cargo something, as in `rerun-if-changed=build` or `warning=...`.
#[expect(
    clippy::print_stdout,
    reason = "cargo reads a build script's directives from its standard output"
)]
fn tell_cargo(directive: &str) {
    println!("cargo::{directive}");
}
