//! Several systems tested in one run.

use ragbias_core::Bias;
use ragbias_stats::holm;
use serde::Serialize;

use crate::measured::PartResult;

/// The test of one system of a run for a bias, beside the others.
///
/// Somebody who tests twenty axes at a level of 5% finds a bias in one of them where there is none in any. Holm's adjustment holds the
/// probability of any such finding below the level. The verdict *debiased* of all systems together needs none: it is an intersection–union
/// test (Berger, *Multiparameter hypothesis testing and acceptance sampling*, Technometrics 24 (1982) 295–300).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SystemTest {
    /// The axis.
    pub axis: String,
    /// The data set.
    pub data: String,
    /// Which questions.
    pub split: String,
    /// The embedder.
    pub embedder: String,
    /// The LLM, where one answered.
    pub llm: Option<String>,
    /// R_b, or E_b if no LLM answered.
    pub bias: Bias,
    /// Two-sided p value of the hypothesis that it is 0.
    pub p: f64,
    /// Holm's p value, adjusted for all tests of the run.
    pub p_holm: f64,
}

/// The tests of all embedders of a run that belong to no family; none of fewer than two.
///
/// Members of a family are left out: they were made to have a bias. So are results of versions that computed no p value.
pub fn system_tests(results: &[PartResult]) -> Vec<SystemTest> {
    let tested = results.iter().filter(|result| result.is_base() && result.without_rag_bias().is_none());
    let mut tests: Vec<SystemTest> = tested
        .filter_map(|result| {
            let p = result.measured.p_of_no_bias?;
            Some(SystemTest {
                axis: result.axis.clone(),
                data: result.data.clone(),
                split: result.split.clone(),
                embedder: result.embedder.clone(),
                llm: result.llm.clone(),
                bias: result.outcome(),
                p,
                p_holm: p,
            })
        })
        .collect();
    if tests.len() < 2 {
        return Vec::new();
    }
    let adjusted = holm(&tests.iter().map(|test| test.p).collect::<Vec<_>>());
    tests.iter_mut().zip(adjusted).for_each(|(test, p)| test.p_holm = p);
    tests
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measured::tests::part_result;

    #[test]
    fn every_base_system_is_tested_and_members_of_families_are_not() {
        let results = [
            part_result("gender", "base", Some(0.01)),
            part_result("religion", "base", Some(0.03)),
            part_result("age", "base", Some(0.4)),
            part_result("age", "base", None),
            part_result("gender", "a family", Some(0.0001)),
        ];
        let tests = system_tests(&results);
        let found: Vec<_> = tests.iter().map(|test| (test.axis.as_str(), test.p, test.p_holm)).collect();
        assert_eq!(found, [("gender", 0.01, 0.03), ("religion", 0.03, 0.06), ("age", 0.4, 0.4)]);
        assert!(system_tests(&results[..1]).is_empty(), "one test needs no adjustment");
    }
}
