//! A YAML file that stands by itself, such as an import's mapping: read and refused as a catalog's files are.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::diagnostic::Diagnostic;
use super::document::{Document, Report};
use super::shape::{self, Shape};
use super::yaml::Data;

/// What a file says, and its text, so that faults found later can still point to their lines.
#[derive(Clone, Debug)]
pub struct Single<T> {
    /// What it says.
    pub says: T,
    name: String,
    text: String,
}

/// Something wrong with what a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The keys that lead to it, from the top of the file; an element of a list by its number, from 0.
    pub path: Vec<String>,
    /// What is wrong.
    pub message: String,
    /// What to write instead, where that can be said.
    pub hint: Option<String>,
}

impl<T: DeserializeOwned + JsonSchema> Single<T> {
    /// Reads a file.
    ///
    /// # Errors
    /// Everything that is wrong with its syntax and its shape: unknown and missing keys, values of the wrong type.
    pub fn read(name: &str, text: &str) -> Result<Self, Vec<Diagnostic>> {
        let mut report = Report::default();
        let mut document = Document::read(name, text, &mut report);
        shape::check(&mut document, &Shape::of::<T>(), &mut report);
        let says = match &document.root {
            Some(root) if !report.has_errors() => match serde_json::from_value(root.to_json()) {
                Ok(says) => Some(says),
                Err(error) => {
                    report.error(document.top(), error.to_string());
                    None
                }
            },
            Some(_) => None,
            None => {
                if !document.broken {
                    report.error(document.top(), "the file is empty");
                }
                None
            }
        };
        match says {
            Some(says) => Ok(Self {
                says,
                name: name.to_owned(),
                text: text.to_owned(),
            }),
            None => Err(report.into_diagnostics()),
        }
    }
}

impl<T> Single<T> {
    /// Says where in the file each fault is.
    pub fn diagnose(&self, faults: impl IntoIterator<Item = Misfit>) -> Vec<Diagnostic> {
        let mut report = Report::default();
        let document = Document::read(&self.name, &self.text, &mut Report::default());
        for fault in faults {
            let mut at = document.top();
            for key in &fault.path {
                let is_list = at.node().is_some_and(|node| matches!(node.data, Data::List(_)));
                let value = match key.parse() {
                    Ok(index) if is_list => at.item(index),
                    _ => at.key(key),
                };
                let is_map = value.node().is_some_and(|node| matches!(node.data, Data::Map(_)));
                let ends_here = std::ptr::eq(key, fault.path.last().unwrap_or(key));
                at = if ends_here && is_map { at.name_of(key) } else { value };
            }
            match fault.hint {
                Some(hint) => report.error_with_hint(at, fault.message, hint),
                None => report.error(at, fault.message),
            }
        }
        report.into_diagnostics()
    }
}
