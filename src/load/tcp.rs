//! A byte to another thread and back over TCP on loopback: what the machine and its kernel take by themselves.
//!
//! Neither gRPC nor a server nor this generator's tasks have a part in it, so when this stands still the machine does.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use super::figures::Tcp;
use super::latencies::Latencies;
use super::pacer::{Schedule, now};
use super::windows::Windows;

/// The most bytes due per second: as often as calls are made at half of usual top rates.
const RATE_MAX: f64 = 20_000.0;
/// Bytes that are sent one right after the other first, to find out what a turn takes.
const TURNS: u32 = 200;
/// A byte that is away for longer than this is lost.
const LOST: Duration = Duration::from_secs(10);

/// Bytes that went over and back so far.
pub(super) struct Echo {
    latencies: Latencies,
    windows: Windows,
    calls: u64,
    /// Bytes due per second; found out at first, so that a byte is back before the next is due: half of what can be sent in turn.
    rate: Option<f64>,
    /// How long bytes were sent so far.
    gone: Duration,
}

impl Echo {
    /// Makes one that will send bytes for so long in all.
    pub(super) fn over(run: Duration) -> Result<Self, hdrhistogram::CreationError> {
        Ok(Self {
            latencies: Latencies::new()?,
            windows: Windows::over(run)?,
            calls: 0,
            rate: None,
            gone: Duration::ZERO,
        })
    }

    /// Sends bytes for some time, one after the other. Keeps the thread busy.
    ///
    /// # Errors
    /// When loopback refuses, or a byte is away for ten seconds.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate times a span; `as` saturates"
    )]
    pub(super) fn measure(&mut self, duration: Duration) -> io::Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let mut near = TcpStream::connect(listener.local_addr()?)?;
        let (mut far, _) = listener.accept()?;
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        near.set_read_timeout(Some(LOST))?;
        let other = thread::Builder::new().name("echo".to_owned()).spawn(move || {
            let mut byte = [0];
            // Ends when the near end is closed.
            while far.read_exact(&mut byte).is_ok() && far.write_all(&byte).is_ok() {}
        })?;
        let mut byte = [0];
        let mut turn = |near: &mut TcpStream| near.write_all(&byte).and_then(|()| near.read_exact(&mut byte));
        let begun = now();
        for _ in 0..TURNS {
            turn(&mut near)?;
        }
        let each = begun.elapsed() / TURNS;
        let rate = *self.rate.get_or_insert((0.5 / each.as_secs_f64()).min(RATE_MAX));
        let schedule = Schedule {
            start: now(),
            rate,
            calls: (rate * duration.as_secs_f64()) as u64,
        };
        for number in 0..schedule.calls {
            let due = schedule.due_at(number);
            while now() < due {
                std::hint::spin_loop();
            }
            turn(&mut near)?;
            let latency = now().saturating_duration_since(due);
            self.latencies.add(latency);
            self.windows
                .add(self.gone + due.saturating_duration_since(schedule.start), latency);
        }
        self.calls += schedule.calls;
        self.gone += duration;
        drop(near);
        other.join().map_err(|_| io::Error::other("the echo ended early"))
    }

    pub(super) fn told(&self) -> Tcp {
        Tcp {
            rate: self.rate.unwrap_or_default(),
            calls: self.calls,
            latency_us: self.latencies.quantiles(),
            windows: self.windows.told(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_that_fell_due_came_back() {
        let mut echo = Echo::over(Duration::from_millis(200)).unwrap();
        echo.measure(Duration::from_millis(100)).unwrap();
        echo.measure(Duration::from_millis(100)).unwrap();
        let told = echo.told();
        assert!(told.rate > 0.0 && told.rate <= RATE_MAX);
        let due = told.rate * 0.2;
        assert!((told.calls as f64 - due).abs() <= 2.0, "{told:?}");
        assert!(told.latency_us.p50 > 0.0 && told.latency_us.max >= told.latency_us.p50);
    }
}
