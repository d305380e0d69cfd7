//! Pushes a customer's list whenever it changes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::decisions::preview;
use crate::domain::time::Timestamp;
use crate::server::convert::offers;
use crate::server::desk::Desk;
use crate::server::limits::WATCH_INTERVAL_MIN;
use crate::server::look::Look;
use crate::server::status::Refusal;
use crate::server::watch::{Watcher, Woken};
use crate::server::wire::{self, WatchCause};

/// The longest sleep before a list is looked at again: timers need an end, and an hour costs nothing.
const SLEEP_MAX: Duration = Duration::from_hours(1);

/// Begins to watch: the lists come out of the stream until it is dropped.
pub(super) fn lists(
    desk: Arc<Desk>,
    given: wire::WatchOffersRequest,
) -> Result<ReceiverStream<Result<wire::WatchOffersResponse, Status>>, Refusal> {
    let given = offers::watched(given);
    let (active, _) = desk.begin();
    let customer = offers::of_somebody(&given, &active.catalog)?;
    let watcher = desk.hub.watch(customer.key())?;
    desk.meters.watching(desk.hub.watchers());
    // One place: what waits there is the only list that a slow reader can find outdated.
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        push(&desk, &given, watcher, &sender).await;
        desk.meters.watching(desk.hub.watchers());
    });
    Ok(ReceiverStream::new(receiver))
}

async fn push(
    desk: &Desk,
    given: &wire::GetOffersRequest,
    mut watcher: Watcher,
    sender: &mpsc::Sender<Result<wire::WatchOffersResponse, Status>>,
) {
    let mut cause = WatchCause::Started;
    let mut sent = None;
    loop {
        // Waits until the reader took the list before: only then the newest is made.
        let Ok(place) = sender.reserve().await else { return };
        watcher.mark_seen();
        let (list, until) = match look(desk, given) {
            Ok(list) => list,
            // The catalog changed so that the request no longer fits it.
            Err(refusal) => return place.send(Err(desk.refuse(refusal))),
        };
        let shown = what_shows(&list);
        if sent.as_ref() == Some(&shown) {
            drop(place);
        } else {
            place.send(Ok(wire::WatchOffersResponse {
                cause: cause.into(),
                offers: Some(list),
            }));
            sent = Some(shown);
        }
        cause = tokio::select! {
            () = sender.closed() => return,
            woken = watcher.woken() => match woken {
                Woken::ByCustomer => WatchCause::CustomerChanged,
                Woken::ByCatalog => WatchCause::CatalogChanged,
                Woken::ByClosing => {
                    // A reader that does not even take this finds the connection closed.
                    let _ = sender.try_send(Err(desk.refuse(Refusal::ShuttingDown)));
                    return;
                }
            },
            () = tokio::time::sleep(until) => WatchCause::TimePassed,
        };
    }
}

/// Decides the list as it stands now, and after how long it has to be looked at again.
fn look(desk: &Desk, given: &wire::GetOffersRequest) -> Result<(wire::GetOffersResponse, Duration), Refusal> {
    let look = Look::begin(desk);
    let (active, now) = desk.begin();
    let request = offers::request(given, &active.catalog, now)?;
    let list = preview(desk, &active, &request, now, given.omit_content, look)?;
    let until = list.valid_until.as_ref().map_or(SLEEP_MAX, |until| {
        let millis = until
            .seconds
            .saturating_mul(1_000)
            .saturating_add(i64::from(until.nanos) / 1_000_000);
        let ahead = Timestamp::from_millis(millis) - now;
        Duration::from_millis(u64::try_from(ahead.get()).unwrap_or_default())
    });
    Ok((list, until.clamp(WATCH_INTERVAL_MIN, SLEEP_MAX)))
}

/// Returns what a reader sees of the list: all but when and how it was made.
fn what_shows(list: &wire::GetOffersResponse) -> wire::GetOffersResponse {
    wire::GetOffersResponse {
        profile_version: 0,
        cached: false,
        decided_at: None,
        valid_until: None,
        ..list.clone()
    }
}
