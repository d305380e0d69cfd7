//! The mapping file: which column of a file becomes which attribute of a customer, and how.
//!
//! ```yaml
//! delimiter: ";"
//! customer: { row: "bank-#####" }
//! attributes:
//!   age: { column: age }
//!   job:
//!     column: job
//!     missing: [unknown]
//!     values: { "admin.": admin }
//!   contacts_before: { column: campaign, plus: -1 }
//! ```
//!
//! Without a mapping, the file's own header is the mapping: see [`Mapping::by_header`].
//!
//! A cell is read in this order. Spaces around it do not count. An empty cell, and one that `missing` lists, is not
//! known. A cell that `values` lists is replaced by what stands there; others stay as they are. Then it is read as the attribute's
//! type wants it, and judged as every value is ([`crate::catalog::values`]).

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

/// The column that holds the customer id when no mapping says otherwise.
pub const CUSTOMER_COLUMN: &str = "customer";
/// What stands between the values of a set when no mapping says otherwise.
pub const SEPARATOR: &str = "|";

/// How the rows of a file become customers.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// What the file is and where it comes from.
    #[serde(default)]
    pub description: String,
    /// The character between two cells.
    #[serde(default = "comma")]
    pub delimiter: char,
    /// Where a row's customer id comes from.
    pub customer: CustomerSource,
    /// By the attribute's id: where its value comes from. Attributes that are not named stay as they are.
    #[serde(default)]
    pub attributes: BTreeMap<String, Cell>,
    /// By the channel's id, or `all`: where "wants no offers there" comes from; read as yes or no.
    #[serde(default)]
    pub opt_outs: BTreeMap<String, Cell>,
}

const fn comma() -> char {
    ','
}

/// Where a row's customer id comes from: exactly one of the two.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomerSource {
    /// A column of the file.
    pub column: Option<String>,
    /// The row's own number, for files without an id: `bank-#####` names the first row `bank-00001`.
    pub row: Option<String>,
}

/// Where one value comes from, and how it is read.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// The column of the file.
    pub column: String,
    /// Words that mean "not known", as in `unknown` or `999`.
    #[serde(default)]
    pub missing: Vec<Word>,
    /// Words of the file, and what they are called here.
    #[serde(default)]
    pub values: BTreeMap<String, Word>,
    /// For a set: what stands between two values; `|` when not given. A cell with nothing but it is the empty set.
    pub separator: Option<String>,
    /// For a date: how it is written, as in `%d.%m.%Y`; as in 2026-03-31 when not given.
    pub date_format: Option<String>,
    /// For a number: is multiplied by this.
    pub times: Option<f64>,
    /// For a number: this is added, after `times`.
    pub plus: Option<f64>,
}

/// A word of a mapping; a number or yes/no in YAML is the word as it would be written in the file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Word(pub String);

impl JsonSchema for Word {
    fn schema_name() -> Cow<'static, str> {
        "Word".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Ok(Self(text)),
            serde_json::Value::Number(number) => Ok(Self(number.to_string())),
            serde_json::Value::Bool(truth) => Ok(Self(truth.to_string())),
            _ => Err(serde::de::Error::custom("a single word or number is wanted")),
        }
    }
}

impl Mapping {
    /// Makes the mapping of a file whose header already speaks our language: the column `customer` holds the id, every
    /// other column is named like the attribute that it holds, or `opt_out.<channel>`.
    #[must_use]
    pub fn by_header<'a>(header: impl IntoIterator<Item = &'a str>) -> Self {
        let mut mapping = Self {
            description: String::new(),
            delimiter: comma(),
            customer: CustomerSource {
                column: Some(CUSTOMER_COLUMN.to_owned()),
                row: None,
            },
            attributes: BTreeMap::new(),
            opt_outs: BTreeMap::new(),
        };
        for column in header.into_iter().filter(|&column| column != CUSTOMER_COLUMN) {
            let cell = Cell {
                column: column.to_owned(),
                ..Cell::default()
            };
            match column.strip_prefix("opt_out.") {
                Some(channel) => mapping.opt_outs.insert(channel.to_owned(), cell),
                None => mapping.attributes.insert(column.to_owned(), cell),
            };
        }
        mapping
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::single::Single;

    fn check(text: &str, expected: &[&str]) {
        let faults = Single::<Mapping>::read("map.yaml", text).map(|_| ()).unwrap_err();
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn the_example_of_the_documentation_is_a_mapping() {
        let text = include_str!("mapping.rs");
        let lines = text
            .lines()
            .skip_while(|line| *line != "//! ```yaml")
            .skip(1)
            .take_while(|line| *line != "//! ```");
        let yaml: String = lines
            .map(|line| {
                line.trim_start_matches("//!")
                    .strip_prefix(' ')
                    .unwrap_or("")
                    .to_owned()
                    + "\n"
            })
            .collect();
        let mapping = Single::<Mapping>::read("example", &yaml).unwrap().says;
        assert_eq!(mapping.customer.row.as_deref(), Some("bank-#####"));
        assert_eq!(mapping.attributes["job"].values["admin."], Word("admin".to_owned()));
    }

    #[test]
    fn what_is_wrong_with_a_mapping_file_is_told_with_its_place() {
        check(
            "customer: { column: id }\natributes:\n  age: { column: age, plus: much }\n  job: { colum: job }\n  b: {}\n",
            &[
                "map.yaml:2:1: error: unknown key `atributes`\n  2 | atributes:\n    | ^^^^^^^^^\n    = did you mean `attributes`?",
                "map.yaml:3:29: error: `plus` must be a number, not the text `much`\n  3 |   age: { column: age, plus: much }\n    |                             ^^^^\n    = write it without quotes, units or thousands separators, as in 0.25",
                "map.yaml:4:10: error: unknown key `colum`\n  4 |   job: { colum: job }\n    |          ^^^^^\n    = did you mean `column`?",
                "map.yaml:5:6: error: the key `column` is missing here\n  5 |   b: {}\n    |      ^\n    = `column`: the column of the file",
            ],
        );
        check("", &["map.yaml:1:1: error: the file is empty"]);
    }

    #[test]
    fn a_fault_found_against_a_catalog_is_told_with_its_place() {
        let text = "customer: { column: id }\nattributes:\n  agee: { column: age }\n  job: { column: jobb }\n";
        let file = Single::<Mapping>::read("map.yaml", text).unwrap();
        let misfit = |path: &[&str]| crate::catalog::single::Misfit {
            path: path.iter().map(|&key| key.to_owned()).collect(),
            message: "m".to_owned(),
            hint: None,
        };
        let told = file.diagnose([
            misfit(&["attributes", "job", "column"]),
            misfit(&["attributes", "agee"]),
        ]);
        let places: Vec<_> = told.iter().map(|told| (told.line, told.column, told.width)).collect();
        assert_eq!(places, [(3, 3, 4), (4, 18, 4)]);
    }
}
