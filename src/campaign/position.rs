//! Where a run stands: what it needs to go on after a break.

use std::fmt::Write as _;

use crate::domain::ids::CustomerKey;

/// Where a run stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The last customer that lies behind; none at the start.
    pub after: Option<CustomerKey>,
    /// Customers asked for so far, over all parts of the run.
    pub customers: u64,
    /// Units of each limit used so far.
    pub used: Vec<u64>,
}

/// Why a token was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPosition {
    /// Not a token at all.
    #[error("is no resume token; send back the `resume_token` of an answer as it was, or leave it out to begin anew")]
    Malformed,
    /// Of another request.
    #[error("is the token of another request; everything but `resume_after` and `omit_content` has to be as it was")]
    OfAnother,
}

/// Hexadecimal digits of a token without limits: the request's fingerprint, whether anybody lies behind, the customer,
/// and the number of customers.
const DIGITS: usize = 16 + 1 + 32 + 16;
/// Hexadecimal digits of a count.
const COUNT_DIGITS: usize = 16;

impl Position {
    /// Writes a token for the request with this fingerprint.
    #[must_use]
    pub fn token(&self, fingerprint: u64) -> String {
        let key = self.after.map_or(0, CustomerKey::get);
        let mut token = String::with_capacity(DIGITS + COUNT_DIGITS * self.used.len());
        let begun = u8::from(self.after.is_some());
        // Writing into a text cannot fail.
        let _ = write!(token, "{fingerprint:016x}{begun}{key:032x}{:016x}", self.customers);
        for used in &self.used {
            let _ = write!(token, "{used:016x}");
        }
        token
    }

    /// Reads a token of the request with this fingerprint, which has so many limits.
    ///
    /// # Errors
    /// When it is none, or that of another request.
    pub fn parse(token: &str, fingerprint: u64, limits: usize) -> Result<Self, BadPosition> {
        let plain = token
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if !plain || token.len() < DIGITS || !(token.len() - DIGITS).is_multiple_of(COUNT_DIGITS) {
            return Err(BadPosition::Malformed);
        }
        let number = |from: usize, digits: usize| {
            u128::from_str_radix(&token[from..from + digits], 16).map_err(|_| BadPosition::Malformed)
        };
        let count = |from: usize| {
            u64::from_str_radix(&token[from..from + COUNT_DIGITS], 16).map_err(|_| BadPosition::Malformed)
        };
        if count(0)? != fingerprint {
            return Err(BadPosition::OfAnother);
        }
        let used: Result<Vec<u64>, BadPosition> = (DIGITS..token.len()).step_by(COUNT_DIGITS).map(count).collect();
        let used = used?;
        let after = match &token[16..17] {
            "0" => None,
            "1" => Some(CustomerKey::from_packed(number(17, 32)?)),
            _ => return Err(BadPosition::Malformed),
        };
        if used.len() != limits {
            return Err(BadPosition::Malformed);
        }
        Ok(Self {
            after,
            customers: count(49)?,
            used,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_where_to_go_on_and_fits_its_own_request_only() {
        let position = Position {
            after: Some(CustomerKey::from_packed(u128::MAX - 5)),
            customers: 12_345,
            used: vec![0, 77],
        };
        let token = position.token(42);
        assert_eq!(Position::parse(&token, 42, 2), Ok(position));
        assert_eq!(Position::parse(&token, 43, 2), Err(BadPosition::OfAnother));
        assert_eq!(Position::parse(&token, 42, 1), Err(BadPosition::Malformed));
        let start = Position::default();
        assert_eq!(Position::parse(&start.token(7), 7, 0), Ok(start));
        for bad in [
            "",
            "abc",
            &token[1..],
            &token.to_uppercase(),
            &"é".repeat(33),
            &"f".repeat(65),
        ] {
            assert!(Position::parse(bad, 42, 0).is_err(), "{bad}");
        }
    }
}
