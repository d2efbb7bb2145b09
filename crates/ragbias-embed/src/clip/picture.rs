//! Pictures: files, and their size.

use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use crate::files::read;
use crate::{Error, Result};

/// A picture of three channels of 8 bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    height: usize,
    width: usize,
    /// Rows of pixels, each red, green and blue.
    values: Vec<u8>,
}

/// The longest side of a picture that is read, in pixels.
const LONGEST: u32 = 1 << 14;

impl Picture {
    /// A picture from its values, `(height, width, 3)`.
    ///
    /// # Errors
    /// [`Error::Input`] for another number of values, or none.
    pub fn new(height: usize, width: usize, values: Vec<u8>) -> Result<Self> {
        let expected = 3 * height * width;
        if expected == 0 || values.len() != expected {
            return Err(Error::Input { what: "values of a picture", expected, received: values.len() });
        }
        Ok(Self { height, width, values })
    }

    /// A PNG or JPEG file, upright by its own account (Exif); transparency is left out, as transformers does.
    ///
    /// # Errors
    /// A file that is damaged or of another format, a side above 16,384 pixels.
    pub fn read(path: &Path) -> Result<Self> {
        let fail = |reason: String| Error::Picture { path: path.into(), reason };
        let bytes = read(path)?;
        let mut reader = ImageReader::new(Cursor::new(&bytes)).with_guessed_format()?;
        if !matches!(reader.format(), Some(ImageFormat::Png | ImageFormat::Jpeg)) {
            return Err(fail("neither a PNG nor a JPEG file".into()));
        }
        let mut limits = Limits::default();
        (limits.max_image_width, limits.max_image_height) = (Some(LONGEST), Some(LONGEST));
        reader.limits(limits);
        let decoded = reader.into_decoder().and_then(|mut decoder| {
            let orientation = decoder.orientation()?;
            let mut picture = DynamicImage::from_decoder(decoder)?;
            picture.apply_orientation(orientation);
            Ok(picture.into_rgb8())
        });
        let picture = decoded.map_err(|error| fail(error.to_string()))?;
        Self::new(picture.height() as usize, picture.width() as usize, picture.into_raw())
    }

    /// Height and width.
    pub fn size(&self) -> (usize, usize) {
        (self.height, self.width)
    }

    /// The values, `(height, width, 3)`.
    pub fn values(&self) -> &[u8] {
        &self.values
    }

    /// The middle square of this side: the shorter edge is resized to it, bicubic, and the longer one cut. The values are those of Pillow.
    #[must_use]
    pub fn square(&self, side: usize) -> Self {
        let (shorter, longer) = (self.height.min(self.width), self.height.max(self.width));
        let scaled = side * longer / shorter;
        let (height, width) = if self.height <= self.width { (side, scaled) } else { (scaled, side) };
        self.resized(height, width).cropped(side)
    }

    fn resized(&self, height: usize, width: usize) -> Self {
        let wide = if width == self.width { self.clone() } else { self.with_width(width) };
        if height == self.height { wide } else { wide.transposed().with_width(height).transposed() }
    }

    fn with_width(&self, width: usize) -> Self {
        let filters: Vec<Filter> =
            (0..width).map(|place| Filter::bicubic(self.width, width, place)).collect();
        let mut values = Vec::with_capacity(3 * self.height * width);
        for row in self.values.chunks_exact(3 * self.width) {
            values.extend(filters.iter().flat_map(|filter| (0..3).map(|channel| filter.of(row, channel))));
        }
        Self { height: self.height, width, values }
    }

    fn transposed(&self) -> Self {
        let pixel = |column: usize, row: usize| {
            let start = 3 * (row * self.width + column);
            self.values[start..start + 3].iter().copied()
        };
        let columns = 0..self.width;
        let values = columns.flat_map(|column| (0..self.height).flat_map(move |row| pixel(column, row)));
        Self { height: self.width, width: self.height, values: values.collect() }
    }

    /// The middle of a picture whose sides are at least this long.
    fn cropped(&self, side: usize) -> Self {
        let (top, left) = ((self.height - side) / 2, (self.width - side) / 2);
        let rows = self.values.chunks_exact(3 * self.width).skip(top).take(side);
        let values = rows.flat_map(|row| row[3 * left..3 * (left + side)].iter().copied()).collect();
        Self { height: side, width: side, values }
    }
}

/// What one value of a resized row is made of.
struct Filter {
    first: usize,
    /// In units of 2⁻²².
    weights: Vec<i64>,
}

/// Bits of a weight after the point.
const BITS: u32 = 22;

impl Filter {
    /// The filter of a place in a row of `to` pixels that had `from`. It is widened where the row is shrunk, so that every pixel counts.
    #[expect(clippy::cast_sign_loss, reason = "places are not below 0")]
    fn bicubic(from: usize, to: usize, place: usize) -> Self {
        let scale = from as f64 / to as f64;
        let stretch = scale.max(1.0);
        let centre = (place as f64 + 0.5) * scale;
        let first = (centre - 2.0 * stretch + 0.5).max(0.0) as usize;
        let last = ((centre + 2.0 * stretch + 0.5) as usize).min(from);
        let weights = (first..last).map(|pixel| cubic((pixel as f64 - centre + 0.5) / stretch));
        let weights: Vec<f64> = weights.collect();
        let sum: f64 = weights.iter().sum();
        let unit = f64::from(1_u32 << BITS);
        Self { first, weights: weights.iter().map(|weight| (weight / sum * unit).round() as i64).collect() }
    }

    fn of(&self, row: &[u8], channel: usize) -> u8 {
        let pixels = row[3 * self.first + channel..].iter().step_by(3);
        let sum: i64 = pixels.zip(&self.weights).map(|(value, weight)| i64::from(*value) * weight).sum();
        let rounded = (sum + (1 << (BITS - 1))) >> BITS;
        u8::try_from(rounded.clamp(0, 255)).unwrap_or(u8::MAX)
    }
}

/// Keys's cubic convolution with a = −0.5, 0 from 2 on. Source: Keys (1981), <https://doi.org/10.1109/TASSP.1981.1163711>.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}
