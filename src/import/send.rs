//! The second reading of a file: sends the good rows to the server, which writes them when the last one has come.
//!
//! To end the stream of rows is to say "write them". So nothing but a whole file may end it: one handle of the stream is
//! held back until the reading thread has read as many good rows as the check did. When it did not, because it failed
//! or the file changed meanwhile, an empty message is sent instead: no such message is allowed, so the server refuses the
//! whole call and forgets what it staged. To drop the call would not do, since the transport may end the stream in good order.

use std::io::Read;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::faults::{Fault, Faults};
use super::plan::{Plan, Target};
use super::rows::{Row, Rows};
use crate::catalog::{Attribute, AttributeType};
use crate::domain::symbol::Symbols;
use crate::domain::value::Value;
use crate::server::client::Connection;
use crate::server::wire;
use crate::server::wire::attribute_value::Kind;
use crate::server::wire::catalog_service_client::CatalogServiceClient;
use crate::server::wire::import_profiles_request::Part;
use crate::server::wire::profile_service_client::ProfileServiceClient;

/// Rows in one message: enough to make its cost small, few enough for progress to move.
const ROWS_PER_MESSAGE: usize = 500;
/// Messages that wait for the network before the file is read on.
const MESSAGES_WAITING: usize = 8;

/// Why an import wrote nothing, or is not known to have written anything.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The server refused the call, or the connection broke.
    #[error("the server did not take the import: {0}; nothing was written unless it says so")]
    Status(Box<Status>),
    /// The connection broke when all rows were sent.
    #[error("the connection broke while the server was writing: {0}; run the import again, it can be repeated")]
    Unknown(Box<Status>),
    /// The file reads otherwise than a moment ago.
    #[error("the file changed while it was read; nothing was written")]
    FileChanged,
}

/// What came of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Profiles that were written.
    pub written: u64,
    /// Rows that the server refused though they had passed here: its catalog changed meanwhile.
    pub refused: Faults,
}

/// The schema in force on a server, and the version of its catalog.
pub struct InForce {
    /// The version.
    pub catalog_version: String,
    /// What rows are checked against.
    pub target: Target,
}

/// Asks a server for the schema in force.
///
/// # Errors
/// When the server refuses, or the connection breaks.
pub async fn schema_in_force(channel: Connection) -> Result<InForce, Box<Status>> {
    let request = wire::GetCatalogRequest {
        include_offers: false,
        include_schema: true,
    };
    let catalog = CatalogServiceClient::new(channel)
        .get_catalog(request)
        .await?
        .into_inner();
    let schema = catalog.schema.unwrap_or_default();
    let mut symbols = Symbols::default();
    let attributes = schema
        .profile
        .iter()
        .filter_map(|attribute| self::attribute(attribute, &mut symbols))
        .collect();
    let channels = schema
        .channels
        .iter()
        .map(|id| (Arc::from(id.as_str()), symbols.intern(id)))
        .collect();
    Ok(InForce {
        catalog_version: catalog.version,
        target: Target {
            attributes,
            channels,
            symbols,
        },
    })
}

fn attribute(schema: &wire::AttributeSchema, symbols: &mut Symbols) -> Option<Attribute> {
    let attribute_type = match schema.r#type() {
        wire::AttributeType::Number => AttributeType::Number,
        wire::AttributeType::Boolean => AttributeType::Boolean,
        wire::AttributeType::Category => AttributeType::Category,
        wire::AttributeType::Set => AttributeType::Set,
        wire::AttributeType::Date => AttributeType::Date,
        wire::AttributeType::Unspecified => return None,
    };
    let symbol = symbols.intern(&schema.id);
    let mut values = Vec::with_capacity(schema.values.len());
    for name in &schema.values {
        let value = symbols.intern(name);
        if attribute_type == AttributeType::Set {
            symbols.set_bit(symbol, value)?;
        }
        values.push((Arc::from(name.as_str()), value));
    }
    let range = match (schema.lowest, schema.highest) {
        (None, None) => None,
        (lowest, highest) => Some((lowest.unwrap_or(f64::MIN), highest.unwrap_or(f64::MAX))),
    };
    let description = Arc::from(schema.description.as_str());
    Some(Attribute {
        id: Arc::from(schema.id.as_str()),
        symbol,
        attribute_type,
        description,
        values,
        range,
    })
}

/// Reads the file again and sends its good rows; `expected` is how many the check found. Rows with faults are left out.
/// `progress` hears how many rows the server has taken.
///
/// # Errors
/// When nothing was written, or it is not known whether.
pub async fn send<R: Read + Send + 'static>(
    channel: Connection,
    rows: Rows<R>,
    plan: Plan,
    target: Target,
    expected: u64,
    mut progress: impl FnMut(u64),
) -> Result<Sent, SendError> {
    let (requests, receiver) = mpsc::channel(MESSAGES_WAITING);
    let held = requests.clone();
    let reading = tokio::task::spawn_blocking(move || read(rows, &plan, &target, &requests));
    let mut client = ProfileServiceClient::new(channel);
    let refused = |status: Status| SendError::Status(Box::new(status));
    let mut answers = client
        .import_profiles(ReceiverStream::new(receiver))
        .await
        .map_err(refused)?
        .into_inner();
    let mut sent = Sent::default();
    let mut under_way = Some((held, reading));
    loop {
        let answer = match &mut under_way {
            Some((held, reading)) => tokio::select! {
                answer = answers.message() => answer,
                read = reading => {
                    if read.ok() != Some(expected) {
                        give_up(held, &mut answers).await;
                        return Err(SendError::FileChanged);
                    }
                    under_way = None;
                    continue;
                }
            },
            None => answers.message().await,
        };
        let answer = match answer {
            Ok(Some(answer)) => answer,
            Ok(None) => {
                return Err(broken_off(
                    under_way.is_none(),
                    Status::unavailable("the server ended the call early"),
                ));
            }
            Err(status) => return Err(broken_off(under_way.is_none(), status)),
        };
        progress(answer.received);
        sent.written = answer.written;
        for fault in answer.faults {
            sent.refused.add_row(vec![told(fault)]);
        }
        if answer.finished {
            return Ok(sent);
        }
    }
}

/// Makes the server refuse the call, and waits until it has.
async fn give_up(
    requests: &mpsc::Sender<wire::ImportProfilesRequest>,
    answers: &mut Streaming<wire::ImportProfilesResponse>,
) {
    // When the call has failed already, that is as good.
    let _ = requests.send(wire::ImportProfilesRequest::default()).await;
    while let Ok(Some(_)) = answers.message().await {}
}

fn broken_off(all_sent: bool, status: Status) -> SendError {
    if all_sent {
        SendError::Unknown(Box::new(status))
    } else {
        SendError::Status(Box::new(status))
    }
}

fn told(fault: wire::RowFault) -> Fault {
    let reason = fault.fault.unwrap_or_default();
    let fields: Vec<String> = reason
        .fields
        .into_iter()
        .map(|field| format!("{}: {}", field.field, field.description))
        .collect();
    let message = if fields.is_empty() {
        reason.message
    } else {
        fields.join("; ")
    };
    Fault {
        line: fault.row,
        column: String::new(),
        kind: "refused by the server",
        message,
    }
}

/// Reads all rows into messages, and returns how many were good; stops when nobody listens any more.
fn read<R: Read>(
    mut rows: Rows<R>,
    plan: &Plan,
    target: &Target,
    requests: &mpsc::Sender<wire::ImportProfilesRequest>,
) -> u64 {
    // Rows are good or not on this side; the server is to write those that it is sent, or none.
    let mut good = 0;
    let mut batch = wire::ImportRows::default();
    while let Some(row) = rows.next_row(plan) {
        let Ok(row) = row else { continue };
        // The server counts rows on from the first of a message, so a gap in the lines begins a new one.
        let next = batch.first_row + batch.rows.len() as u64;
        if !batch.rows.is_empty() && (row.line != next || batch.rows.len() == ROWS_PER_MESSAGE) {
            let full = std::mem::take(&mut batch);
            if requests
                .blocking_send(wire::ImportProfilesRequest {
                    part: Some(Part::Rows(full)),
                })
                .is_err()
            {
                return good;
            }
        }
        if batch.rows.is_empty() {
            batch.first_row = row.line;
        }
        batch.rows.push(request(&row, target));
        good += 1;
    }
    if !batch.rows.is_empty() {
        let _ = requests.blocking_send(wire::ImportProfilesRequest {
            part: Some(Part::Rows(batch)),
        });
    }
    good
}

fn request(row: &Row, target: &Target) -> wire::UpsertProfileRequest {
    let identity = wire::customer::Identity::Id(row.customer.as_str().to_owned());
    let mut request = wire::UpsertProfileRequest {
        customer: Some(wire::Customer {
            identity: Some(identity),
        }),
        opt_out_of_all: row.change.opt_out_of_all,
        ..wire::UpsertProfileRequest::default()
    };
    let name = |symbol| target.symbols.name(symbol).to_owned();
    for &(symbol, value) in &row.change.attributes {
        match kind(value, target, symbol) {
            Some(kind) => {
                request
                    .attributes
                    .insert(name(symbol), wire::AttributeValue { kind: Some(kind) });
            }
            None => request.cleared.push(name(symbol)),
        }
    }
    request.channel_opt_outs = row
        .change
        .opt_outs
        .iter()
        .map(|&(channel, out)| (name(channel), out))
        .collect();
    request
}

fn kind(value: Value, target: &Target, attribute: crate::domain::symbol::Symbol) -> Option<Kind> {
    let name = |symbol| target.symbols.name(symbol).to_owned();
    match value {
        Value::Missing => None,
        Value::Boolean(truth) => Some(Kind::Boolean(truth)),
        Value::Number(number) => Some(Kind::Number(number)),
        Value::Category(symbol) => Some(Kind::Text(name(symbol))),
        Value::Set(mask) => {
            let owners = target.symbols.set_values(attribute).iter().enumerate();
            let values = owners
                .filter(|(bit, _)| mask >> bit & 1 == 1)
                .map(|(_, &owner)| name(owner))
                .collect();
            Some(Kind::Set(wire::TextSet { values }))
        }
        // A date is the midnight that begins it, in UTC, so its text begins with the date.
        Value::Time(time) => Some(Kind::Text(
            time.to_string().chars().take_while(|&each| each != 'T').collect(),
        )),
    }
}
