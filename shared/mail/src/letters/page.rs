//! Page layout, in points (1/72 inch) from the upper left corner.
//!
//! # The envelope
//!
//! On US Letter, folded in thirds, the address shows in the window of a No. 10 envelope
//! (4 1/8 by 9 1/2 inches). The standard window, which USPS recommends, is 1 1/8 by 4 1/2 inches, 7/8
//! inch from the left and 1/2 inch from the bottom. The upper third of the page is 3 2/3 inches high,
//! so with the page at the bottom of the envelope, the window shows the area 2.04 to 3.17 inches
//! from the top of the page. However the page shifts, 1/8 inch must stay clear around the address
//! (USPS Domestic Mail Manual 202.5, the "tap test"). Sideways the page can shift by an inch, which
//! leaves 1 to 4 1/4 inches from the left. Upward it can shift by less than half an inch, so the
//! address ends at 3 inches and grows upward: its last lines, which USPS reads first, never leave
//! the window. The sender starts 1/2 inch from the top, where a double-window envelope shows it.
//! Everything else is below the first fold.
//!
//! On A4 the window follows DIN 5008, form B, for DL and C6/5 envelopes, with the sender in small
//! type above the address.

use std::collections::BTreeSet;
use std::fmt;

use krilla::Document;
use krilla::geom::{Path, PathBuilder, Point, Rect};
use krilla::page::PageSettings;
use krilla::paint::{Fill, Stroke};
use vestibule_domain::values::text::Country;

use super::font::Weight;
use crate::content::{Block, Content};
use crate::words::one_line;

/// A paper size with its layout.
pub(super) struct Paper {
    width: f32,
    height: f32,
    /// The left margin, which is also the right margin.
    left: f32,
    /// The bottom of the last line of the address.
    address_bottom: f32,
    /// The maximum height of the address.
    address_height: f32,
    /// The maximum width of the address.
    address_width: f32,
    /// The top of the subject, below the window and the first fold.
    body_top: f32,
    /// Whether the window shows the sender, in small type above the address.
    sender_in_window: bool,
}

static US_LETTER: Paper = Paper {
    width: 612.0,
    height: 792.0,
    left: 72.0,
    address_bottom: 216.0,
    address_height: 69.0,
    address_width: 234.0,
    body_top: 284.0,
    sender_in_window: false,
};

static A4: Paper = Paper {
    width: 595.28,
    height: 841.89,
    left: 70.87,
    address_bottom: 252.0,
    address_height: 72.0,
    address_width: 226.0,
    body_top: 306.0,
    sender_in_window: true,
};

impl Paper {
    /// Returns the usual paper size of a country; A4 if unknown.
    pub(super) fn usual_in(country: &Country) -> &'static Self {
        match country.as_str() {
            "US" | "CA" | "MX" | "PR" | "GU" | "VI" | "AS" | "MP" | "PH" | "CO" | "CL" | "CR"
            | "DO" | "GT" | "NI" | "PA" | "SV" | "VE" => &US_LETTER,
            _ => &A4,
        }
    }
}

/// The reason why a letter cannot be printed. It shows no content except code points without a glyph.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unprintable {
    /// The font has no glyphs for these characters.
    #[error("the font has no glyph for {}", code_points(.0))]
    NoGlyph(BTreeSet<char>),
    #[error("the letter does not fit on one page")]
    TooLong,
}

fn code_points(missing: &BTreeSet<char>) -> String {
    let named: Vec<_> = missing
        .iter()
        .take(10)
        .map(|c| format!("U+{:04X}", u32::from(*c)))
        .collect();
    named.join(" ")
}

/// A letter on its page, ready to be printed. Only its recipient may see its content.
#[derive(Clone, PartialEq)]
pub struct Page {
    width: f32,
    height: f32,
    runs: Vec<Run>,
    /// Left, top, right and bottom of frames; a frame without height is a rule.
    frames: Vec<[f32; 4]>,
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Page(***)")
    }
}

/// A text at one position.
#[derive(Clone, PartialEq)]
struct Run {
    x: f32,
    /// The baseline.
    y: f32,
    size: f32,
    weight: Weight,
    /// The space after each character, as a fraction of the font size.
    spacing: f32,
    text: String,
}

/// The content of a page and its paper.
pub(super) struct Layout<'a> {
    pub(super) paper: &'static Paper,
    pub(super) from: Vec<&'a str>,
    pub(super) dated: String,
    pub(super) to: Vec<String>,
    pub(super) greeting: String,
    pub(super) content: &'a Content,
    pub(super) closing: [&'a str; 3],
    pub(super) footer: [String; 3],
}

/// The font sizes that are tried until a letter fits, largest first.
const SIZES: [f32; 4] = [10.5, 9.5, 8.75, 8.0];

/// The height of a line, as a fraction of its font size.
const LEADING: f32 = 1.36;

/// From the top of a line to its baseline, as a fraction of its font size.
const ASCENT: f32 = 1.05;

impl Layout<'_> {
    pub(super) fn page(&self) -> Result<Page, Unprintable> {
        let mut fits = Err(Unprintable::TooLong);
        for size in SIZES {
            let mut pen = Pen::on(self.paper);
            self.head(&mut pen)?;
            let end = self.body(&mut pen, size);
            let footer = self.footer(&mut pen);
            if end <= footer {
                fits = Ok(pen.page);
                break;
            }
        }
        let page = fits?;
        let missing: BTreeSet<char> = page
            .runs
            .iter()
            .flat_map(|r| r.text.chars().filter(|c| !r.weight.has(*c)))
            .collect();
        if missing.is_empty() {
            Ok(page)
        } else {
            Err(Unprintable::NoGlyph(missing))
        }
    }

    /// Places the sender, the date and the address.
    fn head(&self, pen: &mut Pen) -> Result<(), Unprintable> {
        let paper = self.paper;
        let mut y = 36.0;
        for (i, line) in self.from.iter().enumerate() {
            let (weight, size) = if i == 0 {
                (Weight::Bold, 11.0)
            } else {
                (Weight::Regular, 8.5)
            };
            pen.run(paper.left, y, weight, size, one_line(line));
            y += size * LEADING;
        }
        let wide = Weight::Regular.width(&self.dated, 0.0) * 9.5;
        pen.run(
            paper.width - paper.left - wide,
            37.0,
            Weight::Regular,
            9.5,
            self.dated.clone(),
        );

        let (size, to) = paper.fit(&self.to).ok_or(Unprintable::TooLong)?;
        let leading = size * ADDRESS_LEADING;
        let mut y = paper.address_bottom - to.len() as f32 * leading;
        if paper.sender_in_window {
            pen.run(
                paper.left,
                paper.address_bottom - paper.address_height - 12.0,
                Weight::Regular,
                6.0,
                one_line(&self.from.join(" · ")),
            );
        }
        for line in to {
            pen.run(paper.left, y, Weight::Regular, size, line);
            y += leading;
        }
        Ok(())
    }

    /// Places everything from the subject to the closing; returns where it ends.
    fn body(&self, pen: &mut Pen, size: f32) -> f32 {
        let gap = size * 0.75;
        let left = self.paper.left;
        let mut y = pen.paragraph(
            left,
            self.paper.body_top,
            Weight::Bold,
            size + 2.5,
            &self.content.subject,
        ) + gap;
        y = pen.paragraph(left, y, Weight::Regular, size, &self.greeting) + gap;
        for block in &self.content.blocks {
            y = match block {
                Block::Text(text) => pen.paragraph(left, y, Weight::Regular, size, text),
                Block::List(items) => items.iter().fold(y, |y, item| {
                    pen.run(left + 6.0, y, Weight::Regular, size, "•".into());
                    pen.paragraph(left + 18.0, y, Weight::Regular, size, item)
                }),
                Block::Facts(facts) => {
                    let widest = facts
                        .iter()
                        .map(|(name, _)| Weight::Regular.width(name, 0.0))
                        .fold(0.0, f32::max);
                    facts.iter().fold(y, |y, (name, value)| {
                        pen.run(left, y, Weight::Regular, size, one_line(name));
                        pen.paragraph(left + widest * size + 14.0, y, Weight::Regular, size, value)
                    })
                }
                Block::Code { label, code } => pen.code(left, y, label, code),
                Block::Link { label, address } => {
                    let y = pen.paragraph(left, y, Weight::Regular, size, &format!("{label}:"));
                    pen.paragraph(left, y, Weight::Bold, size, address)
                }
            } + gap;
        }
        y += gap;
        for line in self.closing {
            y = pen.paragraph(left, y, Weight::Regular, size, line);
        }
        y
    }

    /// Places the footer at the bottom; returns where it begins.
    fn footer(&self, pen: &mut Pen) -> f32 {
        const SIZE: f32 = 8.5;
        let paper = self.paper;
        let weight = |i| {
            if i == 0 {
                Weight::Bold
            } else {
                Weight::Regular
            }
        };
        let lines: Vec<_> = self
            .footer
            .iter()
            .enumerate()
            .map(|(i, text)| (weight(i), pen.lines(paper.left, weight(i), SIZE, text)))
            .collect();
        let count: usize = lines.iter().map(|(_, l)| l.len()).sum();
        let top = paper.height - 43.0 - count as f32 * SIZE * LEADING;
        pen.page
            .frames
            .push([paper.left, top - 6.0, paper.width - paper.left, top - 6.0]);
        let mut y = top;
        for (weight, lines) in lines {
            for line in lines {
                pen.run(paper.left, y, weight, SIZE, line);
                y += SIZE * LEADING;
            }
        }
        top - 12.0
    }
}

/// The height of an address line, as a fraction of its font size.
const ADDRESS_LEADING: f32 = 1.2;

/// The font sizes of an address: the usual one, the smallest one that USPS recommends, and the smallest
/// one that can be read through a window.
const ADDRESS_SIZES: [f32; 3] = [10.0, 8.0, 6.5];

impl Paper {
    /// Returns the font size and the lines of an address that fit in the window; `None` if none do. Long
    /// lines are broken between words when the type would otherwise become too small.
    fn fit(&self, lines: &[String]) -> Option<(f32, Vec<String>)> {
        let [usual, recommended, smallest] = ADDRESS_SIZES;
        let widest = lines
            .iter()
            .map(|l| Weight::Regular.width(l, 0.0))
            .fold(0.0, f32::max);
        let tallest = |lines: usize| self.address_height / lines as f32 / ADDRESS_LEADING;
        let whole = (self.address_width / widest.max(1.0))
            .min(tallest(lines.len()))
            .min(usual);
        if whole >= recommended {
            return Some((whole, lines.to_vec()));
        }
        let mut size = usual;
        while size >= smallest {
            let room = self.address_width / size;
            let broken = lines.iter().map(|line| break_at_words(line, room));
            if let Some(broken) = broken.collect::<Option<Vec<_>>>().map(|l| l.concat())
                && size <= tallest(broken.len())
            {
                return Some((size, broken));
            }
            size -= 0.25;
        }
        (whole >= smallest).then(|| (whole, lines.to_vec()))
    }
}

/// Breaks a line between words so that each part is at most `room` wide, as a multiple of the font size;
/// `None` if a word is wider.
fn break_at_words(line: &str, room: f32) -> Option<Vec<String>> {
    let mut parts: Vec<String> = Vec::new();
    for word in line.split(' ').filter(|w| !w.is_empty()) {
        if Weight::Regular.width(word, 0.0) > room {
            return None;
        }
        let longer = parts.last().map(|part| format!("{part} {word}"));
        match (longer, parts.last_mut()) {
            (Some(longer), Some(part)) if Weight::Regular.width(&longer, 0.0) <= room => {
                *part = longer;
            }
            _ => parts.push(word.to_owned()),
        }
    }
    Some(parts)
}

/// Checks that an address fits in the window and that the font has its characters.
pub(super) fn check_address(lines: &[String], paper: &Paper) -> Result<(), Unprintable> {
    paper.fit(lines).ok_or(Unprintable::TooLong)?;
    let missing: BTreeSet<char> = lines
        .iter()
        .flat_map(|l| l.chars().filter(|c| !Weight::Regular.has(*c)))
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Unprintable::NoGlyph(missing))
    }
}

/// Places texts on a page.
struct Pen {
    page: Page,
    right: f32,
}

impl Pen {
    fn on(paper: &Paper) -> Self {
        Self {
            page: Page {
                width: paper.width,
                height: paper.height,
                runs: Vec::new(),
                frames: Vec::new(),
            },
            right: paper.width - paper.left,
        }
    }

    /// Places one line of text with its top at `top`.
    fn run(&mut self, x: f32, top: f32, weight: Weight, size: f32, text: String) {
        self.page.runs.push(Run {
            x,
            y: top + size * ASCENT,
            size,
            weight,
            spacing: 0.0,
            text,
        });
    }

    /// Places a text from `x` to the right margin on as many lines as it needs; returns where it ends.
    fn paragraph(&mut self, x: f32, top: f32, weight: Weight, size: f32, text: &str) -> f32 {
        let mut y = top;
        for line in self.lines(x, weight, size, text) {
            self.run(x, y, weight, size, line);
            y += size * LEADING;
        }
        y
    }

    /// Breaks a text into lines, between words where possible.
    fn lines(&self, x: f32, weight: Weight, size: f32, text: &str) -> Vec<String> {
        let room = (self.right - x) / size;
        let mut lines = vec![String::new()];
        let mut used = 0.0;
        for word in text.split(' ').filter(|w| !w.is_empty()) {
            let wide = weight.width(word, 0.0);
            let space = if used > 0.0 {
                weight.width(" ", 0.0)
            } else {
                0.0
            };
            if used > 0.0 && used + space + wide > room {
                lines.push(String::new());
                used = 0.0;
            } else if used > 0.0 {
                used += space;
                push(&mut lines, ' ');
            }
            for c in word.chars() {
                let wide = weight.width(c.encode_utf8(&mut [0; 4]), 0.0);
                if used > 0.0 && used + wide > room {
                    lines.push(String::new());
                    used = 0.0;
                }
                used += wide;
                push(&mut lines, c);
            }
        }
        lines
    }

    /// Places a PIN or code in a frame, in large spaced type that is hard to misread.
    fn code(&mut self, x: f32, top: f32, label: &str, code: &str) -> f32 {
        const SIZE: f32 = 22.0;
        const SPACING: f32 = 0.22;
        const PADDING: f32 = 16.0;
        let wide = (Weight::Bold.width(code, SPACING) - SPACING) * SIZE;
        let wide = wide.max(Weight::Regular.width(label, 0.0) * 9.0);
        let bottom = top + 50.0;
        self.page
            .frames
            .push([x, top + 2.0, x + wide + 2.0 * PADDING, bottom]);
        self.run(
            x + PADDING,
            top + 7.0,
            Weight::Regular,
            9.0,
            label.to_owned(),
        );
        self.page.runs.push(Run {
            x: x + PADDING,
            y: top + 42.0,
            size: SIZE,
            weight: Weight::Bold,
            spacing: SPACING,
            text: code.to_owned(),
        });
        bottom + 3.0
    }
}

fn push(lines: &mut [String], c: char) {
    if let Some(line) = lines.last_mut() {
        line.push(c);
    }
}

impl Page {
    /// Returns the text of the page, line by line, for viewing a letter without printing it. A code is
    /// indented.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut last: Option<&Run> = None;
        for run in &self.runs {
            let apart = last.is_some_and(|l| !(0.0..l.size * 1.6).contains(&(run.y - l.y)));
            if apart {
                text.push('\n');
            }
            if run.spacing > 0.0 {
                text.push_str("    ");
            }
            text.push_str(&run.text);
            text.push('\n');
            last = Some(run);
        }
        text
    }
}

/// Renders pages as one PDF, in order. The same pages give the same bytes.
///
/// # Errors
/// [`PdfError`], which means a bug in this crate.
pub fn pdf(pages: &[Page]) -> Result<Vec<u8>, PdfError> {
    let mut document = Document::new();
    for page in pages {
        let settings = PageSettings::from_wh(page.width, page.height).ok_or(PdfError)?;
        let mut printed = document.start_page_with(settings);
        let mut surface = printed.surface();
        surface.set_fill(Some(Fill::default()));
        for run in &page.runs {
            let glyphs = run.weight.glyphs(&run.text, run.spacing);
            let font = run.weight.font().ok_or(PdfError)?;
            surface.draw_glyphs(
                Point::from_xy(run.x, run.y),
                &glyphs,
                font,
                &run.text,
                run.size,
                false,
            );
        }
        surface.set_fill(None);
        surface.set_stroke(Some(Stroke {
            width: 0.75,
            ..Stroke::default()
        }));
        for frame in &page.frames {
            surface.draw_path(&outline(*frame).ok_or(PdfError)?);
        }
        surface.finish();
        printed.finish();
    }
    document.finish().map_err(|_| PdfError)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the PDF cannot be written")]
pub struct PdfError;

fn outline([left, top, right, bottom]: [f32; 4]) -> Option<Path> {
    let mut path = PathBuilder::new();
    if top < bottom {
        path.push_rect(Rect::from_ltrb(left, top, right, bottom)?);
    } else {
        path.move_to(left, top);
        path.line_to(right, top);
    }
    path.finish()
}
