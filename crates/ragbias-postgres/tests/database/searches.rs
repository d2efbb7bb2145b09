use ragbias_core::testing::HashEmbedder;
use ragbias_core::{
    DocumentHit, DocumentIndex, Embedder, Embeddings, Filter, Hit, IndexBackend, Role, Silent, Similarity,
    VectorIndex,
};
use ragbias_index::Exact;
use ragbias_postgres::{Address, Documents, PgVector, Search, Table, TableConfig, VectorType};
use serde_json::json;

use crate::{documents, ingest, raw, server, table, unit};

/// Fails unless both have found the same documents with the same scores; neighbours may change places where their scores are equal
/// but for rounding.
fn assert_same(found: &[Vec<Hit>], expected: &[Vec<Hit>], tolerance: f32) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.len(), expected.len());
        for (at, (hit, wanted)) in found.iter().zip(expected).enumerate() {
            assert!((hit.score - wanted.score).abs() <= tolerance, "{hit:?}, expected {wanted:?}");
            let is_near = |other: &&Hit| (other.score - wanted.score).abs() <= tolerance;
            let near: Vec<_> = expected.iter().filter(is_near).map(|hit| hit.document).collect();
            assert!(
                near.contains(&hit.document) || at + near.len() >= expected.len(),
                "{hit:?} at {at}: {near:?}"
            );
        }
    }
}

fn overlap(found: &[Vec<Hit>], expected: &[Vec<Hit>]) -> f64 {
    let shares = found.iter().zip(expected).map(|(found, expected)| {
        let common = expected.iter().filter(|hit| found.iter().any(|other| other.document == hit.document));
        common.count() as f64 / expected.len() as f64
    });
    shares.sum::<f64>() / found.len() as f64
}

#[test]
fn vectors_in_a_table_are_found_as_in_memory_by_every_similarity() {
    let Some(server) = server() else { return };
    let (address, database) = server.database();
    for similarity in Similarity::ALL {
        let (vectors, questions) = match similarity {
            Similarity::Cosine => (unit(3000, 48, 1), unit(20, 48, 2)),
            Similarity::Dot | Similarity::Euclidean => (raw(3000, 48, 1), raw(20, 48, 2)),
        };
        let memory = Exact.index(similarity, vectors.clone()).unwrap();
        let backend = PgVector::at(&address).unwrap();
        let stored = backend.index(similarity, vectors.clone()).unwrap();
        assert_eq!((stored.len(), stored.dim()), (3000, 48));
        for k in [1, 10, 3000, 5000] {
            assert_same(&stored.search(&questions, k).unwrap(), &memory.search(&questions, k).unwrap(), 1e-5);
        }
        assert_eq!(stored.search(&questions, 0).unwrap(), vec![vec![]; 20]);
        // It is found again, and not stored again.
        let before = server.sql(&database, "SELECT sum(n_tup_ins) FROM pg_stat_user_tables");
        let again = backend.index(similarity, vectors).unwrap();
        assert_eq!(again.id(), stored.id());
        assert_eq!(server.sql(&database, "SELECT sum(n_tup_ins) FROM pg_stat_user_tables"), before);
    }
    assert_eq!(
        server
            .sql(&database, "SELECT count(*) FROM pg_class WHERE relname LIKE 'ragbias_%' AND relkind = 'r'"),
        "3"
    );
}

#[test]
fn an_index_that_was_stored_in_part_is_completed() {
    let Some(server) = server() else { return };
    let (address, database) = server.database();
    let (vectors, questions) = (unit(5000, 8, 3), unit(5, 8, 4));
    let backend = PgVector::at(&address).unwrap().prefix("mine").unwrap();
    let first = backend.index(Similarity::Cosine, vectors.clone()).unwrap();
    let name =
        server.sql(&database, "SELECT relname FROM pg_class WHERE relname LIKE 'mine_%' AND relkind = 'r'");
    server.sql(&database, &format!("DELETE FROM {name} WHERE id >= '0000002000'"));
    let again = backend.index(Similarity::Cosine, vectors).unwrap();
    assert_eq!(server.sql(&database, &format!("SELECT count(*) FROM {name}")), "5000");
    assert_eq!(again.search(&questions, 10).unwrap(), first.search(&questions, 10).unwrap());
}

#[test]
fn an_hnsw_index_finds_nearly_all_and_f16_nearly_the_same() {
    let Some(server) = server() else { return };
    let (address, _) = server.database();
    let (vectors, questions) = (unit(4000, 32, 5), unit(50, 32, 6));
    let exact = Exact.index(Similarity::Cosine, vectors.clone()).unwrap().search(&questions, 10).unwrap();
    for (backend, least) in [
        (PgVector::at(&address).unwrap().search(Search::Hnsw), 0.95),
        (PgVector::at(&address).unwrap().stored(VectorType::HalfVec), 0.95),
        (PgVector::at(&address).unwrap().search(Search::Hnsw).stored(VectorType::HalfVec), 0.9),
    ] {
        let stored = backend.index(Similarity::Cosine, vectors.clone()).unwrap();
        let found = stored.search(&questions, 10).unwrap();
        let share = overlap(&found, &exact);
        assert!(share >= least, "{backend:?}: {share}");
        assert!(
            found.iter().flatten().zip(exact.iter().flatten()).all(|(a, b)| (a.score - b.score).abs() < 0.02)
        );
    }
}

/// What a search in memory finds, in the order of score and id.
fn expected(embedder: &HashEmbedder, question: &Embeddings, k: usize, filter: &Filter) -> Vec<(String, f32)> {
    let documents = documents(400);
    let texts: Vec<String> = documents.iter().map(ragbias_core::Document::full_text).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let vectors = embedder.embed(&texts, Role::Document).unwrap();
    let index = Exact.index(Similarity::Cosine, vectors).unwrap();
    let hits = index.search(question, documents.len()).unwrap().remove(0);
    let accepted = hits.into_iter().filter(|hit| filter.accepts(&documents[hit.document.index()]));
    accepted.take(k).map(|hit| (documents[hit.document.index()].id.clone(), hit.score)).collect()
}

fn found(hits: &[DocumentHit]) -> Vec<(String, f32)> {
    hits.iter().map(|hit| (hit.document.id.clone(), hit.score)).collect()
}

#[test]
fn documents_are_found_as_in_memory_with_every_filter_and_ties_by_id() {
    let Some(server) = server() else { return };
    let (address, _) = server.database();
    let embedder = HashEmbedder::new(16, 1);
    let table = table(&address, "docs", &embedder);
    ingest(&table, &embedder, &documents(400)).unwrap();
    let at: Address = address.parse().unwrap();
    let question = embedder.embed(&["a bridge of the comet"], Role::Question).unwrap();
    let filters = [
        json!({}),
        json!({ "year": 2003 }),
        json!({ "year": [2001.0, 2005] }),
        json!({ "tags": "law" }),
        json!({ "tags": ["bridge", "star"] }),
        json!({ "year": null }),
        json!({ "year": [null, 2004], "draft": [null, true] }),
        json!({ "it's": "\"quoted\" \\ back" }),
        json!({ "draft": true, "tags": null }),
        json!({ "year": [] }),
        json!({ "year": "2003" }),
        json!({ "absent": "x" }),
        json!({ "nested": "a" }),
    ];
    for search in [Search::Exact, Search::Hnsw] {
        table.set_search(search, &Silent).unwrap();
        let index = Documents::open(&at, "docs").unwrap();
        assert_eq!((index.search(), index.len(), index.dim()), (search, 400, 16));
        let fields: Vec<&str> = index.fields().iter().map(String::as_str).collect();
        assert_eq!(fields, ["draft", "it's", "nested", "tags", "year"]);
        for filter in &filters {
            let filter: Filter = serde_json::from_value(filter.clone()).unwrap();
            for k in [1, 7, 400] {
                let hits = index.nearest(&question, k, &filter).unwrap().remove(0);
                let wanted = expected(&embedder, &question, k, &filter);
                assert_eq!(hits.len(), wanted.len(), "{filter:?}, k = {k}");
                // Many documents have the same text. An HNSW index may have others of an equal score at the end.
                let scores =
                    |hits: &[(String, f32)]| hits.iter().map(|(_, score)| *score).collect::<Vec<_>>();
                for (a, b) in scores(&found(&hits)).into_iter().zip(scores(&wanted)) {
                    assert!((a - b).abs() < 1e-5, "{filter:?}, k = {k}: {a} {b}");
                }
                if search == Search::Exact {
                    assert_eq!(ids_by_score(&found(&hits)), ids_by_score(&wanted), "{filter:?}, k = {k}");
                }
                assert!(hits.iter().all(|hit| filter.accepts(&hit.document)));
            }
        }
    }
    // Documents come back as they were stored.
    let index = Documents::open(&at, "docs").unwrap();
    let hits = index.nearest(&question, 400, &Filter::default()).unwrap().remove(0);
    for hit in hits {
        let at: usize = hit.document.id[1..].parse().unwrap();
        assert_eq!(hit.document, documents(400)[at]);
    }
}

/// The ids of each score, in the order in which they were found.
fn ids_by_score(hits: &[(String, f32)]) -> Vec<(i32, Vec<&str>)> {
    let mut groups: Vec<(i32, Vec<&str>)> = Vec::new();
    for (id, score) in hits {
        let score = (score * 1e5).round() as i32;
        match groups.last_mut() {
            Some((last, ids)) if (*last - score).abs() <= 1 => ids.push(id),
            _ => groups.push((score, vec![id])),
        }
    }
    groups
}

#[test]
fn a_partitioned_table_is_searched_as_one() {
    let Some(server) = server() else { return };
    let (address, database) = server.database();
    let embedder = HashEmbedder::new(16, 1);
    let at: Address = address.parse().unwrap();
    let config = TableConfig::of("hash", &embedder).partitions(3);
    let table = Table::create(&at, "docs", &config).unwrap();
    ingest(&table, &embedder, &documents(400)).unwrap();
    assert_eq!(server.sql(&database, "SELECT count(*) > 50 FROM docs_p2"), "t");
    let question = embedder.embed(&["a bridge of the comet"], Role::Question).unwrap();
    let wanted = expected(&embedder, &question, 50, &Filter::default());
    for search in [Search::Exact, Search::Hnsw] {
        table.set_search(search, &Silent).unwrap();
        let hits = Documents::open(&at, "docs")
            .unwrap()
            .nearest(&question, 50, &Filter::default())
            .unwrap()
            .remove(0);
        let scores: Vec<f32> = hits.iter().map(|hit| hit.score).collect();
        assert!(scores.iter().zip(&wanted).all(|(a, (_, b))| (a - b).abs() < 1e-5), "{search:?}");
    }
    table.set_search(Search::Exact, &Silent).unwrap();
    assert_eq!(table.search().unwrap(), Search::Exact);
}
