//! JSON with its own checksum.

use std::path::Path;

use ragbias_core::ContentId;
use serde_json::Value;

use crate::{Error, Result};

/// The field that holds it.
const CHECKSUM: &str = "checksum";

/// An object, with the hash of its other fields added as the last one.
pub(crate) fn sealed(mut object: Value) -> Value {
    let checksum = ContentId::of(object.to_string().as_bytes());
    if let Value::Object(fields) = &mut object {
        fields.insert(CHECKSUM.into(), checksum.to_string().into());
    }
    object
}

/// Whether an object should be sealed: those of a run with an id are, those of earlier versions are not.
pub(crate) fn is_sealed(object: &Value) -> bool {
    object.get("run").is_some() || object.get(CHECKSUM).is_some()
}

/// Refuses an object that `choose` wrote and that was changed since.
pub(crate) fn check_choice(object: &Value, path: &Path) -> Result<()> {
    if is_sealed(object) && !is_whole(object) {
        let reason =
            "not what was written here: damaged, or changed since\nhint: `ragbias choose` writes it again";
        return Err(Error::Run { path: path.into(), reason: reason.into() });
    }
    Ok(())
}

/// Whether an object is unchanged since [`sealed`].
pub(crate) fn is_whole(object: &Value) -> bool {
    let Value::Object(fields) = object else { return false };
    let mut fields = fields.clone();
    let checksum = fields.shift_remove(CHECKSUM);
    let expected = ContentId::of(Value::Object(fields).to_string().as_bytes()).to_string();
    checksum.and_then(|checksum| checksum.as_str().map(|kept| kept == expected)).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_changed_value_name_or_checksum_is_noticed() {
        let whole = sealed(json!({ "b": 0.1, "a": [1e-3, -0.25, u64::MAX], "text": "é\n" }));
        let text = serde_json::to_string_pretty(&whole).unwrap();
        assert!(is_whole(&serde_json::from_str(&text).unwrap()));
        for (from, to) in
            [("0.1", "0.2"), ("\"b\"", "\"c\""), ("checksum", "checksun"), ("-0.25", "0.25"), ("é", "è")]
        {
            let changed: Value = serde_json::from_str(&text.replacen(from, to, 1)).unwrap();
            assert!(!is_whole(&changed), "{from}");
        }
    }
}
