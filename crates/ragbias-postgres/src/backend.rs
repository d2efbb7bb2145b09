use ragbias_core::{
    ContentHasher, ContentId, DocId, Embeddings, Filter, Hit, IndexBackend, Silent, Similarity, VectorIndex,
};

use crate::address::Address;
use crate::ingestion::check_vectors;
use crate::name::TableName;
use crate::nearest::Nearest;
use crate::row::Row;
use crate::wire::{Json, Vector};
use crate::{Error, Result, Search, Table, TableConfig, VectorType};

/// Rows that are stored together.
const ROWS: usize = 2_000;

/// The vectors of a corpus in a table of their own: an [`IndexBackend`] for measurements.
///
/// The table is named after the hash of the vectors, as in `ragbias_3fa9c2d41b07`, so that it is found again, and no other vectors are
/// ever in it. Tables are left in the database; `DROP TABLE` removes them.
///
/// ```
/// use ragbias_postgres::{PgVector, Search};
///
/// let backend = PgVector::at("postgres://me@localhost/library")?.search(Search::Hnsw);
/// # Ok::<(), ragbias_postgres::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct PgVector {
    address: Address,
    prefix: TableName,
    search: Search,
    vector_type: VectorType,
}

impl PgVector {
    /// Vectors in this database, all of which are compared, in f32. Nothing is connected yet.
    ///
    /// # Errors
    /// [`Error::Address`] or [`Error::Authorities`].
    pub fn at(address: &str) -> Result<Self> {
        let (address, prefix) = (address.parse()?, "ragbias".parse()?);
        Ok(Self { address, prefix, search: Search::Exact, vector_type: VectorType::Vector })
    }

    /// The same, searched so. How an HNSW index is built differs in details from one time to the next, and so may what it finds.
    #[must_use]
    pub fn search(self, search: Search) -> Self {
        Self { search, ..self }
    }

    /// The same, stored so.
    #[must_use]
    pub fn stored(self, vector_type: VectorType) -> Self {
        Self { vector_type, ..self }
    }

    /// The same with another beginning of the tables' names, which may have a schema.
    ///
    /// # Errors
    /// [`Error::TableName`].
    pub fn prefix(self, prefix: &str) -> Result<Self> {
        Ok(Self { prefix: prefix.parse()?, ..self })
    }

    /// The table of these vectors, filled and indexed.
    fn table(&self, id: ContentId, similarity: Similarity, vectors: &Embeddings) -> Result<Table> {
        let config = TableConfig {
            embedder: "vectors of a corpus".into(),
            id,
            similarity,
            dim: vectors.dim(),
            vector_type: Some(self.vector_type),
            partitions: 0,
        };
        let name = self.prefix.with(&format!("_{}", id.short()))?;
        let table = Table::create(&self.address, &name.to_string(), &config)?;
        check_vectors(&table, vectors)?;
        table.check_search(self.search)?;
        // Rows are stored in order, 2000 at a time and each time all or none: their number tells which are there.
        let present = table.count()?;
        let rows = vectors.as_slice().chunks_exact(vectors.dim()).enumerate().skip(present);
        let names: Vec<String> = (present..vectors.len()).map(key).collect();
        let rows: Vec<Row<'_>> = rows.zip(&names).map(|((_, vector), name)| row(name, id, vector)).collect();
        rows.chunks(ROWS).try_for_each(|rows| table.put(rows))?;
        table.set_search(self.search, &Silent)?;
        Ok(table)
    }
}

/// The id of a row: the position, whose order as a text is that of the numbers.
fn key(position: usize) -> String {
    format!("{position:010}")
}

fn row<'a>(name: &'a str, content: ContentId, vector: &'a [f32]) -> Row<'a> {
    Row { id: name, title: None, text: "", metadata: Json("{}".into()), content, vector: Vector(vector) }
}

impl IndexBackend for PgVector {
    fn index(
        &self,
        similarity: Similarity,
        documents: Embeddings,
    ) -> ragbias_core::Result<Box<dyn VectorIndex>> {
        if documents.is_empty() {
            return Err(ragbias_core::Error::Empty("index"));
        }
        if similarity.wants_unit_vectors() && !documents.is_normalised() {
            return Err(Error::NotNormalised.into());
        }
        let mut hasher = ContentHasher::new("pgvector/1")
            .field(similarity.name())
            .field(self.search.name())
            .field(self.vector_type.name())
            .field((documents.dim() as u64).to_le_bytes());
        for vector in documents.as_slice().chunks_exact(documents.dim()) {
            hasher = hasher.field(vector.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>());
        }
        let id = hasher.finish();
        let table = self.table(id, similarity, &documents)?;
        let nearest = Nearest::new(table, self.search, "id");
        Ok(Box::new(Vectors { nearest, id, len: documents.len() }))
    }
}

/// The vectors of a corpus, searched in their table.
struct Vectors {
    nearest: Nearest,
    id: ContentId,
    len: usize,
}

impl Vectors {
    fn hit(&self, row: &postgres::Row) -> Result<Hit> {
        let id: &str = row.get(0);
        let position = id.parse().map_err(|_| Error::Row {
            place: self.nearest.table().place().to_string(),
            id: id.to_owned(),
            reason: "expected the position of a document".into(),
        })?;
        Ok(Hit { document: DocId(position), score: -row.get::<_, f64>(1) as f32 })
    }
}

impl VectorIndex for Vectors {
    fn id(&self) -> ContentId {
        self.id
    }

    fn len(&self) -> usize {
        self.len
    }

    fn dim(&self) -> usize {
        self.nearest.table().dim()
    }

    fn search(&self, questions: &Embeddings, k: usize) -> ragbias_core::Result<Vec<Vec<Hit>>> {
        let found = self.nearest.rows(questions, k.min(self.len), &Filter::default())?;
        let hits = found.iter().map(|rows| rows.iter().map(|row| self.hit(row)).collect::<Result<_>>());
        Ok(hits.collect::<Result<_>>()?)
    }
}
