use std::sync::atomic::{AtomicUsize, Ordering};

use ragbias_core::testing::HashEmbedder;
use ragbias_core::{ContentId, Document, DocumentIndex, Embedder, Embeddings, Filter, Role, Similarity};
use ragbias_postgres::{Address, Documents, Ingested};

use crate::server::Server;
use crate::{documents, ingest, server, table};

/// All that a table has, as one hash.
fn rows(server: &Server, database: &str, name: &str) -> String {
    server.sql(
        database,
        &format!("SELECT count(*), md5(string_agg(t::text, E'\\n' ORDER BY id)) FROM {name} t"),
    )
}

#[test]
fn what_is_there_is_not_sent_again_and_what_has_changed_is_replaced() {
    let Some(server) = server() else { return };
    let (address, database) = server.database();
    let embedder = HashEmbedder::new(16, 1);
    let table = table(&address, "docs", &embedder);
    let mut documents = documents(700);
    let done = ingest(&table, &embedder, &documents).unwrap();
    assert_eq!(done, Ingested { added: 700, replaced: 0, unchanged: 0 });
    let before = rows(server, &database, "docs");
    let done = ingest(&table, &embedder, &documents).unwrap();
    assert_eq!(
        (done, rows(server, &database, "docs")),
        (Ingested { added: 0, replaced: 0, unchanged: 700 }, before)
    );

    documents[3].text = "another river".into();
    documents[600].metadata.insert("year".into(), 1999.into());
    documents.push(Document::new("new", "a new star"));
    let done = ingest(&table, &embedder, &documents).unwrap();
    assert_eq!(done, Ingested { added: 1, replaced: 2, unchanged: 698 });
    let at: Address = address.parse().unwrap();
    let index = Documents::open(&at, "docs").unwrap();
    let nearest = |text: &str| {
        let question = embedder.embed(&[text], Role::Question).unwrap();
        index.nearest(&question, 1, &Filter::default()).unwrap().remove(0).remove(0).document
    };
    assert_eq!(nearest("another river"), documents[3]);
    assert_eq!(nearest("a new star").id, "new");

    assert_eq!(table.delete(&["new", "d0003", "never there"]).unwrap(), 2);
    assert_ne!(nearest("another river").id, "d0003");
    let kept = documents[..100].iter().map(|document| document.id.clone()).collect();
    assert_eq!(table.retain(&kept).unwrap(), 600);
    assert_eq!(table.count().unwrap(), 99);
}

#[test]
fn a_document_that_cannot_be_stored_is_refused_before_any_is() {
    let Some(server) = server() else { return };
    let (address, _) = server.database();
    let embedder = HashEmbedder::new(16, 1);
    let table = table(&address, "docs", &embedder);
    for (document, reason) in
        [(Document::new("bad", "a\0b"), "U+0000"), (Document::new("d0001", "b"), "twice")]
    {
        let mut all = documents(600);
        all.push(document);
        let error = ingest(&table, &embedder, &all).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        assert_eq!(table.count().unwrap(), 0);
    }
}

/// An embedder during whose work something happens, once.
struct Interrupted<'a, F> {
    inner: &'a HashEmbedder,
    calls: AtomicUsize,
    at: usize,
    event: F,
}

impl<F: Fn() + Send + Sync> Embedder for Interrupted<'_, F> {
    fn id(&self) -> ContentId {
        self.inner.id()
    }

    fn dim(&self) -> usize {
        self.inner.dim()
    }

    fn similarity(&self) -> Similarity {
        self.inner.similarity()
    }

    fn embed(&self, texts: &[&str], role: Role) -> ragbias_core::Result<Embeddings> {
        if self.calls.fetch_add(1, Ordering::Relaxed) == self.at {
            (self.event)();
        }
        self.inner.embed(texts, role)
    }
}

#[test]
fn an_ingestion_goes_on_after_its_connection_was_cut() {
    let Some(server) = server() else { return };
    let (address, database) = server.database();
    let inner = HashEmbedder::new(16, 1);
    let whole = table(&address, "whole", &inner);
    ingest(&whole, &inner, &documents(2000)).unwrap();
    let cut = table(&address, "cut", &inner);
    let terminate = || {
        let ended = server.sql(
            &database,
            "SELECT count(pg_terminate_backend(pid)) > 0 FROM pg_stat_activity \
             WHERE datname = current_database() AND application_name = 'ragbias'",
        );
        assert_eq!(ended, "t");
    };
    let embedder = Interrupted { inner: &inner, calls: AtomicUsize::new(0), at: 20, event: terminate };
    let done = ingest(&cut, &embedder, &documents(2000)).unwrap();
    assert_eq!(done, Ingested { added: 2000, replaced: 0, unchanged: 0 });
    assert_eq!(rows(server, &database, "cut"), rows(server, &database, "whole"));
}

#[test]
fn an_ingestion_that_failed_goes_on_where_it_ended() {
    let Some(server) = server() else { return };
    let (address, database) = server.database();
    let inner = HashEmbedder::new(16, 1);
    let whole = table(&address, "whole", &inner);
    ingest(&whole, &inner, &documents(2000)).unwrap();
    let failed = table(&address, "failed", &inner);
    let fail = || panic!("the process ends");
    let embedder = Interrupted { inner: &inner, calls: AtomicUsize::new(0), at: 40, event: fail };
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        ingest(&failed, &embedder, &documents(2000))
    }));
    assert!(result.is_err());
    // 40 calls of 32 texts are two and a half batches of 512 rows, of which the half is lost.
    assert_eq!(failed.count().unwrap(), 1024);
    let done = ingest(&failed, &inner, &documents(2000)).unwrap();
    assert_eq!(done, Ingested { added: 976, replaced: 0, unchanged: 1024 });
    assert_eq!(rows(server, &database, "failed"), rows(server, &database, "whole"));
}

#[test]
fn two_ingestions_at_once_give_the_table_of_one() {
    let Some(server) = server() else { return };
    let (address, database) = server.database();
    let embedder = HashEmbedder::new(16, 1);
    let [once, twice] = ["once", "twice"].map(|name| table(&address, name, &embedder));
    ingest(&once, &embedder, &documents(1500)).unwrap();
    let other = table(&address, "twice", &embedder);
    std::thread::scope(|scope| {
        for table in [&twice, &other] {
            scope.spawn(|| ingest(table, &embedder, &documents(1500)).unwrap());
        }
    });
    assert_eq!(rows(server, &database, "twice"), rows(server, &database, "once"));
}
