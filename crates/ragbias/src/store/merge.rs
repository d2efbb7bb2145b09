//! Takes over the values of other stores: those of the tasks of a job array, or of other machines.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};
use serde::Serialize;

use super::{Store, file};
use crate::{Error, Result};

/// The tables of a store, with the columns that tell a row.
const TABLES: [(&str, &str); 6] = [
    ("vectors_2", "key"),
    ("answers_3", "key"),
    ("choices_3", "key"),
    ("likelihoods_1", "key"),
    ("fingerprints_2", "llm, fingerprint"),
    ("verdicts_2", "key"),
];

/// What a store took over from another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Merged {
    /// Values that were new.
    pub new: usize,
    /// Values that both had.
    pub known: usize,
    /// Of these, the values that differ, as when a server answered a prompt twice; those that were here first are kept.
    pub different: usize,
}

impl Store {
    /// Takes over every value of another store that this one does not have, in one transaction; the other is left as it is.
    ///
    /// The keys are hashes of all that a value depends on, so that merging in any order, or twice, leaves the same keys. Checksums are taken
    /// over and checked when a value is read.
    ///
    /// # Errors
    /// No store of this version at `path`, or this store itself; a failure of the file system.
    pub fn merge(&self, path: &Path) -> Result<Merged> {
        let refused =
            |found: &str, hint| Err(Error::StoreRefused { path: path.into(), found: found.into(), hint });
        match file::inspect(path)? {
            file::Found::Store => {}
            file::Found::Nothing => return refused("no store", "name a file that `--store` wrote"),
            file::Found::Earlier => {
                return refused(
                    "a store of a version whose values have no checksums",
                    "they are not used any more; leave it out",
                );
            }
        }
        let same = |path: &Path| fs_err::canonicalize(path).ok();
        if same(path) == same(&self.shared.path) {
            return refused("the store that is merged into", "leave it out");
        }
        let failed = |source| Error::Store { path: path.into(), source };
        // Another connection: this one keeps its own state, and the other store is named only in it.
        let mut connection = Connection::open(&self.shared.path).map_err(self.failed())?;
        connection.busy_timeout(file::PATIENCE).map_err(self.failed())?;
        let text = path.to_str().ok_or_else(|| Error::StorePlace {
            path: Some(path.into()),
            source: std::io::Error::other("its name is not UTF-8"),
        })?;
        connection.execute("ATTACH DATABASE ? AS other", [text]).map_err(failed)?;
        take_over(&mut connection).map_err(failed)
    }
}

fn take_over(connection: &mut Connection) -> rusqlite::Result<Merged> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut merged = Merged::default();
    for (table, key) in TABLES {
        if !transaction.table_exists(Some("other"), table)? {
            continue;
        }
        let count = |sql: &str| -> rusqlite::Result<usize> {
            let count: i64 = transaction.query_row(sql, [], |row| row.get(0))?;
            Ok(usize::try_from(count).unwrap_or_default())
        };
        let both = format!("SELECT count(*) FROM other.{table} JOIN main.{table} AS here USING ({key})");
        merged.known += count(&both)?;
        merged.different += count(&format!("{both} WHERE here.checksum <> {table}.checksum"))?;
        let insert = format!("INSERT OR IGNORE INTO main.{table} SELECT * FROM other.{table}");
        merged.new += transaction.execute(&insert, [])?;
    }
    transaction.commit()?;
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use ragbias_core::{Answer, ContentId, Finish, Role, Verdict};

    use super::*;

    fn id(text: &str) -> ContentId {
        ContentId::of(text.as_bytes())
    }

    fn answer(text: &str) -> Answer {
        Answer { text: text.into(), finish: Finish::Stop }
    }

    #[test]
    fn stores_of_shards_become_one_in_any_order_and_as_often_as_one_likes() {
        let folder = tempfile::tempdir().unwrap();
        let open = |name: &str| Store::open(&folder.path().join(name)).unwrap();
        for (shard, answers) in [("a", ["one", "two"]), ("b", ["two", "three"])] {
            let store = open(shard);
            for prompt in answers {
                // The second prompt was answered twice, and not in the same way.
                store.put_answer(id(prompt), answer(&format!("{prompt} of {shard}"))).unwrap();
            }
            store.put_verdicts(&[(id(shard), Verdict::POSITIVE)]).unwrap();
            store.put_vectors(id("embedder"), Role::Document, [(shard, vec![1.0, 2.0])].into_iter()).unwrap();
        }
        let paths = ["a", "b"].map(|name| folder.path().join(name));
        let all = open("all");
        let merged = paths.each_ref().map(|path| all.merge(path).unwrap());
        assert_eq!(merged[0], Merged { new: 4, known: 0, different: 0 });
        assert_eq!(merged[1], Merged { new: 3, known: 1, different: 1 });
        assert_eq!(all.merge(&paths[1]).unwrap(), Merged { new: 0, known: 4, different: 1 });
        let text =
            |store: &Store, prompt| store.answer(id("llm"), id(prompt)).unwrap().map(|answer| answer.text);
        assert_eq!(text(&all, "two"), Some("two of a".into()));
        assert_eq!(text(&all, "three"), Some("three of b".into()));
        assert_eq!(all.verdict(id("b")).unwrap(), Some(Verdict::POSITIVE));
        assert_eq!(all.vector(id("embedder"), Role::Document, "b", 2).unwrap(), Some(vec![1.0, 2.0]));

        let other = open("in the other order");
        for path in paths.iter().rev() {
            other.merge(path).unwrap();
        }
        assert_eq!(text(&other, "one"), Some("one of a".into()));
        assert_eq!(text(&other, "two"), Some("two of b".into()));
    }

    #[test]
    fn what_is_no_other_store_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let store = Store::open(&path("all")).unwrap();
        let refused = |name: &str| store.merge(&path(name)).unwrap_err().to_string();
        assert!(refused("absent").contains("no store"));
        assert!(!path("absent").exists());
        assert!(refused("all").contains("the store that is merged into"));
        fs_err::write(path("text"), "not a store").unwrap();
        assert!(refused("text").contains("not an SQLite file"));
        assert_eq!(fs_err::read_to_string(path("text")).unwrap(), "not a store");
    }
}
