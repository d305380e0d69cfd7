//! From files to typed items, each with its place; and the names by which they refer to each other.
//!
//! An item whose shape is wrong is left out, but its id is remembered: what refers to it is not wrong for that. So one
//! fault is reported once.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde::de::DeserializeOwned;

use super::document::{At, Document, Report};
use super::shape::{self, Step};
use super::source;
use super::values;

/// The longest id, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 64;

/// One item of a list, with its place.
#[derive(Debug)]
pub(super) struct Item<'a, T> {
    pub(super) at: At<'a>,
    pub(super) source: T,
}

/// The items of one kind from all files, in the order of the files.
#[derive(Debug)]
pub(super) struct Listed<'a, T> {
    pub(super) items: Vec<Item<'a, T>>,
    /// Ids of items that were left out.
    pub(super) faulty: BTreeSet<String>,
    /// Whether there may be items of whose ids nothing is known.
    pub(super) incomplete: bool,
}

/// Everything that the files of a catalog say.
#[derive(Debug)]
pub(super) struct Sources<'a> {
    pub(super) settings: Listed<'a, source::Settings>,
    pub(super) channels: Listed<'a, source::Channel>,
    pub(super) places: Listed<'a, String>,
    pub(super) profile: Listed<'a, source::Attribute>,
    pub(super) offer_attributes: Listed<'a, source::Attribute>,
    pub(super) context: Listed<'a, source::Attribute>,
    pub(super) events: Listed<'a, source::EventType>,
    pub(super) aggregates: Listed<'a, source::Aggregate>,
    pub(super) intents: Listed<'a, source::Intent>,
    pub(super) groups: Listed<'a, source::Group>,
    pub(super) offers: Listed<'a, source::Offer>,
    pub(super) placements: Listed<'a, source::Placement>,
    pub(super) caps: Listed<'a, source::Cap>,
    pub(super) purposes: Listed<'a, source::Purpose>,
    pub(super) hold_outs: Listed<'a, source::HoldOut>,
    pub(super) cool_downs: Listed<'a, source::CoolDown>,
    pub(super) campaigns: Listed<'a, source::Campaign>,
    pub(super) models: Listed<'a, String>,
}

impl<'a> Sources<'a> {
    /// Reads everything out of the files; `wrong` has the paths of wrong values, for each file.
    pub(super) fn read(documents: &'a [Document<'a>], wrong: &[Vec<Vec<Step>>], report: &mut Report) -> Self {
        let mut reader = Reader {
            documents,
            wrong,
            report,
        };
        Self {
            settings: reader.single("catalog"),
            channels: reader.list(&["channels"]),
            places: reader.list(&["places"]),
            profile: reader.list(&["attributes", "profile"]),
            offer_attributes: reader.list(&["attributes", "offer"]),
            context: reader.list(&["attributes", "context"]),
            events: reader.list(&["events"]),
            aggregates: reader.list(&["aggregates"]),
            intents: reader.list(&["intents"]),
            groups: reader.list(&["groups"]),
            offers: reader.list(&["offers"]),
            placements: reader.list(&["placements"]),
            caps: reader.list(&["caps"]),
            purposes: reader.list(&["purposes"]),
            hold_outs: reader.list(&["hold_outs"]),
            cool_downs: reader.list(&["cool_downs"]),
            campaigns: reader.list(&["campaigns"]),
            models: reader.list(&["models"]),
        }
    }
}

/// Checks the shape of every file, and returns the paths of wrong values for each.
pub(super) fn check_shapes(documents: &mut [Document<'_>], report: &mut Report) -> Vec<Vec<Vec<Step>>> {
    documents
        .iter_mut()
        .map(|document| shape::check(document, &shape::CATALOG, report))
        .collect()
}

struct Reader<'a, 'r> {
    documents: &'a [Document<'a>],
    wrong: &'r [Vec<Vec<Step>>],
    report: &'r mut Report,
}

impl<'a> Reader<'a, '_> {
    fn list<T: DeserializeOwned>(&mut self, path: &[&str]) -> Listed<'a, T> {
        let mut listed = Listed {
            items: Vec::new(),
            faulty: BTreeSet::new(),
            incomplete: false,
        };
        for (document, wrong) in self.documents.iter().zip(self.wrong) {
            let place = path.iter().fold(document.top(), |at, key| at.key(key));
            let path: Vec<Step> = path.iter().map(|key| Step::Key((*key).to_owned())).collect();
            listed.incomplete |= document.broken || wrong.iter().any(|wrong| path.starts_with(wrong));
            let wrong_elements: HashSet<usize> = wrong.iter().filter_map(|wrong| element_in(wrong, &path)).collect();
            for (index, at) in place.items().enumerate() {
                self.item(at, wrong_elements.contains(&index), &mut listed);
            }
        }
        listed
    }

    fn single<T: DeserializeOwned>(&mut self, key: &str) -> Listed<'a, T> {
        let mut listed = Listed {
            items: Vec::new(),
            faulty: BTreeSet::new(),
            incomplete: false,
        };
        for (document, wrong) in self.documents.iter().zip(self.wrong) {
            let path = [Step::Key(key.to_owned())];
            let is_wrong = wrong.iter().any(|wrong| wrong.starts_with(&path));
            listed.incomplete |= document.broken || is_wrong || wrong.iter().any(Vec::is_empty);
            if document.root.as_ref().is_some_and(|root| root.entry(key).is_some()) {
                self.item(document.top().key(key), is_wrong, &mut listed);
            }
        }
        listed
    }

    fn item<T: DeserializeOwned>(&mut self, at: At<'a>, is_wrong: bool, listed: &mut Listed<'a, T>) {
        let Some(node) = at.node() else { return };
        match serde_json::from_value(node.to_json()) {
            Ok(source) if !is_wrong => return listed.items.push(Item { at, source }),
            Err(error) if !is_wrong => self.report.error(at, error.to_string()),
            _ => {}
        }
        match node.text().or_else(|| node.entry("id")?.node.text()) {
            Some(id) => drop(listed.faulty.insert(id.to_owned())),
            None => listed.incomplete = true,
        }
    }
}

/// Returns which element of the list at `list` the path leads into, if it does.
fn element_in(path: &[Step], list: &[Step]) -> Option<usize> {
    match path.strip_prefix(list)?.first()? {
        Step::Element(index) => Some(*index),
        Step::Key(_) => None,
    }
}

impl<T> Listed<'_, T> {
    /// Checks the ids of all items, and drops items whose id another one had before. An item with a wrong id was probably
    /// meant to have another one, which somebody refers to; so nobody is wrong then for referring to what is not there.
    pub(super) fn check_ids(&mut self, what: &str, id: impl Fn(&T) -> &str, report: &mut Report) {
        let mut first: HashMap<String, At<'_>> = HashMap::new();
        let mut is_wrong = false;
        self.items.retain(|item| {
            let id = id(&item.source);
            let at = if item.at.node().is_some_and(|node| node.entry("id").is_some()) {
                item.at.key("id")
            } else {
                item.at
            };
            is_wrong |= !check_name(at, what, id, report);
            if let Some(earlier) = first.get(id) {
                let hint = format!(
                    "the first is in {}:{}; every {what} needs an id of its own",
                    earlier.file(),
                    earlier.line()
                );
                report.error_with_hint(at, format!("there are two {what}s `{id}`"), hint);
                is_wrong = true;
                return false;
            }
            first.insert(id.to_owned(), at);
            true
        });
        self.incomplete |= is_wrong;
    }

    /// Returns the names by which others refer to these items.
    pub(super) fn directory(&self, what: &'static str, id: impl Fn(&T) -> &str) -> Directory {
        let positions = self
            .items
            .iter()
            .enumerate()
            .map(|(at, item)| (id(&item.source).to_owned(), at));
        Directory {
            what,
            names: self.items.iter().map(|item| id(&item.source).to_owned()).collect(),
            positions: positions.collect(),
            faulty: self.faulty.clone(),
            incomplete: self.incomplete,
        }
    }
}

/// Tells whether an id has the right length and characters. Attributes, aggregates and intents are named in conditions, so
/// they must be words of that language; the ids of everything else come from the business's own systems and may look like
/// `FUND-0012`.
pub(super) fn fits(what: &str, name: &str) -> bool {
    let in_conditions = is_in_conditions(what);
    let part = |byte: u8| match byte {
        b'a'..=b'z' | b'0'..=b'9' | b'_' => true,
        b'A'..=b'Z' | b'-' => !in_conditions,
        _ => false,
    };
    let begins = |byte: &u8| byte.is_ascii_lowercase() || (!in_conditions && byte.is_ascii_alphanumeric());
    name.len() <= NAME_BYTES_MAX && name.bytes().all(part) && name.as_bytes().first().is_some_and(begins)
}

fn is_in_conditions(what: &str) -> bool {
    what.ends_with("attribute") || matches!(what, "aggregate" | "intent")
}

/// Checks an id, and tells whether it fits.
pub(super) fn check_name(at: At<'_>, what: &str, name: &str, report: &mut Report) -> bool {
    if fits(what, name) {
        return true;
    }
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        let bytes = name.len();
        let message = format!("the id of this {what} has {bytes} bytes; 1 to {NAME_BYTES_MAX} are allowed");
        report.error(at, message);
        return false;
    }
    let allowed = if is_in_conditions(what) {
        "such an id has lower-case letters, digits and `_`, and begins with a letter, since conditions name it"
    } else {
        "an id has letters, digits, `_` and `-`, and begins with a letter or digit"
    };
    let hint = match correction(name) {
        Some(correction) => format!("{allowed}; did you mean `{correction}`?"),
        None => allowed.to_owned(),
    };
    report.error_with_hint(at, format!("`{name}` cannot be the id of {}", with_article(what)), hint);
    false
}

fn with_article(what: &str) -> String {
    let article = if what.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {what}")
}

/// Returns an id that is nearly `name`.
fn correction(name: &str) -> Option<String> {
    let plain: String = name
        .to_ascii_lowercase()
        .chars()
        .map(|each| if each.is_ascii_alphanumeric() { each } else { '_' })
        .collect();
    let trimmed = plain.trim_matches('_');
    trimmed
        .starts_with(|first: char| first.is_ascii_lowercase())
        .then(|| trimmed.to_owned())
}

/// The names of all items of one kind.
#[derive(Debug, Default)]
pub(super) struct Directory {
    what: &'static str,
    names: Vec<String>,
    positions: HashMap<String, usize>,
    faulty: BTreeSet<String>,
    incomplete: bool,
}

impl Directory {
    /// Makes a directory of names that nothing can be wrong with.
    pub(super) fn of(what: &'static str, names: Vec<String>) -> Self {
        let positions = names.iter().cloned().enumerate().map(|(at, name)| (name, at)).collect();
        Self {
            what,
            names,
            positions,
            ..Self::default()
        }
    }

    /// Adds what is known of another kind's faults: names may come from there as well.
    pub(super) const fn doubt(&mut self, incomplete: bool) {
        self.incomplete |= incomplete;
    }

    /// Returns the position of an item, and reports when there is none of that name.
    pub(super) fn find(&self, at: At<'_>, name: &str, report: &mut Report) -> Option<usize> {
        let position = self.positions.get(name).copied();
        if position.is_none() && !self.is_doubtful(name) {
            let names = self.names.iter().map(String::as_str);
            let hint = values::hint(name, names);
            report.error_with_hint(at, format!("there is no {} `{name}`", self.what), hint);
        }
        position
    }

    /// Tells whether an item of this name may be in a part of the files that could not be read.
    pub(super) fn is_doubtful(&self, name: &str) -> bool {
        self.incomplete || self.faulty.contains(name)
    }

    /// Returns the position of an item, if there is one.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.positions.get(name).copied()
    }

    /// Returns the name at a position.
    pub(super) fn name(&self, at: usize) -> &str {
        self.names.get(at).map_or("", String::as_str)
    }

    /// Returns how many names there are.
    pub(super) const fn len(&self) -> usize {
        self.names.len()
    }

    /// Returns ids that are declared but faulty, and whether there may be others.
    pub(super) fn doubts(&self) -> (&BTreeSet<String>, bool) {
        (&self.faulty, self.incomplete)
    }
}
