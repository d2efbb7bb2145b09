//! Extracts the prose of a text, without markup, code, addresses and invisible characters.

use std::borrow::Cow;

use super::html::without_html;

/// Lines with at least this many characters count as wrapped prose, shorter ones as entries of a list.
const WRAPPED_LINE: usize = 60;
/// Endings of addresses and of file names.
const ADDRESS_ENDINGS: [&str; 24] = [
    "com", "org", "net", "edu", "gov", "io", "co", "uk", "de", "fr", "html", "htm", "php", "pdf", "png",
    "jpg", "jpeg", "gif", "svg", "txt", "csv", "json", "py", "js",
];

/// The prose of a text. Lines of a list, cells of a table and blocks end with a line break; emphasised phrases and
/// block quotes are put in quotation marks.
pub(super) fn prose(text: &str) -> String {
    let text = without_fenced_code(text);
    let text = plain_characters(&text);
    let text = if text.contains(['<', '&']) { without_html(&text) } else { text };
    let text = without_links(&text);
    let lines = text.lines().map(line).collect::<Vec<_>>();
    let mut prose = String::with_capacity(text.len());
    for line in &lines {
        for (number, chunk) in line.split(' ').enumerate() {
            if number > 0 {
                prose.push(' ');
            }
            if !is_address(chunk) {
                prose.push_str(&words_of_identifier(&without_commands(chunk)));
            }
        }
        prose.push(if line.chars().count() >= WRAPPED_LINE { ' ' } else { '\n' });
    }
    prose.truncate(prose.trim_end().len());
    prose
}

/// Removes blocks between lines of three backticks or tildes, unless there is nothing else.
fn without_fenced_code(text: &str) -> Cow<'_, str> {
    let fence = |line: &str| {
        let line = line.trim_start();
        line.starts_with("```") || line.starts_with("~~~")
    };
    if !text.lines().any(fence) {
        return Cow::Borrowed(text);
    }
    let (mut outside, mut inside, mut fenced) = (String::new(), String::new(), false);
    for line in text.lines() {
        if fence(line) {
            fenced = !fenced;
            outside.push('\n');
            continue;
        }
        let kept = if fenced { &mut inside } else { &mut outside };
        kept.push_str(line);
        kept.push('\n');
    }
    // An unclosed fence is ignored.
    if fenced || !outside.contains(char::is_alphanumeric) {
        outside.push_str(&inside);
    }
    Cow::Owned(outside)
}

/// Normalises apostrophes, hyphens, spaces and letters, and removes invisible characters.
fn plain_characters(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let in_word = || plain.chars().next_back().is_some_and(char::is_alphabetic);
        match c {
            // Soft hyphens, joiners, direction marks, byte order marks, variation selectors.
            '\u{ad}'
            | '\u{200c}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}'
            | '\u{fe00}'..='\u{fe0f}' => {}
            '\u{200b}' => plain.push(' '),
            '’' | 'ʼ' | '′' | '＇' | '‛' => plain.push('\''),
            '`' | '´' | '‘' if in_word() && characters.peek().is_some_and(|next| next.is_alphabetic()) => {
                plain.push('\'');
            }
            '‐' | '‑' | '﹣' | '－' => plain.push('-'),
            '\u{ff01}'..='\u{ff5e}' => {
                plain.push(
                    char::from_u32(u32::from(c) - 0xfee0)
                        .expect("full-width forms mirror ASCII; this is a bug"),
                );
            }
            '\r' | '\u{2028}' | '\u{2029}' | '\u{85}' => plain.push('\n'),
            c if c.is_whitespace() && c != '\n' => plain.push(' '),
            c => plain.push(c),
        }
    }
    plain
}

/// Replaces `[text](address)` and `[text][1]` by their text.
fn without_links(text: &str) -> Cow<'_, str> {
    if !text.contains("](") && !text.contains("][") {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(']') {
        plain.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let closing = match rest.chars().next() {
            Some('(') => ')',
            Some('[') => ']',
            _ => continue,
        };
        if let Some(end) = rest.find([closing, '\n']).filter(|&end| rest[end..].starts_with(closing)) {
            rest = &rest[end + closing.len_utf8()..];
        }
    }
    plain.push_str(rest);
    Cow::Owned(plain.replace('[', " "))
}

/// A line without the markup of headings, lists, quotes, tables and emphasis.
fn line(line: &str) -> String {
    let trimmed = line.trim();
    let quoted = trimmed.starts_with('>');
    let bare = trimmed.trim_start_matches(['>', ' ']);
    let marked = bare.trim_start_matches(['#', '-', '*', '+', '•', '·']);
    // `## Heading`, `- entry`, but `#tag` and `**bold**`.
    let bare = if marked.is_empty() || marked.starts_with(' ') { marked.trim_start() } else { bare };
    let mut plain = String::with_capacity(bare.len());
    let mut open = false;
    let characters: Vec<char> = bare.chars().collect();
    let mut at = 0;
    while at < characters.len() {
        let c = characters[at];
        let before = at.checked_sub(1).map(|i| characters[i]);
        match c {
            '*' | '_' => {
                let length = characters[at..].iter().take_while(|&&other| other == c).count();
                let after = characters.get(at + length).copied();
                let joins = |side: Option<char>| side.is_some_and(char::is_alphanumeric);
                if joins(before) && joins(after) {
                    // Inside a word: `snake_case`, `2*3`.
                    plain.extend(std::iter::repeat_n(c, length));
                } else if length == 1 && !open && after.is_some_and(|c| !c.is_whitespace()) {
                    let closes = characters[at + 1..].contains(&c);
                    if closes {
                        plain.push('“');
                        open = true;
                    }
                } else if length == 1 && open {
                    plain.push('”');
                    open = false;
                }
                at += length;
                continue;
            }
            // Table cells and inline code.
            '|' => plain.push('\n'),
            '`' | '~' => {}
            c => plain.push(c),
        }
        at += 1;
    }
    if open {
        plain.push('”');
    }
    if quoted { format!("“{plain}”") } else { plain }
}

/// URLs, e-mail addresses, handles, hash tags, file names.
fn is_address(chunk: &str) -> bool {
    let chunk =
        chunk.trim_matches(|c: char| !c.is_alphanumeric() && !matches!(c, '@' | '#' | '/' | '.' | '_'));
    let chunk = chunk.trim_end_matches(['.', '_']);
    if chunk.contains("://") || chunk.starts_with("www.") || chunk.contains('@') && chunk.len() > 1 {
        return true;
    }
    if let Some(tag) = chunk.strip_prefix('#') {
        return tag.starts_with(|c: char| c.is_alphabetic());
    }
    if chunk.starts_with('/') && chunk[1..].contains('/') {
        return true;
    }
    let host = chunk.split('/').next().unwrap_or(chunk);
    host.rsplit_once('.').is_some_and(|(name, ending)| {
        !name.is_empty() && name.ends_with(|c: char| c.is_alphanumeric()) && ADDRESS_ENDINGS.contains(&ending)
    })
}

/// `Marie_Curie` is two words, `user_name` an identifier.
fn words_of_identifier(chunk: &str) -> Cow<'_, str> {
    let inner = chunk.trim_matches('_');
    if inner.contains('_') {
        let parts: Vec<&str> = inner.split('_').filter(|part| !part.is_empty()).collect();
        return if parts.iter().all(|part| part.starts_with(|c: char| c.is_uppercase() || c == '(')) {
            Cow::Owned(parts.join(" "))
        } else {
            Cow::Borrowed("")
        };
    }
    Cow::Borrowed(inner)
}

/// `\boxed{Marie` without its command.
fn without_commands(chunk: &str) -> Cow<'_, str> {
    let Some((head, tail)) = chunk.split_once('\\') else { return Cow::Borrowed(chunk) };
    let mut plain = head.to_owned();
    for part in tail.split('\\') {
        plain.push(' ');
        plain.push_str(part.trim_start_matches(|c: char| c.is_alphanumeric()));
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::prose;

    #[test]
    fn markup_is_taken_off_and_its_words_are_kept() {
        for (text, plain) in [
            ("**Marie Curie**", "Marie Curie"),
            ("__Marie Curie__", "Marie Curie"),
            ("_Marie Curie_", "“Marie Curie”"),
            ("## Marie Curie", "Marie Curie"),
            ("- Marie Curie\n- Lise Meitner", "Marie Curie\nLise Meitner"),
            ("| Name | Year |", "\n Name \n Year"),
            ("<p class=\"she > he\">Marie&nbsp;Curie</p>", "\nMarie Curie"),
            ("Andr&eacute; &amp; &#201;lise", "Andre & Élise"),
            ("See [Marie Curie](https://example.org/she).", "See  Marie Curie."),
            ("`Marie Curie`", "Marie Curie"),
            ("she`s open", "she's open"),
            ("Ma\u{ad}rie\u{200b}Curie", "Marie Curie"),
            ("Ｍａｒｉｅ", "Marie"),
            ("a < b and 2*3", "a < b and 2*3"),
            ("<he said nothing", "<he said nothing"),
            ("> He left.", "“He left.”"),
            ("\\boxed{Marie Curie}", " {Marie Curie}"),
            ("<<Marie Curie>> <she/her>", "<<Marie Curie>> <she/her>"),
        ] {
            assert_eq!(prose(text), plain, "{text}");
        }
    }

    #[test]
    fn addresses_code_and_identifiers_are_left_out() {
        for text in [
            "https://example.org/her/page",
            "www.mrs.example",
            "<https://example.org/she>",
            "mary.smith@example.org",
            "@marie",
            "#GirlPower",
            "queen.com",
            "her_name",
            "<script>var he = 1;</script>",
            "<!-- she -->",
        ] {
            assert_eq!(prose(text).trim(), "", "{text}");
        }
        assert_eq!(prose("It works:\n```\nhe = she\n```\nDone.").split_whitespace().count(), 3);
        assert_eq!(prose("```\nMarie Curie\n```").trim(), "Marie Curie");
    }
}
