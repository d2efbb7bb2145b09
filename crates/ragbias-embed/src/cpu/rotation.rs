//! Rotary positions on rows.

use crate::config::Rotary;

/// The angles of every kind of rotary positions of an encoder, at the positions of its texts.
pub(super) struct Angles {
    /// Cosines and sines, `(positions, width/2)` each.
    of: Vec<(Rotary, Vec<f32>, Vec<f32>)>,
    /// width/2.
    half: usize,
}

impl Angles {
    /// At the positions of texts of up to `longest` tokens, for heads of this width.
    pub(super) fn new(rotaries: impl Iterator<Item = Rotary>, width: usize, longest: usize) -> Self {
        let mut of: Vec<(Rotary, Vec<f32>, Vec<f32>)> = Vec::new();
        for rotary in rotaries {
            if !of.iter().any(|(known, ..)| *known == rotary) {
                let (cosines, sines) = rotary.angles(width, longest);
                of.push((rotary, cosines, sines));
            }
        }
        Self { of, half: width / 2 }
    }

    /// Cosines and sines at a position.
    pub(super) fn at(&self, rotary: Rotary, position: usize) -> (&[f32], &[f32]) {
        let known = self.of.iter().find(|(known, ..)| *known == rotary);
        let (_, cosines, sines) = known.expect("angles are made for all layers; this is a bug");
        let place = position * self.half..(position + 1) * self.half;
        (&cosines[place.clone()], &sines[place])
    }
}

/// Turns the first half of a head's dimensions with the second.
#[inline(always)]
pub(super) fn turn(head: &mut [f32], cosines: &[f32], sines: &[f32]) {
    let (first, last) = head.split_at_mut(cosines.len());
    for (((a, b), cosine), sine) in first.iter_mut().zip(last).zip(cosines).zip(sines) {
        (*a, *b) = (*a * cosine - *b * sine, *b * cosine + *a * sine);
    }
}
