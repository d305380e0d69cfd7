//! What can be seen of a server from outside: numbers, health, logs, traces, the dashboard, and the files of `deploy/`.

mod deploy;
mod exposition;
mod health;
mod logs;
mod numbers;
mod public_checkers;
mod top;
mod traces;

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::served::Served;

/// Asks for a page by HTTP/1, and returns the status and the body.
pub(crate) async fn page(address: &str, path: &str) -> io::Result<(u16, String)> {
    let authority = address.trim_start_matches("http://");
    let mut stream = TcpStream::connect(authority).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    assert!(!head.to_lowercase().contains("transfer-encoding"), "{head}");
    Ok((status, body.to_owned()))
}

/// Asks a server for a page.
pub(crate) async fn get(served: &Served, path: &str) -> io::Result<(u16, String)> {
    page(&served.address, path).await
}

pub(crate) async fn metrics(served: &Served) -> String {
    let (status, text) = get(served, "/metrics").await.unwrap();
    assert_eq!(status, 200);
    text
}
