//! Many callers on one thread, each looked after only when it was woken.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;

/// Whether a caller was woken, and whom to tell.
struct Woken {
    is_woken: AtomicBool,
    outer: Arc<Mutex<Option<Waker>>>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, Ordering::Release);
        if let Some(outer) = &*self.outer.lock() {
            outer.wake_by_ref();
        }
    }
}

struct Caller<F: Future> {
    future: Pin<Box<F>>,
    woken: Arc<Woken>,
    output: Option<F::Output>,
}

/// Waits for all of some futures at once.
pub(super) async fn all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let outer = Arc::new(Mutex::new(None));
    let begin = |future| Caller {
        future: Box::pin(future),
        woken: Arc::new(Woken {
            is_woken: AtomicBool::new(true),
            outer: Arc::clone(&outer),
        }),
        output: None,
    };
    let mut callers: Vec<_> = futures.map(begin).collect();
    std::future::poll_fn(|context| {
        *outer.lock() = Some(context.waker().clone());
        let mut is_over = true;
        for caller in callers.iter_mut().filter(|caller| caller.output.is_none()) {
            is_over &= caller.woken.is_woken.swap(false, Ordering::Acquire) && {
                let waker = Waker::from(Arc::clone(&caller.woken));
                match caller.future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    Poll::Ready(output) => {
                        caller.output = Some(output);
                        true
                    }
                    Poll::Pending => false,
                }
            };
        }
        if is_over { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    callers.into_iter().filter_map(|caller| caller.output).collect()
}
