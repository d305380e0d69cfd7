//! Makes the checksums of changed files right again, and writes what only a few texts of many would be.

/// The bytes of a segment's header, of which the last four are its checksum.
const HEADER_BYTES: usize = 32;
/// The bytes before a record: length 4, checksum 4, sequence number 8, synced mark 8.
const FRAME_BYTES: usize = 24;
/// The bytes before the chunks of a checkpoint.
const MAGIC_BYTES: usize = 16;

fn length(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | usize::from(byte))
}

/// Mends the header and every frame of a segment whose length fits.
pub(crate) fn segment(bytes: &mut [u8]) {
    let Some(header) = bytes.get_mut(..HEADER_BYTES) else {
        return;
    };
    let sum = crc32fast::hash(&header[..HEADER_BYTES - 4]);
    header[HEADER_BYTES - 4..].copy_from_slice(&sum.to_le_bytes());
    let mut at = HEADER_BYTES;
    while let Some(frame) = bytes.get(at..at + FRAME_BYTES) {
        let end = at + FRAME_BYTES + length(&frame[..4]);
        let Some(whole) = bytes.get_mut(at..end) else {
            return;
        };
        let mut sum = crc32fast::Hasher::new();
        sum.update(&whole[..4]);
        sum.update(&whole[8..]);
        let sum = sum.finalize().to_le_bytes();
        whole[4..8].copy_from_slice(&sum);
        at = end;
    }
}

/// Mends every chunk of a checkpoint whose length fits.
pub(crate) fn checkpoint(bytes: &mut [u8]) {
    let mut at = MAGIC_BYTES;
    while let Some(frame) = bytes.get(at..at + 8) {
        let end = at + 8 + length(&frame[..4]);
        let Some(whole) = bytes.get_mut(at..end) else {
            return;
        };
        let sum = crc32fast::hash(&whole[8..]).to_le_bytes();
        whole[4..8].copy_from_slice(&sum);
        at = end;
    }
}

/// Base64 for addresses, without padding, as JWTs have it.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut three = [0; 3];
        three[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from(three[0]) << 16 | u32::from(three[1]) << 8 | u32::from(three[2]);
        let digits = (0..=chunk.len()).map(|at| DIGITS[(bits >> (18 - 6 * at) & 63) as usize]);
        text.extend(digits.map(char::from));
    }
    text
}
