//! The font of letters: Noto Sans, which covers Latin with all accents, Greek and Cyrillic, and may be
//! embedded (SIL Open Font License, `fonts/OFL.txt`). A PDF contains only the glyphs it uses.

use std::io::Read;
use std::sync::{LazyLock, OnceLock};

use flate2::read::GzDecoder;
use krilla::text::{Font, GlyphId, KrillaGlyph};
use skrifa::charmap::Charmap;
use skrifa::instance::{LocationRef, Size};
use skrifa::metrics::GlyphMetrics;
use skrifa::{FontRef, MetadataProvider};

static REGULAR: &[u8] = include_bytes!("../../fonts/NotoSans-Regular.ttf.gz");
static BOLD: &[u8] = include_bytes!("../../fonts/NotoSans-Bold.ttf.gz");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    Regular,
    Bold,
}

/// The glyphs of a font and their widths, read once per process.
struct Face {
    file: &'static [u8],
    glyphs: Charmap<'static>,
    /// As a fraction of the font size.
    metrics: GlyphMetrics<'static>,
}

impl Face {
    /// Returns `None` if the committed file is not a font, which a test rules out.
    fn read(file: &[u8]) -> Option<Self> {
        let mut unpacked = Vec::new();
        GzDecoder::new(file).read_to_end(&mut unpacked).ok()?;
        // Leaked on purpose: it is read once and used until the process ends.
        let file: &'static [u8] = unpacked.leak();
        let read = FontRef::new(file).ok()?;
        Some(Self {
            file,
            glyphs: read.charmap(),
            metrics: read.glyph_metrics(Size::new(1.0), LocationRef::default()),
        })
    }
}

static FACES: LazyLock<Option<[Face; 2]>> =
    LazyLock::new(|| Some([Face::read(REGULAR)?, Face::read(BOLD)?]));

impl Weight {
    fn face(self) -> Option<&'static Face> {
        let [regular, bold] = FACES.as_ref()?;
        Some(match self {
            Self::Regular => regular,
            Self::Bold => bold,
        })
    }

    pub(super) fn font(self) -> Option<Font> {
        static FONTS: [OnceLock<Option<Font>>; 2] = [const { OnceLock::new() }; 2];
        let [regular, bold] = &FONTS;
        let font = match self {
            Self::Regular => regular,
            Self::Bold => bold,
        };
        let read = || Font::new(self.face()?.file.into(), 0);
        font.get_or_init(read).clone()
    }

    /// Returns whether the font has a glyph for a character.
    pub(super) fn has(self, c: char) -> bool {
        self.face().is_some_and(|f| f.glyphs.map(c).is_some())
    }

    /// Returns the width of a text with `spacing` after each character, as a fraction of the font size.
    pub(super) fn width(self, text: &str, spacing: f32) -> f32 {
        text.chars().map(|c| self.advance(c) + spacing).sum()
    }

    fn advance(self, c: char) -> f32 {
        let face = self.face();
        face.and_then(|f| f.metrics.advance_width(f.glyphs.map(c)?))
            .unwrap_or_default()
    }

    /// Returns the glyphs of a text, with `spacing` after each.
    pub(super) fn glyphs(self, text: &str, spacing: f32) -> Vec<KrillaGlyph> {
        let glyph = |(at, c): (usize, char)| {
            let id = self.face()?.glyphs.map(c)?.to_u32();
            let range = at..at + c.len_utf8();
            let advance = self.advance(c) + spacing;
            Some(KrillaGlyph::new(
                GlyphId::new(id),
                advance,
                0.0,
                0.0,
                0.0,
                range,
                None,
            ))
        };
        text.char_indices().filter_map(glyph).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_font_has_latin_greek_and_cyrillic_and_reports_missing_glyphs() {
        let spoken = "Zoë Łukasz Đorđe Nguyễn Gīsli Þór İpek Ștefan Ağaoğlu Ελένη Παπαδοπούλου Ольга Щербакова Ђорђе Їжакевич — “’” · №";
        for weight in [Weight::Regular, Weight::Bold] {
            assert!(spoken.chars().all(|c| weight.has(c)), "{weight:?}");
            assert!(!"王芳علي한".chars().any(|c| weight.has(c)), "{weight:?}");
        }
        let narrow = Weight::Regular.width("iii", 0.0);
        assert!((0.5..1.0).contains(&narrow), "{narrow}");
        assert!(Weight::Bold.width("MMM", 0.0) > 2.0 * narrow);
    }
}
