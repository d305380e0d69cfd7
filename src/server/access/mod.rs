//! Who may do what: tokens, certificates and roles, judged before anything of a call is read.
//!
//! **Who calls.** A token decides when there is one: one that is not good is refused, whatever certificate the
//! connection showed. Static tokens and the names of certificates stand in a file ([`tokens`]), tokens of an issuer are
//! judged by its keys ([`jwt`]). Both files are read again when they change; a token that was taken out is refused from
//! the first call after the change was seen (within some two seconds). A stream that was let in goes on until it ends.
//!
//! **What they may do** stands in one table ([`table`]), and the gate asks it ([`gate`]).
//!
//! **By which name.** Where nobody has to be known, a page in a browser on the machine must not call through a name of its own
//! ([`hosts`]).
//!
//! **What it costs.** Who was found good is remembered by the BLAKE3 digest of the token, until the token ends or a
//! file changes, so that a signature is checked once. What is not good is judged each time, and forgotten.

pub mod caller;
mod cipher;
pub mod gate;
pub mod hosts;
pub mod jwt;
pub mod table;
pub mod tokens;

use std::path::PathBuf;
use std::sync::Arc;

use quick_cache::sync::Cache;
use tonic::Status;

use self::caller::{Caller, Peer};
use self::jwt::{Expected, Keys, Why};
use self::tokens::Tokens;
use super::limits::{TOKEN_BYTES_MAX, TOKENS_REMEMBERED_MAX};
use super::renewed::{Renew, Renewed, Unusable};
use crate::domain::time::Timestamp;

/// Whom the server knows.
pub struct Access {
    tokens: Option<Arc<Renewed<Tokens>>>,
    issuer: Option<(Arc<Renewed<Keys>>, Expected)>,
    remembered: Cache<[u8; 32], Remembered>,
}

/// A caller who was found good, and by which files.
#[derive(Clone)]
struct Remembered {
    caller: Arc<Caller>,
    files: [u64; 2],
}

impl Access {
    /// Makes what knows nobody and asks nobody: everybody may do everything.
    #[must_use]
    pub fn open_to_everybody() -> Self {
        Self::new(None, None)
    }

    fn new(tokens: Option<Arc<Renewed<Tokens>>>, issuer: Option<(Arc<Renewed<Keys>>, Expected)>) -> Self {
        Self {
            tokens,
            issuer,
            remembered: Cache::new(TOKENS_REMEMBERED_MAX),
        }
    }

    /// Reads the tokens file, and the keys of an issuer with what its tokens have to say. Blocks.
    ///
    /// # Errors
    /// When a file cannot be read or is wrong.
    pub fn read(tokens: Option<PathBuf>, issuer: Option<(PathBuf, Expected)>) -> Result<Self, Unusable> {
        let read_tokens = |file| Renewed::open("tokens", vec![file], |contents| Tokens::read(&contents[0]));
        let read_keys = |file| Renewed::open("JWKS", vec![file], |contents| Keys::read(&contents[0]));
        let tokens = tokens.map(read_tokens).transpose()?;
        let issuer = issuer.map(|(file, expected)| Ok((read_keys(file)?, expected)));
        Ok(Self::new(tokens, issuer.transpose()?))
    }

    /// Tells whether callers need not be known.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.tokens.is_none() && self.issuer.is_none()
    }

    /// Returns what has to look at its files from time to time.
    #[must_use]
    pub fn renewed(&self) -> Vec<Arc<dyn Renew>> {
        let tokens = self.tokens.clone().map(|tokens| tokens as Arc<dyn Renew>);
        let keys = self.issuer.as_ref().map(|(keys, _)| Arc::clone(keys) as Arc<dyn Renew>);
        tokens.into_iter().chain(keys).collect()
    }

    /// Finds out who calls.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` when there is no token and no known certificate, or the token is not good.
    pub fn caller(&self, token: Option<&str>, peer: Option<&Peer>, now: Timestamp) -> Result<Arc<Caller>, Status> {
        match token {
            Some(token) => self.holder(token, now),
            None => self
                .certified(peer)
                .ok_or_else(|| Status::unauthenticated("no token; send `authorization: Bearer` and yours")),
        }
    }

    fn certified(&self, peer: Option<&Peer>) -> Option<Arc<Caller>> {
        self.tokens.as_ref()?.current().certified(peer?)
    }

    fn holder(&self, token: &str, now: Timestamp) -> Result<Arc<Caller>, Status> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(told(Why::Invalid("too long")));
        }
        let digest = *blake3::hash(token.as_bytes()).as_bytes();
        // Read before the files are, so that what is remembered is never younger than it says.
        let files = self.generations();
        if let Some(known) = self.remembered.get(&digest) {
            let is_in_time = known.caller.until.is_none_or(|until| now < until);
            if is_in_time && known.files == files {
                return Ok(known.caller);
            }
            self.remembered.remove(&digest);
        }
        let caller = self.judge(token, now).map_err(told)?;
        let known = Remembered {
            caller: Arc::clone(&caller),
            files,
        };
        self.remembered.insert(digest, known);
        Ok(caller)
    }

    fn generations(&self) -> [u64; 2] {
        let tokens = self.tokens.as_ref().map_or(0, |tokens| tokens.generation());
        let keys = self.issuer.as_ref().map_or(0, |(keys, _)| keys.generation());
        [tokens, keys]
    }

    fn judge(&self, token: &str, now: Timestamp) -> Result<Arc<Caller>, Why> {
        if let Some(caller) = self.tokens.as_ref().and_then(|tokens| tokens.current().holder(token)) {
            return Ok(caller);
        }
        let (keys, expected) = self.issuer.as_ref().ok_or(Why::Invalid("not in the tokens file"))?;
        keys.current().judge(token, expected, now).map(Arc::new)
    }
}

/// Says why a token is refused: no more than helps those who had a good one.
fn told(why: Why) -> Status {
    match why {
        Why::Invalid(reason) => {
            tracing::debug!(reason, "a token was refused");
            Status::unauthenticated("the token is not valid here")
        }
        Why::Expired => Status::unauthenticated("the token has expired; get a new one"),
        Why::Early => Status::unauthenticated("the token is not valid yet"),
    }
}
