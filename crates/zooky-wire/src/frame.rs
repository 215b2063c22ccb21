//! Frames: four bytes of length, then that many bytes.

use bytes::{Bytes, BytesMut};

/// The longest frame that is accepted unless configured otherwise: 1 MiB less one byte, as in the
/// original (`jute.maxbuffer`).
pub const MAX_FRAME_DEFAULT: usize = 0xf_ffff;

/// A length that no frame may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {length} bytes; the limit is {limit}")]
pub struct FrameError {
    /// The length as it stands in the bytes.
    pub length: i32,
    /// The longest that was allowed.
    pub limit: usize,
}

/// Where the first frame of `bytes` ends, its length prefix included; `None` if even the prefix is
/// not complete. The end may lie behind the bytes that are there.
///
/// # Errors
/// A negative length, or one over `limit`.
pub fn frame_end(bytes: &[u8], limit: usize) -> Result<Option<usize>, FrameError> {
    let Some(prefix) = bytes.first_chunk::<4>() else { return Ok(None) };
    let length = i32::from_be_bytes(*prefix);
    match usize::try_from(length) {
        Ok(n) if n <= limit => Ok(Some(4 + n)),
        _ => Err(FrameError { length, limit }),
    }
}

/// Takes the first complete frame off `buf`, without its prefix.
///
/// # Errors
/// As [`frame_end`]; `buf` is left as it was.
pub fn take_frame(buf: &mut BytesMut, limit: usize) -> Result<Option<Bytes>, FrameError> {
    match frame_end(buf, limit)? {
        Some(end) if end <= buf.len() => {
            let mut frame = buf.split_to(end).freeze();
            Ok(Some(frame.split_off(4)))
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_whole_or_not_at_all() {
        let mut buf = BytesMut::from(&[0, 0, 0, 2, 7][..]);
        assert_eq!(take_frame(&mut buf, 10), Ok(None));
        buf.extend_from_slice(&[8, 0, 0]);
        assert_eq!(take_frame(&mut buf, 10).unwrap().unwrap(), &[7, 8][..]);
        assert_eq!(take_frame(&mut buf, 10), Ok(None));
        assert_eq!(buf.len(), 2);
    }

    #[test]
    fn impossible_lengths_are_refused_at_the_prefix() {
        assert!(frame_end(&[0, 0, 0, 11], 10).is_err());
        assert!(frame_end(&[0xff, 0xff, 0xff, 0xff], 10).is_err());
        assert_eq!(frame_end(&[0, 0, 0, 10], 10), Ok(Some(14)));
    }
}
