//! Figures as pixels.

use std::sync::Arc;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::fontdb::{Database, Family, Query};
use resvg::usvg::{Options, Tree};

/// Pixels for each unit of a figure.
const SCALE: f32 = 2.5;

/// Draws figures with the fonts of this machine.
pub(super) struct Painter {
    options: Options<'static>,
}

impl Painter {
    /// None where the machine has no font to write with.
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

    /// A PNG file of an SVG file.
    pub(super) fn png(&self, svg: &str) -> Vec<u8> {
        let tree = Tree::from_str(svg, &self.options).expect("figures are valid SVG; this is a bug");
        let size = tree.size().to_int_size().scale_by(SCALE).expect("figures have a size; this is a bug");
        let mut pixels =
            Pixmap::new(size.width(), size.height()).expect("figures have a size; this is a bug");
        resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
        pixels.encode_png().expect("pixels become a PNG file; this is a bug")
    }
}
