//! Pictures: files, and their size.

use std::io::Cursor;
use std::path::Path;

use image::codecs::png::PngDecoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, Limits, RgbImage};
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

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

fn png(bytes: &[u8]) -> Result<RgbImage, String> {
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(LONGEST), Some(LONGEST));
    let decoder = PngDecoder::with_limits(Cursor::new(bytes), limits);
    let mut decoder = decoder.map_err(|error| error.to_string())?;
    if decoder.color_type().bytes_per_pixel() != decoder.color_type().channel_count() {
        return Err("16 bits a channel, expected 8".into());
    }
    let orientation = decoder.orientation().map_err(|error| error.to_string())?;
    let picture = DynamicImage::from_decoder(decoder).map_err(|error| error.to_string())?;
    Ok(upright(picture, orientation))
}

fn jpeg(bytes: &[u8]) -> Result<RgbImage, String> {
    let options = DecoderOptions::default().set_strict_mode(true).jpeg_set_out_colorspace(ColorSpace::RGB);
    let options = options.set_max_width(LONGEST as usize).set_max_height(LONGEST as usize);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|error| error.to_string())?;
    let info = decoder.info().ok_or("no header")?;
    if info.components > 3 {
        return Err("four inks, expected three channels or one".into());
    }
    let values = decoder.decode().map_err(|error| error.to_string())?;
    let orientation = decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif));
    let picture = RgbImage::from_raw(info.width.into(), info.height.into(), values);
    let picture = picture.ok_or("another number of values than its size asks for")?;
    Ok(upright(picture.into(), orientation.unwrap_or(Orientation::NoTransforms)))
}

fn upright(mut picture: DynamicImage, orientation: Orientation) -> RgbImage {
    picture.apply_orientation(orientation);
    picture.into_rgb8()
}

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

    /// A PNG or JPEG file of 8 bits a channel, upright by its own account (Exif); transparency is left out, as transformers does.
    ///
    /// # Errors
    /// A file that is damaged or of another format, of 16 bits a channel or four inks, a side above 16,384 pixels.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = read(path)?;
        let decoded = match image::guess_format(&bytes) {
            Ok(ImageFormat::Png) => png(&bytes),
            Ok(ImageFormat::Jpeg) => jpeg(&bytes),
            _ => Err("neither a PNG nor a JPEG file".into()),
        };
        let picture = decoded.map_err(|reason| Error::Picture { path: path.into(), reason })?;
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
        if self.size() == (side, side) {
            return self.clone();
        }
        let shorter = self.height.min(self.width);
        let [height, width] = [self.height, self.width].map(|edge| side * edge / shorter);
        self.middle(width, side).transposed().middle(height, side).transposed()
    }

    /// The middle columns of a picture that is resized to a width.
    fn middle(&self, width: usize, columns: usize) -> Self {
        let first = (width - columns) / 2;
        let filters = (first..first + columns).map(|place| Filter::bicubic(self.width, width, place));
        let filters: Vec<Filter> = filters.collect();
        let mut values = Vec::with_capacity(3 * self.height * columns);
        for row in self.values.chunks_exact(3 * self.width) {
            values.extend(filters.iter().flat_map(|filter| (0..3).map(|channel| filter.of(row, channel))));
        }
        Self { height: self.height, width: columns, values }
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
        if from == to {
            return Self { first: place, weights: vec![1 << BITS] };
        }
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
