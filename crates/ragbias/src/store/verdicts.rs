use ragbias_core::{ContentId, Verdict};
use rusqlite::types::Value;

use super::value::{self, Found, Kept};
use super::{Kind, Store};
use crate::Result;

impl Kept for Verdict {
    const TABLE: &'static str = "verdicts_2";

    fn fields(&self) -> Vec<Value> {
        match *self {
            Self::Scored { positive, negative } => {
                vec![Value::Integer(positive.into()), Value::Integer(negative.into())]
            }
            // A scorer never returns the last two.
            Self::Unscored | Self::Refused | Self::Cut => vec![Value::Null, Value::Null],
        }
    }

    fn of(fields: Vec<Value>) -> Option<Self> {
        match fields[..] {
            [Value::Null, Value::Null] => Some(Self::Unscored),
            [Value::Integer(positive @ 0..=1), Value::Integer(negative @ 0..=1)] => {
                Some(Self::scored(positive == 1, negative == 1))
            }
            _ => None,
        }
    }
}

impl Store {
    pub(crate) fn verdict(&self, key: ContentId) -> Result<Option<Verdict>> {
        let found = value::get(&self.lock(), key).map_err(self.failed())?;
        Ok(match found {
            Found::Value(verdict) => Some(verdict),
            Found::Nothing => None,
            Found::Damaged => {
                self.set_aside(Kind::Verdicts);
                None
            }
        })
    }

    pub(crate) fn put_verdicts(&self, verdicts: &[(ContentId, Verdict)]) -> Result<()> {
        let mut connection = self.lock();
        let mut put = || {
            let transaction = connection.transaction()?;
            for (key, verdict) in verdicts {
                value::put(&transaction, *key, verdict)?;
            }
            transaction.commit()
        };
        put().map_err(self.failed())
    }
}
