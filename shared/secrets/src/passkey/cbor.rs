//! A reader for the CBOR (RFC 8949) that authenticators write.
//!
//! CTAP2 allows only items of definite length, with at most four levels of nesting (CTAP 2.2, section 8).

/// The deepest nesting that is read. Attestation statements of other formats need three levels.
const MAX_DEPTH: u8 = 8;

/// The major types of RFC 8949, section 3.1.
mod major {
    pub(super) const UNSIGNED: u8 = 0;
    pub(super) const NEGATIVE: u8 = 1;
    pub(super) const BYTES: u8 = 2;
    pub(super) const TEXT: u8 = 3;
    pub(super) const ARRAY: u8 = 4;
    pub(super) const MAP: u8 = 5;
    pub(super) const TAG: u8 = 6;
}

/// Reads items one after another. Every method returns `None` if the next item is incomplete or is something else.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Returns what has not been read yet.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = rest;
        Some(taken)
    }

    /// Reads the start of an item: its major type and its argument.
    fn head(&mut self) -> Option<(u8, u64)> {
        let first = self.take(1)?[0];
        let argument = match first & 0x1f {
            value @ 0..24 => u64::from(value),
            size @ 24..28 => {
                let bytes = self.take(1 << (size - 24))?;
                bytes
                    .iter()
                    .fold(0, |value, &byte| value << 8 | u64::from(byte))
            }
            // Reserved, or of indefinite length.
            _ => return None,
        };
        Some((first >> 5, argument))
    }

    fn expect(&mut self, major: u8) -> Option<u64> {
        self.head()
            .filter(|head| head.0 == major)
            .map(|head| head.1)
    }

    pub(super) fn integer(&mut self) -> Option<i64> {
        let (major, argument) = self.head()?;
        let value = i64::try_from(argument).ok()?;
        match major {
            major::UNSIGNED => Some(value),
            major::NEGATIVE => Some(-1 - value),
            _ => None,
        }
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.expect(major::BYTES)?;
        self.take(length)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        let length = self.expect(major::TEXT)?;
        std::str::from_utf8(self.take(length)?).ok()
    }

    /// Reads the start of a map and returns the number of its entries.
    pub(super) fn map(&mut self) -> Option<u64> {
        self.expect(major::MAP)
    }

    /// Returns true if the next item is an integer.
    pub(super) fn is_integer(&self) -> bool {
        self.rest
            .first()
            .is_some_and(|first| first >> 5 <= major::NEGATIVE)
    }

    /// Reads one item of any kind and returns its bytes.
    pub(super) fn item(&mut self) -> Option<&'a [u8]> {
        let before = self.rest;
        self.skip(MAX_DEPTH)?;
        before.get(..before.len() - self.rest.len())
    }

    fn skip(&mut self, depth: u8) -> Option<()> {
        let (major, argument) = self.head()?;
        let items = match major {
            major::BYTES | major::TEXT => {
                self.take(argument)?;
                0
            }
            major::ARRAY => argument,
            major::MAP => argument.checked_mul(2)?,
            major::TAG => 1,
            _ => 0,
        };
        // Each item takes at least one byte, so that a wrong number ends with the bytes.
        for _ in 0..items {
            self.skip(depth.checked_sub(1)?)?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn items_are_read_as_rfc_8949_encodes_them() {
        // The examples of appendix A.
        for (bytes, expected) in [
            (&[0x00][..], 0),
            (&[0x17], 23),
            (&[0x18, 0x18], 24),
            (&[0x19, 0x03, 0xe8], 1_000),
            (&[0x1a, 0x00, 0x0f, 0x42, 0x40], 1_000_000),
            (
                &[0x1b, 0, 0, 0, 0xe8, 0xd4, 0xa5, 0x10, 0],
                1_000_000_000_000,
            ),
            (&[0x20], -1),
            (&[0x38, 0x63], -100),
            (&[0x39, 0x01, 0x00], -257),
        ] {
            assert_eq!(Reader::new(bytes).integer(), Some(expected));
            assert_eq!(Reader::new(bytes).item(), Some(bytes));
            assert!(Reader::new(bytes).is_integer());
            assert_eq!(Reader::new(&bytes[..bytes.len() - 1]).integer(), None);
        }
        assert_eq!(
            Reader::new(&[0x44, 1, 2, 3, 4]).bytes(),
            Some(&[1, 2, 3, 4][..])
        );
        assert_eq!(Reader::new(b"\x62\xc3\xbc").text(), Some("ü"));
        assert_eq!(Reader::new(&[0xa2, 1, 2, 3, 4]).map(), Some(2));
        // {"a": 1, "b": [2, 3]}, a date with a tag, and a float.
        for item in [
            &b"\xa2\x61a\x01\x61b\x82\x02\x03"[..],
            b"\xc1\x1a\x51\x4b\x67\xb0",
            b"\xfb\x3f\xf1\x99\x99\x99\x99\x99\x9a",
            b"\xf5",
        ] {
            let longer = [item, &[0]].concat();
            let mut reader = Reader::new(&longer);
            assert_eq!(reader.item(), Some(item));
            assert_eq!(reader.rest(), [0]);
            assert_eq!(Reader::new(&item[..item.len() - 1]).item(), None);
        }
    }

    #[test]
    fn what_ctap2_forbids_is_not_read() {
        // Indefinite lengths, reserved values, invalid UTF-8, and more than i64 holds.
        for bytes in [
            &b"\x5f\x41\x01\xff"[..],
            b"\x9f\x01\xff",
            b"\xbf\x01\x02\xff",
            b"\x1c",
            b"\xff",
        ] {
            assert_eq!(Reader::new(bytes).item(), None);
        }
        assert_eq!(Reader::new(b"\x61\xff").text(), None);
        assert_eq!(
            Reader::new(&[0x1b; 9]).integer(),
            Some(0x1b1b_1b1b_1b1b_1b1b)
        );
        assert_eq!(
            Reader::new(b"\x1b\xff\xff\xff\xff\xff\xff\xff\xff").integer(),
            None
        );
        assert_eq!(
            Reader::new(b"\x3b\x7f\xff\xff\xff\xff\xff\xff\xff").integer(),
            Some(i64::MIN)
        );
        let nested = |depth| [vec![0x81; depth], vec![0]].concat();
        assert!(Reader::new(&nested(8)).item().is_some());
        assert!(Reader::new(&nested(9)).item().is_none());
        // Lengths that no text has.
        for major in [2, 3, 4, 5] {
            let huge = [&[major << 5 | 0x1b][..], &[0xff; 8], &[0; 8]].concat();
            assert_eq!(Reader::new(&huge).item(), None);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_safe_to_read(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = Reader::new(&bytes);
            while reader.item().is_some_and(|item| !item.is_empty()) {}
            prop_assert!(bytes.ends_with(reader.rest()));
        }
    }
}
