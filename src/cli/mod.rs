//! The commands of `nbo`, one file each: arguments in, text out, exit code back. What they do is done by the layers below.

pub mod agreement;
pub mod audit;
pub mod bench;
pub mod campaign;
pub mod check;
mod connect;
pub mod data;
pub mod erase;
pub mod export;
pub mod health;
pub mod import;
pub mod load;
mod numbers;
pub mod openapi;
pub mod replay;
pub mod schema;
pub mod serve;
pub mod sim;
pub mod simulate;
mod telling;
pub mod token;
pub mod top;
