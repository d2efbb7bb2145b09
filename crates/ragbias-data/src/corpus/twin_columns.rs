//! The columns of a table of twins.

use ragbias_core::Document;

use crate::Result;
use crate::table::Table;
use crate::text::shown;

/// A name that no column of a table has: its cells are blank.
const NO_COLUMN: &str = "\0";

/// The columns of twins in a table: `pair`, `draw` and `name`, or the same within `metadata`. Without a column of pairs, the others
/// mean something else.
pub(super) struct TwinColumns {
    pub(super) pair: &'static str,
    pub(super) draw: &'static str,
    pub(super) name: &'static str,
    /// Whether there is a column of pairs.
    there: bool,
}

impl TwinColumns {
    /// # Errors
    /// A column that is there twice, as `pair` and as `metadata.pair`.
    pub(super) fn of(table: &Table) -> Result<Self> {
        let one = |plain: &'static str, nested: &'static str| match (table.has(plain), table.has(nested)) {
            (true, true) => Err(table.columns_error(format!("one column, `{plain}` or `{nested}`"))),
            (false, true) => Ok(nested),
            _ => Ok(plain),
        };
        let pair = one("pair", "metadata.pair")?;
        if !table.has(pair) {
            return Ok(Self { pair: NO_COLUMN, draw: NO_COLUMN, name: NO_COLUMN, there: false });
        }
        let (draw, name) = (one("draw", "metadata.draw")?, one("name", "metadata.name")?);
        Ok(Self { pair, draw, name, there: true })
    }

    pub(super) fn known(&self) -> impl Iterator<Item = &'static str> {
        [self.pair, self.draw, self.name].into_iter().filter(|_| self.there)
    }

    /// Adds what a row says of twins to its document.
    pub(super) fn add(&self, document: &mut Document, [pair, draw, name]: [&str; 3]) -> Result<(), String> {
        let (pair, draw, name) = (pair.trim(), draw.trim(), name.trim());
        if pair.is_empty() {
            return if self.there && !draw.is_empty() {
                Err(format!("draw is `{}` where pair is blank, expected both or neither", shown(draw)))
            } else {
                Ok(())
            };
        }
        document.metadata.insert("pair".into(), pair.into());
        if !draw.is_empty() {
            let number: u64 = draw
                .parse()
                .map_err(|_| format!("draw: expected a whole number from 0, received `{}`", shown(draw)))?;
            document.metadata.insert("draw".into(), number.into());
        }
        if !name.is_empty() {
            document.metadata.insert("name".into(), name.into());
        }
        Ok(())
    }
}
