//! The frames of HTTP/2 by hand: a client that keeps to the protocol cannot be made to lie.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// What a connection begins with.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// How long a write may wait for a server that does not read any more.
const WRITE_WAITS: Duration = Duration::from_millis(500);

/// Writes one frame.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = Vec::with_capacity(9 + payload.len());
    bytes.extend_from_slice(&length[1..]);
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Writes a field of headers, without Huffman's code and without a place in the table.
pub(super) fn field(name: &str, value: &str, block: &mut Vec<u8>) {
    block.push(0);
    for text in [name, value] {
        length(text.len(), block);
        block.extend_from_slice(text.as_bytes());
    }
}

/// Writes a length of seven bits and more.
fn length(mut number: usize, block: &mut Vec<u8>) {
    if number < 127 {
        block.push(u8::try_from(number).unwrap());
        return;
    }
    block.push(127);
    number -= 127;
    while number >= 128 {
        block.push(u8::try_from(number % 128).unwrap() | 128);
        number /= 128;
    }
    block.push(u8::try_from(number).unwrap());
}

/// Writes the headers of a call over gRPC, and others.
pub(super) fn call(path: &str, others: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    let own = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    for (name, value) in own.iter().chain(others) {
        field(name, value, &mut block);
    }
    block
}

/// Writes the data of a gRPC message: whether it says that it is compressed, how long it says that it is, and what follows.
pub(super) fn message(is_compressed: bool, length: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![u8::from(is_compressed)];
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(content);
    bytes
}

/// A connection that says what it likes.
pub(super) struct Connection {
    stream: TcpStream,
    reading: Option<std::thread::JoinHandle<()>>,
}

impl Connection {
    /// Connects, without a word.
    fn silent(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(WRITE_WAITS))?;
        Ok(Self { stream, reading: None })
    }

    /// Connects, and takes in what comes.
    fn open(address: SocketAddr) -> io::Result<Self> {
        let mut connection = Self::silent(address)?;
        let stream = connection.stream.try_clone()?;
        connection.reading = Some(std::thread::spawn(move || read(stream)));
        Ok(connection)
    }

    /// Connects from an address of its own, without a word.
    pub(super) fn elsewhere(target: &super::Target) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&target.own_address().into())?;
        socket.connect(&target.address.into())?;
        let stream = TcpStream::from(socket);
        stream.set_write_timeout(Some(WRITE_WAITS))?;
        Ok(Self { stream, reading: None })
    }

    /// Connects, reads nothing, and begins to speak HTTP/2.
    pub(super) fn http2_unread(address: SocketAddr) -> io::Result<Self> {
        let mut connection = Self::silent(address)?;
        connection.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat())?;
        Ok(connection)
    }

    /// Connects, takes in what comes, and begins to speak HTTP/2.
    pub(super) fn http2(address: SocketAddr) -> io::Result<Self> {
        let mut connection = Self::open(address)?;
        connection.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat())?;
        Ok(connection)
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        if let Some(reading) = self.reading.take() {
            let _ = reading.join();
        }
    }
}

/// Reads to the end.
fn read(mut stream: TcpStream) {
    // Whether the server ends it or the attacker, it has ended.
    let _ = io::copy(&mut stream, &mut io::sink());
}
