//! Cells of CSV files.

/// A cell that a spreadsheet takes for text, whatever it begins with (OWASP, CSV Injection), quoted
/// where RFC 4180 asks for it.
pub fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
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
            ("O'Brien", "O'Brien"),
            ("Smith, Jr.", "\"Smith, Jr.\""),
        ] {
            assert_eq!(cell(text), safe);
        }
    }
}
