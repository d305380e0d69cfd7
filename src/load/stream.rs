//! One long stream of requests a connection.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Code;

use super::calls::{Answer, Failure, code_name};
use crate::server::client::Connection;
use crate::server::wire;
use crate::server::wire::decision_service_client::DecisionServiceClient;
use crate::server::wire::get_offers_stream_response::Result as StreamResult;

type Waiting = oneshot::Sender<Result<Answer, Failure>>;

/// A stream of requests whose answers come in the order of the requests.
pub(super) struct OpenStream {
    requests: mpsc::UnboundedSender<wire::GetOffersStreamRequest>,
    waiting: Rc<RefCell<VecDeque<Waiting>>>,
    sent: Cell<u64>,
}

impl OpenStream {
    pub(super) fn open(decisions: DecisionServiceClient<Connection>) -> Self {
        let (requests, receiver) = mpsc::unbounded_channel();
        let waiting = Rc::new(RefCell::new(VecDeque::new()));
        tokio::task::spawn_local(read_answers(decisions, receiver, Rc::clone(&waiting)));
        Self {
            requests,
            waiting,
            sent: Cell::new(0),
        }
    }

    pub(super) fn send(&self, request: wire::GetOffersRequest) -> oneshot::Receiver<Result<Answer, Failure>> {
        let (sender, receiver) = oneshot::channel();
        let correlation_id = self.sent.get().to_string();
        self.sent.set(self.sent.get() + 1);
        let request = wire::GetOffersStreamRequest {
            correlation_id,
            request: Some(request),
        };
        if self.requests.send(request).is_ok() {
            self.waiting.borrow_mut().push_back(sender);
        }
        receiver
    }
}

async fn read_answers(
    mut decisions: DecisionServiceClient<Connection>,
    requests: mpsc::UnboundedReceiver<wire::GetOffersStreamRequest>,
    waiting: Rc<RefCell<VecDeque<Waiting>>>,
) {
    let failed = match decisions
        .get_offers_stream(UnboundedReceiverStream::new(requests))
        .await
    {
        Ok(answers) => {
            let mut answers = answers.into_inner();
            loop {
                match answers.message().await {
                    Ok(Some(answer)) => settle(&waiting, &answer),
                    Ok(None) => break Failure::new("stream closed", ""),
                    Err(status) => break Failure::of(&status),
                }
            }
        }
        Err(status) => Failure::of(&status),
    };
    for sender in waiting.borrow_mut().drain(..) {
        // The caller may have stopped waiting.
        let _ = sender.send(Err(failed.clone()));
    }
}

fn settle(waiting: &RefCell<VecDeque<Waiting>>, answer: &wire::GetOffersStreamResponse) {
    let Some(sender) = waiting.borrow_mut().pop_front() else {
        return;
    };
    let result = match &answer.result {
        Some(StreamResult::Offers(offers)) => Ok(Answer::of(offers)),
        Some(StreamResult::Fault(fault)) => Err(Failure::new(code_name(Code::from_i32(fault.code)), &fault.message)),
        None => Err(Failure::new("empty answer", "")),
    };
    // The caller may have stopped waiting.
    let _ = sender.send(result);
}
