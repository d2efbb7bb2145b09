use std::collections::BTreeMap;

/// How alike the values of one cluster are: the leans of the answers of one topic.
///
/// The intraclass correlation is the estimate from a one-way analysis of variance, ρ = (B − W)/(B + (m₀ − 1)W), with the mean
/// squares B between and W within clusters and m₀ = (N − Σmᵢ²/N)/(k − 1); a negative estimate counts as 0. Source: Donner & Klar,
/// *Design and Analysis of Cluster Randomization Trials in Health Research* (2000), §1.4. Clusters of unequal sizes inflate a
/// variance like equal ones of Σmᵢ²/N values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clusters {
    values: usize,
    count: usize,
    effective_size: f64,
    intraclass: Option<f64>,
}

impl Clusters {
    /// Of values with the names of their clusters. With no values all numbers are 0, or none.
    pub fn of<'a>(values: impl IntoIterator<Item = (&'a str, f64)>) -> Self {
        let mut clusters: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for (cluster, value) in values {
            clusters.entry(cluster).or_default().push(value);
        }
        let n: usize = clusters.values().map(Vec::len).sum();
        let (total, count) = (n as f64, clusters.len());
        let squares: f64 = clusters.values().map(|cluster| (cluster.len() as f64).powi(2)).sum();
        let effective_size = if n == 0 { 0.0 } else { squares / total };
        let intraclass = (count >= 2 && n > count).then(|| {
            let mean = clusters.values().flatten().sum::<f64>() / total;
            let (mut between, mut within) = (0.0, 0.0);
            for cluster in clusters.values() {
                let own = cluster.iter().sum::<f64>() / cluster.len() as f64;
                between += cluster.len() as f64 * (own - mean).powi(2);
                within += cluster.iter().map(|value| (value - own).powi(2)).sum::<f64>();
            }
            between /= (count - 1) as f64;
            within /= (n - count) as f64;
            let size = (total - squares / total) / (count - 1) as f64;
            let whole = between + (size - 1.0) * within;
            // All values are equal: nothing varies, neither within nor between.
            if whole > 0.0 { ((between - within) / whole).clamp(0.0, 1.0) } else { 0.0 }
        });
        Self { values: n, count, effective_size, intraclass }
    }

    /// Number of values.
    pub fn values(&self) -> usize {
        self.values
    }

    /// Number of clusters with a value.
    pub fn clusters(&self) -> usize {
        self.count
    }

    /// Σmᵢ²/N: the size of equal clusters that would inflate a variance as much.
    pub fn effective_size(&self) -> f64 {
        self.effective_size
    }

    /// ρ, in [0, 1]; none with fewer than two clusters, or none with two values.
    pub fn estimate(&self) -> Option<f64> {
        self.intraclass
    }

    /// ρ, or 0 where every cluster has one value: then it has no effect.
    pub fn intraclass(&self) -> f64 {
        self.intraclass.unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_correlation_is_that_of_the_analysis_of_variance() {
        // scripts/reference/plan.py, statsmodels' anova_lm of `lean ~ C(topic)`
        let leans = [
            ("a", vec![1.0, 1.0, 1.0, 0.0]),
            ("b", vec![-1.0, -1.0, 1.0]),
            ("c", vec![0.0, 1.0, 1.0, -1.0, 1.0]),
            ("d", vec![-1.0, -1.0]),
        ];
        let values = leans.iter().flat_map(|(topic, leans)| leans.iter().map(move |lean| (*topic, *lean)));
        let clusters = Clusters::of(values);
        assert_eq!((clusters.values(), clusters.clusters()), (14, 4));
        assert!((clusters.effective_size() - 54.0 / 14.0).abs() < 1e-12);
        assert!((clusters.intraclass() - INTRACLASS).abs() < 1e-9, "{}", clusters.intraclass());
    }

    const INTRACLASS: f64 = 0.316_844_401_357;

    #[test]
    fn clusters_that_agree_within_have_a_correlation_of_1_and_single_values_none() {
        let alike = Clusters::of([("a", 1.0), ("a", 1.0), ("b", -1.0), ("b", -1.0)]);
        assert_eq!(alike.estimate(), Some(1.0));
        let single = Clusters::of([("a", 1.0), ("b", -1.0)]);
        assert_eq!((single.estimate(), single.intraclass(), single.effective_size()), (None, 0.0, 1.0));
        let none = Clusters::of([]);
        assert_eq!((none.estimate(), none.effective_size()), (None, 0.0));
        assert_eq!(Clusters::of([("a", 1.0), ("a", 1.0), ("b", 1.0)]).estimate(), Some(0.0));
    }
}
