//! Downloads in parts. Lambda limits a response to 6 MB, so a longer file is returned in several parts.
//! The `Link` header (RFC 8288) of each part points to the next; the parts concatenated are the file.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::Problem;
use crate::request::cursor;

/// The maximum size of a part in bytes. Lambda returns it as a JSON string, in which quotes and line ends
/// take twice their size, so that it never exceeds 6 MB.
pub const MAX_BYTES: usize = 3_000_000;

/// The maximum number of pages read for a part, so that a search with few results responds within the
/// gateway's timeout of 29 seconds.
const MAX_PAGES: usize = 100;

/// The maximum `limit` of a part, in rows.
pub const MAX_ROWS: u32 = 100_000;

/// A file to download.
#[derive(Debug, Clone, Copy)]
pub struct File {
    pub media_type: &'static str,
    /// The file name that the browser suggests.
    pub name: &'static str,
    /// The text at the start of the first part.
    pub head: &'static str,
    /// The number of rows per page.
    pub at_a_time: usize,
}

/// The part that a request selects.
#[derive(Debug, Clone)]
pub struct Wanted<C> {
    query: String,
    after: Option<C>,
    rows: usize,
    parse: fn(&str) -> Option<C>,
}

impl<C> Wanted<C> {
    /// Parses the requested part: the raw query, its `cursor`, parsed with `parse`, and its `limit`.
    ///
    /// # Errors
    /// A problem that names `cursor` or `limit`.
    pub fn of(
        query: Option<String>,
        given: Option<&str>,
        limit: Option<u32>,
        parse: fn(&str) -> Option<C>,
    ) -> Result<Self, Problem> {
        let limit = limit.unwrap_or(MAX_ROWS);
        if !(1..=MAX_ROWS).contains(&limit) {
            let bounds = format!("must be 1 to {MAX_ROWS}");
            return Err(Problem::invalid_field("limit", &bounds));
        }
        Ok(Self {
            query: query.unwrap_or_default(),
            after: cursor(given, parse)?,
            rows: limit as usize,
            parse,
        })
    }
}

impl File {
    /// Builds the response for a part. `read` takes a cursor and a maximum number of rows, and returns the
    /// rows as text and the cursor of the next page.
    ///
    /// # Errors
    /// Any error of `read`; a part is never returned incomplete.
    pub async fn part<C, Page>(
        &self,
        wanted: Wanted<C>,
        mut read: impl FnMut(Option<C>, usize) -> Page,
    ) -> Result<Response, Problem>
    where
        Page: Future<Output = Result<(Vec<String>, Option<String>), Problem>>,
    {
        let first = wanted.after.is_none();
        let head = if first { self.head } else { "" };
        let mut text = head.to_owned();
        let (mut after, mut next, mut left) = (wanted.after, None, wanted.rows);
        for _ in 0..MAX_PAGES {
            let (rows, behind) = read(after, self.at_a_time.min(left)).await?;
            let more: usize = rows.iter().map(String::len).sum();
            // A page that doesn't fit starts the next part, unless this part would be empty.
            if text.len() > head.len() && text.len() + more > MAX_BYTES {
                break;
            }
            rows.iter().for_each(|row| text.push_str(row));
            left = left.saturating_sub(rows.len());
            after = cursor(behind.as_deref(), wanted.parse)?;
            next = behind;
            if next.is_none() || left == 0 {
                break;
            }
        }
        let header_row = match (self.head.is_empty(), first) {
            (true, _) => "",
            (false, true) => "; header=present",
            (false, false) => "; header=absent",
        };
        let headers = [
            (
                header::CONTENT_TYPE,
                format!("{}{header_row}", self.media_type),
            ),
            (
                header::CONTENT_DISPOSITION,
                format!("attachment; filename=\"{}\"", self.name),
            ),
        ];
        let mut response = (headers, text).into_response();
        if let Some(next) = next {
            let link = HeaderValue::from_str(&next_part(&wanted.query, &next));
            let link = link.map_err(Problem::internal)?;
            response.headers_mut().insert(header::LINK, link);
        }
        Ok(response)
    }
}

/// Returns the link to the next part: the same query with another cursor. It is relative, so that it does
/// not depend on the gateway's path prefix (RFC 3986, 5.2.2).
fn next_part(query: &str, next: &str) -> String {
    let given = form_urlencoded::parse(query.as_bytes());
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(given.filter(|(name, _)| name != "cursor"))
        .append_pair("cursor", next)
        .finish();
    format!("<?{query}>; rel=\"next\"")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use axum::body::to_bytes;
    use futures::executor::block_on;

    use super::*;

    const FILE: File = File {
        media_type: "text/csv; charset=utf-8",
        name: "rows.csv",
        head: "row\r\n",
        at_a_time: 500,
    };

    /// Returns a part of a list of rows of the given size, the next cursor, and the number of pages read.
    fn part(
        rows: usize,
        bytes: usize,
        cursor: Option<&str>,
        limit: Option<u32>,
    ) -> (String, Option<String>, usize) {
        let pages = Cell::new(0);
        let wanted = Wanted::of(None, cursor, limit, |c| c.parse().ok()).unwrap();
        let read = |from: Option<usize>, most: usize| {
            pages.set(pages.get() + 1);
            let from = from.unwrap_or(0);
            let until = rows.min(from + most);
            let page = (from..until).map(|i| format!("{i:0w$}\r\n", w = bytes - 2));
            let next = (until < rows).then(|| until.to_string());
            let page = (page.collect(), next);
            async { Ok(page) }
        };
        let response = block_on(FILE.part(wanted, read)).unwrap();
        let link = response
            .headers()
            .get(header::LINK)
            .map(|l| l.to_str().unwrap().to_owned());
        let next = link.map(|l| {
            let (_, next) = l.rsplit_once("cursor=").unwrap();
            next.strip_suffix(">; rel=\"next\"").unwrap().to_owned()
        });
        let body = block_on(to_bytes(response.into_body(), usize::MAX)).unwrap();
        (String::from_utf8(body.into()).unwrap(), next, pages.get())
    }

    #[test]
    fn ba_09_parts_are_never_too_large_and_make_up_the_file() {
        let whole = |rows: usize, bytes: usize| {
            let row = |i| format!("{i:0w$}\r\n", w = bytes - 2);
            FILE.head.to_owned() + &(0..rows).map(row).collect::<String>()
        };
        for (rows, bytes, limit) in [
            (0, 100, None),
            (1, 100, None),
            (500, 100, None),
            (501, 100, None),
            (100_000, 150, None),
            // A single page that is larger than a part.
            (1_100, 7_000, None),
            (1_100, 100, Some(1)),
            (1_100, 100, Some(501)),
        ] {
            let (mut all, mut cursor, mut parts) = (String::new(), None::<String>, 0);
            loop {
                let (text, next, pages) = part(rows, bytes, cursor.as_deref(), limit);
                let largest = MAX_BYTES.max(FILE.at_a_time * bytes) + FILE.head.len();
                assert!(text.len() <= largest, "{} of {rows}", text.len());
                assert!(pages <= MAX_PAGES);
                all += &text;
                parts += 1;
                cursor = next;
                if cursor.is_none() {
                    break;
                }
            }
            assert!(
                all == whole(rows, bytes),
                "{rows} rows of {bytes} bytes, {limit:?}"
            );
            if let Some(limit) = limit {
                assert_eq!(parts, rows.div_ceil(limit as usize));
            }
        }
    }

    #[test]
    fn a_part_reads_so_many_pages_and_no_more() {
        let (text, next, pages) = part(60_000, 10, None, None);
        assert_eq!(
            (pages, next.as_deref()),
            (MAX_PAGES, Some("50000")),
            "{}",
            text.len()
        );
    }

    #[test]
    fn the_next_part_has_the_same_query_and_another_cursor() {
        for (query, link) in [
            ("", "<?cursor=abc>; rel=\"next\""),
            ("cursor=old", "<?cursor=abc>; rel=\"next\""),
            (
                "action=sign_in&cursor=old&username=o%27neil%3E",
                "<?action=sign_in&username=o%27neil%3E&cursor=abc>; rel=\"next\"",
            ),
        ] {
            assert_eq!(next_part(query, "abc"), link);
        }
    }

    #[test]
    fn a_cursor_or_limit_that_is_none_is_refused() {
        for (cursor, limit, field) in [
            (Some("x"), None, "cursor"),
            (None, Some(0), "limit"),
            (None, Some(100_001), "limit"),
        ] {
            let refused = Wanted::of(None, cursor, limit, |c| c.parse::<usize>().ok());
            let (_, errors) = refused.unwrap_err().into_parts();
            assert_eq!(errors[0].field, field);
        }
    }
}
