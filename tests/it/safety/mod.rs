//! Who gets in, and what they may do: told by real callers with real certificates and tokens, at a real server on loopback.

mod certificates;
mod hosts;
mod issuer;
mod jwt;
mod limits;
mod program;
mod roles;

use std::path::PathBuf;
use std::sync::Arc;

use nbo::clock::{Clock, ManualClock};
use nbo::domain::symbol::Symbols;
use nbo::engine::{Active, Engine, Limits};
use nbo::server::Server;
use nbo::server::access::Access;
use nbo::server::access::tokens::{fresh, line, roles_named};
use nbo::server::client::{Connection, Credentials};
use nbo::server::doors::Doors;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use crate::served::{CORNER_BANK, MORNING, catalog};

/// A server behind doors, until it is stopped or the test ends.
pub(crate) struct Guarded {
    pub(crate) address: String,
    admin: Option<String>,
    clock: Arc<ManualClock>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

impl Guarded {
    /// Starts a server on a free port; `doors` says how it is guarded.
    pub(crate) async fn start(doors: impl FnOnce(Doors) -> Doors) -> Self {
        Self::start_with(|_| (), doors).await
    }

    /// Does the same, and shows the server to `prepare` before it serves.
    pub(crate) async fn start_with(prepare: impl FnOnce(&Server), doors: impl FnOnce(Doors) -> Doors) -> Self {
        let active = Active::new(catalog(CORNER_BANK, &Symbols::default()), Vec::new());
        let engine = Arc::new(Engine::new(active, Limits::default()));
        let clock = Arc::new(ManualClock::new(MORNING));
        let server = Server::new(engine, Arc::clone(&clock) as Arc<dyn Clock>);
        prepare(&server);
        let doors = doors(Doors::open(listener().await));
        let scheme = if doors.tls.is_some() { "https" } else { "http" };
        let url = |listener: &TcpListener| format!("{scheme}://{}", listener.local_addr().unwrap());
        let (address, admin) = (url(&doors.public), doors.admin.as_ref().map(url));
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(async move {
            let stopping = async {
                // The test has ended when nobody can say so any more.
                let _ = stopped.await;
            };
            server.serve_at(doors, stopping).await.unwrap();
        });
        Self {
            address,
            admin,
            clock,
            stop: Some(stop),
            serving,
        }
    }

    /// Connects with a token, or without one.
    pub(crate) async fn connect(&self, token: Option<&str>) -> Connection {
        with_token(token).connect(&self.address).await.unwrap()
    }

    /// The socket address of the port for everybody.
    fn socket(&self) -> &str {
        self.address.rsplit('/').next().unwrap()
    }

    pub(crate) async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        self.serving.await.unwrap();
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

fn with_token(token: Option<&str>) -> Credentials {
    Credentials {
        token: token.map(str::to_owned),
        ..Credentials::default()
    }
}

/// Calls a method with an empty message, whatever its shape, and waits for the first answer.
async fn call(connection: &Connection, path: &str) -> Result<(), Status> {
    let mut grpc = Grpc::new(connection.clone());
    grpc.ready().await.unwrap();
    let path: PathAndQuery = path.parse().unwrap();
    let request = Request::new(tokio_stream::once(()));
    let answers = grpc.streaming(request, path, ProstCodec::<(), ()>::default()).await?;
    answers.into_inner().message().await.map(drop)
}

/// Returns the code of what a call came to.
fn code(result: Result<(), Status>) -> Code {
    result.err().map_or(Code::Ok, |status| status.code())
}

/// Tells whether a call was let in, whatever came of it then.
fn is_let_in(code: Code) -> bool {
    !matches!(code, Code::Unauthenticated | Code::PermissionDenied)
}

/// A folder with files of secrets.
pub(crate) struct Secrets(TempDir);

impl Secrets {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Writes a tokens file with a fresh token for each set of roles, and returns the tokens.
    pub(crate) fn tokens<const N: usize>(&self, roles: [&str; N]) -> [String; N] {
        let tokens = roles.map(|_| fresh().unwrap());
        let lines = roles.iter().zip(&tokens).enumerate().map(|(at, (roles, token))| {
            let name = format!("caller-{at}");
            line(&name, roles_named(roles).unwrap(), token)
        });
        self.write("tokens", &lines.collect::<Vec<_>>().join("\n"));
        tokens
    }

    /// Reads the tokens file.
    pub(crate) fn access(&self) -> Arc<Access> {
        Arc::new(Access::read(Some(self.path("tokens")), None).unwrap())
    }
}

/// Looks at the files of whoever is known at once, as SIGHUP does.
fn look_again(access: &Access) {
    for renewed in access.renewed() {
        renewed.look(true);
    }
}

/// A name of a certificate: whoever has the name of its authority is taken for the authority itself by some.
fn named(name: &str) -> DistinguishedName {
    let mut named = DistinguishedName::new();
    named.push(DnType::CommonName, name);
    named
}

/// Someone who issues certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = named("an authority of the tests");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Issues a certificate for a name, for servers and clients, and returns it with its key, as PEM.
    pub(crate) fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name = named(name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}
