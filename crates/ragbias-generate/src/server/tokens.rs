//! The most likely first tokens of an answer.

use serde_json::Value;

/// A token and its log-probability, as the server lists them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) logprob: f64,
    /// Whether it is in the list of most likely tokens; only the chosen token may be outside.
    pub(super) listed: bool,
}

/// The most likely first tokens, in the current and in the older format.
pub(super) fn tokens(choice: &Value) -> Option<Vec<Token>> {
    let logprobs = choice.get("logprobs").filter(|logprobs| logprobs.is_object())?;
    let mut tokens: Vec<Token> = Vec::new();
    let chosen = if let Some(positions) = logprobs.get("content").and_then(Value::as_array) {
        let Some(first) = positions.first() else { return Some(tokens) };
        let listed = first.get("top_logprobs").and_then(Value::as_array).into_iter().flatten();
        tokens.extend(listed.filter_map(|token| read_token(token, true)));
        read_token(first, false)
    } else {
        let first = |field: &str| logprobs.get(field).and_then(Value::as_array)?.first();
        if let Some(listed) = first("top_logprobs").and_then(Value::as_object) {
            tokens.extend(listed.iter().filter_map(|(text, logprob)| {
                Some(Token { text: text.clone(), logprob: logprob.as_f64()?, listed: true })
            }));
        }
        match (first("tokens").and_then(Value::as_str), first("token_logprobs").and_then(Value::as_f64)) {
            (Some(text), Some(logprob)) => Some(Token { text: text.into(), logprob, listed: false }),
            _ => None,
        }
    };
    if let Some(chosen) = chosen
        && tokens.iter().all(|token| token.text != chosen.text)
    {
        tokens.push(chosen);
    }
    (!tokens.is_empty()).then_some(tokens)
}

fn read_token(token: &Value, listed: bool) -> Option<Token> {
    let bytes = token.get("bytes").and_then(Value::as_array).and_then(|bytes| {
        let bytes: Option<Vec<u8>> = bytes.iter().map(|byte| u8::try_from(byte.as_u64()?).ok()).collect();
        String::from_utf8(bytes?).ok().filter(|text| !text.is_empty())
    });
    let text = bytes.or_else(|| token.get("token").and_then(Value::as_str).map(str::to_owned))?;
    Some(Token { text, logprob: token.get("logprob")?.as_f64()?, listed })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tokens_are_read_from_both_shapes() {
        let of = |logprobs: Value| tokens(&json!({ "logprobs": logprobs }));
        let token = |text: &str, logprob, listed| Token { text: text.into(), logprob, listed };
        let top = json!([{ "token": "bytes:\\x41", "bytes": [65], "logprob": -0.5 }, { "token": "B", "logprob": -1.0 }]);
        assert_eq!(
            of(json!({ "content": [{ "token": "C", "logprob": -9.0, "top_logprobs": top }] })).unwrap(),
            [token("A", -0.5, true), token("B", -1.0, true), token("C", -9.0, false)]
        );
        let old =
            json!({ "tokens": ["A"], "token_logprobs": [-0.5], "top_logprobs": [{ "A": -0.5, "B": -1.0 }] });
        assert_eq!(of(old).unwrap(), [token("A", -0.5, true), token("B", -1.0, true)]);
        assert_eq!(of(json!({ "content": [] })), Some(vec![]));
        assert_eq!((of(json!({ "content": null })), of(Value::Null), tokens(&json!({}))), (None, None, None));
    }
}
