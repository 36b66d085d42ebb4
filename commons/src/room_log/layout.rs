//! The binary layout of entries: fixed, so that every program signs and hashes the same bytes.
//!
//! Numbers are big-endian. A list begins with the number of its elements in one byte, a name or a text with its length
//! in two. An optional value is a list of at most one element. Each value has exactly one encoding: sets and maps are in
//! ascending order, and a reader refuses anything else.

use std::collections::{BTreeMap, BTreeSet};

use crate::digest::Digest;
use crate::incarnation::Incarnation;
use crate::keys::{PublicKey, Signature};
use crate::names::{RoomName, Username};

/// Error: the bytes are not in the layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are no entry of a room's log")]
pub struct LayoutError;

/// A value with a fixed binary layout.
pub(crate) trait Layout: Sized {
    /// Appends the value. Lists longer than 255 elements do not occur: the rules bound every list.
    fn write(&self, out: &mut Vec<u8>);

    /// Reads a value from the front of `input`.
    fn read(input: &mut &[u8]) -> Result<Self, LayoutError>;
}

/// Reads a value that takes all bytes.
pub(crate) fn read_all<T: Layout>(mut bytes: &[u8]) -> Result<T, LayoutError> {
    let value = T::read(&mut bytes)?;
    if bytes.is_empty() { Ok(value) } else { Err(LayoutError) }
}

/// The bytes of a value behind a prefix, which separates their uses.
pub(crate) fn prefixed(prefix: &[u8], value: &impl Layout) -> Vec<u8> {
    let mut bytes = prefix.to_vec();
    value.write(&mut bytes);
    bytes
}

/// Takes a number of bytes from the front.
fn take<'a>(input: &mut &'a [u8], length: usize) -> Result<&'a [u8], LayoutError> {
    let (taken, rest) = input.split_at_checked(length).ok_or(LayoutError)?;
    *input = rest;
    Ok(taken)
}

fn write_count(count: usize, out: &mut Vec<u8>) {
    debug_assert!(count <= usize::from(u8::MAX), "the rules bound every list");
    out.push(u8::try_from(count).unwrap_or(u8::MAX));
}

impl<const N: usize> Layout for [u8; N] {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn read(input: &mut &[u8]) -> Result<Self, LayoutError> {
        take(input, N)?.try_into().map_err(|_| LayoutError)
    }
}

impl Layout for u8 {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }

    fn read(input: &mut &[u8]) -> Result<Self, LayoutError> {
        <[Self; 1]>::read(input).map(|[byte]| byte)
    }
}

impl Layout for u64 {
    fn write(&self, out: &mut Vec<u8>) {
        self.to_be_bytes().write(out);
    }

    fn read(input: &mut &[u8]) -> Result<Self, LayoutError> {
        <[u8; 8]>::read(input).map(Self::from_be_bytes)
    }
}

impl Layout for bool {
    fn write(&self, out: &mut Vec<u8>) {
        u8::from(*self).write(out);
    }

    fn read(input: &mut &[u8]) -> Result<Self, LayoutError> {
        match u8::read(input)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(LayoutError),
        }
    }
}

/// A value that is its bytes.
macro_rules! bytes_layout {
    ($($type:ty: $size:literal, $new:expr, $bytes:expr;)*) => {$(
        impl Layout for $type {
            fn write(&self, out: &mut Vec<u8>) {
                let bytes: fn(&$type) -> [u8; $size] = $bytes;
                bytes(self).write(out);
            }

            fn read(input: &mut &[u8]) -> Result<Self, LayoutError> {
                <[u8; $size]>::read(input).map($new)
            }
        }
    )*};
}

bytes_layout! {
    PublicKey: 32, PublicKey::new, |key| *key.as_bytes();
    Digest: 32, Digest, |digest| digest.0;
    Signature: 64, Signature, |signature| signature.0;
    Incarnation: 8, |bytes| Incarnation(u64::from_be_bytes(bytes)), |incarnation| incarnation.0.to_be_bytes();
}

impl Layout for String {
    fn write(&self, out: &mut Vec<u8>) {
        let length = u16::try_from(self.len()).unwrap_or(u16::MAX);
        debug_assert_eq!(usize::from(length), self.len(), "the rules bound every text");
        length.to_be_bytes().write(out);
        out.extend_from_slice(self.as_bytes());
    }

    fn read(input: &mut &[u8]) -> Result<Self, LayoutError> {
        let length = u16::from_be_bytes(<[u8; 2]>::read(input)?);
        Self::from_utf8(take(input, length.into())?.to_vec()).map_err(|_| LayoutError)
    }
}

macro_rules! name_layout {
    ($($name:ty),*) => {$(
        impl Layout for $name {
            fn write(&self, out: &mut Vec<u8>) {
                self.as_str().to_owned().write(out);
            }

            fn read(input: &mut &[u8]) -> Result<Self, LayoutError> {
                Self::parse(&String::read(input)?).map_err(|_| LayoutError)
            }
        }
    )*};
}

name_layout!(Username, RoomName);

impl<A: Layout, B: Layout> Layout for (A, B) {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
    }

    fn read(input: &mut &[u8]) -> Result<Self, LayoutError> {
        Ok((A::read(input)?, B::read(input)?))
    }
}

impl<T: Layout> Layout for Vec<T> {
    fn write(&self, out: &mut Vec<u8>) {
        write_count(self.len(), out);
        self.iter().for_each(|item| item.write(out));
    }

    fn read(input: &mut &[u8]) -> Result<Self, LayoutError> {
        (0..u8::read(input)?).map(|_| T::read(input)).collect()
    }
}

impl<T: Layout> Layout for Option<T> {
    fn write(&self, out: &mut Vec<u8>) {
        write_count(self.iter().len(), out);
        self.iter().for_each(|item| item.write(out));
    }

    fn read(input: &mut &[u8]) -> Result<Self, LayoutError> {
        bool::read(input)?.then(|| T::read(input)).transpose()
    }
}

impl<T: Layout + Ord> Layout for BTreeSet<T> {
    fn write(&self, out: &mut Vec<u8>) {
        write_count(self.len(), out);
        self.iter().for_each(|item| item.write(out));
    }

    fn read(input: &mut &[u8]) -> Result<Self, LayoutError> {
        let items = Vec::<T>::read(input)?;
        if items.is_sorted_by(|one, next| one < next) {
            Ok(items.into_iter().collect())
        } else {
            Err(LayoutError)
        }
    }
}

impl<K: Layout + Ord, V: Layout> Layout for BTreeMap<K, V> {
    fn write(&self, out: &mut Vec<u8>) {
        write_count(self.len(), out);
        for (key, value) in self {
            key.write(out);
            value.write(out);
        }
    }

    fn read(input: &mut &[u8]) -> Result<Self, LayoutError> {
        let items = Vec::<(K, V)>::read(input)?;
        if items.is_sorted_by(|(one, _), (next, _)| one < next) {
            Ok(items.into_iter().collect())
        } else {
            Err(LayoutError)
        }
    }
}

/// A struct: its fields, in this order.
macro_rules! struct_layout {
    ($type:ty { $($field:ident),* $(,)? }) => {
        impl $crate::room_log::layout::Layout for $type {
            fn write(&self, out: &mut Vec<u8>) {
                $($crate::room_log::layout::Layout::write(&self.$field, out);)*
            }

            fn read(input: &mut &[u8]) -> Result<Self, $crate::room_log::layout::LayoutError> {
                Ok(Self { $($field: $crate::room_log::layout::Layout::read(input)?),* })
            }
        }
    };
}

pub(crate) use struct_layout;
