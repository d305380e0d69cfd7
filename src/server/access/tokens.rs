//! The tokens file: who may call, one line for each, without the secret itself.
//!
//! ```text
//! # name     roles           what they show
//! website    offers,events   sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//! backend    profiles        dns:backend.bank.internal
//! batch      catalog,events  uri:spiffe://bank/batch
//! ```
//!
//! A token is shown as `authorization: Bearer …`; the file has its SHA-256, so that who reads the file cannot use it.
//! All lines are compared, each in the same time wherever it differs. Tokens have to be long and drawn by chance, as
//! `nbo token new` makes them: a checksum does not protect a word that can be guessed. A certificate is known by a name
//! it was issued for (`subjectAltName`), when the server asks for certificates.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;

use ring::rand::{SecureRandom as _, SystemRandom};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

use super::caller::{Caller, Peer};
use super::table::{Role, Roles};
use crate::server::limits::TOKENS_MAX;

/// What a token begins with, so that people and scanners of published code know one when they see it.
const PREFIX: &str = "nbo_";
/// Bytes of chance in a token: nobody guesses 256 bits.
const CHANCE_BYTES: usize = 32;

/// Everybody in the file.
#[derive(Debug, Default)]
pub struct Tokens {
    tokens: Vec<([u8; 32], Arc<Caller>)>,
    certificates: HashMap<String, Arc<Caller>>,
}

impl Tokens {
    /// Reads the file's contents.
    ///
    /// # Errors
    /// Says which lines are wrong, and why.
    pub fn read(contents: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(contents).map_err(|_| "the tokens file is not UTF-8".to_owned())?;
        let mut read = Self::default();
        let mut names = HashSet::new();
        let mut faults = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let taken = read.take(line).and_then(|name| {
                let is_new = names.insert(name.clone());
                is_new
                    .then_some(())
                    .ok_or_else(|| format!("the name `{name}` has a line already"))
            });
            if let Err(why) = taken {
                faults.push(format!("line {}: {why}", number + 1));
            }
        }
        let count = read.tokens.len() + read.certificates.len();
        if count > TOKENS_MAX {
            faults.push(format!("{count} lines are more than {TOKENS_MAX}; give users JWTs"));
        }
        if faults.is_empty() {
            Ok(read)
        } else {
            Err(faults.join("; "))
        }
    }

    /// Takes one line, and returns its name.
    fn take(&mut self, line: &str) -> Result<String, String> {
        let mut cells = line.split_whitespace();
        let (Some(name), Some(roles), Some(shown), None) = (cells.next(), cells.next(), cells.next(), cells.next())
        else {
            return Err("write a name, its roles and what is shown, as in `website offers,events sha256:…`".to_owned());
        };
        let caller = Arc::new(Caller {
            name: name.to_owned(),
            roles: roles_named(roles)?,
            until: None,
        });
        if let Some(sum) = shown.strip_prefix("sha256:") {
            let sum = unhex(sum).ok_or("after `sha256:` come 64 hexadecimal digits")?;
            if self.tokens.iter().any(|(known, _)| *known == sum) {
                return Err("the same token has a line already".to_owned());
            }
            self.tokens.push((sum, caller));
        } else if ["dns:", "uri:"]
            .iter()
            .any(|kind| shown.len() > kind.len() && shown.starts_with(kind))
        {
            if self.certificates.insert(shown.to_owned(), caller).is_some() {
                return Err(format!("`{shown}` has a line already"));
            }
        } else {
            // Not repeated here: whoever takes this for the place of the token wrote the token.
            return Err(
                "what is shown begins with `sha256:`, `dns:` or `uri:`; `nbo token new` writes a line".to_owned(),
            );
        }
        Ok(name.to_owned())
    }

    /// Finds whose token this is. Takes the same time whichever it is, and whether there is one.
    #[must_use]
    pub fn holder(&self, token: &str) -> Option<Arc<Caller>> {
        let sum = checksum(token);
        let mut found = u32::MAX;
        for (at, (known, _)) in (0_u32..).zip(&self.tokens) {
            let is_it: Choice = known.ct_eq(&sum);
            found.conditional_assign(&at, is_it);
        }
        let (_, caller) = self.tokens.get(usize::try_from(found).ok()?)?;
        Some(Arc::clone(caller))
    }

    /// Finds whose certificate this is: the first of its names that has a line.
    #[must_use]
    pub fn certified(&self, peer: &Peer) -> Option<Arc<Caller>> {
        peer.0.iter().find_map(|name| self.certificates.get(name)).cloned()
    }

    /// Tells whether the file names a certificate.
    #[must_use]
    pub fn names_certificates(&self) -> bool {
        !self.certificates.is_empty()
    }
}

/// Reads roles as in `offers,events`.
///
/// # Errors
/// Names what is no role, and all that are.
pub fn roles_named(text: &str) -> Result<Roles, String> {
    let mut roles = Roles::NONE;
    for name in text.split(',') {
        let known = Role::named(name).ok_or_else(|| {
            format!(
                "`{name}` is not a role; give some of {}, with commas between",
                Roles::ALL
            )
        })?;
        roles = roles.with(known);
    }
    Ok(roles)
}

/// Draws a new token.
///
/// # Errors
/// When the system has no chance to give.
pub fn fresh() -> Result<String, String> {
    let mut chance = [0; CHANCE_BYTES];
    let drawn = SystemRandom::new().fill(&mut chance);
    drawn.map_err(|_| "the system gave no random bytes".to_owned())?;
    Ok(format!("{PREFIX}{}", hex(&chance)))
}

/// Returns the line of the file for a token.
#[must_use]
pub fn line(name: &str, roles: Roles, token: &str) -> String {
    format!("{name} {roles} sha256:{}", hex(&checksum(token)))
}

fn checksum(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let is_hex = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        let pair = is_hex.then(|| text.get(2 * at..2 * at + 2)).flatten()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_token_is_known_by_its_line_and_no_other_is() {
        let (website, batch) = (fresh().unwrap(), fresh().unwrap());
        assert_ne!(website, batch);
        let roles = Roles::of(&[Role::Offers, Role::Events]);
        let file = format!(
            "# who\n\n{}\n{}\n",
            line("website", roles, &website),
            line("batch", Roles::of(&[Role::Catalog]), &batch)
        );
        assert!(!file.contains(&website), "the file tells the token");
        let tokens = Tokens::read(file.as_bytes()).unwrap();
        let holder = tokens.holder(&website).unwrap();
        assert_eq!((holder.name.as_str(), holder.roles), ("website", roles));
        assert_eq!(tokens.holder(&batch).unwrap().name, "batch");
        for wrong in ["", "nbo_", &website[..67], &format!("{website}0"), "batch"] {
            assert_eq!(tokens.holder(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_checksum_is_the_one_that_sha256sum_prints() {
        let of_abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(line("x", Roles::NONE, "abc"), format!("x  sha256:{of_abc}"));
        assert_eq!(unhex(of_abc), Some(checksum("abc")));
    }

    #[test]
    fn every_wrong_line_is_named_and_no_secret_is_repeated() {
        for (file, expected) in [
            ("website offers", "line 1: write a name, its roles"),
            (
                "\nwebsite admin sha256:00",
                "line 2: `admin` is not a role; give some of offers,events,profiles,catalog,erase,operate",
            ),
            ("website offers sha256:00", "line 1: after `sha256:` come 64"),
            ("website offers dns:", "line 1: what is shown begins with"),
            ("a offers dns:x\nb offers dns:x", "line 2: `dns:x` has a line already"),
            (
                "a offers dns:x\na offers dns:y",
                "line 2: the name `a` has a line already",
            ),
        ] {
            let fault = Tokens::read(file.as_bytes()).unwrap_err();
            assert!(fault.starts_with(expected), "{fault}");
        }
        let fault = Tokens::read(b"website offers nbo_secret").unwrap_err();
        assert!(!fault.contains("secret"), "{fault}");
    }
}
