use std::time::{Duration, Instant};

use ndarray::{Array2, Axis};
use ragbias_core::{ContentId, Document, DocumentIndex, Embedder, Embeddings, Filter, Role, Silent};
use ragbias_postgres::{Address, Documents, Search, Table, TableConfig, VectorType};

use crate::{ingest, server, unit};

const ROWS: usize = 100_000;
const DIM: usize = 384;
const QUESTIONS: usize = 200;
const CENTRES: usize = 1_000;

/// Random vectors around 1000 centres, at a mean cosine of 0.7 to theirs, as texts of a topic are.
fn clustered(n: usize, seed: u64) -> Embeddings {
    let (centres, noise) = (unit(CENTRES, DIM, 1).into_inner(), unit(n, DIM, seed).into_inner());
    let rows: Vec<usize> = (0..n).map(|row| row * 7919 % CENTRES).collect();
    Embeddings::new(centres.select(Axis(0), &rows) + noise).unwrap().normalised().unwrap()
}

/// An embedder that takes no time: the vector of a text that begins with a number.
struct Numbered(Embeddings);

impl Embedder for Numbered {
    fn id(&self) -> ContentId {
        ContentId::of(b"numbered")
    }

    fn dim(&self) -> usize {
        DIM
    }

    fn embed(&self, texts: &[&str], _: Role) -> ragbias_core::Result<Embeddings> {
        let number = |text: &&str| text.split(' ').next().unwrap().parse::<usize>().unwrap();
        let rows: Vec<usize> = texts.iter().map(number).collect();
        let rows: Array2<f32> = self.0.view().select(Axis(0), &rows);
        Embeddings::new(rows)
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
#[ignore = "takes minutes"]
fn times_of_100_000_vectors() {
    let Some(server) = server() else { return };
    let (address, database) = server.database();
    server.sql("postgres", &format!("ALTER DATABASE {database} SET maintenance_work_mem = '1GB'"));
    let at: Address = address.parse().unwrap();
    let text =
        "A passage of some length about a person who designed a bridge over a river, and what became of it. ";
    let documents: Vec<Document> =
        (0..ROWS).map(|at| Document::new(format!("d{at}"), format!("{at} {}", text.repeat(3)))).collect();
    let embedder = Numbered(clustered(ROWS, 2));
    let questions = clustered(QUESTIONS, 3);
    let questions: Vec<Embeddings> = (0..QUESTIONS).map(|row| questions.rows(row..row + 1)).collect();
    for kind in [VectorType::Vector, VectorType::HalfVec] {
        let name = kind.name();
        let config = TableConfig::of("numbered", &embedder).vector_type(Some(kind));
        let table = Table::create(&at, &format!("docs_{name}"), &config).unwrap();
        let begun = Instant::now();
        ingest(&table, &embedder, &documents).unwrap();
        let stored = begun.elapsed();
        println!("{name}: {:.0} rows/s in {stored:.1?}", ROWS as f64 / stored.as_secs_f64());
        let begun = Instant::now();
        ingest(&table, &embedder, &documents).unwrap();
        println!("{name}: {:.1?} to find that all are there", begun.elapsed());
        let mut exact = Vec::new();
        for search in [Search::Exact, Search::Hnsw] {
            let begun = Instant::now();
            table.set_search(search, &Silent).unwrap();
            let built = begun.elapsed();
            server.sql(&database, &format!("VACUUM ANALYZE docs_{name}"));
            let index = Documents::open(&at, &format!("docs_{name}")).unwrap();
            let mut times = Vec::new();
            let found: Vec<Vec<String>> = questions
                .iter()
                .map(|question| {
                    let begun = Instant::now();
                    let hits = index.nearest(question, 10, &Filter::default()).unwrap().remove(0);
                    times.push(begun.elapsed());
                    hits.into_iter().map(|hit| hit.document.id).collect()
                })
                .collect();
            if search == Search::Exact {
                exact.clone_from(&found);
            }
            let common = |(found, exact): (&Vec<String>, &Vec<String>)| {
                exact.iter().filter(|id| found.contains(id)).count()
            };
            let recall = found.iter().zip(&exact).map(common).sum::<usize>() as f64 / (10 * QUESTIONS) as f64;
            println!(
                "{name}, {}: index {built:.1?}, median search {:.2?}, recall@10 {recall:.3}",
                search.name(),
                median(times)
            );
        }
        println!("{name}: {}", server.sql(&database, &format!(
            "SELECT pg_size_pretty(pg_table_size('docs_{name}')) || ', index ' || pg_size_pretty(pg_relation_size('docs_{name}_hnsw'))"
        )));
    }
}
