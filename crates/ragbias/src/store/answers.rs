//! Answers, choices, and their fingerprints.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashSet};
use std::sync::{MutexGuard, PoisonError};

use ragbias_core::{Answer, Choice, Chosen, ContentId, Finish, Likelihood};
use rusqlite::types::Value;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::answered::Answered;
use super::value::{self, Found, Kept, checksum};
use super::{Kind, Store};
use crate::Result;

impl Kept for Answer {
    const TABLE: &'static str = "answers_3";

    fn fields(&self) -> Vec<Value> {
        vec![Value::Text(self.text.clone()), Value::Text(name(self.finish).into())]
    }

    fn of(fields: Vec<Value>) -> Option<Self> {
        match <[Value; 2]>::try_from(fields).ok()? {
            [Value::Text(text), Value::Text(name)] => Some(Self { text, finish: finish(&name)? }),
            _ => None,
        }
    }
}

impl Kept for Chosen {
    const TABLE: &'static str = "choices_3";

    fn fields(&self) -> Vec<Value> {
        let finish = match self {
            Self::Choice(_) => Finish::Stop,
            Self::Cut => Finish::Cut,
            Self::Refused => Finish::Refused,
        };
        // SQLite does not store −0.
        let number = |of: fn(&Choice) -> f64| {
            self.choice().map_or(Value::Null, |choice| Value::Real(of(choice) + 0.0))
        };
        vec![
            Value::Text(name(finish).into()),
            number(|choice| choice.log_odds),
            number(|choice| choice.position_bias),
            number(|choice| choice.coverage),
        ]
    }

    fn of(fields: Vec<Value>) -> Option<Self> {
        let (name, numbers) = fields.split_first()?;
        let Value::Text(name) = name else { return None };
        match (finish(name)?, numbers) {
            (Finish::Stop, &[Value::Real(log_odds), Value::Real(position_bias), Value::Real(coverage)]) => {
                Some(Self::Choice(Choice { log_odds, position_bias, coverage }))
            }
            (Finish::Cut, [Value::Null, Value::Null, Value::Null]) => Some(Self::Cut),
            (Finish::Refused, [Value::Null, Value::Null, Value::Null]) => Some(Self::Refused),
            _ => None,
        }
    }
}

impl Kept for Likelihood {
    const TABLE: &'static str = "likelihoods_1";

    fn fields(&self) -> Vec<Value> {
        let tokens =
            i64::try_from(self.tokens()).expect("an answer has fewer than 2^63 tokens; this is a bug");
        // SQLite does not store −0.
        vec![Value::Real(self.log_probability() + 0.0), Value::Integer(tokens)]
    }

    fn of(fields: Vec<Value>) -> Option<Self> {
        match <[Value; 2]>::try_from(fields).ok()? {
            [Value::Real(log_probability), Value::Integer(tokens)] => {
                Self::new(log_probability, usize::try_from(tokens).ok()?).ok()
            }
            _ => None,
        }
    }
}

impl Store {
    pub(crate) fn answer(&self, llm: ContentId, key: ContentId) -> Result<Option<Answer>> {
        self.recall(llm, key)
    }

    /// Stores an answer, and returns the stored one.
    pub(crate) fn put_answer(&self, key: ContentId, answer: Answer) -> Result<Answer> {
        self.put(key, answer)
    }

    pub(crate) fn choice(&self, llm: ContentId, key: ContentId) -> Result<Option<Chosen>> {
        self.recall(llm, key)
    }

    /// Stores a choice, and returns the stored one.
    pub(crate) fn put_choice(&self, key: ContentId, chosen: Chosen) -> Result<Chosen> {
        self.put(key, chosen)
    }

    pub(crate) fn likelihood(&self, llm: ContentId, key: ContentId) -> Result<Option<Likelihood>> {
        self.recall(llm, key)
    }

    /// Stores a likelihood, and returns the stored one.
    pub(crate) fn put_likelihood(&self, key: ContentId, likelihood: Likelihood) -> Result<Likelihood> {
        self.put(key, likelihood)
    }

    /// The value under a key; none if it is earlier and is to be asked again.
    fn recall<A: Kept>(&self, llm: ContentId, key: ContentId) -> Result<Option<A>> {
        let here = self.answered().here.contains(&key);
        if self.fresh && !here {
            return Ok(None);
        }
        let found = value::get(&self.lock(), key).map_err(self.failed())?;
        Ok(match found {
            Found::Value(answer) => {
                if !here {
                    self.answered().before.entry(llm).or_default().insert(key);
                }
                Some(answer)
            }
            Found::Nothing => None,
            Found::Damaged => {
                self.set_aside(Kind::Answers);
                None
            }
        })
    }

    /// Stores this value, unless another process stored one meanwhile and answers are not asked anew; returns the stored value.
    fn put<A: Kept>(&self, key: ContentId, answer: A) -> Result<A> {
        let connection = self.lock();
        let put = || {
            let transaction = Transaction::new_unchecked(&connection, TransactionBehavior::Immediate)?;
            let theirs = if self.fresh { Found::Nothing } else { value::get(&transaction, key)? };
            let kept = match theirs {
                Found::Value(theirs) => theirs,
                Found::Nothing | Found::Damaged => {
                    value::put(&transaction, key, &answer)?;
                    answer
                }
            };
            transaction.commit()?;
            Ok(kept)
        };
        let kept = put().map_err(self.failed())?;
        self.answered().here.insert(key);
        Ok(kept)
    }

    fn answered(&self) -> MutexGuard<'_, Answered> {
        self.shared.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of answers and choices of this LLM that were taken from the store and not given since it was opened.
    pub(crate) fn earlier(&self, llm: ContentId) -> usize {
        self.answered().before.get(&llm).map_or(0, HashSet::len)
    }

    /// Stores the fingerprints of an LLM's answers.
    pub(crate) fn put_fingerprints<'f>(
        &self,
        llm: ContentId,
        fingerprints: impl Iterator<Item = &'f String>,
    ) -> Result<()> {
        let connection = self.lock();
        let put = || {
            if let Entry::Vacant(before) = self.answered().fingerprints.entry(llm) {
                before.insert(self.kept_fingerprints(&connection, llm)?);
            }
            let sql = format!("INSERT OR IGNORE INTO {FINGERPRINTS} VALUES (?, ?, ?)");
            for fingerprint in fingerprints {
                let row = params![llm.as_bytes(), fingerprint, fingerprint_checksum(llm, fingerprint)];
                connection.prepare_cached(&sql)?.execute(row)?;
            }
            Ok(())
        };
        put().map_err(self.failed())
    }

    /// Rows with a correct checksum; others can be neither used nor computed again, and are removed.
    fn kept_fingerprints(
        &self,
        connection: &Connection,
        llm: ContentId,
    ) -> rusqlite::Result<BTreeSet<String>> {
        let sql = format!("SELECT rowid, fingerprint, checksum FROM {FINGERPRINTS} WHERE llm = ?");
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement.query_map([llm.as_bytes()], |row| {
            let (number, value, checksum): (i64, Value, Value) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(match (value, checksum) {
                (Value::Text(text), Value::Integer(kept)) if kept == fingerprint_checksum(llm, &text) => {
                    Ok(text)
                }
                _ => Err(number),
            })
        })?;
        let mut fingerprints = BTreeSet::new();
        for row in rows.collect::<rusqlite::Result<Vec<_>>>()? {
            match row {
                Ok(fingerprint) => {
                    fingerprints.insert(fingerprint);
                }
                Err(number) => {
                    self.set_aside(Kind::Answers);
                    connection.execute(&format!("DELETE FROM {FINGERPRINTS} WHERE rowid = ?"), [number])?;
                }
            }
        }
        Ok(fingerprints)
    }

    /// The fingerprints of an LLM's answers before the store was opened.
    pub(crate) fn earlier_fingerprints(&self, llm: ContentId) -> BTreeSet<String> {
        self.answered().fingerprints.get(&llm).cloned().unwrap_or_default()
    }
}

const FINGERPRINTS: &str = "fingerprints_2";

fn fingerprint_checksum(llm: ContentId, fingerprint: &str) -> i64 {
    checksum(FINGERPRINTS, llm.as_bytes(), &[Value::Text(fingerprint.into())])
}

fn name(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Cut => "cut",
        Finish::Refused => "refused",
    }
}

fn finish(of: &str) -> Option<Finish> {
    [Finish::Stop, Finish::Cut, Finish::Refused].into_iter().find(|finish| name(*finish) == of)
}
