//! Matrix products, by the gemm crate.
#![allow(unsafe_code, reason = "gemm takes pointers: the bounds that it needs are checked here")]

/// The scores of all pairs of questions and documents: `scores[document × questions + question]`.
///
/// Both are `(n, dim)`, row-major. Runs on one thread.
pub(crate) fn scores(scores: &mut [f32], questions: &[f32], documents: &[f32], dim: usize) {
    let (rows, columns) = (questions.len() / dim, documents.len() / dim);
    assert!(
        rows * dim == questions.len() && columns * dim == documents.len() && rows * columns <= scores.len(),
        "a product beyond its slice; this is a bug"
    );
    if scores.is_empty() {
        return;
    }
    let (step, rows_step) = (dim.cast_signed(), rows.cast_signed());
    // SAFETY: the assertion above checks that the three matrices lie within their slices; the result is borrowed mutably
    // and so overlaps neither factor.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            dim,
            scores.as_mut_ptr(),
            rows_step,
            1,
            false,
            questions.as_ptr(),
            1,
            step,
            documents.as_ptr(),
            step,
            1,
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
