//! `nbo schema`: the JSON Schema of catalog files, for editors.

use std::io::Write;
use std::process::ExitCode;

use crate::catalog::json_schema;

/// Prints the JSON Schema of catalog files, with which editors complete and check while somebody types.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  nbo schema > rules/catalog.schema.json   the first line of a catalog's file then names it:
                                           # yaml-language-server: $schema=../catalog.schema.json")]
pub struct Args {}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When the text cannot be written.
    pub fn run(&self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        writeln!(out, "{}", text()?)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns the schema as text.
fn text() -> serde_json::Result<String> {
    serde_json::to_string_pretty(&json_schema())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_beside_the_rules_is_current() {
        let written = include_str!("../../rules/catalog.schema.json");
        let current = text().unwrap();
        assert_eq!(
            written.trim_end(),
            current,
            "run `nbo schema > rules/catalog.schema.json`"
        );
    }
}
