//! Pools the hidden states of a text's tokens into one vector.

use ragbias_kernels::row::add_rows;

use crate::config::PoolingMode;

/// `rows` are those of the tokens after the first `skipped`, one at least, `(tokens, hidden)`; `vector` is `(hidden,)`, zeros.
pub(super) fn pool(mode: PoolingMode, vector: &mut [f32], rows: &[f32], skipped: usize) {
    let hidden = vector.len();
    let count = (rows.len() / hidden) as f32;
    match mode {
        PoolingMode::Cls => vector.copy_from_slice(&rows[..hidden]),
        PoolingMode::LastToken => vector.copy_from_slice(&rows[rows.len() - hidden..]),
        PoolingMode::Mean => {
            add_rows(vector, rows);
            scale(vector, 1.0 / count);
        }
        PoolingMode::MeanSqrtLen => {
            add_rows(vector, rows);
            scale(vector, 1.0 / count.sqrt());
        }
        PoolingMode::Max => {
            vector.copy_from_slice(&rows[..hidden]);
            for row in rows.chunks_exact(hidden).skip(1) {
                vector.iter_mut().zip(row).for_each(|(most, x)| *most = most.max(*x));
            }
        }
        PoolingMode::WeightedMean => {
            let mut sum = 0.0;
            for (position, row) in (skipped + 1..).zip(rows.chunks_exact(hidden)) {
                let weight = position as f32;
                sum += weight;
                vector.iter_mut().zip(row).for_each(|(total, x)| *total = weight.mul_add(*x, *total));
            }
            scale(vector, 1.0 / sum);
        }
    }
}

fn scale(vector: &mut [f32], factor: f32) {
    for x in vector {
        *x *= factor;
    }
}
