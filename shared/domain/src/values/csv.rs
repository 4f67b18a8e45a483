//! Reading CSV (RFC 4180) line by line. No field of the files that the system reads contains a line
//! break, so a quote that is opened and never closed affects only its own line (UX-08, AG-16).

use std::borrow::Cow;

/// Returns the lines of a text, ended by LF, CRLF or CR.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let all = rest?;
        let Some(end) = all.find(['\r', '\n']) else {
            rest = None;
            return Some(all);
        };
        let (line, after) = all.split_at(end);
        rest = after.strip_prefix("\r\n").or_else(|| after.get(1..));
        Some(line)
    })
}

/// Splits a line into fields.
///
/// # Errors
/// What is wrong with the line, as a phrase that follows "the line".
pub fn split(line: &str) -> Result<Vec<Cow<'_, str>>, &'static str> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let (field, after) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
                if field.contains('"') {
                    return Err("has a quote inside an unquoted field");
                }
                (Cow::Borrowed(field), after)
            }
        };
        fields.push(field);
        if after.is_empty() {
            return Ok(fields);
        }
        rest = after
            .strip_prefix(',')
            .ok_or("has text after a closing quote")?;
    }
}

/// Reads a quoted field, after its opening quote. Returns the field and the text after its closing
/// quote.
fn unquote(text: &str) -> Result<(Cow<'_, str>, &str), &'static str> {
    let mut field = Cow::Borrowed("");
    let mut rest = text;
    loop {
        let (part, after) = rest
            .split_once('"')
            .ok_or("has an opening quote without a closing quote")?;
        field += part;
        let Some(doubled) = after.strip_prefix('"') else {
            return Ok((field, after));
        };
        field += "\"";
        rest = doubled;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_in_three_ways_and_keep_their_number() {
        let all: Vec<_> = lines("a\r\nb\n\nc\rd").collect();
        assert_eq!(all, ["a", "b", "", "c", "d"]);
        assert_eq!(lines("").collect::<Vec<_>>(), [""]);
        assert_eq!(lines("a\n").collect::<Vec<_>>(), ["a", ""]);
    }
}
