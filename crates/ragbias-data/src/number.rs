//! Parses numbers as people and programs write them in tables.

/// A number in a cell: with a typographic minus, a decimal comma if commas are not separators, or a percent sign.
///
/// None if it is not a number, or is ambiguous.
pub(crate) fn number(cell: &str, decimal_commas: bool) -> Option<f64> {
    let text = cell.trim().replace('\u{2212}', "-");
    let (text, whole) = match text.strip_suffix('%') {
        Some(percent) => (percent.trim_end(), 100.0),
        None => (text.as_str(), 1.0),
    };
    let value: f64 = match text.split_once(',') {
        Some((before, after)) if decimal_commas && !after.contains([',', '.']) && !before.contains('.') => {
            format!("{before}.{after}").parse().ok()?
        }
        Some(_) => return None,
        None => text.parse().ok()?,
    };
    value.is_finite().then_some(value / whole)
}

/// A whole number in a cell, possibly with a zero fraction: `2`, `2.0`.
pub(crate) fn whole_number(cell: &str) -> Option<i64> {
    /// 2⁵³: from here on, not every whole number can be an f64.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let text = cell.trim().replace('\u{2212}', "-");
    text.parse().ok().or_else(|| {
        let value: f64 = text.parse().ok()?;
        (value.fract() == 0.0 && value.abs() < EXACT).then_some(value as i64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_written_around_the_world() {
        for (cell, value) in
            [("-0.6", -0.6), (" 1 ", 1.0), ("−0.6", -0.6), ("-60%", -0.6), ("5 %", 0.05), ("1e-3", 0.001)]
        {
            assert_eq!(number(cell, false), Some(value), "{cell}");
        }
        assert_eq!(number("-0,6", true), Some(-0.6));
        assert_eq!(number("−12,5%", true), Some(-0.125));
        for cell in ["-0,6", "NA", "NaN", "inf", "", "0.5.1", "--1", "1 2", "%"] {
            assert_eq!(number(cell, false), None, "{cell}");
        }
        for cell in ["1,234,5", "1.234,5", "1,234.5", ","] {
            assert_eq!(number(cell, true), None, "{cell}");
        }
    }

    #[test]
    fn a_grade_may_have_a_fraction_of_nought_and_no_other() {
        for (cell, value) in [("2", 2), ("2.0", 2), ("-1", -1), ("−1", -1), ("+1", 1), ("1e0", 1)] {
            assert_eq!(whole_number(cell), Some(value), "{cell}");
        }
        for cell in ["0.5", "x", "", "nan", "inf", "1e300", "9007199254740993.0"] {
            assert_eq!(whole_number(cell), None, "{cell}");
        }
    }
}
