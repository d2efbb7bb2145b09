//! Values of a file's metadata.

use std::ops::Range;

/// A value, or its position in the file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Integer(i128),
    Float(f64),
    Flag(bool),
    /// The bytes of a text, in UTF-8.
    Text(Range<usize>),
    /// `count` values of one kind, none of them a list.
    List {
        kind: Kind,
        count: usize,
        bytes: Range<usize>,
    },
}

impl Value {
    /// Its description in an error.
    pub(crate) fn describe(&self, file: &[u8]) -> String {
        match self {
            Self::Integer(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
            Self::Text(range) => {
                let text = String::from_utf8_lossy(&file[range.clone()]);
                let mut short: String = text.chars().take(40).collect();
                if short.len() < text.len() {
                    short.push('…');
                }
                format!("`{}`", short.escape_debug())
            }
            Self::List { kind, count, .. } => format!("a list of {count} {}", kind.plural()),
        }
    }
}

/// The types of values, except lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Flag,
    Text,
    U64,
    I64,
    F64,
}

/// The type number of lists.
pub(crate) const LIST: u32 = 9;

impl Kind {
    pub(crate) fn of(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::U8,
            1 => Self::I8,
            2 => Self::U16,
            3 => Self::I16,
            4 => Self::U32,
            5 => Self::I32,
            6 => Self::F32,
            7 => Self::Flag,
            8 => Self::Text,
            10 => Self::U64,
            11 => Self::I64,
            12 => Self::F64,
            _ => return None,
        })
    }

    /// Size of a value in bytes; that of a text is the size of its length field.
    pub(crate) fn width(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Flag => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 | Self::Text => 8,
        }
    }

    fn plural(self) -> &'static str {
        match self {
            Self::F32 | Self::F64 => "floats",
            Self::Flag => "flags",
            Self::Text => "texts",
            _ => "integers",
        }
    }

    /// The value from bytes of its width; `None` for texts, and for flags that are neither 0 nor 1.
    pub(crate) fn decode(self, bytes: &[u8]) -> Option<Value> {
        Some(match self {
            Self::U8 => Value::Integer(bytes[0].into()),
            Self::I8 => Value::Integer(bytes[0].cast_signed().into()),
            Self::U16 => Value::Integer(u16::from_le_bytes(bytes.try_into().ok()?).into()),
            Self::I16 => Value::Integer(i16::from_le_bytes(bytes.try_into().ok()?).into()),
            Self::U32 => Value::Integer(u32::from_le_bytes(bytes.try_into().ok()?).into()),
            Self::I32 => Value::Integer(i32::from_le_bytes(bytes.try_into().ok()?).into()),
            Self::U64 => Value::Integer(u64::from_le_bytes(bytes.try_into().ok()?).into()),
            Self::I64 => Value::Integer(i64::from_le_bytes(bytes.try_into().ok()?).into()),
            Self::F32 => Value::Float(f32::from_le_bytes(bytes.try_into().ok()?).into()),
            Self::F64 => Value::Float(f64::from_le_bytes(bytes.try_into().ok()?)),
            Self::Flag => Value::Flag(match bytes[0] {
                0 => false,
                1 => true,
                _ => return None,
            }),
            Self::Text => return None,
        })
    }
}
