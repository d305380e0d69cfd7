//! What callers send: messages over gRPC, and as JSON. The first byte says to which method.

use nbo::domain::time::Timestamp;
use nbo::engine::Active;
use nbo::server::convert::fault::Faults;
use nbo::server::convert::{campaigns, contacts, events, offers, outcomes, profiles};
use nbo::server::http::fuzzing::read_json;
use nbo::server::wire;
use prost::Message;
use std::sync::{Arc, LazyLock};

use super::texts::BANK;

/// When all is sent.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_772_442_000_000);

/// The catalog of the built-in bank, in force.
pub(crate) static ACTIVE: LazyLock<Arc<Active>> =
    LazyLock::new(|| Arc::new(Active::new(Arc::clone(&BANK), Vec::new())));

/// What a conversion refuses has a reason, of bounded length.
fn judge<T>(converted: Result<T, Faults>) {
    if let Err(faults) = converted {
        assert!(!faults.listed().is_empty());
        for fault in faults.listed() {
            assert!(
                !fault.description.is_empty() && fault.description.len() < 4_096,
                "{fault:?}"
            );
        }
    }
}

/// Decodes a message in either form, and writes it again: the same comes back.
fn read<M>(bytes: &[u8], is_json: bool) -> Option<M>
where
    M: Message + Default + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    let read: M = if is_json {
        match read_json(bytes) {
            Ok(read) => read,
            Err(status) => {
                assert!(!status.message().is_empty());
                return None;
            }
        }
    } else {
        M::decode(bytes).ok()?
    };
    let written = read.encode_to_vec();
    let again = M::decode(written.as_slice()).unwrap_or_else(|error| panic!("{error}: {read:?}"));
    // Maps have no order, and NaN is no number, so lengths are compared.
    assert_eq!(again.encoded_len(), written.len(), "{read:?}");
    let _ = serde_json::to_vec(&read);
    Some(read)
}

fn judge_decision(method: u8, bytes: &[u8], is_json: bool) {
    let catalog = &**BANK;
    match method {
        0 => {
            if let Some(given) = read::<wire::GetOffersRequest>(bytes, is_json) {
                let _ = (offers::once(&given), offers::of_somebody(&given, catalog));
                judge(offers::request(&given, catalog, NOW));
            }
        }
        1 => {
            if let Some(given) = read::<wire::RecordEventsRequest>(bytes, is_json) {
                let _ = offers::once_within(&given);
                judge(events::recording(&given, catalog, NOW));
            }
        }
        2 => {
            if let Some(given) = read::<wire::RecordOutcomeRequest>(bytes, is_json) {
                judge(outcomes::report(&given, catalog, NOW));
            }
        }
        3 => {
            if let Some(given) = read::<wire::RecordOutcomesRequest>(bytes, is_json) {
                judge(outcomes::batch(&given));
            }
        }
        4 => {
            if let Some(given) = read::<wire::CancelRequest>(bytes, is_json) {
                judge(outcomes::cancellation(&given, catalog, NOW));
            }
        }
        5 => {
            if let Some(given) = read::<wire::ReplayDecisionRequest>(bytes, is_json) {
                judge(outcomes::past(&given.decision_id));
            }
        }
        _ => {
            if let Some(given) = read::<wire::RankCustomersRequest>(bytes, is_json) {
                judge(campaigns::order(&given, Arc::clone(&ACTIVE), NOW));
            }
        }
    }
}

fn judge_customer(method: u8, bytes: &[u8], is_json: bool) {
    let catalog = &**BANK;
    match method {
        0 => {
            if let Some(given) = read::<wire::UpsertProfileRequest>(bytes, is_json) {
                judge(profiles::change(&given, catalog));
                judge(profiles::row(&given, catalog));
            }
        }
        1 => {
            if let Some(given) = read::<wire::MergeCustomersRequest>(bytes, is_json) {
                judge(profiles::merge(&given));
            }
        }
        2 => {
            if let Some(given) = read::<wire::UnmergeCustomersRequest>(bytes, is_json) {
                judge(profiles::visitor(given.visitor.as_ref()));
            }
        }
        3 => {
            if let Some(given) = read::<wire::GetProfileRequest>(bytes, is_json) {
                judge(profiles::whom(given.customer.as_ref()));
            }
        }
        4 => {
            if let Some(given) = read::<wire::GetContactBudgetRequest>(bytes, is_json) {
                judge(contacts::budget_request(&given, catalog));
            }
        }
        5 => {
            if let Some(given) = read::<wire::ForecastLimitsRequest>(bytes, is_json) {
                judge(contacts::ahead(given));
            }
        }
        6 => {
            if let Some(given) = read::<wire::ImportProfilesRequest>(bytes, is_json) {
                judge(profiles::import_part(&given, 0, 0));
            }
        }
        7 => drop(read::<wire::EraseCustomerRequest>(bytes, is_json)),
        8 => drop(read::<wire::GetCatalogRequest>(bytes, is_json)),
        9 => drop(read::<wire::DeleteProfileRequest>(bytes, is_json)),
        10 => drop(read::<wire::ExportCustomerRequest>(bytes, is_json)),
        11 => drop(read::<wire::ExportContactsRequest>(bytes, is_json)),
        12 => drop(read::<wire::GetStatusRequest>(bytes, is_json)),
        // Not a request, but what a client reads has the most forms.
        13 => drop(read::<wire::GetOffersResponse>(bytes, is_json)),
        _ => {
            if let Some(given) = read::<wire::RecordEventsStreamRequest>(bytes, is_json) {
                judge(events::message(&given, &BANK, NOW));
            }
        }
    }
}

fn judge_list(method: u8, bytes: &[u8], is_json: bool) {
    match method {
        0 => {
            if let Some(given) = read::<wire::GetOffersStreamRequest>(bytes, is_json) {
                judge(offers::correlated(&given).and_then(|given| offers::request(given, &BANK, NOW)));
            }
        }
        1 => {
            if let Some(given) = read::<wire::WatchOffersRequest>(bytes, is_json) {
                judge(offers::of_somebody(&offers::watched(given), &BANK));
            }
        }
        _ => drop(read::<wire::GetReloadStatusRequest>(bytes, is_json)),
    }
}

fn any(bytes: &[u8], is_json: bool) {
    let Some((&method, bytes)) = bytes.split_first() else {
        return;
    };
    match method % 25 {
        method @ 0..7 => judge_decision(method, bytes, is_json),
        method @ 7..22 => judge_customer(method - 7, bytes, is_json),
        method => judge_list(method - 22, bytes, is_json),
    }
}

pub(crate) fn request(bytes: &[u8]) {
    any(bytes, false);
}

pub(crate) fn json(bytes: &[u8]) {
    any(bytes, true);
}
