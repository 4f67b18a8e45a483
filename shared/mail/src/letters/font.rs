//! The type that letters are set in: Noto Sans, for it has Latin with all its accents, Greek and
//! Cyrillic, and may be embedded (SIL Open Font License, `fonts/OFL.txt`). Only the glyphs that a
//! PDF uses are put into it.

use std::io::Read;
use std::sync::LazyLock;

use flate2::read::GzDecoder;
use krilla::text::{Font, GlyphId, KrillaGlyph};
use skrifa::charmap::Charmap;
use skrifa::instance::{LocationRef, Size};
use skrifa::metrics::GlyphMetrics;
use skrifa::{FontRef, MetadataProvider};

static REGULAR: &[u8] = include_bytes!("../../fonts/NotoSans-Regular.ttf.gz");
static BOLD: &[u8] = include_bytes!("../../fonts/NotoSans-Bold.ttf.gz");

/// A weight of the type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    Regular,
    Bold,
}

/// A font, read once in the life of the process.
struct Face {
    font: Font,
    glyphs: Charmap<'static>,
    /// In parts of the size of the type.
    metrics: GlyphMetrics<'static>,
}

impl Face {
    /// None if the committed file is no font, which a test rules out.
    fn read(file: &[u8]) -> Option<Self> {
        let mut unpacked = Vec::new();
        GzDecoder::new(file).read_to_end(&mut unpacked).ok()?;
        // Once in the life of the process, for as long as it lives.
        let file: &'static [u8] = unpacked.leak();
        let read = FontRef::new(file).ok()?;
        Some(Self {
            font: Font::new(file.into(), 0)?,
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

    /// The font, to draw with.
    pub(super) fn font(self) -> Option<Font> {
        Some(self.face()?.font.clone())
    }

    /// Whether there is a glyph for a character.
    pub(super) fn has(self, c: char) -> bool {
        self.face().is_some_and(|f| f.glyphs.map(c).is_some())
    }

    /// The width of a text, in parts of the size of the type, with `spacing` after each character.
    pub(super) fn width(self, text: &str, spacing: f32) -> f32 {
        text.chars().map(|c| self.advance(c) + spacing).sum()
    }

    fn advance(self, c: char) -> f32 {
        let face = self.face();
        face.and_then(|f| f.metrics.advance_width(f.glyphs.map(c)?))
            .unwrap_or_default()
    }

    /// The glyphs of a text, with `spacing` after each.
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
    fn the_type_has_latin_greek_and_cyrillic_and_what_it_has_not_it_says() {
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
