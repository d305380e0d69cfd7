//! What is wrong with a condition, in words for the person who wrote it.

use std::ops::Range;

/// One thing wrong with a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The bytes of the source that it is about; may be empty, at the end, when something is missing there.
    pub range: Range<usize>,
    /// What is wrong, in one sentence without a final period.
    pub message: String,
    /// What to write instead, where that can be said.
    pub hint: Option<String>,
}

impl Fault {
    pub(super) fn new(range: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            range,
            message: message.into(),
            hint: None,
        }
    }

    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Names that fit into one hint.
const NAMES_LISTED_MAX: usize = 12;

/// Returns the name that `wrong` was probably meant to be: at most a third of its letters differ.
pub fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (wrong.chars().count() / 3).max(1);
    let lowered = wrong.to_lowercase();
    names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&lowered, &name.to_lowercase()), name))
        .filter(|&(distance, _)| distance <= allowed)
        .min()
        .map(|(_, name)| name)
}

/// Says which name was probably meant, or else which there are; `mark` surrounds each name.
pub(super) fn suggest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>, mark: &str) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    if let Some(name) = nearest(wrong, names.iter().copied()) {
        return format!("did you mean {mark}{name}{mark}?");
    }
    if names.is_empty() {
        return "none is declared".to_owned();
    }
    let listed: Vec<String> = names
        .iter()
        .take(NAMES_LISTED_MAX)
        .map(|name| format!("{mark}{name}{mark}"))
        .collect();
    let rest = names.len().saturating_sub(NAMES_LISTED_MAX);
    let more = if rest == 0 {
        String::new()
    } else {
        format!(" and {rest} more")
    };
    format!("there are {}{more}", listed.join(", "))
}
