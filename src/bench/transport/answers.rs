//! What the servers answer with: a health check that is always well, by each way.

use std::convert::Infallible;
use std::future::{Ready, poll_fn, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Request, Response};
use tokio::net::TcpStream;
use tokio_stream::Empty;
use tonic::codec::{BufferSettings, Codec};
use tonic::server::{Grpc, UnaryService};
use tonic::{Status, async_trait};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_server};
use tonic_prost::ProstCodec;

use crate::load::nothing::{read_some, write_all};

/// Bytes of a health check on the wire when the connection has had some, so that its headers are known by their numbers. A test counts
/// them.
pub(super) const REQUEST_BYTES: usize = 61;
/// Bytes of its answer: headers, a message of two bytes, trailers.
pub(super) const ANSWER_BYTES: usize = 37;

/// The message that says that the server is well, with the five bytes in front of it.
const WELL: [u8; 7] = [0, 0, 0, 0, 2, 8, 1];

/// Says what a service that is well says.
fn well() -> HealthCheckResponse {
    HealthCheckResponse {
        status: ServingStatus::Serving.into(),
    }
}

/// A health service that does nothing.
#[derive(Clone, Copy)]
pub(super) struct Well;

#[async_trait]
impl health_server::Health for Well {
    type WatchStream = Empty<Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        _: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, Status> {
        Ok(tonic::Response::new(well()))
    }

    async fn watch(&self, _: tonic::Request<HealthCheckRequest>) -> Result<tonic::Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("nothing changes here"))
    }
}

impl UnaryService<HealthCheckRequest> for Well {
    type Response = HealthCheckResponse;
    type Future = Ready<Result<tonic::Response<HealthCheckResponse>, Status>>;

    fn call(&mut self, _: tonic::Request<HealthCheckRequest>) -> Self::Future {
        ready(Ok(tonic::Response::new(well())))
    }
}

/// Messages of protobuf with buffers of one's own.
#[derive(Clone, Copy)]
struct Buffered(BufferSettings);

impl Codec for Buffered {
    type Encode = HealthCheckResponse;
    type Decode = HealthCheckRequest;
    type Encoder = <ProstCodec<HealthCheckResponse, HealthCheckRequest> as Codec>::Encoder;
    type Decoder = <ProstCodec<HealthCheckResponse, HealthCheckRequest> as Codec>::Decoder;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<HealthCheckResponse, HealthCheckRequest>::raw_encoder(self.0)
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<HealthCheckResponse, HealthCheckRequest>::raw_decoder(self.0)
    }
}

/// Answers by tonic's codec alone.
pub(super) async fn buffered(settings: BufferSettings, request: Request<Incoming>) -> Response<tonic::body::Body> {
    Grpc::new(Buffered(settings)).unary(Well, request).await
}

/// Answers without tonic: reads the request to its end, and sends bytes that are known.
pub(super) async fn fixed(request: Request<Incoming>) -> Result<Response<Fixed>, Infallible> {
    let mut body = request.into_body();
    while let Some(Ok(_)) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {}
    let mut answer = Response::new(Fixed::Message);
    let kind = HeaderValue::from_static("application/grpc");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(answer)
}

/// What is still to be sent of a body that is known.
pub(super) enum Fixed {
    Message,
    Trailers,
    Nothing,
}

impl Body for Fixed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let (frame, next) = match *self {
            Self::Message => (Frame::data(Bytes::from_static(&WELL)), Self::Trailers),
            Self::Trailers => {
                let mut trailers = HeaderMap::with_capacity(1);
                trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
                (Frame::trailers(trailers), Self::Nothing)
            }
            Self::Nothing => return Poll::Ready(None),
        };
        *self = next;
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Nothing)
    }
}

/// Answers whole requests of [`REQUEST_BYTES`] with [`ANSWER_BYTES`] each, those that came together together, until the caller goes.
pub(super) async fn echo(stream: TcpStream) {
    let (mut buffer, mut held) = (vec![0; 16 * 1024], 0);
    let answers = vec![0; (buffer.len() / REQUEST_BYTES + 1) * ANSWER_BYTES];
    while let Ok(count @ 1..) = read_some(&stream, &mut buffer).await {
        held += count;
        let whole = held / REQUEST_BYTES;
        held %= REQUEST_BYTES;
        if write_all(&stream, &answers[..whole * ANSWER_BYTES]).await.is_err() {
            return;
        }
    }
}
