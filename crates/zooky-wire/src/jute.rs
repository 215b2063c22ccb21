//! Jute: big-endian integers, length-prefixed buffers and strings, counted vectors.

use bytes::{BufMut, Bytes, BytesMut};

/// Why bytes could not be read as a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The record goes on behind the last byte.
    #[error("the record ends {missing} bytes too early")]
    Short {
        /// How many bytes are missing, at least.
        missing: usize,
    },
    /// A length or a count that is negative, or larger than what is left.
    #[error("a {what} of impossible length {length}")]
    Length {
        /// What the length belongs to.
        what: &'static str,
        /// The length as it stands in the bytes.
        length: i64,
    },
    /// A string that is not UTF-8.
    #[error("a string is not UTF-8")]
    Utf8,
    /// A number that stands for nothing known.
    #[error("unknown {what} {value}")]
    Unknown {
        /// What the number should have meant.
        what: &'static str,
        /// The number.
        value: i64,
    },
}

type Result<T> = std::result::Result<T, DecodeError>;

/// Reads records from a slice, front to back.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    /// What `rest` is a part of, if its owner may be kept.
    source: Option<&'a Bytes>,
}

/// Data of so many bytes are not copied where their owner may be kept.
const LONG_DATA: usize = 16 << 10;

impl<'a> Reader<'a> {
    /// A reader at the first byte of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes, source: None }
    }

    /// The same; long data read from it are a part of `bytes` and keep all of them.
    pub fn of(bytes: &'a Bytes) -> Self {
        Reader { rest: bytes, source: Some(bytes) }
    }

    /// The bytes not yet read.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// How many bytes are not yet read.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Whether everything has been read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        match self.rest.split_at_checked(n) {
            Some((head, tail)) => {
                self.rest = tail;
                Ok(head)
            }
            None => Err(DecodeError::Short { missing: n - self.rest.len() }),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        match self.rest.split_first_chunk::<N>() {
            Some((head, tail)) => {
                self.rest = tail;
                Ok(*head)
            }
            None => Err(DecodeError::Short { missing: N - self.rest.len() }),
        }
    }

    /// One byte; anything but zero is true, as in the original.
    pub fn bool(&mut self) -> Result<bool> {
        Ok(self.array::<1>()? != [0])
    }

    /// A 32-bit integer.
    pub fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    /// A 64-bit integer.
    pub fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    /// A buffer; length -1 is the null buffer, which is not the empty one.
    pub fn buffer(&mut self) -> Result<Option<&'a [u8]>> {
        let length = self.i32()?;
        match usize::try_from(length) {
            Ok(n) if n <= self.rest.len() => Ok(Some(self.take(n)?)),
            Err(_) if length == -1 => Ok(None),
            _ => Err(DecodeError::Length { what: "buffer", length: i64::from(length) }),
        }
    }

    /// A buffer of node data.
    pub fn data(&mut self) -> Result<Option<Bytes>> {
        let source = self.source;
        Ok(self.buffer()?.map(|data| match source {
            Some(source) if data.len() >= LONG_DATA => source.slice_ref(data),
            _ => Bytes::copy_from_slice(data),
        }))
    }

    /// A string; a null string reads as the empty one.
    pub fn str(&mut self) -> Result<&'a str> {
        let length = self.i32()?;
        match usize::try_from(length) {
            Ok(n) if n <= self.rest.len() => {
                std::str::from_utf8(self.take(n)?).map_err(|_| DecodeError::Utf8)
            }
            Err(_) if length == -1 => Ok(""),
            _ => Err(DecodeError::Length { what: "string", length: i64::from(length) }),
        }
    }

    /// A string of its own.
    pub fn string(&mut self) -> Result<String> {
        self.str().map(str::to_owned)
    }

    /// A string that must not be null.
    pub fn some_string(&mut self) -> Result<String> {
        if self.rest.starts_with(&(-1_i32).to_be_bytes()) {
            return Err(DecodeError::Length { what: "string", length: -1 });
        }
        self.string()
    }

    /// The count in front of a vector whose items take at least `min_bytes` each; -1 is the null vector, which
    /// reads as the empty one.
    pub fn count(&mut self, min_bytes: usize) -> Result<usize> {
        let count = self.i32()?;
        match usize::try_from(count) {
            Ok(n) if n <= self.rest.len() / min_bytes.max(1) => Ok(n),
            Err(_) if count == -1 => Ok(0),
            _ => Err(DecodeError::Length { what: "vector", length: i64::from(count) }),
        }
    }

    /// A counted vector, see [`count`](Reader::count).
    pub fn vector<T>(
        &mut self,
        min_bytes: usize,
        mut item: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let n = self.count(min_bytes)?;
        let mut items = Vec::with_capacity(n);
        for _ in 0..n {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// A vector of strings.
    pub fn strings(&mut self) -> Result<Vec<String>> {
        self.vector(4, Reader::string)
    }
}

/// Writes records, one behind the other.
#[derive(Debug, Default)]
pub struct Writer {
    buf: BytesMut,
}

impl Writer {
    /// An empty writer.
    pub fn new() -> Self {
        Writer::default()
    }

    /// A writer that goes on behind what `buf` holds.
    pub fn from_buf(buf: BytesMut) -> Self {
        Writer { buf }
    }

    /// How many bytes there are so far.
    pub fn len(&self) -> usize {
        self.buf.len()
    }

    /// Whether nothing has been written.
    pub fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    /// What has been written so far.
    pub fn as_slice(&self) -> &[u8] {
        &self.buf
    }

    /// The buffer itself, to go on in another way.
    pub fn into_buf(self) -> BytesMut {
        self.buf
    }

    /// Everything written, frozen.
    pub fn into_bytes(self) -> Bytes {
        self.buf.freeze()
    }

    /// Makes room for so many bytes more, all at once.
    pub fn reserve(&mut self, bytes: usize) {
        self.buf.reserve(bytes);
    }

    /// Bytes as they are, without a length.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.buf.put_slice(bytes);
    }

    /// One byte, 0 or 1.
    pub fn bool(&mut self, value: bool) {
        self.buf.put_u8(u8::from(value));
    }

    /// A 32-bit integer.
    pub fn i32(&mut self, value: i32) {
        self.buf.put_i32(value);
    }

    /// A 64-bit integer.
    pub fn i64(&mut self, value: i64) {
        self.buf.put_i64(value);
    }

    /// A length or count. Nothing of 2 GiB or more reaches this crate (frames end long before), so
    /// a larger one is a bug of the caller; it is written as a length that no reader accepts.
    fn length(&mut self, n: usize) {
        debug_assert!(i32::try_from(n).is_ok(), "a record of 2 GiB");
        self.buf.put_i32(i32::try_from(n).unwrap_or(i32::MIN));
    }

    /// A buffer, or the null buffer.
    pub fn buffer(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => {
                self.length(bytes.len());
                self.buf.put_slice(bytes);
            }
            None => self.buf.put_i32(-1),
        }
    }

    /// A string.
    pub fn string(&mut self, s: &str) {
        self.buffer(Some(s.as_bytes()));
    }

    /// A counted vector.
    pub fn vector<T>(&mut self, items: &[T], mut item: impl FnMut(&mut Self, &T)) {
        self.length(items.len());
        for one in items {
            item(self, one);
        }
    }

    /// A vector of strings.
    pub fn strings(&mut self, items: &[String]) {
        self.vector(items, |w, s| w.string(s));
    }

    /// Leaves room for a frame's length and returns the mark for [`Writer::end_frame`].
    pub fn begin_frame(&mut self) -> usize {
        let mark = self.buf.len();
        self.buf.put_i32(0);
        mark
    }

    /// Fills in the length of the frame begun at `mark`.
    pub fn end_frame(&mut self, mark: usize) {
        let body = self.buf.len() - mark - 4;
        debug_assert!(i32::try_from(body).is_ok(), "a frame of 2 GiB");
        let length = i32::try_from(body).unwrap_or(i32::MIN);
        self.buf[mark..mark + 4].copy_from_slice(&length.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_checked_before_anything_is_reserved() {
        let huge = i32::MAX.to_be_bytes();
        assert!(matches!(Reader::new(&huge).buffer(), Err(DecodeError::Length { .. })));
        assert!(matches!(Reader::new(&huge).str(), Err(DecodeError::Length { .. })));
        assert!(matches!(Reader::new(&huge).strings(), Err(DecodeError::Length { .. })));
        assert!(matches!(Reader::new(&(-2i32).to_be_bytes()).buffer(), Err(DecodeError::Length { .. })));
    }

    #[test]
    fn long_data_stay_where_they_are() {
        for length in [3, LONG_DATA - 1, LONG_DATA] {
            let mut w = Writer::new();
            w.buffer(Some(&vec![7; length]));
            let bytes = w.into_bytes();
            let data = Reader::of(&bytes).data().unwrap().unwrap();
            assert_eq!(data, vec![7; length]);
            assert_eq!(data.as_ptr() == bytes[4..].as_ptr(), length >= LONG_DATA, "{length}");
            assert_eq!(Reader::new(&bytes).data(), Ok(Some(data)));
        }
    }

    #[test]
    fn null_is_not_empty() {
        let mut w = Writer::new();
        w.buffer(None);
        w.buffer(Some(b""));
        let bytes = w.into_bytes();
        let mut r = Reader::new(&bytes);
        assert_eq!(r.buffer(), Ok(None));
        assert_eq!(r.buffer(), Ok(Some(&b""[..])));
        assert!(r.is_empty());
    }

    #[test]
    fn frames_get_their_length() {
        let mut w = Writer::new();
        let mark = w.begin_frame();
        w.i64(1);
        w.end_frame(mark);
        assert_eq!(&w.as_slice()[..4], &[0, 0, 0, 8]);
    }
}
