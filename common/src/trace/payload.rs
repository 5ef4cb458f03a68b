//! Payloads as they lie in the database: JSON, compressed with zlib (as the older system did,
//! without its base64).

use std::io::{self, Read as _, Write as _};

use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};
use serde_json::Value;

use super::mask;

/// The most that a stored payload may unpack to. Four times what [`mask::cap`] lets in, so that
/// only a row that something else wrote can be over it.
const MAX_UNPACKED: u64 = 4 * mask::PAYLOAD_CAP as u64;

/// A payload ready for its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Compressed JSON.
    pub bytes: Vec<u8>,
    /// The size of the JSON before it was cut to its cap and compressed, in bytes.
    pub size_original: usize,
}

/// Cuts a payload to [`mask::PAYLOAD_CAP`] and compresses it.
///
/// # Errors
/// Never in practice: the compressor writes into memory.
pub fn compress(payload: &Value) -> io::Result<Packed> {
    let json = serde_json::to_vec(payload)?;
    let capped = (json.len() > mask::PAYLOAD_CAP).then(|| mask::cap(payload.clone(), mask::PAYLOAD_CAP));
    let size_original = mask::original_size(payload).unwrap_or(json.len());
    let json = match capped {
        Some(capped) => serde_json::to_vec(&capped)?,
        None => json,
    };
    let mut encoder = ZlibEncoder::new(Vec::with_capacity(json.len() / 2), Compression::fast());
    encoder.write_all(&json)?;
    Ok(Packed { bytes: encoder.finish()?, size_original })
}

/// Reads a stored payload back.
///
/// # Errors
/// When the bytes are not compressed JSON, or unpack to more than any payload can be.
pub fn decompress(bytes: &[u8]) -> io::Result<Value> {
    decompress_up_to(bytes, MAX_UNPACKED)
}

/// The same with another cap.
pub(super) fn decompress_up_to(bytes: &[u8], most: u64) -> io::Result<Value> {
    let mut json = Vec::new();
    ZlibDecoder::new(bytes).take(most + 1).read_to_end(&mut json)?;
    if json.len() as u64 > most {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the payload unpacks to more than its cap"));
    }
    Ok(serde_json::from_slice(&json)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let payload = json!({"event": "messages.upsert", "data": {"text": "Olá 👋", "list": [1, 2.5, null, true]}});
        let packed = compress(&payload).unwrap();
        assert_eq!(packed.size_original, payload.to_string().len());
        assert_eq!(decompress(&packed.bytes).unwrap(), payload);
    }

    #[test]
    fn too_large_a_payload_is_cut_and_its_size_remembered() {
        let payload = json!({"text": "palavra ".repeat(100_000)});
        let packed = compress(&payload).unwrap();
        assert_eq!(packed.size_original, payload.to_string().len());
        let read = decompress(&packed.bytes).unwrap();
        assert_eq!(read["truncated"], true);
        assert_eq!(read["size"], packed.size_original);

        let cut_before = mask::cap(payload, mask::PAYLOAD_CAP);
        assert_eq!(compress(&cut_before).unwrap().size_original, packed.size_original);
    }

    #[test]
    fn a_bomb_is_refused() {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        let zeros = vec![b' '; 1 << 20];
        for _ in 0..64 {
            encoder.write_all(&zeros).unwrap();
        }
        let bomb = encoder.finish().unwrap();
        assert_eq!(decompress(&bomb).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn rubbish_is_an_error() {
        assert!(decompress(b"not zlib").is_err());
        assert!(decompress(b"").is_err());
    }
}
