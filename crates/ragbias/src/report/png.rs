//! Renders figures as PNG.

use std::sync::Arc;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::fontdb::{Database, Family, Query};
use resvg::usvg::{Options, Tree};

/// Pixels per unit of a figure.
const SCALE: f32 = 2.5;

/// Maximum pixels of a figure: 256 MB while it is drawn.
const MOST_PIXELS: u64 = 64 << 20;

/// Draws figures with the fonts of this machine.
pub(super) struct Painter {
    options: Options<'static>,
}

impl Painter {
    /// None if the machine has no font.
    pub(super) fn new() -> Option<Self> {
        let mut fonts = Database::new();
        fonts.load_system_fonts();
        let known = |family: &str| {
            fonts.query(&Query { families: &[Family::Name(family)], ..Query::default() }).is_some()
        };
        let usual = ["Arial", "Liberation Sans", "DejaVu Sans"].into_iter().find(|family| known(family));
        let any =
            || fonts.faces().next().and_then(|face| face.families.first()).map(|(name, _)| name.clone());
        let family = usual.map(str::to_owned).or_else(any)?;
        fonts.set_sans_serif_family(&family);
        Some(Self { options: Options { font_family: family, fontdb: Arc::new(fonts), ..Options::default() } })
    }

    /// A PNG file from an SVG file, or why there is none: for example, one that is too large.
    pub(super) fn png(&self, svg: &str) -> Result<Vec<u8>, String> {
        let tree = Tree::from_str(svg, &self.options).map_err(|error| error.to_string())?;
        let size = tree.size().to_int_size().scale_by(SCALE);
        let mut pixels = size
            .filter(|size| u64::from(size.width()) * u64::from(size.height()) <= MOST_PIXELS)
            .and_then(|size| Pixmap::new(size.width(), size.height()))
            .ok_or_else(|| "it has too many pixels".to_owned())?;
        resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
        pixels.encode_png().map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::svg::Svg;

    #[test]
    fn text_with_control_characters_is_drawn_and_what_is_too_large_is_said() {
        let Some(painter) = Painter::new() else { return };
        let mut svg = Svg::new(100.0, 20.0, "a\u{c}b");
        svg.text("tick", (1.0, 10.0), "form\u{c}feed \u{0} \u{ffff} \u{1b}[2J");
        assert!(painter.png(&svg.standalone()).unwrap().starts_with(b"\x89PNG"));
        let error = painter.png(&Svg::new(100.0, 1e6, "tall").standalone()).unwrap_err();
        assert_eq!(error, "it has too many pixels");
    }
}
