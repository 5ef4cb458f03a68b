//! Events as they lie in their streams: JSON, and outcomes compressed with zlib.
//!
//! An outcome waits in its stream until the database has it, and the stream refuses more when it
//! is full: the smaller an outcome, the longer an outage may last. It says most things twice (the
//! answer, and the answer as it was sent), so that compression takes more than half of it. Steps
//! are bounded by dropping the oldest, and many: they are not worth the time.

use std::io::{self, Read as _, Write as _};

use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};

/// Smaller events are left as they are.
const WORTH_PACKING: usize = 512;
/// The most that an event may unpack to: twice what is ever published.
const MAX_UNPACKED: u64 = 1024 * 1024;
/// JSON never begins with this byte, and what [`pack`] compresses always does.
const ZLIB: u8 = 0x78;

/// Compresses an event's JSON, where that is worth it.
#[must_use]
pub fn pack(json: Vec<u8>) -> Vec<u8> {
    if json.len() < WORTH_PACKING {
        return json;
    }
    let mut encoder = ZlibEncoder::new(Vec::with_capacity(json.len() / 2), Compression::fast());
    // Into memory: it does not fail, and if it did, the event would go as it is.
    match encoder.write_all(&json).and_then(|()| encoder.finish()) {
        Ok(packed) if packed.first() == Some(&ZLIB) => packed,
        _ => json,
    }
}

/// The JSON of an event, whether it was packed or not.
///
/// # Errors
/// When it is damaged, or larger than any event can be.
pub fn unpack(bytes: &[u8]) -> io::Result<std::borrow::Cow<'_, [u8]>> {
    if bytes.first() != Some(&ZLIB) {
        return Ok(bytes.into());
    }
    let mut json = Vec::with_capacity(bytes.len() * 3);
    ZlibDecoder::new(bytes).take(MAX_UNPACKED + 1).read_to_end(&mut json)?;
    if json.len() as u64 > MAX_UNPACKED {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the event unpacks to more than any event can be"));
    }
    Ok(json.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_goes_in_comes_out(text in "\\PC{0,2000}") {
            let json = serde_json::to_vec(&serde_json::json!({"v": 1, "text": text})).unwrap();
            let packed = pack(json.clone());
            let unpacked = unpack(&packed).unwrap();
            prop_assert_eq!(&*unpacked, &json[..]);
        }
    }

    #[test]
    fn an_answer_told_twice_takes_less_than_half() {
        let answer: String = (0..60).map(|n| format!("word{} ", n * 7919 % 1000)).collect();
        let json = serde_json::to_vec(&serde_json::json!({"answer": answer, "sent": [answer]})).unwrap();
        assert!(pack(json.clone()).len() < json.len() / 2);
    }

    #[test]
    fn damaged_and_oversized_bytes_are_refused() {
        let bomb = pack(vec![b' '; 3 * 1024 * 1024]);
        assert!(bomb.len() < 64 * 1024 && unpack(&bomb).is_err());
        let packed = pack(vec![b'{'; 4096]);
        assert!(unpack(&packed[..packed.len() / 2]).is_err());
        assert!(unpack(b"x").is_err());
        assert_eq!(&*unpack(b"").unwrap(), b"");
    }
}
