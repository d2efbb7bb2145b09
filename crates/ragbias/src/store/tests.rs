use ragbias_core::testing::{EchoGenerator, HashEmbedder};
use ragbias_core::{Embedder, GenerateAll, Passage, Role, Verdict};

use super::*;
use crate::memo::{StoredEmbedder, StoredGenerator, StoredScorer};

fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    (folder, path)
}

/// Everything in a folder, with its bytes.
fn contents(folder: &Path) -> Vec<(std::ffi::OsString, Vec<u8>)> {
    let entries = fs_err::read_dir(folder).unwrap().map(Result::unwrap);
    let mut files: Vec<_> =
        entries.map(|entry| (entry.file_name(), fs_err::read(entry.path()).unwrap())).collect();
    files.sort();
    files
}

fn refusal(path: &Path) -> String {
    Store::open(path).map(drop).unwrap_err().to_string()
}

const TEXTS: [&str; 3] = ["She left.", "He left.", "She met him."];

/// Fills a store, or takes existing values from it.
fn use_all(
    store: &Store,
) -> (ragbias_core::Embeddings, Vec<ragbias_core::Answer>, Vec<ragbias_core::Chosen>, Vec<Verdict>) {
    let (embedder, scorer) = (HashEmbedder::new(384, 1), ragbias_score::Lexicon::bundled("gender").unwrap());
    let choices = TEXTS.map(|prompt| ragbias_core::ChoicePrompt {
        prompt: prompt.into(),
        negative: "he",
        positive: "she",
    });
    let generator = StoredGenerator::new(&EchoGenerator, store);
    (
        StoredEmbedder::new(&embedder, store).embed(&TEXTS, Role::Document).unwrap(),
        generator.generate_all(TEXTS).unwrap(),
        generator.choose_all(&choices).unwrap(),
        ragbias_core::BiasScorer::score(&StoredScorer::new(&scorer, store), &TEXTS.map(Passage::from))
            .unwrap(),
    )
}

#[test]
fn a_value_that_is_not_what_was_stored_is_set_aside_computed_again_replaced_and_counted() {
    let (_folder, path) = place();
    let store = Store::open(&path).unwrap();
    let first = use_all(&store);
    assert_eq!(store.work().vectors, Saved { remembered: 0, computed: 3, set_aside: 0 });
    assert_eq!(store.notes(), [""; 0]);
    drop(store);

    // A changed byte, another type, another text, a valid value under another one's key: nothing that SQLite would detect.
    let damage = Connection::open(&path).unwrap();
    damage
        .execute_batch(
            "UPDATE vectors_2 SET vector = x'00' || substr(vector, 2) WHERE rowid = 1;
             UPDATE vectors_2 SET vector = substr(vector, 5) WHERE rowid = 2;
             UPDATE answers_3 SET answer = 'He left' WHERE rowid = 1;
             UPDATE answers_3 SET answer = CAST(x'ff' AS TEXT) WHERE rowid = 2;
             UPDATE choices_3 SET log_odds = log_odds + 0.5 WHERE rowid = 1;
             UPDATE verdicts_2 SET (checksum, positive, negative) =
                 (SELECT checksum, positive, negative FROM verdicts_2 WHERE rowid = 2) WHERE rowid = 1;",
        )
        .unwrap();
    drop(damage);

    let store = Store::open(&path).unwrap();
    assert_eq!(use_all(&store), first);
    assert_eq!(store.work().vectors, Saved { remembered: 1, computed: 2, set_aside: 2 });
    assert_eq!(store.work().answers, Saved { remembered: 3, computed: 3, set_aside: 3 });
    assert_eq!(store.work().verdicts, Saved { remembered: 2, computed: 1, set_aside: 1 });
    let [note] = &store.notes()[..] else { panic!("{:?}", store.notes()) };
    assert!(
        note.contains("damaged, not used and replaced: 2 vectors, 3 answers, 1 verdict\nhint: "),
        "{note}"
    );
    drop(store);

    let store = Store::open(&path).unwrap();
    assert_eq!(use_all(&store), first);
    assert_eq!(store.work().answers, Saved { remembered: 6, computed: 0, set_aside: 0 });
}

#[test]
fn a_fingerprint_that_is_not_what_was_stored_is_neither_used_nor_kept() {
    let (_folder, path) = place();
    let llm = ragbias_core::ContentId::of(b"llm");
    let kept = |store: &Store| {
        store.put_fingerprints(llm, ["fp_1".to_owned()].iter()).unwrap();
        store.earlier_fingerprints(llm)
    };
    kept(&Store::open(&path).unwrap());
    assert_eq!(kept(&Store::open(&path).unwrap()), ["fp_1".to_owned()].into());
    Connection::open(&path).unwrap().execute("UPDATE fingerprints_2 SET fingerprint = 'fp_7'", []).unwrap();
    let store = Store::open(&path).unwrap();
    assert_eq!((kept(&store).len(), store.work().answers.set_aside), (0, 1));
    assert_eq!(kept(&Store::open(&path).unwrap()), ["fp_1".to_owned()].into());
}

#[test]
fn every_byte_of_a_store_that_is_changed_is_found_or_changes_nothing() {
    let (folder, path) = place();
    let store = Store::open(&path).unwrap();
    let first = use_all(&store);
    drop(store);
    let whole = fs_err::read(&path).unwrap();
    assert_eq!(contents(folder.path()).len(), 1, "the log is in the file");
    let (mut refused, mut right) = (0, 0);
    // 41 and 997 have no common factor with page sizes, so all kinds of positions are covered.
    for (step, at) in (0..whole.len()).step_by(997).chain(0..100).chain((0..4096).step_by(41)).enumerate() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (step % 8);
        fs_err::write(&path, bytes).unwrap();
        let Ok(store) = Store::open(&path) else {
            refused += 1;
            continue;
        };
        let used = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| use_all(&store)));
        match used {
            Ok(used) => {
                assert_eq!(used, first, "byte {at}");
                right += 1;
            }
            // `use_all` unwraps: the store reported damage.
            Err(_) => refused += 1,
        }
        drop(store);
        for ending in ["-wal", "-shm", "-journal"] {
            let _ = fs_err::remove_file(folder.path().join(format!("store.sqlite{ending}")));
        }
    }
    assert!(refused > 10 && right > 20, "{refused} {right}");
}

#[test]
fn files_of_other_programs_are_refused_and_left_as_they_are() {
    let make = |sql: &str| {
        let (folder, path) = place();
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(sql).unwrap();
        drop(connection);
        (folder, path)
    };
    let cases = [
        (
            "PRAGMA journal_mode = WAL; CREATE TABLE notes (a)",
            "another program's SQLite file, with tables such as `notes`",
        ),
        ("CREATE TABLE vectors (key BLOB, vector BLOB); CREATE TABLE users (a)", "another program's"),
        ("CREATE TABLE answers (key, answer)", "another program's"),
        ("PRAGMA application_id = 1196444487; CREATE TABLE t (a)", "of application_id 0x47504b47"),
        (
            "PRAGMA application_id = 1918986082; PRAGMA user_version = 9; CREATE TABLE t (a)",
            "a store of format 9, expected 1",
        ),
    ];
    for (sql, expected) in cases {
        let (folder, path) = make(sql);
        let before = contents(folder.path());
        let error = refusal(&path);
        assert!(
            error.contains(expected) && error.contains("store.sqlite: ") && error.contains("hint: "),
            "{error}"
        );
        assert_eq!(contents(folder.path()), before, "{sql}");
    }
    let (folder, path) = place();
    fs_err::write(&path, "these are my notes").unwrap();
    let before = contents(folder.path());
    assert!(refusal(&path).contains("not an SQLite file"));
    assert_eq!(contents(folder.path()), before);
}

#[test]
fn a_store_of_an_earlier_version_is_taken_over_with_all_of_its_rows() {
    let (_folder, path) = place();
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID;
             CREATE TABLE answers_2 (key BLOB PRIMARY KEY, answer TEXT NOT NULL, finish TEXT NOT NULL) WITHOUT ROWID;
             INSERT INTO answers_2 VALUES (x'00', 'Marie Curie', 'stop');",
        )
        .unwrap();
    drop(connection);
    let store = Store::open(&path).unwrap();
    use_all(&store);
    assert!(store.notes()[0].contains("carries no checksums"), "{:?}", store.notes());
    drop(store);
    let store = Store::open(&path).unwrap();
    use_all(&store);
    assert_eq!((store.work().vectors.remembered, store.notes().len()), (3, 0), "it is said once");
    let kept: String = store.lock().query_row("SELECT answer FROM answers_2", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, "Marie Curie");
}

#[test]
fn several_processes_may_make_a_store_at_the_same_time() {
    let (_folder, path) = place();
    std::thread::scope(|scope| {
        let opened: Vec<_> = (0..8).map(|_| scope.spawn(|| use_all(&Store::open(&path).unwrap()))).collect();
        let used: Vec<_> = opened.into_iter().map(|opened| opened.join().unwrap()).collect();
        assert!(used.iter().all(|one| *one == used[0]));
    });
}

#[test]
fn hints_fit_what_went_wrong() {
    use rusqlite::ffi;
    let hint = |code: i32| {
        let source = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
        Error::Store { path: "s".into(), source }.to_string()
    };
    for (code, expected) in [
        (ffi::SQLITE_BUSY, "another process holds it"),
        (ffi::SQLITE_CORRUPT, "the file is damaged"),
        (ffi::SQLITE_FULL, "make room"),
        (ffi::SQLITE_READONLY, "can be read but not written to"),
        (ffi::SQLITE_NOTADB, "this file is not a store"),
        (ffi::SQLITE_CANTOPEN, "you may not write to it"),
        (ffi::SQLITE_IOERR_FSYNC, "an I/O error"),
    ] {
        assert!(hint(code).contains(expected), "{code}: {}", hint(code));
    }
}

#[test]
fn a_vector_takes_little_more_than_its_own_bytes_on_disk() {
    let (_folder, path) = place();
    let store = Store::open(&path).unwrap();
    let texts: Vec<String> = (0..4000).map(|number| number.to_string()).collect();
    for (batch, texts) in texts.chunks(64).enumerate() {
        let vector = |number: usize| vec![(batch * 64 + number) as f32; 384];
        let rows = texts.iter().enumerate().map(|(number, text)| (text.as_str(), vector(number)));
        store.put_vectors(ragbias_core::ContentId::of(b"e"), Role::Document, rows).unwrap();
    }
    drop(store);
    let each = fs_err::metadata(&path).unwrap().len() as f64 / texts.len() as f64;
    assert!(each <= 1.15 * 4.0 * 384.0, "{each}");
}

#[test]
fn a_store_of_a_version_without_a_table_gets_it_and_keeps_the_rest() {
    let (_folder, path) = place();
    let first = use_all(&Store::open(&path).unwrap());
    Connection::open(&path).unwrap().execute_batch("DROP TABLE likelihoods_1").unwrap();
    let store = Store::open(&path).unwrap();
    let asked = [ragbias_core::PossibleAnswer { prompt: TEXTS[0].into(), answer: "She" }];
    let generator = StoredGenerator::new(&EchoGenerator, &store);
    let likelihoods = generator.likelihoods_all(&asked).unwrap();
    assert_eq!(generator.likelihoods_all(&asked).unwrap(), likelihoods);
    assert_eq!(store.work().answers, Saved { remembered: 1, computed: 1, set_aside: 0 });
    assert_eq!(use_all(&store), first);
    assert_eq!(store.work().vectors, Saved { remembered: 3, computed: 0, set_aside: 0 });
}
