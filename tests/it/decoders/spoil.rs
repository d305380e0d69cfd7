//! Makes of good files such as are nearly good: what decoders see when something went wrong, or when somebody tries.

use rand::RngExt as _;
use rand_pcg::Pcg64Mcg;

/// Numbers at which decoders like to break.
const EDGES: [&[u8]; 14] = [
    &[0],
    &[0xff],
    &[0x7f],
    &[0x80],
    &[0xff; 4],
    &[0xff, 0xff, 0xff, 0x7f],
    &[0, 0, 0, 0x80],
    &[0xff; 8],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
    &[0, 0, 0, 0, 0, 0, 0xf8, 0x7f],
    b"-",
    b"999999999999999999999999",
    b"\xf0\x9f\x92\xa9",
    b"{[(\"'",
];

/// The longest file that is made.
const BYTES_MAX: usize = 64 * 1024;

fn place(length: usize, random: &mut Pcg64Mcg) -> usize {
    random.random_range(0..=length)
}

fn part<'a>(bytes: &'a [u8], random: &mut Pcg64Mcg) -> &'a [u8] {
    let from = place(bytes.len(), random);
    let length = place((bytes.len() - from).min(256), random);
    &bytes[from..from + length]
}

/// Takes one of the files, and changes it in one to six places.
pub(super) fn spoilt(files: &[&[u8]], random: &mut Pcg64Mcg) -> Vec<u8> {
    let any = |random: &mut Pcg64Mcg| files[random.random_range(0..files.len())];
    let mut bytes = any(random).to_vec();
    for _ in 0..random.random_range(1..=6) {
        let at = place(bytes.len(), random);
        match random.random_range(0..8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
            1 if at < bytes.len() => bytes[at] = random.random(),
            2 => {
                let edge = EDGES[random.random_range(0..EDGES.len())];
                let end = bytes.len().min(at + edge.len());
                bytes.splice(at..end, edge.iter().copied());
            }
            3 => {
                let edge = EDGES[random.random_range(0..EDGES.len())];
                bytes.splice(at..at, edge.iter().copied());
            }
            4 => {
                let end = at + place((bytes.len() - at).min(64), random);
                bytes.drain(at..end);
            }
            5 => {
                let own = part(&bytes, random).to_vec();
                bytes.splice(at..at, own);
            }
            6 => {
                let other = part(any(random), random).to_vec();
                bytes.splice(at..at, other);
            }
            // Seldom, since nothing is left to be read behind it.
            _ if random.random_range(0..4) == 0 => bytes.truncate(at),
            _ => {}
        }
        bytes.truncate(BYTES_MAX);
    }
    bytes
}
