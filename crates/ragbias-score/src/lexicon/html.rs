//! HTML: tags and character references.

/// Maximum distance, in bytes, at which the end of a tag or a comment is searched.
const LONGEST_TAG: usize = 1 << 14;
/// Inline tags; all others end a line.
const INLINE_TAGS: [&str; 20] = [
    "a", "abbr", "b", "bdi", "cite", "code", "del", "em", "font", "i", "ins", "mark", "s", "small", "span",
    "strong", "sub", "sup", "u", "wbr",
];

/// Removes tags, comments, scripts and styles, and replaces references such as `&eacute;` by characters.
pub(super) fn without_html(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['<', '&']) {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        if rest.starts_with('&') {
            let (character, length) = reference(rest).unwrap_or(('&', 1));
            plain.push(character);
            rest = &rest[length..];
        } else if let Some((replacement, length)) = tag(rest) {
            plain.push_str(replacement);
            rest = &rest[length..];
        } else {
            plain.push('<');
            rest = &rest[1..];
        }
    }
    plain.push_str(rest);
    plain
}

/// The replacement of a tag at the start of a text, and its length including the content that it hides.
fn tag(text: &str) -> Option<(&'static str, usize)> {
    if text.starts_with("<!--") {
        return start_of(text).find("-->").map(|end| (" ", end + 3));
    }
    let inner = text[1..].strip_prefix(['/', '!']).unwrap_or(&text[1..]);
    let name_length = inner.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(inner.len());
    let name = inner[..name_length].to_ascii_lowercase();
    let after = &inner[name_length..];
    let end = end_of_tag(text)?;
    // `<br />`, `<p class="…">`, `<https://…>`, but neither `<Marie Curie>` nor `<she/her>`.
    let attributes = &text[text.len() - after.len()..end.max(text.len() - after.len())];
    let blank = attributes.trim_end_matches(['/', '>']).trim().is_empty();
    let spaced = attributes.starts_with([' ', '\n']) && attributes.contains('=');
    let is_address = attributes.starts_with([':', '@', '.']);
    let is_word = inner.starts_with(|c: char| c.is_ascii_uppercase())
        && name_length > 1
        && inner[1..name_length] == name[1..];
    if name.is_empty() || is_word || !(blank || spaced || is_address) {
        return None;
    }
    if (name == "script" || name == "style") && !text.starts_with("</") {
        let closing = format!("</{name}");
        let hidden = start_of(&text[end..]).to_ascii_lowercase().find(&closing).map_or(end, |at| end + at);
        return Some(("\n", hidden));
    }
    Some((if INLINE_TAGS.contains(&name.as_str()) { "" } else { "\n" }, end))
}

/// The part of a text in which one tag is searched.
fn start_of(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST_TAG)]
}

/// The position after a tag's `>`, ignoring those in quoted attributes.
fn end_of_tag(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in start_of(text).char_indices() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '>' => return Some(at + 1),
            None if (c == '"' || c == '\'') && text[..at].ends_with('=') => quote = Some(c),
            _ => {}
        }
    }
    None
}

/// A character reference at the start of a text, with its length. Diacritics are dropped, as in scoring.
fn reference(text: &str) -> Option<(char, usize)> {
    const LONGEST: usize = 10;
    let end = text.bytes().take(LONGEST).position(|byte| byte == b';')?;
    let name = text.get(1..end)?;
    let character = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "ldquo" => '“',
        "rdquo" => '”',
        "apos" | "rsquo" | "lsquo" => '\'',
        "nbsp" | "ensp" | "emsp" | "thinsp" => ' ',
        "shy" => '\u{ad}',
        "ndash" | "mdash" => '–',
        "szlig" => 'ß',
        _ => {
            if let Some(number) = name.strip_prefix('#') {
                let code = match number.strip_prefix(['x', 'X']) {
                    Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16).ok()?,
                    None => number.parse().ok()?,
                };
                match char::from_u32(code)? {
                    '’' => '\'',
                    '\u{a0}' => ' ',
                    c => c,
                }
            } else {
                let letter = name.chars().next().filter(char::is_ascii_alphabetic)?;
                let mark = &name[1..];
                ["acute", "grave", "circ", "uml", "tilde", "cedil", "ring", "slash", "caron"]
                    .contains(&mark)
                    .then_some(letter)?
            }
        }
    };
    Some((character, end + 1))
}
