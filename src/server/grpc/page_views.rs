//! `GetOffers` by gRPC, what is asked most: as the generated service would answer, but for how the answer is encoded.

use std::future::Future;
use std::pin::Pin;

use axum::body::HttpBody;
use hyper::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tonic::codec::{Codec, EncodeBuf, Encoder};
use tonic::codegen::StdError;
use tonic::server::{Grpc, UnaryService};
use tonic_prost::ProstCodec;

use super::decisions::Decisions;
use crate::server::convert::said::Said;
use crate::server::limits::MESSAGE_BYTES_MAX;
use crate::server::wire;

/// The path that is answered here.
pub(in crate::server) const PATH: &str = "/nbo.v1.DecisionService/GetOffers";

/// Answers a call.
pub(in crate::server) async fn answer<B>(decisions: Decisions, request: Request<B>) -> Response<Body>
where
    B: HttpBody + Send + 'static,
    B::Error: Into<StdError> + Send,
{
    Grpc::new(Words)
        .apply_max_message_size_config(Some(MESSAGE_BYTES_MAX), None)
        .unary(PageViews(decisions), request)
        .await
}

struct PageViews(Decisions);

impl UnaryService<wire::GetOffersRequest> for PageViews {
    type Response = Said;
    type Future = Pin<Box<dyn Future<Output = Result<tonic::Response<Said>, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<wire::GetOffersRequest>) -> Self::Future {
        Box::pin(self.0.clone().page_view(request))
    }
}

/// Reads requests as the generated code does, and writes what was said.
struct Words;

impl Codec for Words {
    type Encode = Said;
    type Decode = wire::GetOffersRequest;
    type Encoder = Self;
    type Decoder = <ProstCodec<wire::GetOffersResponse, wire::GetOffersRequest> as Codec>::Decoder;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<wire::GetOffersResponse, wire::GetOffersRequest>::default().decoder()
    }
}

impl Encoder for Words {
    type Item = Said;
    type Error = Status;

    fn encode(&mut self, said: Said, bytes: &mut EncodeBuf<'_>) -> Result<(), Status> {
        said.encode(bytes);
        Ok(())
    }
}
