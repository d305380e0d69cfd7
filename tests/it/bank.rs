//! The embedded bank catalog: without fault, and the flow that must be right first.

use std::collections::BTreeMap;

use nbo::catalog::{Catalog, CatalogFiles, load};
use nbo::domain::symbol::Symbols;

fn bank() -> Catalog {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = CatalogFiles::default();
    for entry in std::fs::read_dir(root.join("rules/bank")).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("rules/bank/{}", path.file_name().unwrap().to_string_lossy());
        files.rules.insert(name, std::fs::read_to_string(path).unwrap());
    }
    let manifest = std::fs::read_to_string(root.join("models/bank/manifest.json")).unwrap();
    files.models = BTreeMap::from([("bank".to_owned(), manifest)]);
    match load(&files, &Symbols::default()) {
        Ok(catalog) => catalog,
        Err(diagnostics) => panic!(
            "{}",
            diagnostics
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("\n")
        ),
    }
}

#[test]
fn the_bank_catalog_is_without_fault_or_warning() {
    let catalog = bank();
    let warnings: Vec<String> = catalog.warnings.iter().map(ToString::to_string).collect();
    assert!(warnings.is_empty(), "{}", warnings.join("\n"));
    println!(
        "{} offers, {} aggregates, {} reads context",
        catalog.offers.len(),
        catalog.aggregates.len(),
        catalog.ranking_reads_context
    );
}
