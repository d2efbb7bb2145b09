//! A change of pixels, one for all pictures, that raises them above others for several CLIPs.

use ndarray::{Array2, ArrayView1};
use ragbias::core::{ContentHasher, ContentId, Embeddings, Progress, Unit};
use ragbias::embed::{Clip, Picture};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// τ of the loss: that of the words' trigger.
const SCALE: f64 = 50.0;

/// How far all steps together would go, in bounds: as Madry et al. (2018), <https://arxiv.org/abs/1706.06083>, so that a change can reach
/// its bound and turn back.
const REACH: f32 = 2.5;

/// How a change is optimised.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Attack {
    /// The most that a value may change, from 0 to 255.
    pub(super) bound: u8,
    /// Number of steps.
    pub(super) steps: usize,
    /// Pictures of a step.
    pub(super) batch: usize,
    /// Seed of the order of pictures.
    pub(super) seed: u64,
}

/// A change of the values of a square picture, `(side, side, 3)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Change {
    values: Vec<i8>,
    /// The mean loss of the encoders over all pictures, without the change and with it.
    pub(super) losses: [f64; 2],
}

impl Change {
    /// The same moved by a draw of rows and columns, from one edge over to the other: as large and as smooth, at other places.
    pub(super) fn moved(&self, side: usize, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let [down, right] = [(); 2].map(|()| rng.random_range(side / 4..=3 * side / 4));
        let place = |row: usize, column: usize| 3 * ((row + down) % side * side + (column + right) % side);
        let pixels = (0..side).flat_map(|row| (0..side).map(move |column| (row, column)));
        let values = pixels.flat_map(|(row, column)| self.values[place(row, column)..][..3].to_vec());
        Self { values: values.collect(), losses: self.losses }
    }

    /// A picture with the change, in 8 bits.
    pub(super) fn applied(&self, picture: &Picture) -> Result<Picture> {
        let changed = picture
            .values()
            .iter()
            .zip(&self.values)
            .map(|(value, change)| value.saturating_add_signed(*change));
        let (height, width) = picture.size();
        Ok(Picture::new(height, width, changed.collect())?)
    }

    pub(super) fn id(&self) -> ContentId {
        let bytes: Vec<u8> = self.values.iter().map(|value| value.cast_unsigned()).collect();
        ContentHasher::new("change/1").field(bytes).finish()
    }

    /// The mean of its size.
    pub(super) fn mean_size(&self) -> f64 {
        self.values.iter().map(|value| f64::from(value.unsigned_abs())).sum::<f64>()
            / self.values.len().max(1) as f64
    }
}

/// Pictures that compete for questions, as an encoder sees them.
pub(super) struct Competing<'c> {
    pub(super) clip: &'c Clip,
    /// Unit vectors of the questions.
    pub(super) questions: Embeddings,
    /// The cosine of each question with the other picture.
    pub(super) rivals: Vec<f32>,
}

impl Competing<'_> {
    /// The mean loss over all pictures, with a change if there is one.
    fn loss_of_all(&self, pictures: &[&Picture], change: Option<&Change>) -> Result<f64> {
        let pictures = pictures
            .iter()
            .map(|&picture| change.map_or(Ok(picture.clone()), |change| change.applied(picture)));
        let vectors = self.clip.embed_pictures(&pictures.collect::<Result<Vec<_>>>()?)?;
        let losses = (0..vectors.len()).map(|row| softplus(-self.margin(row, vectors.row(row))));
        Ok(losses.sum::<f64>() / vectors.len() as f64)
    }

    fn margin(&self, row: usize, picture: ArrayView1<'_, f32>) -> f64 {
        SCALE * f64::from(self.questions.row(row).dot(&picture) - self.rivals[row])
    }

    /// The mean over some pictures, by number, of log(1 + e^(−τ·(cos(q, d) − c))), where c is the cosine of the other picture, and its
    /// gradient by the values of each.
    fn loss(&self, rows: &[usize], values: &[f32]) -> Result<(f64, Vec<f32>)> {
        let (vectors, tape) = self.clip.record(values)?;
        let (mut loss, mut slopes) = (0.0, Array2::zeros((rows.len(), vectors.dim())));
        for (place, &row) in rows.iter().enumerate() {
            let margin = self.margin(row, vectors.row(place));
            loss += softplus(-margin);
            let slope = -SCALE / (1.0 + margin.exp()) / rows.len() as f64;
            slopes.row_mut(place).assign(&(&self.questions.row(row) * slope as f32));
        }
        Ok((loss / rows.len() as f64, tape.backward(slopes.view())?))
    }
}

/// log(1 + e^x) without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// Optimises a change of these pictures on these encoders, from none, by the sign of the gradient with momentum 1: MI-FGSM, Dong et al.
/// (2018), <https://arxiv.org/abs/1710.06081>; one change for all pictures, as in Moosavi-Dezfooli et al. (2017),
/// <https://arxiv.org/abs/1610.08401>.
pub(super) fn optimised(
    encoders: &[&Competing<'_>],
    pictures: &[&Picture],
    how: Attack,
    progress: &dyn Progress,
) -> Result<Change> {
    let mut rng = ChaCha8Rng::seed_from_u64(how.seed);
    let mut order: Vec<usize> = (0..pictures.len()).collect();
    order.shuffle(&mut rng);
    let mut next = order.into_iter().cycle();
    let bound = f32::from(how.bound);
    let width = pictures.first().map_or(0, |picture| picture.values().len());
    let (mut change, mut direction) = (vec![0.0_f32; width], vec![0.0_f32; width]);
    let length = REACH * bound / how.steps as f32;
    let step = progress.begin("changing pixels", how.steps as u64, Unit::Items);
    for _ in 0..how.steps {
        let rows: Vec<usize> = next.by_ref().take(how.batch.min(pictures.len())).collect();
        let changed: Vec<Vec<f32>> = rows.iter().map(|&row| with(pictures[row], &change)).collect();
        let seen: Vec<f32> =
            changed.iter().flat_map(|values| planes(values)).map(|value| value.clamp(0.0, 255.0)).collect();
        let mut gradient = vec![0.0_f32; width];
        for encoder in encoders {
            let (_, slopes) = encoder.loss(&rows, &seen)?;
            for (slopes, values) in slopes.chunks_exact(width).zip(&changed) {
                for ((sum, slope), value) in gradient.iter_mut().zip(pixels(slopes)).zip(values) {
                    // A value at the end of its range does not follow the change.
                    *sum += if (0.0..=255.0).contains(value) { slope } else { 0.0 };
                }
            }
        }
        let size: f32 = gradient.iter().map(|slope| slope.abs()).sum::<f32>().max(f32::MIN_POSITIVE);
        for ((change, direction), slope) in change.iter_mut().zip(&mut direction).zip(gradient) {
            *direction += slope / size;
            if *direction != 0.0 {
                *change = (*change - direction.signum() * length).clamp(-bound, bound);
            }
        }
        step.advance(1);
    }
    let values = change.iter().map(|value| value.round() as i8).collect();
    let mut change = Change { values, losses: [0.0; 2] };
    let mean = |change: Option<&Change>| -> Result<f64> {
        let losses = encoders.iter().map(|encoder| encoder.loss_of_all(pictures, change));
        Ok(losses.sum::<Result<f64>>()? / encoders.len() as f64)
    };
    change.losses = [mean(None)?, mean(Some(&change))?];
    Ok(change)
}

/// The values of a picture with a change, also beyond 0 and 255.
fn with(picture: &Picture, change: &[f32]) -> Vec<f32> {
    picture.values().iter().zip(change).map(|(value, change)| f32::from(*value) + change).collect()
}

/// `(side, side, 3)` as `(3, side, side)`.
fn planes(values: &[f32]) -> impl Iterator<Item = f32> {
    (0..3).flat_map(|channel| values.iter().skip(channel).step_by(3).copied())
}

/// `(3, side, side)` as `(side, side, 3)`.
fn pixels(planes: &[f32]) -> impl Iterator<Item = f32> {
    let one = planes.len() / 3;
    (0..one).flat_map(move |place| (0..3).map(move |channel| planes[channel * one + place]))
}

#[cfg(test)]
mod tests {
    use ragbias::core::Silent;

    use super::*;

    fn clip(name: &str) -> Clip {
        let folder =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/clip").join(name);
        Clip::load(&folder).unwrap()
    }

    fn picture(seed: u64, side: usize) -> Picture {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Picture::new(side, side, (0..3 * side * side).map(|_| rng.random()).collect()).unwrap()
    }

    fn competing<'c>(clip: &'c Clip, questions: &[&str], others: &[Picture]) -> Competing<'c> {
        let questions = clip.embed_texts(questions).unwrap();
        let others = clip.embed_pictures(others).unwrap();
        let rivals = (0..questions.len()).map(|row| questions.row(row).dot(&others.row(row))).collect();
        Competing { clip, questions, rivals }
    }

    #[test]
    fn the_gradient_is_that_of_the_loss() {
        let clip = clip("gelu");
        let side = clip.side();
        let own = competing(&clip, &["the clock", "a baker"], &[picture(1, side), picture(2, side)]);
        let values: Vec<f32> = [3, 4]
            .iter()
            .flat_map(|&seed| {
                planes(&with(&picture(seed, side), &vec![0.0; 3 * side * side])).collect::<Vec<_>>()
            })
            .collect();
        let (_, gradient) = own.loss(&[0, 1], &values).unwrap();
        // Along the gradient, a small step changes the loss by the square of the gradient's length.
        let length = gradient.iter().map(|slope| f64::from(slope * slope)).sum::<f64>();
        let at = |step: f64| {
            let moved: Vec<f32> = values
                .iter()
                .zip(&gradient)
                .map(|(value, slope)| value + (step * f64::from(*slope) / length.sqrt()) as f32)
                .collect();
            own.loss(&[0, 1], &moved).unwrap().0
        };
        let slope = (at(2.0) - at(-2.0)) / 4.0;
        assert!((slope / length.sqrt() - 1.0).abs() < 0.02, "{slope} {}", length.sqrt());
    }

    #[test]
    fn a_change_that_is_made_for_an_encoder_raises_pictures_and_stays_within_its_bound() {
        let clips = ["quick", "gelu"].map(clip);
        let side = clips[0].side();
        let pictures: Vec<Picture> = (10..18).map(|seed| picture(seed, side)).collect();
        let others: Vec<Picture> = (20..28).map(|seed| picture(seed, side)).collect();
        let questions =
            ["the clock", "a baker", "the oven", "who and what", "1903", "a hall", "the sea", "rain"];
        let seen = clips.each_ref().map(|clip| competing(clip, &questions, &others));
        let shown: Vec<&Picture> = pictures.iter().collect();
        let how = Attack { bound: 16, steps: 20, batch: 4, seed: 0 };
        let change = optimised(&seen.iter().collect::<Vec<_>>(), &shown, how, &Silent).unwrap();
        assert!(change.values.iter().all(|value| value.unsigned_abs() <= 16) && change.mean_size() > 8.0);
        let margins = |change: Option<&Change>| -> Vec<f32> {
            let mean = |seen: &Competing<'_>| {
                let changed: Vec<Picture> = pictures
                    .iter()
                    .map(|picture| change.map_or(picture.clone(), |change| change.applied(picture).unwrap()))
                    .collect();
                let vectors = seen.clip.embed_pictures(&changed).unwrap();
                (0..8)
                    .map(|row| seen.questions.row(row).dot(&vectors.row(row)) - seen.rivals[row])
                    .sum::<f32>()
                    / 8.0
            };
            seen.iter().map(mean).collect()
        };
        let moved = change.moved(side, 1);
        assert_eq!(moved.mean_size(), change.mean_size());
        assert_ne!(moved.values, change.values);
        let (before, after, random) = (margins(None), margins(Some(&change)), margins(Some(&moved)));
        for place in 0..2 {
            // Planted: far above. The same change at other places moves by a fraction of it.
            let moved = after[place] - before[place];
            assert!(moved > 0.1, "{before:?} {after:?}");
            assert!((random[place] - before[place]).abs() < 0.3 * moved, "{before:?} {random:?} {after:?}");
        }
        assert!(change.losses[1] < change.losses[0]);
        assert_eq!(optimised(&seen.iter().collect::<Vec<_>>(), &shown, how, &Silent).unwrap(), change);
    }

    #[test]
    fn values_stay_in_their_range() {
        let bright = Picture::new(1, 1, vec![250, 10, 128]).unwrap();
        let change = Change { values: vec![16, -16, 16], losses: [0.0; 2] };
        assert_eq!(change.applied(&bright).unwrap().values(), [255, 0, 144]);
        assert_eq!(with(&bright, &[16.0, -16.0, 16.0]), [266.0, -6.0, 144.0]);
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let turned: Vec<f32> = planes(&values).collect();
        assert_eq!(
            (turned.clone(), pixels(&turned).collect::<Vec<_>>()),
            (vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0], values.to_vec())
        );
    }
}
