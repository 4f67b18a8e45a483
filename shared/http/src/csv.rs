//! Writing of CSV cells.

/// What starts a formula, also in the full-width and small forms that spreadsheets with East Asian input
/// accept.
const FORMULA_SIGNS: [char; 12] = [
    '=', '+', '-', '@', '＝', '＋', '－', '＠', '﹦', '﹢', '﹣', '﹫',
];

/// Formats a cell so that a spreadsheet treats it as text and never as a formula (OWASP, CSV Injection);
/// quotes it where RFC 4180 requires it.
pub fn cell(text: &str) -> String {
    let starts_formula = text.trim_start().starts_with(FORMULA_SIGNS);
    let formula = starts_formula || text.starts_with(['\t', '\r', '\n']);
    let text = if formula {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if text.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::cell;

    #[test]
    fn no_cell_begins_a_formula() {
        for (text, safe) in [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("=HYPERLINK(\"x\",1)", "\"'=HYPERLINK(\"\"x\"\",1)\""),
            ("＝1+1", "'＝1+1"),
            ("＋1", "'＋1"),
            ("－1", "'－1"),
            ("＠SUM(A1)", "'＠SUM(A1)"),
            (" =1+1", "' =1+1"),
            ("O'Brien", "O'Brien"),
            ("Smith, Jr.", "\"Smith, Jr.\""),
        ] {
            assert_eq!(cell(text), safe);
        }
    }
}
