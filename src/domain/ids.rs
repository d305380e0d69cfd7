//! Identifiers that cross the border: customers, decisions and events.

use std::fmt;
use std::str::FromStr;

/// The longest accepted customer, event or session id, in bytes. Long enough for a UUID with a prefix; short enough
/// that a flood of ids cannot fill the memory.
pub const ID_BYTES_MAX: usize = 128;

/// Why an identifier was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing was given.
    #[error("is empty; give 1 to {ID_BYTES_MAX} bytes")]
    Empty,
    /// More than [`ID_BYTES_MAX`] bytes were given.
    #[error("has {0} bytes; at most {ID_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// A control character was given.
    #[error("has a control character at byte {0}; only printable characters are allowed")]
    Control(usize),
    /// The text is not a decision id that this engine gave out.
    #[error("`{0}` is not a decision id; send back the `decision_id` of an answer as it was")]
    NotADecision(String),
}

/// Checks the length and the characters of an external identifier.
///
/// # Errors
/// Says which limit the text breaks.
pub fn check_id(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > ID_BYTES_MAX {
        return Err(IdError::TooLong(text.len()));
    }
    match text.char_indices().find(|(_, character)| character.is_control()) {
        Some((at, _)) => Err(IdError::Control(at)),
        None => Ok(()),
    }
}

/// Whose profile it is: a customer by the bank's own id, or a visitor known only by a cookie or device id. The two
/// are different name spaces: customer `7` and visitor `7` are two people.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CustomerId {
    anonymous: bool,
    text: Box<str>,
}

impl CustomerId {
    /// Makes the id of a known customer.
    ///
    /// # Errors
    /// When the text is empty, longer than [`ID_BYTES_MAX`], or has control characters.
    pub fn known(text: &str) -> Result<Self, IdError> {
        check_id(text)?;
        Ok(Self {
            anonymous: false,
            text: text.into(),
        })
    }

    /// Makes the id of an anonymous visitor.
    ///
    /// # Errors
    /// As for [`CustomerId::known`].
    pub fn anonymous(text: &str) -> Result<Self, IdError> {
        check_id(text)?;
        Ok(Self {
            anonymous: true,
            text: text.into(),
        })
    }

    /// Tells whether this is an anonymous visitor.
    #[must_use]
    pub const fn is_anonymous(&self) -> bool {
        self.anonymous
    }

    /// Returns the id as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the key under which the store keeps this customer.
    #[must_use]
    pub fn key(&self) -> CustomerKey {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[u8::from(self.anonymous)]);
        hasher.update(self.text.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        CustomerKey(u128::from_be_bytes(bytes))
    }
}

impl fmt::Display for CustomerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.anonymous { "visitor" } else { "customer" };
        write!(f, "{kind} `{}`", self.text)
    }
}

/// The first 128 bits of the BLAKE3 hash of a customer's id: what maps and decision ids hold instead of the id itself,
/// so that a decision id in a link tells nothing about the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CustomerKey(u128);

impl CustomerKey {
    /// Returns the key as a number.
    #[must_use]
    pub const fn get(self) -> u128 {
        self.0
    }

    /// Makes a key from a number that [`CustomerKey::get`] gave.
    #[must_use]
    pub const fn from_packed(number: u128) -> Self {
        Self(number)
    }
}

/// One decision: the customer's key and the number of the decision among the customer's own. Written as 40 hexadecimal
/// digits, so an outcome can name the decision alone and still find the customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DecisionId {
    /// Whose decision it is.
    pub customer: CustomerKey,
    /// Which of the customer's decisions it is: each one more than the one before. The first is the second of its making,
    /// counted from 2024, or a later number, so that the numbers of somebody who was forgotten and came back are new.
    pub number: u32,
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}{:08x}", self.customer.0, self.number)
    }
}

impl FromStr for DecisionId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let wrong = || IdError::NotADecision(text.chars().take(64).collect());
        let plain = text.len() == 40
            && text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if !plain {
            return Err(wrong());
        }
        let customer = u128::from_str_radix(&text[..32], 16).map_err(|_| wrong())?;
        let number = u32::from_str_radix(&text[32..], 16).map_err(|_| wrong())?;
        Ok(Self {
            customer: CustomerKey(customer),
            number,
        })
    }
}

/// The first 64 bits of the BLAKE3 hash of an event or session id: enough to recognise a repeated one among the few
/// that a profile remembers.
#[must_use]
pub fn short_hash(text: &str) -> u64 {
    short_hash_of(text.as_bytes())
}

/// The first 64 bits of the BLAKE3 hash of some bytes.
#[must_use]
pub fn short_hash_of(content: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&blake3::hash(content).as_bytes()[..8]);
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_id_survives_its_text() {
        let id = DecisionId {
            customer: CustomerId::known("c-1").unwrap().key(),
            number: 77,
        };
        assert_eq!(id.to_string().parse::<DecisionId>(), Ok(id));
    }

    #[test]
    fn what_is_not_a_decision_id_is_refused() {
        for text in [
            "",
            "abc",
            "+".repeat(40).as_str(),
            "G".repeat(40).as_str(),
            "é".repeat(20).as_str(),
            "A".repeat(40).as_str(),
        ] {
            assert!(text.parse::<DecisionId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_customer_and_a_visitor_of_the_same_name_are_two_people() {
        assert_ne!(
            CustomerId::known("7").unwrap().key(),
            CustomerId::anonymous("7").unwrap().key()
        );
    }

    #[test]
    fn ids_out_of_bounds_are_refused() {
        assert_eq!(CustomerId::known(""), Err(IdError::Empty));
        assert_eq!(CustomerId::known(&"x".repeat(129)), Err(IdError::TooLong(129)));
        assert_eq!(CustomerId::known("a\nb"), Err(IdError::Control(1)));
    }
}
