//! Values as PostgreSQL's binary protocol has them, for the types that its client does not know.

use std::error::Error;

use bytes::BytesMut;
use half::f16;
use postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::VectorType;

/// A vector, as pgvector's type of the column: the number of dimensions and 0 in 16 bits each, then the values, most significant
/// byte first.
#[derive(Debug)]
pub(crate) struct Vector<'a>(pub(crate) &'a [f32]);

impl ToSql for Vector<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(&u16::try_from(self.0.len())?.to_be_bytes());
        out.extend_from_slice(&0_u16.to_be_bytes());
        if kind.name() == VectorType::HalfVec.name() {
            self.0.iter().for_each(|value| out.extend_from_slice(&f16::from_f32(*value).to_be_bytes()));
        } else {
            self.0.iter().for_each(|value| out.extend_from_slice(&value.to_be_bytes()));
        }
        Ok(IsNull::No)
    }

    fn accepts(kind: &Type) -> bool {
        kind.name() == VectorType::Vector.name() || kind.name() == VectorType::HalfVec.name()
    }

    to_sql_checked!();
}

/// A value of the type jsonb, written as JSON: the number of its format, 1, and the text.
#[derive(Debug)]
pub(crate) struct Json(pub(crate) String);

impl ToSql for Json {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(&[1]);
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::JSONB
    }

    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_is_written_as_pgvector_reads_it() {
        let written = |kind: &str| {
            let kind = Type::new(kind.into(), 1, postgres::types::Kind::Simple, "public".into());
            let mut out = BytesMut::new();
            Vector(&[1.0, -0.5]).to_sql(&kind, &mut out).unwrap();
            out.to_vec()
        };
        assert_eq!(written("vector"), [0, 2, 0, 0, 0x3f, 0x80, 0, 0, 0xbf, 0, 0, 0]);
        assert_eq!(written("halfvec"), [0, 2, 0, 0, 0x3c, 0, 0xb8, 0]);
    }
}
