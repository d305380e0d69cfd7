//! What callers can rely on, told by a real client over a real connection.

mod behaviour;
mod campaigns;
pub(crate) mod contacts;
mod deadlines;
mod decisions;
mod gates;
mod profiles;
mod service;
mod watching;

use nbo::server::wire;

use crate::served::customer;

const BY_PRIORITY: [&str; 3] = ["savings_easy", "fund_world", "travel_insurance"];

const AFTER_FUND_SEARCH: [&str; 3] = ["fund_world", "savings_easy", "travel_insurance"];

fn events(id: &str, events: Vec<wire::Event>) -> wire::RecordEventsRequest {
    wire::RecordEventsRequest {
        customer: Some(customer(id)),
        events,
        offers: None,
    }
}
