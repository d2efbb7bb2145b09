use ragbias_core::testing::HashEmbedder;
use ragbias_core::{DocumentIndex, Embedder, Error as CoreError, Filter, Role, Silent, message};
use ragbias_postgres::{Address, Documents, Ingestion, PgVector, Search, Table, TableConfig, VectorType};

use crate::server::{PASSWORD, Server, USER};
use crate::{documents, ingest, server, table, unit};

/// The text of an error with its causes, which never has the password.
fn said(error: impl std::error::Error + 'static) -> String {
    let text = message(&error);
    assert!(!text.contains(PASSWORD) && !format!("{error:?}").contains(PASSWORD), "{text}");
    text
}

fn assert_said(error: impl std::error::Error + 'static, parts: &[&str]) {
    let text = said(error);
    for part in parts {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_table_of_another_embedder_or_type_is_refused_by_name() {
    let Some(server) = server() else { return };
    let (address, database) = server.database();
    let (one, two) = (HashEmbedder::new(16, 1), HashEmbedder::new(16, 2));
    let docs = table(&address, "docs", &one);
    ingest(&docs, &one, &documents(10)).unwrap();
    let at: Address = address.parse().unwrap();
    let place = format!("postgres://{USER}@127.0.0.1");
    let error = Table::create(&at, "docs", &TableConfig::of("two", &two)).unwrap_err();
    assert_said(
        error,
        &[&place, &database, "table `docs`", "the embedder", "`hash`", "expected `two`", "hint: "],
    );
    let error = Ingestion::new(&docs, &two, 1, &Silent).err().unwrap();
    assert_said(error, &["`hash`", "expected", &two.id().short()]);
    let half = TableConfig::of("one", &one).vector_type(Some(VectorType::HalfVec));
    let error = Table::create(&at, "docs", &half).unwrap_err();
    assert_said(error, &["the type of its vectors is vector, expected halfvec"]);
    // Without a wish, the type is the table's.
    let half = Table::create(&at, "half", &half).unwrap();
    let again = Table::create(&at, "half", &TableConfig::of("one", &one)).unwrap();
    assert_eq!((half.vector_type(), again.vector_type()), (VectorType::HalfVec, VectorType::HalfVec));

    let question = HashEmbedder::new(8, 1).embed(&["a"], Role::Question).unwrap();
    let index = Documents::open(&at, "docs").unwrap();
    let error = index.nearest(&question, 1, &Filter::default()).unwrap_err();
    assert_eq!(error.to_string(), "vectors of 8 dimensions where 16 were expected");
    let error = Documents::open_by(&at, "docs", Search::Hnsw).err().unwrap();
    assert_said(error, &["its index is none, expected hnsw"]);
    assert_said(Documents::open(&at, "half").err().unwrap(), &["table `half`: the table is empty"]);
}

#[test]
fn what_is_not_a_table_of_this_library_is_refused_and_left_alone() {
    let Some(server) = server() else { return };
    let (address, database) = server.database();
    let at: Address = address.parse().unwrap();
    server.sql(
        &database,
        "CREATE TABLE plain (id text, embedding vector(16)); CREATE VIEW seen AS SELECT 1 AS one",
    );
    server
        .sql(&database, "CREATE TABLE remarked (id text); COMMENT ON TABLE remarked IS '{\"ragbias\": 99}'");
    let config = TableConfig::of("hash", &HashEmbedder::new(16, 1));
    for (name, received) in
        [("plain", "a table without a comment"), ("seen", "a view"), ("remarked", "of another version")]
    {
        assert_said(Table::open(&at, name).unwrap_err(), &[received, "hint: "]);
        assert_said(Table::create(&at, name, &config).unwrap_err(), &[received]);
    }
    // A comment that was moved to a table of other vectors.
    let embedder = HashEmbedder::new(16, 1);
    table(&address, "docs", &embedder);
    server
        .sql(&database, "ALTER TABLE docs DROP COLUMN embedding; ALTER TABLE docs ADD embedding vector(17)");
    assert_said(Table::open(&at, "docs").unwrap_err(), &["vector(17)", "the comment says vector(16)"]);
    assert_said(
        Table::open(&at, "absent").unwrap_err(),
        &["table `absent`: there is no such table", "ragbias ingest"],
    );
    assert_said(Table::open(&at, "Absent; --").unwrap_err(), &["the table `Absent; --`", "expected NAME"]);
    assert_said(
        Table::create(&at, "wide", &TableConfig::of("hash", &HashEmbedder::new(20_000, 1))).unwrap_err(),
        &["dimensions is 20000, expected 1 to 16000"],
    );
    let wide = TableConfig::of("hash", &HashEmbedder::new(2001, 1));
    let wide = Table::create(&at, "wide", &wide).unwrap();
    let error = wide.set_search(Search::Hnsw, &Silent).unwrap_err();
    assert_said(error, &["is 2001, expected up to 2000 of the type vector"]);
}

#[test]
fn a_database_that_lacks_something_is_refused_with_what_to_do() {
    let Some(server) = server() else { return };
    let (_, database) = server.database();
    server.sql("postgres", "CREATE DATABASE bare");
    let open = |address: String| Table::open(&address.parse().unwrap(), "docs").unwrap_err();
    assert_said(
        open(server.address("bare")),
        &["bare: expected pgvector 0.8", "hint: its owner runs `CREATE EXTENSION vector`"],
    );
    assert_said(
        open(server.address("nowhere")),
        &["\"nowhere\" does not exist", "3D000", "hint: `createdb NAME`"],
    );
    let wrong = server.address_of(USER, "wrong-pass-word", &database);
    let text = said(open(wrong));
    assert!(
        text.contains("password authentication failed")
            && text.contains("hint: ")
            && !text.contains("wrong-pass"),
        "{text}"
    );
    let without = server.address(&database).replace(&format!(":{PASSWORD}"), "");
    assert_said(open(without), &["password missing", "hint: ", "RAGBIAS_POSTGRES"]);

    server.sql("postgres", &format!("CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'"));
    let reader: Address = server.address_of("reader", PASSWORD, &database).parse().unwrap();
    let embedder = HashEmbedder::new(16, 1);
    let config = TableConfig::of("hash", &embedder);
    assert_said(
        Table::create(&reader, "mine", &config).unwrap_err(),
        &["reader@", "permission denied for schema public", "hint: ", "GRANT CREATE ON SCHEMA"],
    );
    // A role that may only read searches.
    let docs = table(&server.address(&database), "docs", &embedder);
    ingest(&docs, &embedder, &documents(10)).unwrap();
    assert_said(
        Documents::open(&reader, "docs").err().unwrap(),
        &["permission denied for table docs", "GRANT SELECT"],
    );
    server.sql(&database, "GRANT SELECT ON docs TO reader");
    let question = embedder.embed(&["a bridge"], Role::Question).unwrap();
    let index = Documents::open(&reader, "docs").unwrap();
    assert_eq!(index.nearest(&question, 3, &Filter::default()).unwrap()[0].len(), 3);
    let own = Table::open(&reader, "docs").unwrap();
    assert_said(ingest(&own, &embedder, &documents(11)).unwrap_err(), &["permission denied", "table `docs`"]);
}

#[test]
fn a_server_that_is_gone_is_unavailable_and_found_again_when_it_is_back() {
    let Some(mut server) = Server::start() else { return };
    let (address, _) = server.database();
    let embedder = HashEmbedder::new(16, 1);
    let docs = table(&address, "docs", &embedder);
    ingest(&docs, &embedder, &documents(50)).unwrap();
    let at: Address = address.parse().unwrap();
    let index = Documents::open(&at, "docs").unwrap();
    let question = embedder.embed(&["a bridge"], Role::Question).unwrap();
    let search = || index.nearest(&question, 5, &Filter::default());
    let before = search().unwrap();
    server.stop();
    for _ in 0..2 {
        let error = search().unwrap_err();
        assert!(matches!(error, CoreError::Unavailable(_)), "{error:?}");
        assert_said(error, &["table `docs`: the database cannot be reached", "hint: "]);
    }
    let error = PgVector::at(&address).unwrap();
    let error = ragbias_core::IndexBackend::index(&error, ragbias_core::Similarity::Cosine, unit(3, 4, 1))
        .err()
        .unwrap();
    assert_said(error, &["cannot be reached"]);
    server.resume();
    assert_eq!(search().unwrap(), before);
    assert_eq!(docs.count().unwrap(), 50);
}
