//! What people and their programs write: ids, catalogs, conditions, manifests, lists of customers, campaigns.

use std::sync::{Arc, LazyLock};

use nbo::campaign::Position;
use nbo::catalog::manifest::Manifest;
use nbo::catalog::single::Single;
use nbo::catalog::{Catalog, CatalogFiles, load};
use nbo::cli::campaign::fuzzing::judge_spec;
use nbo::config::files::embedded;
use nbo::domain::ids::{CustomerId, check_id};
use nbo::domain::symbol::Symbols;
use nbo::domain::time::Timestamp;
use nbo::domain::value::Value;
use nbo::import::check::check;
use nbo::import::mapping::Mapping;
use nbo::import::plan::{Plan, Target};
use nbo::import::rows::Rows;
use nbo::rules::{Condition, Facts, Kind, Scope, Space, Variable};
use nbo::server::convert::{campaigns, outcomes};
use nbo::server::status::Refusal;

use super::wires::{ACTIVE, NOW};

/// The catalog of the built-in bank.
pub(crate) static BANK: LazyLock<Arc<Catalog>> = LazyLock::new(|| {
    let catalog = load(&embedded().catalog, &Symbols::default());
    Arc::new(catalog.unwrap_or_else(|faults| panic!("{faults:?}")))
});

/// What a list of customers is read by.
static TARGET: LazyLock<Target> = LazyLock::new(|| Target::of(&BANK));

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

pub(crate) fn ids(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    if check_id(text).is_ok() {
        assert!(!text.is_empty());
    }
    for id in [CustomerId::known(text), CustomerId::anonymous(text)]
        .into_iter()
        .flatten()
    {
        assert_eq!(id.as_str(), text);
        let _ = id.key();
    }
    if let Ok(id) = outcomes::past(text) {
        assert_eq!(id.to_string().to_ascii_lowercase(), text.to_ascii_lowercase());
    }
    // The first digits of a token, where to go on with a campaign, are of one request.
    let fingerprint = text.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok());
    for limits in 0..3 {
        if let Ok(position) = Position::parse(text, fingerprint.unwrap_or_default(), limits) {
            assert_eq!(position.token(fingerprint.unwrap_or_default()).len(), text.len());
        }
    }
}

pub(crate) fn manifest(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    match Manifest::parse(text) {
        Ok(manifest) => assert_eq!(manifest.columns.len(), manifest.input.features),
        Err(faults) => assert!(!faults.is_empty()),
    }
}

/// The files of a catalog stand one after the other, with a line of `%` between them.
pub(crate) fn catalog(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let mut files = CatalogFiles::default();
    for (number, text) in text.split("\n%\n").enumerate() {
        files.rules.insert(format!("{number}.yaml"), text.to_owned());
    }
    match load(&files, &Symbols::default()) {
        // What is in force once can be built again, after itself as well.
        Ok(catalog) => {
            let again = load(&files, &catalog.symbols).unwrap_or_else(|faults| panic!("{faults:?}"));
            assert_eq!(again.version, catalog.version);
        }
        Err(faults) => {
            assert!(!faults.is_empty());
            for fault in faults {
                assert!(!fault.to_string().is_empty());
            }
        }
    }
}

fn variables() -> Vec<Variable> {
    let mut symbols = Symbols::default();
    let mut values = |names: &[&str]| {
        names
            .iter()
            .map(|name| ((*name).to_owned(), symbols.intern(name)))
            .collect()
    };
    let variable = |name: &str, kind, values| Variable {
        name: name.to_owned(),
        kind,
        values,
    };
    vec![
        variable("member", Kind::Boolean, Vec::new()),
        variable("age", Kind::Number, Vec::new()),
        variable("segment", Kind::Category, values(&["retail", "private"])),
        variable("holdings", Kind::Set, values(&["fund", "savings", "travel"])),
        variable("since", Kind::Time, Vec::new()),
    ]
}

pub(crate) fn condition(bytes: &[u8]) {
    static VARIABLES: LazyLock<Vec<Variable>> = LazyLock::new(variables);
    let Some(text) = text(bytes) else { return };
    let scope = Space::ALL
        .into_iter()
        .fold(Scope::new(), |scope, space| scope.with(space, &VARIABLES));
    let condition = match Condition::compile(text, &scope) {
        Ok(condition) => condition,
        Err(faults) => return assert!(!faults.is_empty()),
    };
    let known = [
        Value::Boolean(true),
        Value::Number(18.0),
        Value::Category(VARIABLES[2].values[0].1),
        Value::Set(5),
        Value::Time(Timestamp::from_millis(1_772_442_000_000)),
    ];
    for values in [&known[..], &[]] {
        let facts = Facts {
            profile: values,
            offer: values,
            behaviour: values,
            intent: values,
            context: values,
            event: values,
            now: Timestamp::from_millis(1_772_442_000_000),
        };
        let verdict = condition.evaluate(&facts);
        assert_eq!(verdict, condition.evaluate(&facts));
        let _ = condition.failing_part(&facts);
    }
}

pub(crate) fn mapping(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let mapping = match Single::<Mapping>::read("map.yaml", text) {
        Ok(mapping) => mapping,
        Err(faults) => return assert!(!faults.is_empty()),
    };
    let header = ["customer", "age", "segment", "since"].map(str::to_owned);
    if let Err(faults) = Plan::new(&mapping.says, &header, &TARGET) {
        assert!(!mapping.diagnose(faults).is_empty());
    }
}

/// A mapping may stand before the list, up to a zero byte.
pub(crate) fn rows(bytes: &[u8]) {
    let cut = bytes.iter().position(|&byte| byte == 0);
    let (map, list) = cut.map_or((None, bytes), |cut| (text(&bytes[..cut]), &bytes[cut + 1..]));
    let map = map.and_then(|text| Single::<Mapping>::read("map.yaml", text).ok());
    let delimiter = map.as_ref().and_then(|map| u8::try_from(map.says.delimiter).ok());
    let Ok(mut rows) = Rows::new(list, delimiter.unwrap_or(b',')) else {
        return;
    };
    let map = map.map_or_else(
        || Mapping::by_header(rows.header().iter().map(String::as_str)),
        |map| map.says,
    );
    let plan = match Plan::new(&map, rows.header(), &TARGET) {
        Ok(plan) => plan,
        Err(misfits) => return assert!(!misfits.is_empty()),
    };
    let checked = check(&mut rows, &plan, |_| ());
    assert_eq!(checked.first.is_some(), checked.good > 0);
}

pub(crate) fn spec(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let converted = judge_spec(text, |request| {
        campaigns::order(request, Arc::clone(&ACTIVE), NOW).map_err(|faults| Refusal::from(faults).into())
    });
    if let Err(faults) = converted {
        assert!(!faults.is_empty());
        for fault in faults {
            assert!(!fault.to_string().is_empty());
        }
    }
}
