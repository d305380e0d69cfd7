//! That each server answers as it should, and that all of it works without a program of its own.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};

use super::serve::Serving;
use super::*;
use crate::load::nothing::write_all;

fn named(name: &str) -> Variant {
    name.parse().unwrap()
}

#[test]
fn every_server_answers_health_checks_over_each_of_several_connections() {
    for variant in VARIANTS {
        let serving = Serving::start(variant).unwrap();
        let asked = within(async {
            let generator = Generator::connect(serving.address, protocol(variant), 2, Duration::ZERO).await?;
            generator.alone(40).await
        });
        asked.unwrap_or_else(|error| panic!("{variant}: {error:#}"));
    }
}

#[test]
fn the_quick_form_measures_every_server_and_tells_each_in_a_row_of_the_table() {
    let report = measure(&Options::quick(None), &|_| ()).unwrap();
    let measured: Vec<Variant> = report.rows.iter().map(|row| row.variant).collect();
    assert_eq!(measured, VARIANTS);
    for row in &report.rows {
        assert!(row.rate > 0.0 && row.p50_us > 0.0, "{}", row.variant);
    }
    let table = report.markdown();
    for variant in VARIANTS {
        assert!(table.contains(&format!("(`{variant}`)")), "{variant}");
    }
}

#[test]
fn who_asks_for_one_setting_is_shown_what_it_is_compared_with_as_well() {
    let options = Options {
        variants: vec![named("codec-64"), named("nagle")],
        ..Options::quick(None)
    };
    let expected = [named("straight"), named("nagle"), named("codec"), named("codec-64")];
    assert_eq!(options.with_bases(), expected);
}

/// Passes one connection on to a server and counts what goes there and what comes back.
async fn counting(from: TcpListener, to: SocketAddr, counts: Arc<[AtomicUsize; 2]>) {
    let (caller, _) = from.accept().await.unwrap();
    let server = TcpStream::connect(to).await.unwrap();
    let mut buffer = vec![0; 4_096];
    let ways = [(&caller, &server), (&server, &caller)];
    loop {
        let readable = tokio::select! {
            _ = caller.ready(Interest::READABLE) => 0,
            _ = server.ready(Interest::READABLE) => 1,
        };
        let (from, to) = ways[readable];
        let count = match from.try_read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(error) => panic!("{error}"),
        };
        counts[readable].fetch_add(count, Ordering::Relaxed);
        write_all(to, &buffer[..count]).await.unwrap();
    }
}

#[test]
fn over_bare_tcp_a_call_has_as_many_bytes_as_a_health_check_of_nbo() {
    const CALLS: usize = 50;
    let serving = Serving::start(named("nbo")).unwrap();
    let counts = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let told = Arc::clone(&counts);
    let counted = within(async move {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let between = listener.local_addr()?;
        tokio::task::spawn_local(counting(listener, serving.address, told));
        let generator = Generator::connect(between, Protocol::Grpc, 1, Duration::ZERO).await?;
        let so_far = || [0, 1].map(|way| counts[way].load(Ordering::Relaxed));
        // The first calls tell each other their headers and settings.
        generator.alone(20).await?;
        let before = so_far();
        generator.alone(CALLS as u64).await?;
        let after = so_far();
        Ok([0, 1].map(|way| after[way] - before[way]))
    });
    assert_eq!(counted.unwrap(), [CALLS * REQUEST_BYTES, CALLS * ANSWER_BYTES]);
}
