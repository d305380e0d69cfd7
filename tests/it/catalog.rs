//! What a catalog's author can rely on: every fault at once, at its place, in plain words.

use std::collections::BTreeMap;

use nbo::catalog::{Catalog, CatalogFiles, Diagnostic, load};
use nbo::domain::symbol::Symbols;

fn small() -> CatalogFiles {
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    CatalogFiles {
        rules: BTreeMap::from([
            file("catalog.yaml", include_str!("catalog/small/catalog.yaml")),
            file("offers.yaml", include_str!("catalog/small/offers.yaml")),
        ]),
        models: BTreeMap::from([file("bank", include_str!("catalog/small/manifest.json"))]),
    }
}

fn loaded(files: &CatalogFiles) -> Result<Catalog, Vec<Diagnostic>> {
    load(files, &Symbols::default())
}

#[test]
fn the_small_catalog_is_without_fault() {
    match loaded(&small()) {
        Ok(catalog) => assert_eq!(catalog.warnings, []),
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
