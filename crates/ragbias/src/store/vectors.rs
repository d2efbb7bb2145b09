use ragbias_core::{ContentHasher, ContentId, Role};
use rusqlite::types::Value;

use super::value::{self, Found, Kept};
use super::{Kind, Store};
use crate::Result;

/// `(dim,)`, finite.
struct Vector(Vec<f32>);

impl Kept for Vector {
    const TABLE: &'static str = "vectors_2";

    fn fields(&self) -> Vec<Value> {
        vec![Value::Blob(self.0.iter().flat_map(|value| value.to_le_bytes()).collect())]
    }

    fn of(fields: Vec<Value>) -> Option<Self> {
        let [Value::Blob(bytes)] = &fields[..] else { return None };
        let (values, rest) = bytes.as_chunks();
        let values: Vec<f32> = values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        (rest.is_empty() && values.iter().all(|value| value.is_finite())).then_some(Self(values))
    }
}

impl Store {
    /// The vector of a text, with `dim` finite values; one of another length is set aside.
    pub(crate) fn vector(
        &self,
        embedder: ContentId,
        role: Role,
        text: &str,
        dim: usize,
    ) -> Result<Option<Vec<f32>>> {
        let key = vector_key(embedder, role, text);
        let found = value::get(&self.lock(), key).map_err(self.failed())?;
        Ok(match found {
            Found::Value(Vector(vector)) if vector.len() == dim => Some(vector),
            Found::Nothing => None,
            Found::Damaged | Found::Value(_) => {
                self.set_aside(Kind::Vectors);
                None
            }
        })
    }

    pub(crate) fn put_vectors<'a>(
        &self,
        embedder: ContentId,
        role: Role,
        vectors: impl Iterator<Item = (&'a str, Vec<f32>)>,
    ) -> Result<()> {
        let mut connection = self.lock();
        let put = || {
            let transaction = connection.transaction()?;
            for (text, vector) in vectors {
                value::put(&transaction, vector_key(embedder, role, text), &Vector(vector))?;
            }
            transaction.commit()
        };
        put().map_err(self.failed())
    }
}

fn vector_key(embedder: ContentId, role: Role, text: &str) -> ContentId {
    let role: &[u8] = match role {
        Role::Question => b"q",
        Role::Document => b"d",
    };
    ContentHasher::new("vector/1").field(embedder.as_bytes()).field(role).field(text).finish()
}
