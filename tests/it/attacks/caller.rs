//! Whole requests with whatever body and headers, and what is answered to them.

use std::convert::Infallible;
use std::io::Write as _;
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;

use super::Target;

/// More than any answer to an attack has.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// How much of an unfinished body is sent at a time.
const PART_BYTES: usize = 16 * 1024;

/// A request.
pub(super) struct Request {
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Request {
    /// A call over gRPC with such a body.
    pub(super) fn grpc(path: &str, body: &[u8]) -> Self {
        let headers = vec![
            ("content-type", "application/grpc".to_owned()),
            ("te", "trailers".to_owned()),
        ];
        Self {
            path: path.to_owned(),
            headers,
            body: body.to_vec(),
        }
    }

    /// A call with JSON.
    pub(super) fn json(path: &str, body: &[u8]) -> Self {
        Self {
            path: path.to_owned(),
            headers: vec![("content-type", "application/json".to_owned())],
            body: body.to_vec(),
        }
    }

    /// The same with one header more.
    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// What was answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The status of a gRPC call that was refused; it stands in the headers then.
    pub(super) grpc_status: Option<String>,
    pub(super) body: Vec<u8>,
}

/// Sends requests, many at a time over one connection.
pub(super) struct Caller {
    runtime: Runtime,
    client: Client<HttpConnector, Body>,
    address: String,
}

impl Caller {
    pub(super) fn new(target: &Target) -> Self {
        Self {
            runtime: Builder::new_current_thread().enable_all().build().unwrap(),
            client: Client::builder(TokioExecutor::new()).http2_only(true).build_http(),
            address: format!("http://{}", target.address),
        }
    }

    /// Sends requests again and again until it is over, once at least, and hands each answer on with its number.
    pub(super) fn again(&self, target: &Target, requests: impl Fn() -> Vec<Request>, check: impl Fn(usize, &Answer)) {
        loop {
            for (number, answer) in self.all(requests()).iter().enumerate() {
                check(number, answer);
                target.blow();
            }
            if target.is_over() {
                break;
            }
        }
    }

    /// Begins calls over gRPC whose bodies begin like this and never end, until it is over, as many at a time as the server
    /// lets one connection have.
    pub(super) fn leave_open(&self, target: &Target, path: &str, begun: &Bytes) {
        self.runtime.block_on(async {
            let mut calls = JoinSet::new();
            for _ in 0..200 {
                let request = hyper::Request::post(format!("{}{path}", self.address))
                    .header("content-type", "application/grpc")
                    .header("te", "trailers");
                // In small parts, as they would come over a slow line.
                let parts: Vec<_> = (0..begun.len()).step_by(PART_BYTES).collect();
                let begun = begun.clone();
                let parts = parts
                    .into_iter()
                    .map(move |from| Ok::<_, Infallible>(part(&begun, from)));
                let body = Body::from_stream(tokio_stream::iter(parts).chain(tokio_stream::pending()));
                let answering = self.client.request(request.body(body).unwrap());
                calls.spawn(answering);
                target.blow();
            }
            let mut look = tokio::time::interval(Duration::from_millis(20));
            while !target.is_over() {
                look.tick().await;
            }
        });
    }

    /// Sends all at once, and returns the answers in their order. A server cuts off in the end whose bodies it does not read: what
    /// is lost with the connection has none.
    pub(super) fn all(&self, requests: impl IntoIterator<Item = Request>) -> Vec<Answer> {
        self.runtime.block_on(async {
            let mut calls = JoinSet::new();
            for (number, request) in requests.into_iter().enumerate() {
                let mut builder = hyper::Request::post(format!("{}{}", self.address, request.path));
                for (name, value) in &request.headers {
                    builder = builder.header(*name, value);
                }
                let request = builder.body(Body::from(request.body)).unwrap();
                let answering = self.client.request(request);
                calls.spawn(async move {
                    let answer = answering.await.ok()?;
                    let status = answer.status().as_u16();
                    let grpc_status = answer.headers().get("grpc-status");
                    let grpc_status = grpc_status.map(|status| status.to_str().unwrap().to_owned());
                    let body = axum::body::to_bytes(Body::new(answer.into_body()), ANSWER_BYTES_MAX).await;
                    let body = body.unwrap_or_default().to_vec();
                    let answer = Answer {
                        status,
                        grpc_status,
                        body,
                    };
                    Some((number, answer))
                });
            }
            let mut answers: Vec<_> = calls.join_all().await.into_iter().flatten().collect();
            answers.sort_unstable_by_key(|(number, _)| *number);
            answers.into_iter().map(|(_, answer)| answer).collect()
        })
    }
}

fn part(whole: &Bytes, from: usize) -> Bytes {
    whole.slice(from..whole.len().min(from + PART_BYTES))
}

/// A gibibyte of zeros, packed to a few kilobytes for each mebibyte: a file of many parts is one to all who unpack.
pub(super) fn bomb() -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&vec![0; 1 << 20]).unwrap();
    packed.finish().unwrap().repeat(1024)
}
