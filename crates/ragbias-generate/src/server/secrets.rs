//! Removes keys and passwords from everything that is shown or stored.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::percent_decode_str;

/// Shorter secrets may be ordinary words of an answer: removing them would change the measurement.
const SHORTEST: usize = 6;

/// The replacement of a secret.
const CUT: &str = "(key)";

/// Parts of names of query fields that contain a key, in lower case, without `-` and `_`.
const SECRET_PARTS: [&str; 10] =
    ["key", "token", "secret", "password", "passwd", "pwd", "credential", "auth", "signature", "jwt"];

/// Full names of query fields that contain a key.
const SECRET_NAMES: [&str; 4] = ["sig", "code", "pass", "pw"];

/// Whether the name of a query field indicates a key or a password.
pub(super) fn is_secret(field: &str) -> bool {
    let name: String = percent_decode_str(field)
        .decode_utf8_lossy()
        .chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect();
    SECRET_NAMES.contains(&name.as_str()) || SECRET_PARTS.iter().any(|part| name.contains(part))
}

/// Removes the user, the password, and query fields with keys from every address in a text.
///
/// ```
/// use ragbias_generate::without_secrets;
///
/// assert_eq!(without_secrets("http://me:pass-word@host/v1?key=k-1&api-version=2#m"), "http://host/v1?api-version=2#m");
/// ```
pub fn without_secrets(text: &str) -> String {
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>');
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(end) = rest.find(ends) {
        without_own_secrets(&rest[..end], &mut shown);
        let next = end + rest[end..].chars().next().map_or(0, char::len_utf8);
        shown.push_str(&rest[end..next]);
        rest = &rest[next..];
    }
    without_own_secrets(rest, &mut shown);
    shown
}

/// The same for one word.
fn without_own_secrets(word: &str, shown: &mut String) {
    let (scheme, rest) = match word.find("://") {
        Some(at) => word.split_at(at + 3),
        None => ("", word),
    };
    shown.push_str(scheme);
    let rest = &rest[userinfo(scheme, rest)..];
    let Some((before, behind)) = rest.split_once('?') else {
        shown.push_str(rest);
        return;
    };
    shown.push_str(before);
    let (query, name) = behind.find('#').map_or((behind, ""), |at| behind.split_at(at));
    let kept: Vec<&str> =
        query.split('&').filter(|field| !is_secret(field.split('=').next().unwrap_or_default())).collect();
    if !kept.is_empty() {
        shown.push('?');
        shown.push_str(&kept.join("&"));
    }
    shown.push_str(name);
}

/// Length of the part of an address, after its scheme, that is or may be a user and a password, including the `@`.
fn userinfo(scheme: &str, rest: &str) -> usize {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if let Some(at) = authority.rfind('@') {
        // Without a scheme, it may be a file name.
        return if scheme.is_empty() && !authority[..at].contains(':') { 0 } else { at + 1 };
    }
    // A password may contain a character that ends an authority: then this is not a host and port.
    let port = authority.rsplit_once(':').map(|(_, port)| port);
    let is_port = |port: &str| port.ends_with(']') || port.parse::<u16>().is_ok();
    match rest.rfind('@') {
        Some(at) if !scheme.is_empty() && port.is_some_and(|port| !is_port(port)) => at + 1,
        _ => 0,
    }
}

/// The secrets of a server: everything sent to it that must not be shown.
#[derive(Clone, Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    pub(super) fn add(&mut self, secret: &str) {
        if secret.chars().count() >= SHORTEST && !self.0.iter().any(|known| known == secret) {
            self.0.push(secret.into());
            // A secret may contain another.
            self.0.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        }
    }

    /// A text without secrets, plain or with the escapes of JSON or of addresses; borrowed if it contains none.
    pub(super) fn remove<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.0.iter().fold(Cow::Borrowed(text), |text, secret| match without(&text, secret) {
            Some(shown) => Cow::Owned(shown),
            None => text,
        })
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(…)")
    }
}

fn without(text: &str, secret: &str) -> Option<String> {
    let first = secret.chars().next()?;
    let (mut shown, mut from, mut at) = (String::new(), 0, 0);
    while let Some(step) = text[at..].find([first, '\\', '%']) {
        at += step;
        if let Some(length) = matched(&text[at..], secret) {
            shown.push_str(&text[from..at]);
            shown.push_str(CUT);
            at += length;
            from = at;
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    (from > 0).then(|| shown + &text[from..])
}

/// Length of the secret at the start of a text, if it is there.
fn matched(text: &str, secret: &str) -> Option<usize> {
    let mut places = vec![0];
    for wanted in secret.chars() {
        let mut next = Vec::new();
        for &place in &places {
            let rest = &text[place..];
            let escapes = [literal(rest), escaped(rest), percent(rest)];
            let ends =
                escapes.into_iter().flatten().filter(|(c, _)| *c == wanted).map(|(_, length)| place + length);
            next.extend(ends.filter(|end| text.is_char_boundary(*end)));
        }
        next.sort_unstable();
        next.dedup();
        places = next;
    }
    places.pop()
}

/// The first character of a text, and its length.
fn literal(text: &str) -> Option<(char, usize)> {
    text.chars().next().map(|c| (c, c.len_utf8()))
}

/// The same for an escape of JSON.
fn escaped(text: &str) -> Option<(char, usize)> {
    let rest = text.strip_prefix('\\')?;
    match rest.strip_prefix('u') {
        Some(digits) => Some((char::from_u32(u32::from_str_radix(digits.get(..4)?, 16).ok()?)?, 6)),
        None => literal(rest).map(|(c, length)| (c, 1 + length)),
    }
}

/// The same for an escape of an address.
fn percent(text: &str) -> Option<(char, usize)> {
    let byte = u8::from_str_radix(text.strip_prefix('%')?.get(..2)?, 16).ok()?;
    byte.is_ascii().then(|| (char::from(byte), 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_a_text_loses_what_is_secret_and_nothing_else() {
        for (given, shown) in [
            ("http://h/v1#claude@2024", "http://h/v1#claude@2024"),
            ("https://me:pa55word@h:8080/v1#m", "https://h:8080/v1#m"),
            ("https://token-alone@h/v1", "https://h/v1"),
            ("http://me:pa%40ss@h/v1", "http://h/v1"),
            ("http://me:pa/55word@h/v1", "http://h/v1"),
            ("http://me:pa@55word@h/v1", "http://h/v1"),
            ("http://me:p#55word@h/v1", "http://h/v1"),
            ("http://[::1]:80/v1?x=a@b", "http://[::1]:80/v1?x=a@b"),
            ("http://h/v1?API-Key=abc", "http://h/v1"),
            ("http://h/v1?a=1&access_token=abc&b=2#m", "http://h/v1?a=1&b=2#m"),
            ("http://h/v1?x-goog-key=abc&%6bey=d", "http://h/v1"),
            ("me:pa55word@h:80/v1", "h:80/v1"),
            ("models@v2/m.gguf", "models@v2/m.gguf"),
            ("llms = [\"http://me:pa55@h/v1\", 'http://h/?key=x']", "llms = [\"http://h/v1\", 'http://h/']"),
            ("it said \"why?\" to me", "it said \"why?\" to me"),
        ] {
            assert_eq!(without_secrets(given), shown, "{given}");
        }
    }

    #[test]
    fn a_secret_is_found_however_it_is_escaped() {
        let mut secrets = Secrets::default();
        secrets.add("sk-a/b\\c\"é");
        for held in
            ["sk-a/b\\c\"é", "sk-a\\/b\\\\c\\\"é", "\\u0073k-a/b\\u005cc\\\"\\u00e9", "sk%2Da%2fb\\c%22é"]
        {
            assert_eq!(secrets.remove(&format!("<{held}> sk-a {held}")), "<(key)> sk-a (key)", "{held}");
        }
        assert!(matches!(secrets.remove("sk-a/b\\c\"e and \\u00"), Cow::Borrowed(_)));
        assert_eq!(format!("{secrets:?}"), "Secrets(…)");
    }

    #[test]
    fn what_is_as_short_as_a_word_is_left_in_answers() {
        let mut secrets = Secrets::default();
        secrets.add("woman");
        assert_eq!(secrets.remove("a woman"), "a woman");
        secrets.add("secret");
        secrets.add("my-secret-key");
        assert_eq!(secrets.remove("my-secret-key, secret"), "(key), (key)");
    }
}
