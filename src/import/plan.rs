//! A mapping resolved against one header and one schema: everything that can be wrong with it is found before the first row.

use std::collections::HashMap;
use std::sync::Arc;

use super::cell::{CellFault, CellPlan, Destination, text_of};
use super::faults::Fault;
use super::mapping::{Cell, CustomerSource, Mapping, SEPARATOR, Word};
use crate::catalog::single::Misfit;
use crate::catalog::values::{hint, shortened};
use crate::catalog::{Attribute, AttributeType, Catalog};
use crate::domain::entry::ProfileChange;
use crate::domain::ids::CustomerId;
use crate::domain::symbol::{Symbol, Symbols};

/// In a mapping's `opt_outs`: no offers on any channel.
const ALL_CHANNELS: &str = "all";
/// Digits of a row's number in a customer id: as many as the largest number has.
const DIGITS_MAX: usize = 20;

/// What rows are checked against: the customer's part of a catalog, from files or from a server.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// The attributes of customers.
    pub attributes: Vec<Attribute>,
    /// The channels.
    pub channels: Vec<(Arc<str>, Symbol)>,
    /// The names behind the symbols.
    pub symbols: Symbols,
}

impl Target {
    /// Takes the customer's part of a catalog.
    #[must_use]
    pub fn of(catalog: &Catalog) -> Self {
        let channels = catalog
            .channels
            .iter()
            .map(|channel| (Arc::clone(&channel.id), channel.symbol))
            .collect();
        Self {
            attributes: catalog.profile.attributes.clone(),
            channels,
            symbols: catalog.symbols.clone(),
        }
    }
}

/// How each row of one file becomes a profile change.
#[derive(Debug)]
pub struct Plan {
    width: usize,
    customer: CustomerPlan,
    cells: Vec<CellPlan>,
    unused_columns: Vec<String>,
    symbols: Symbols,
}

#[derive(Debug)]
enum CustomerPlan {
    Column {
        at: usize,
        name: String,
    },
    Row {
        before: String,
        digits: usize,
        after: String,
    },
}

impl Plan {
    /// Resolves a mapping against the header of a file.
    ///
    /// # Errors
    /// Everything that is wrong with the mapping: a column that the file does not have or has twice, an attribute or
    /// channel that the schema does not have, a setting that does not fit the attribute's type, a replaced word that
    /// the attribute does not allow.
    pub fn new(mapping: &Mapping, header: &[String], target: &Target) -> Result<Self, Vec<Misfit>> {
        let mut resolver = Resolver {
            header,
            target,
            faults: Vec::new(),
        };
        let customer = resolver.customer(&mapping.customer);
        let mut cells = Vec::new();
        for (id, cell) in &mapping.attributes {
            cells.extend(resolver.attribute(id, cell));
        }
        for (channel, cell) in &mapping.opt_outs {
            cells.extend(resolver.opt_out(channel, cell));
        }
        let faults = resolver.faults;
        let Some(customer) = customer.filter(|_| faults.is_empty()) else {
            return Err(faults);
        };
        let used = |at: usize| {
            cells.iter().any(|cell| cell.at == at)
                || matches!(customer, CustomerPlan::Column { at: id, .. } if id == at)
        };
        let unused_columns = header
            .iter()
            .enumerate()
            .filter(|&(at, _)| !used(at))
            .map(|(_, name)| name.clone())
            .collect();
        Ok(Self {
            width: header.len(),
            customer,
            cells,
            unused_columns,
            symbols: target.symbols.clone(),
        })
    }

    /// Returns the columns of the file from which nothing is taken.
    #[must_use]
    pub fn unused_columns(&self) -> &[String] {
        &self.unused_columns
    }

    /// Reads one row: `number` counts the rows from 1, `line` is where the row begins.
    ///
    /// # Errors
    /// Everything that is wrong with the row.
    pub fn row(
        &self,
        cells: &csv::ByteRecord,
        number: u64,
        line: u64,
    ) -> Result<(CustomerId, ProfileChange), Vec<Fault>> {
        if cells.len() != self.width {
            let message = format!("has {} cells, but the header has {}", cells.len(), self.width);
            return Err(vec![Fault {
                line,
                column: String::new(),
                kind: "wrong number of cells",
                message,
            }]);
        }
        let mut faults = Vec::new();
        let mut note = |column: &str, (kind, message): CellFault| {
            faults.push(Fault {
                line,
                column: column.to_owned(),
                kind,
                message,
            });
        };
        let customer = self
            .customer(cells, number)
            .map_err(|(column, fault)| note(column, fault));
        let mut change = ProfileChange::default();
        for plan in &self.cells {
            match text_of(cells, plan.at).and_then(|text| plan.read(text, &self.symbols)) {
                Ok(value) => plan.put(value, &mut change),
                Err(fault) => note(&plan.column, fault),
            }
        }
        match customer {
            Ok(customer) if faults.is_empty() => {
                change.attributes.sort_by_key(|entry| entry.0);
                Ok((customer, change))
            }
            _ => Err(faults),
        }
    }

    fn customer(&self, cells: &csv::ByteRecord, number: u64) -> Result<CustomerId, (&str, CellFault)> {
        let named =
            |text: &str| CustomerId::known(text).map_err(|error| ("customer id", format!("the customer id {error}")));
        match &self.customer {
            CustomerPlan::Column { at, name } => text_of(cells, *at)
                .and_then(named)
                .map_err(|fault| (name.as_str(), fault)),
            CustomerPlan::Row { before, digits, after } => {
                named(&format!("{before}{number:0digits$}{after}")).map_err(|fault| ("", fault))
            }
        }
    }
}

struct Resolver<'a> {
    header: &'a [String],
    target: &'a Target,
    faults: Vec<Misfit>,
}

impl Resolver<'_> {
    fn fault(&mut self, path: &[&str], message: String, hint: Option<String>) {
        let path = path.iter().map(|&key| key.to_owned()).collect();
        self.faults.push(Misfit { path, message, hint });
    }

    fn column(&mut self, name: &str, path: &[&str]) -> Option<usize> {
        let mut found = self
            .header
            .iter()
            .enumerate()
            .filter(|(_, column)| *column == name)
            .map(|(at, _)| at);
        match (found.next(), found.next()) {
            (Some(at), None) => Some(at),
            (Some(_), Some(_)) => {
                self.fault(
                    path,
                    format!("the file has two columns `{name}`"),
                    Some("rename one of them".to_owned()),
                );
                None
            }
            _ => {
                let known = hint(name, self.header.iter().map(String::as_str));
                let known = match self.header.len() {
                    0 | 1 => format!("{known}; the header is one cell: is `delimiter` right?"),
                    _ => known,
                };
                self.fault(
                    path,
                    format!("the file has no column `{}`", shortened(name)),
                    Some(known),
                );
                None
            }
        }
    }

    fn customer(&mut self, source: &CustomerSource) -> Option<CustomerPlan> {
        match (&source.column, &source.row) {
            (Some(name), None) => {
                let at = self.column(name, &["customer", "column"])?;
                Some(CustomerPlan::Column { at, name: name.clone() })
            }
            (None, Some(pattern)) => self.numbered(pattern),
            _ => {
                let hint =
                    "write `column: ...` for files with an id, or `row: bank-#####` for files without".to_owned();
                self.fault(
                    &["customer"],
                    "give `column` or `row`, and not both".to_owned(),
                    Some(hint),
                );
                None
            }
        }
    }

    fn numbered(&mut self, pattern: &str) -> Option<CustomerPlan> {
        let start = pattern.find('#').unwrap_or(pattern.len());
        let digits = pattern[start..].bytes().take_while(|&byte| byte == b'#').count();
        let (before, after) = (&pattern[..start], &pattern[start + digits..]);
        if digits == 0 || digits > DIGITS_MAX || after.contains('#') {
            let message = format!("`{}` does not say where the row's number goes", shortened(pattern));
            let hint = format!("write one run of 1 to {DIGITS_MAX} `#`, as in `bank-#####`");
            self.fault(&["customer", "row"], message, Some(hint));
            return None;
        }
        Some(CustomerPlan::Row {
            before: before.to_owned(),
            digits,
            after: after.to_owned(),
        })
    }

    fn attribute(&mut self, id: &str, cell: &Cell) -> Option<CellPlan> {
        let target = self.target;
        let Some(attribute) = target.attributes.iter().find(|attribute| &*attribute.id == id) else {
            let known = hint(id, target.attributes.iter().map(|attribute| &*attribute.id));
            self.fault(
                &["attributes", id],
                format!("customers have no attribute `{}`", shortened(id)),
                Some(known),
            );
            return None;
        };
        let before = self.faults.len();
        self.settings(&["attributes", id], cell, attribute.attribute_type);
        let plan = self.cell(&["attributes", id], cell, Destination::Attribute(attribute.clone()))?;
        (self.faults.len() == before).then_some(plan)
    }

    fn opt_out(&mut self, channel: &str, cell: &Cell) -> Option<CellPlan> {
        let known = self
            .target
            .channels
            .iter()
            .find(|(id, _)| &**id == channel)
            .map(|entry| entry.1);
        let destination = match known {
            Some(symbol) => Destination::OptOut(symbol),
            None if channel == ALL_CHANNELS => Destination::OptOutOfAll,
            None => {
                let names = self.target.channels.iter().map(|(id, _)| &**id).chain([ALL_CHANNELS]);
                let known = hint(channel, names);
                self.fault(
                    &["opt_outs", channel],
                    format!("there is no channel `{}`", shortened(channel)),
                    Some(known),
                );
                return None;
            }
        };
        self.settings(&["opt_outs", channel], cell, AttributeType::Boolean);
        self.cell(&["opt_outs", channel], cell, destination)
    }

    /// Refuses settings that the type has no use for: they would silently do nothing.
    fn settings(&mut self, path: &[&str], cell: &Cell, attribute_type: AttributeType) {
        let given = [
            ("times", cell.times.is_some(), AttributeType::Number),
            ("plus", cell.plus.is_some(), AttributeType::Number),
            ("separator", cell.separator.is_some(), AttributeType::Set),
            ("date_format", cell.date_format.is_some(), AttributeType::Date),
        ];
        for (setting, _, wants) in given
            .into_iter()
            .filter(|&(_, is_given, wants)| is_given && wants != attribute_type)
        {
            let message = format!(
                "`{setting}` is for {}, but this is {}",
                wants.phrase(),
                attribute_type.phrase()
            );
            self.fault(&[path, &[setting]].concat(), message, None);
        }
        if cell.separator.as_deref() == Some("") {
            let hint = Some("write the character between two values, as in \"|\"".to_owned());
            self.fault(
                &[path, &["separator"]].concat(),
                "an empty text separates nothing".to_owned(),
                hint,
            );
        }
    }

    fn cell(&mut self, path: &[&str], cell: &Cell, destination: Destination) -> Option<CellPlan> {
        let at = self.column(&cell.column, &[path, &["column"]].concat())?;
        let missing: Vec<String> = cell.missing.iter().map(|word| word.0.clone()).collect();
        let mut plan = CellPlan {
            at,
            column: cell.column.clone(),
            destination,
            missing_numbers: missing.iter().filter_map(|word| word.parse().ok()).collect(),
            missing,
            values: HashMap::new(),
            separator: cell.separator.clone().unwrap_or_else(|| SEPARATOR.to_owned()),
            date_format: cell.date_format.clone(),
            times: cell.times.unwrap_or(1.0),
            plus: cell.plus.unwrap_or(0.0),
        };
        for (from, Word(to)) in &cell.values {
            if let Err((_, message)) = plan.read(to, &self.target.symbols) {
                self.fault(&[path, &["values", from]].concat(), message, None);
            }
        }
        plan.values = cell
            .values
            .iter()
            .map(|(from, to)| (from.clone(), to.0.clone()))
            .collect();
        Some(plan)
    }
}
