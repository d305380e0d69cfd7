//! What slow, silent and malformed callers over HTTP/1 and with JSON do to a server.

use std::time::Duration;

use super::caller::{Caller, Request, bomb};
use super::frames::{Connection, PREFACE};
use super::{Attack, Target};

const GET_OFFERS: &str = "/nbo.v1.DecisionService/GetOffers";
const RECORD_EVENTS: &str = "/nbo.v1.BehaviourService/RecordEvents";

/// Slowloris: one byte after another, on many connections, as HTTP/1 and as the first words of HTTP/2.
pub(super) const SLOW_HEADERS: Attack = Attack {
    name: "slow headers",
    memory_mib_max: 64,
    attackers: 2,
    blows_min: 300,
    run: |target| {
        let never = format!(
            "POST {GET_OFFERS} HTTP/1.1\r\nhost: localhost\r\nx-slow: {}",
            "a".repeat(1 << 16)
        );
        let words = [never.as_bytes(), PREFACE];
        let mut open = connections(target, 300);
        for at in 0.. {
            for (connection, word) in open.iter_mut().zip(words.into_iter().cycle()) {
                // The second is whole soon, and then waits.
                if let Some(byte) = word.get(at..=at) {
                    // Whoever is cut off is out.
                    let _ = connection.send(byte);
                    target.blow();
                }
            }
            if target.wait(Duration::from_millis(20)) {
                break;
            }
        }
    },
};

/// Connections that say nothing.
pub(super) const IDLE_CONNECTIONS: Attack = Attack {
    name: "idle connections",
    memory_mib_max: 160,
    attackers: 2,
    blows_min: 1_500,
    run: |target| {
        let open = connections(target, 1_000);
        for _ in &open {
            target.blow();
        }
        target.wait(Duration::MAX);
    },
};

/// JSON that is nested a hundred thousand times, cut, endless, or full of what does not belong there.
pub(super) const HOSTILE_JSON: Attack = Attack {
    name: "hostile JSON",
    memory_mib_max: 192,
    attackers: 2,
    blows_min: 18,
    run: |target| {
        let deep = |open: &str| open.repeat(100_000);
        let numbers = format!(
            "{{\"context\": {{\"device\": {{\"number\": {}}}}}}}",
            "9".repeat(100_000)
        );
        let names = (0..20_000)
            .map(|number| format!("\"a{number}\": 1"))
            .collect::<Vec<_>>();
        let bodies = [
            deep("["),
            deep("{\"a\":"),
            format!("{{\"context\": {}", deep("{\"a\":")),
            format!("{{\"events\": [{}", deep("{},")),
            format!("{{\"customer\": {{\"id\": \"{}", "\\u0000".repeat(100_000)),
            numbers,
            format!("{{{}}}", names.join(",")),
            "\u{feff}{}".to_owned(),
            "{\"customer\": {\"id\": \"\\ud800\"}}".to_owned(),
        ];
        let requests = || {
            let paths = [GET_OFFERS, RECORD_EVENTS].into_iter();
            let of = |path| bodies.iter().map(move |body| Request::json(path, body.as_bytes()));
            paths.flat_map(of).collect()
        };
        Caller::new(target).again(target, requests, |_, answer| {
            assert_eq!(answer.status, 400, "{answer:?}");
            assert!(answer.body.len() < 16_384, "{} bytes", answer.body.len());
        });
    },
};

/// The same bomb as over gRPC, in the forms that HTTP knows.
pub(super) const COMPRESSED_JSON: Attack = Attack {
    name: "compressed JSON",
    memory_mib_max: 48,
    attackers: 2,
    blows_min: 4,
    run: |target| {
        let bomb = bomb();
        let said = ["gzip", "deflate", "br", "gzip, gzip, gzip"];
        let requests = || {
            said.map(|said| Request::json(GET_OFFERS, &bomb).with("content-encoding", said))
                .into()
        };
        Caller::new(target).again(target, requests, |_, answer| {
            assert_eq!(answer.status, 415, "{answer:?}");
        });
    },
};

/// Opens connections from an address that only attackers have, so that they take no polite caller's places.
fn connections(target: &Target, count: usize) -> Vec<Connection> {
    (0..count).map_while(|_| Connection::elsewhere(target).ok()).collect()
}
