//! TLS: who the server is, who its callers are, and certificates that change while it serves.

use std::sync::Arc;

use nbo::server::client::{Connection, Credentials};
use nbo::server::doors::Doors;
use nbo::server::renewed::{Looked, Renew as _};
use nbo::server::tls::{self, Files, Tls};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tonic::Code;

use super::{Authority, Guarded, Secrets, call, code, is_let_in};

const CHECK: &str = "/grpc.health.v1.Health/Check";
const GET: &str = "/nbo.v1.DecisionService/GetOffers";
const RECORD: &str = "/nbo.v1.BehaviourService/RecordEvents";

/// Writes a certificate of an authority into the files of the server.
fn issue(secrets: &Secrets, authority: &Authority) {
    let (certificate, key) = authority.issue("localhost");
    secrets.write("cert.pem", &certificate);
    secrets.write("key.pem", &key);
}

fn open(secrets: &Secrets, client_authority: Option<&Authority>) -> Arc<Tls> {
    let authorities = client_authority.map(|authority| secrets.write("clients.pem", &authority.pem()));
    let files = Files {
        certificate: secrets.path("cert.pem"),
        key: secrets.path("key.pem"),
        client_authorities: authorities,
    };
    tls::open(&files).unwrap()
}

/// Connects with trust in an authority, and with a certificate of one's own or none.
async fn connect(
    served: &Guarded,
    trusted: &Authority,
    own: Option<(String, String)>,
) -> Result<Connection, nbo::server::client::ConnectError> {
    let credentials = Credentials {
        authorities: Some(trusted.pem().into_bytes()),
        identity: own.map(|(certificate, key)| (certificate.into_bytes(), key.into_bytes())),
        server_name: Some("localhost".to_owned()),
        ..Credentials::default()
    };
    credentials.connect(&served.address).await
}

/// Returns what a call comes to; with TLS 1.3 a client hears of its refused certificate only then.
async fn reached(connection: Result<Connection, nbo::server::client::ConnectError>, path: &str) -> Option<Code> {
    let found = code(call(&connection.ok()?, path).await);
    (!matches!(found, Code::Unavailable | Code::Unknown)).then_some(found)
}

#[tokio::test]
async fn a_caller_reaches_the_server_it_trusts_over_tls_and_nobody_without() {
    let (secrets, authority) = (Secrets::new(), Authority::new());
    issue(&secrets, &authority);
    let served = Guarded::start(|doors| Doors {
        tls: Some(open(&secrets, None)),
        ..doors
    })
    .await;
    assert_eq!(
        reached(connect(&served, &authority, None).await, CHECK).await,
        Some(Code::Ok)
    );
    let stranger = Authority::new();
    assert!(connect(&served, &stranger, None).await.is_err());
    let plain = Credentials::default()
        .connect(&format!("http://{}", served.socket()))
        .await;
    assert_eq!(reached(plain, CHECK).await, None);
    let without = Credentials::default().connect(&served.address).await.err().unwrap();
    assert!(without.to_string().contains("give --ca"), "{without}");
    served.stop().await;
}

#[tokio::test]
async fn both_versions_of_http_are_offered() {
    let (secrets, authority) = (Secrets::new(), Authority::new());
    issue(&secrets, &authority);
    let served = Guarded::start(|doors| Doors {
        tls: Some(open(&secrets, None)),
        ..doors
    })
    .await;
    for (asked, expected) in [(vec!["h2", "http/1.1"], "h2"), (vec!["http/1.1"], "http/1.1")] {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap())
            .unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = asked.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(served.socket()).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(expected.as_bytes()));
    }
    served.stop().await;
}

#[tokio::test]
async fn with_an_authority_for_clients_only_its_certificates_get_in() {
    let (secrets, authority, clients) = (Secrets::new(), Authority::new(), Authority::new());
    issue(&secrets, &authority);
    let served = Guarded::start(|doors| Doors {
        tls: Some(open(&secrets, Some(&clients))),
        ..doors
    })
    .await;
    let known = clients.issue("web.bank.internal");
    assert_eq!(
        reached(connect(&served, &authority, Some(known)).await, CHECK).await,
        Some(Code::Ok)
    );
    let stranger = authority.issue("web.bank.internal");
    for own in [None, Some(stranger)] {
        assert_eq!(reached(connect(&served, &authority, own).await, CHECK).await, None);
    }
    served.stop().await;
}

#[tokio::test]
async fn the_name_in_a_certificate_has_the_roles_of_its_line_and_a_token_decides_when_there_is_one() {
    let (secrets, authority, clients) = (Secrets::new(), Authority::new(), Authority::new());
    issue(&secrets, &authority);
    let [token] = secrets.tokens(["events"]);
    let line = std::fs::read_to_string(secrets.path("tokens")).unwrap();
    secrets.write("tokens", &format!("{line}\nweb offers dns:web.bank.internal\n"));
    let access = secrets.access();
    let served = Guarded::start(|doors| Doors {
        tls: Some(open(&secrets, Some(&clients))),
        access,
        ..doors
    })
    .await;
    let known = connect(&served, &authority, Some(clients.issue("web.bank.internal")))
        .await
        .unwrap();
    assert!(is_let_in(code(call(&known, GET).await)));
    assert_eq!(code(call(&known, RECORD).await), Code::PermissionDenied);
    let unknown = connect(&served, &authority, Some(clients.issue("other.bank.internal")))
        .await
        .unwrap();
    assert_eq!(code(call(&unknown, GET).await), Code::Unauthenticated);

    let (certificate, key) = clients.issue("web.bank.internal");
    let with_token = |token: &str| Credentials {
        token: Some(token.to_owned()),
        authorities: Some(authority.pem().into_bytes()),
        identity: Some((certificate.clone().into_bytes(), key.clone().into_bytes())),
        server_name: Some("localhost".to_owned()),
    };
    let both = with_token(&token).connect(&served.address).await.unwrap();
    assert!(is_let_in(code(call(&both, RECORD).await)));
    assert_eq!(code(call(&both, GET).await), Code::PermissionDenied);
    let bad = with_token("nbo_bad").connect(&served.address).await.unwrap();
    assert_eq!(code(call(&bad, GET).await), Code::Unauthenticated);
    served.stop().await;
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_callers_while_an_open_connection_goes_on() {
    let (secrets, before, after) = (Secrets::new(), Authority::new(), Authority::new());
    issue(&secrets, &before);
    let tls = open(&secrets, None);
    let shown = Arc::clone(&tls);
    let served = Guarded::start(|doors| Doors {
        tls: Some(shown),
        ..doors
    })
    .await;
    let standing = connect(&served, &before, None).await.unwrap();
    assert_eq!(code(call(&standing, CHECK).await), Code::Ok);

    // People change one file after the other.
    let (certificate, key) = after.issue("localhost");
    secrets.write("cert.pem", &certificate);
    assert_eq!(tls.look(false), Looked::Same);
    secrets.write("key.pem", &key);
    assert_eq!(tls.look(false), Looked::Same);
    assert_eq!(tls.look(false), Looked::Applied);
    assert_eq!(code(call(&standing, CHECK).await), Code::Ok);
    assert!(connect(&served, &before, None).await.is_err());
    assert_eq!(
        reached(connect(&served, &after, None).await, CHECK).await,
        Some(Code::Ok)
    );

    // A key that is not the certificate's, and no certificate at all.
    secrets.write("key.pem", &before.issue("localhost").1);
    assert_eq!(tls.look(true), Looked::Refused);
    secrets.write("cert.pem", "nothing");
    assert_eq!(tls.look(true), Looked::Refused);
    assert_eq!(
        reached(connect(&served, &after, None).await, CHECK).await,
        Some(Code::Ok)
    );
    assert_eq!(code(call(&standing, CHECK).await), Code::Ok);
    served.stop().await;
}

#[test]
fn broken_files_are_refused_with_the_file_that_is_to_blame() {
    let (secrets, authority) = (Secrets::new(), Authority::new());
    issue(&secrets, &authority);
    let files = Files {
        certificate: secrets.path("cert.pem"),
        key: secrets.path("key.pem"),
        client_authorities: Some(secrets.path("clients.pem")),
    };
    for (name, text, expected) in [
        ("clients.pem", String::new(), "clients.pem holds no certificate in PEM"),
        ("key.pem", "x".to_owned(), "key.pem holds no private key in PEM"),
        ("key.pem", authority.issue("localhost").1, "cert.pem and "),
        ("cert.pem", String::new(), "cert.pem holds no certificate in PEM"),
    ] {
        issue(&secrets, &authority);
        secrets.write("clients.pem", &authority.pem());
        assert!(tls::open(&files).is_ok());
        secrets.write(name, &text);
        let refused = tls::open(&files).unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    }
}
