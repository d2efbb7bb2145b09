use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Lower case without diacritics: `Þóra Ægisdóttir` → `thora aegisdottir`.
pub(crate) fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let mut folded = String::with_capacity(text.len());
    for c in text.nfkd().filter(|&c| !is_combining_mark(c)).flat_map(char::to_lowercase) {
        match c {
            'ø' => folded.push('o'),
            'ł' => folded.push('l'),
            'đ' | 'ð' => folded.push('d'),
            'ß' => folded.push_str("ss"),
            'æ' => folded.push_str("ae"),
            'œ' => folded.push_str("oe"),
            'ı' => folded.push('i'),
            'þ' => folded.push_str("th"),
            '’' | 'ʼ' => folded.push('\''),
            c if is_combining_mark(c) => {}
            c => folded.push(c),
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn letters_lose_their_marks_in_every_normal_form() {
        for (text, folded) in [
            ("Þóra Ægisdóttir", "thora aegisdottir"),
            ("Łukasz", "lukasz"),
            ("e\u{301}milie", "emilie"),
            ("İnci", "inci"),
            ("STRAẞE", "strasse"),
            ("D’Arcy", "d'arcy"),
        ] {
            assert_eq!(fold(text), folded);
        }
    }
}
