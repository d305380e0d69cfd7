//! Calls that do nothing, for those who measure what a transport costs: the health check over gRPC, or as many bytes over bare TCP.
//!
//! Both are made by the same loops as all calls of [`super`], so that only the server differs, and for bare TCP the client's protocol.
//! Over bare TCP, too, calls that begin together are sent together, as an HTTP/2 client does.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::calls::{Answer, Call, Failure};
use super::figures::{Paced, Tally, Top};
use super::runner::{Calls, Runner};
use crate::server::client::{Connection, Credentials};

/// Calls that one write sends at most: as many as may be under way on a connection.
const SENT_TOGETHER_MAX: usize = 32;
/// How much is read at once.
const READ_BYTES: usize = 16 * 1024;

/// How a call that does nothing is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The standard health check over gRPC.
    Grpc,
    /// Some bytes over TCP, answered by some bytes.
    Bytes {
        /// Bytes of a request.
        request: usize,
        /// Bytes of an answer.
        answer: usize,
    },
}

/// Makes calls that do nothing. Everything happens within a [`tokio::task::LocalSet`], on the thread that waits for it.
pub struct Generator {
    runner: Runner<Idler>,
}

impl Generator {
    /// Connects so many times; calls that fall due do so for `paced` each time.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn connect(
        to: SocketAddr,
        protocol: Protocol,
        connections: usize,
        paced: Duration,
    ) -> anyhow::Result<Self> {
        let mut callers = Vec::with_capacity(connections);
        for _ in 0..connections {
            callers.push(Idler::connect(to, protocol).await?);
        }
        Ok(Self {
            runner: Runner::new(callers, paced),
        })
    }

    /// Keeps the same number of calls under way for some time, and tells how many were answered.
    ///
    /// # Errors
    /// Never: the bounds of the histogram are constants that fit.
    pub async fn closed(&mut self, duration: Duration) -> anyhow::Result<Top> {
        Ok(self.runner.closed(Call::Floor, duration, Tally::new()?).await.top())
    }

    /// Makes calls that fall due at this rate, and tells how long they took.
    ///
    /// # Errors
    /// As for [`Generator::closed`].
    pub async fn open(&mut self, rate: f64) -> anyhow::Result<Paced> {
        Ok(self.runner.open(Call::Floor, rate).await?.paced(rate))
    }

    /// Makes so many calls, one after the other over one connection.
    ///
    /// # Errors
    /// When one fails.
    pub async fn alone(&self, calls: u64) -> anyhow::Result<()> {
        let first = self.runner.first().context("there is no connection")?;
        for number in 0..calls {
            let answered = first.call(Call::Floor, number).await;
            if let Err(failure) = answered {
                bail!("call {number} failed, {}: {}", failure.code, failure.message);
            }
        }
        Ok(())
    }
}

/// One connection.
enum Idler {
    Grpc(HealthClient<Connection>),
    Bytes(mpsc::UnboundedSender<oneshot::Sender<()>>),
}

impl Idler {
    async fn connect(to: SocketAddr, protocol: Protocol) -> anyhow::Result<Self> {
        let Protocol::Bytes { request, answer } = protocol else {
            let connection = Credentials::default().connect(&format!("http://{to}")).await?;
            return Ok(Self::Grpc(HealthClient::new(connection)));
        };
        let stream = TcpStream::connect(to).await;
        let stream = stream.with_context(|| format!("cannot connect to {to}"))?;
        stream.set_nodelay(true)?;
        let (calls, begun) = mpsc::unbounded_channel();
        tokio::task::spawn_local(exchange(stream, (request, answer), begun));
        Ok(Self::Bytes(calls))
    }
}

impl Calls for Idler {
    async fn call(&self, _: Call, _: u64) -> Result<Answer, Failure> {
        match self {
            Self::Grpc(health) => {
                let asked = health.clone().check(HealthCheckRequest::default()).await;
                let answer = asked.map_err(|status| Failure::of(&status))?.into_inner();
                if answer.status() == ServingStatus::Serving {
                    Ok(Answer::default())
                } else {
                    Err(Failure::new("not serving", ""))
                }
            }
            Self::Bytes(calls) => {
                let (answered, waiting) = oneshot::channel();
                // Whoever is not heard is not answered either.
                let _ = calls.send(answered);
                let waited = waiting.await;
                waited
                    .map(|()| Answer::default())
                    .map_err(|_| Failure::new("connection closed", ""))
            }
        }
    }
}

/// Sends requests of some bytes and answers those who wait, in order, when as many bytes as an answer has have come.
async fn exchange(
    stream: TcpStream,
    (request, answer): (usize, usize),
    mut begun: mpsc::UnboundedReceiver<oneshot::Sender<()>>,
) {
    let waiting = RefCell::new(VecDeque::new());
    let sending = async {
        let bytes = vec![0; request * SENT_TOGETHER_MAX];
        let mut calls = Vec::with_capacity(SENT_TOGETHER_MAX);
        loop {
            let count = begun.recv_many(&mut calls, SENT_TOGETHER_MAX).await;
            waiting.borrow_mut().extend(calls.drain(..));
            if count == 0 || write_all(&stream, &bytes[..count * request]).await.is_err() {
                return;
            }
        }
    };
    let receiving = async {
        let (mut buffer, mut held) = (vec![0; READ_BYTES], 0);
        while let Ok(count @ 1..) = read_some(&stream, &mut buffer).await {
            held += count;
            let whole = held / answer;
            held %= answer;
            let answered: Vec<oneshot::Sender<()>> = {
                let mut waiting = waiting.borrow_mut();
                let count = whole.min(waiting.len());
                waiting.drain(..count).collect()
            };
            for caller in answered {
                // It may have given up.
                let _ = caller.send(());
            }
        }
    };
    tokio::select! {
        () = sending => {}
        () = receiving => {}
    }
}

/// Reads what is there, or waits until something is; nothing at the end.
pub(crate) async fn read_some(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        match stream.try_read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
    }
}

/// Writes all of some bytes.
pub(crate) async fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.try_write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
