//! Vectors in memory or in a memory-mapped file.

use std::borrow::Cow;
use std::path::Path;

use ndarray::ArrayView2;
use ragbias_core::{ContentHasher, ContentId, DocId, Embeddings, Hit, Similarity};
use ragbias_files::{MappedFile, as_bytes, as_floats, write_file_by};
use ragbias_kernels::dot::{self, squared_distance};

use crate::top::order;
use crate::{Error, Result};

/// `RBVEC\0\0` and a version, then n and dim as u64, a checksum, the similarity as one byte (its index in
/// [`Similarity::ALL`]), and from byte 64 on, which keeps them aligned, the values as f32, row-major, all little-endian.
const MAGIC: [u8; 8] = *b"RBVEC\0\0\x01";
const HEADER: usize = 64;
const SIMILARITY_AT: usize = 56;

/// `(n, dim)` f32, their similarity measure, and the hash of their values.
pub(crate) struct Vectors {
    values: Values,
    id: ContentId,
    similarity: Similarity,
}

enum Values {
    Owned(Embeddings),
    Mapped { map: MappedFile, n: usize, dim: usize },
}

impl Vectors {
    pub(crate) fn new(embeddings: Embeddings, similarity: Similarity) -> Result<Self> {
        if embeddings.is_empty() {
            return Err(Error::Empty);
        }
        if similarity.wants_unit_vectors() && !embeddings.is_normalised() {
            return Err(Error::NotNormalised);
        }
        Ok(Self::of(Values::Owned(embeddings), similarity))
    }

    fn of(values: Values, similarity: Similarity) -> Self {
        let id = ContentId::of(&little_endian(in_order(values.view())));
        Self { values, id, similarity }
    }

    pub(crate) fn similarity(&self) -> Similarity {
        self.similarity
    }

    /// The checksum of a file of vectors.
    fn checksum(&self) -> ContentId {
        if self.similarity == Similarity::Cosine { self.id } else { self.identify("vectors/1").finish() }
    }

    /// The id of these values and their similarity measure; for the cosine, the id of the values alone.
    pub(crate) fn identify(&self, kind: &str) -> ContentHasher {
        let id = ContentHasher::new(kind).field(self.id.as_bytes());
        if self.similarity == Similarity::Cosine { id } else { id.field(self.similarity.name()) }
    }

    pub(crate) fn view(&self) -> ArrayView2<'_, f32> {
        self.values.view()
    }

    /// Row-major.
    pub(crate) fn values(&self) -> &[f32] {
        in_order(self.view())
    }

    /// The `k` best of some rows for a question. Scores are computed pair by pair: they depend neither on the other
    /// questions nor on how the rows were found.
    pub(crate) fn best(&self, question: &[f32], rows: impl Iterator<Item = u32>, k: usize) -> Vec<Hit> {
        match self.similarity {
            Similarity::Cosine | Similarity::Dot => self.best_by(question, rows, k, dot::in_32_lanes),
            Similarity::Euclidean => self.best_by(question, rows, k, |a, b| -squared_distance(a, b).sqrt()),
        }
    }

    #[inline]
    fn best_by(
        &self,
        question: &[f32],
        rows: impl Iterator<Item = u32>,
        k: usize,
        score: impl Fn(&[f32], &[f32]) -> f32,
    ) -> Vec<Hit> {
        let (dim, values) = (question.len(), self.values());
        let hit = |row: u32| Hit {
            document: DocId(row),
            score: score(question, &values[row as usize * dim..][..dim]),
        };
        let mut hits: Vec<Hit> = rows.map(hit).collect();
        hits.sort_unstable_by(order);
        hits.truncate(k);
        hits
    }

    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let view = self.view();
        write_file_by(path, |out| {
            out.write_all(&MAGIC)?;
            out.write_all(&(view.nrows() as u64).to_le_bytes())?;
            out.write_all(&(view.ncols() as u64).to_le_bytes())?;
            out.write_all(self.checksum().as_bytes())?;
            let mut rest = [0; HEADER - SIMILARITY_AT];
            rest[0] = self.similarity as u8;
            out.write_all(&rest)?;
            Ok(out.write_all(&little_endian(in_order(view)))?)
        })
    }

    pub(crate) fn load(path: &Path) -> Result<Self> {
        let damaged = |reason: String| Error::Damaged { path: path.into(), reason };
        // What another process does to the file meanwhile is caught by the checksum; after that, it could change results.
        let map = MappedFile::open(path)?;
        if map.len() < HEADER || map[..8] != MAGIC {
            return Err(damaged("not a vector file of this version".into()));
        }
        let number = |at: usize| {
            u64::from_le_bytes(map[at..at + 8].try_into().expect("8 bytes; this is a bug")) as usize
        };
        let (n, dim) = (number(8), number(16));
        let expected =
            n.checked_mul(dim).and_then(|values| values.checked_mul(4)).and_then(|b| b.checked_add(HEADER));
        if expected != Some(map.len()) || n == 0 || dim == 0 {
            return Err(damaged(format!("{} bytes do not hold {n} vectors of {dim} dimensions", map.len())));
        }
        let stored: [u8; 32] = map[24..56].try_into().expect("32 bytes; this is a bug");
        let Some(&similarity) = Similarity::ALL.get(usize::from(map[SIMILARITY_AT])) else {
            return Err(damaged(format!("its similarity has the number {}", map[SIMILARITY_AT])));
        };
        let vectors = Self::of(Values::Mapped { map, n, dim }, similarity);
        if vectors.checksum().as_bytes() != &stored {
            return Err(damaged("its checksum is wrong".into()));
        }
        // A checksum does not protect against whoever made the file.
        match Embeddings::have_unit_length(vectors.view()) {
            Err(error) => Err(damaged(error.to_string())),
            Ok(false) if similarity.wants_unit_vectors() => {
                Err(damaged("its vectors do not have unit length, as a cosine needs it".into()))
            }
            Ok(_) => Ok(vectors),
        }
    }
}

impl Values {
    fn view(&self) -> ArrayView2<'_, f32> {
        match self {
            Self::Owned(embeddings) => embeddings.view(),
            Self::Mapped { map, n, dim } => {
                let bytes = &map[HEADER..HEADER + n * dim * 4];
                // Maps begin at a page, and the header has 64 bytes.
                let values = as_floats(bytes).expect("mapped values are aligned; this is a bug");
                ArrayView2::from_shape((*n, *dim), values).expect("n rows of dim values each; this is a bug")
            }
        }
    }
}

/// Values, row-major.
fn in_order(view: ArrayView2<'_, f32>) -> &[f32] {
    view.to_slice().expect("rows are in standard layout; this is a bug")
}

/// The bytes of a file; not copied if the machine is little-endian.
fn little_endian(values: &[f32]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        Cow::Borrowed(as_bytes(values))
    } else {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }
}
