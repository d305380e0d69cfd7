//! What a condition may read: spaces, the variables in them, and their kinds.

use std::fmt;

use crate::domain::symbol::Symbol;

/// One of the places that a condition reads from; its [`name`](Space::name) comes before the dot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// The customer's attributes.
    Profile,
    /// The attributes of the offer that is being judged.
    Offer,
    /// The customer's aggregates.
    Behaviour,
    /// The current strength of each of the customer's intents.
    Intent,
    /// What the caller said about this request.
    Context,
    /// The attributes of the event that is being folded in.
    Event,
}

impl Space {
    /// All spaces, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::Profile,
        Self::Offer,
        Self::Behaviour,
        Self::Intent,
        Self::Context,
        Self::Event,
    ];

    /// Returns the word that conditions use for this space.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::Offer => "offer",
            Self::Behaviour => "behaviour",
            Self::Intent => "intent",
            Self::Context => "context",
            Self::Event => "event",
        }
    }
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What sort of value a variable holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Yes or no.
    Boolean,
    /// A finite 64-bit floating-point number.
    Number,
    /// One name out of a list.
    Category,
    /// Any number of names out of a list of at most 64.
    Set,
    /// An instant.
    Time,
}

impl Kind {
    /// Returns the kind with its article, as messages say it.
    #[must_use]
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Boolean => "a yes/no value",
            Self::Number => "a number",
            Self::Category => "a category",
            Self::Set => "a set",
            Self::Time => "a time",
        }
    }
}

/// One name that conditions may use after the dot.
#[derive(Clone, Debug, PartialEq)]
pub struct Variable {
    /// The name after the dot.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// The allowed names of a category, or those of a set in the order of their bits (bit 0 first); else empty.
    pub values: Vec<(String, Symbol)>,
}

/// The spaces and variables that a condition in one place of the catalog may use.
///
/// The index of a variable in its slice is the index of its value in [`Facts`](super::Facts).
#[derive(Clone, Debug, Default)]
pub struct Scope<'a> {
    spaces: [Option<&'a [Variable]>; Space::ALL.len()],
}

impl<'a> Scope<'a> {
    /// Makes a scope that allows nothing but `now`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows `space`, with these variables. At most 65,536 of them can be used.
    #[must_use]
    pub fn with(mut self, space: Space, variables: &'a [Variable]) -> Self {
        self.spaces[space as usize] = Some(variables);
        self
    }

    /// Returns the variables of `space`, or `None` where the space may not be used.
    #[must_use]
    pub fn variables(&self, space: Space) -> Option<&'a [Variable]> {
        self.spaces[space as usize]
    }

    /// Returns the spaces that may be used, in the order of [`Space::ALL`].
    pub fn spaces(&self) -> impl Iterator<Item = Space> + '_ {
        Space::ALL.into_iter().filter(|&space| self.variables(space).is_some())
    }
}
