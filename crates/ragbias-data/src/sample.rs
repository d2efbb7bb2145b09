use std::collections::BTreeMap;

use ragbias_core::{ContentHasher, Question};

/// `n` of the questions, spread evenly over topics; the same `seed` gives the same sample.
///
/// Topics take turns. The seed determines the order of topics and the order of questions within each. The sampled
/// questions keep the order of the set. Returns all of them if `n` is at least their number.
pub fn sample(questions: &[Question], n: usize, seed: u64) -> Vec<Question> {
    let rank =
        |text: &str| *ContentHasher::new("sample").field(seed.to_le_bytes()).field(text).finish().as_bytes();
    let mut topics: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (position, question) in questions.iter().enumerate() {
        let topic = question.cluster();
        topics.entry((rank(topic), topic)).or_default().push(position);
    }
    let mut queues: Vec<_> = topics.into_values().collect();
    for queue in &mut queues {
        queue.sort_by_key(|&position| rank(&questions[position].id));
    }
    let longest = queues.iter().map(Vec::len).max().unwrap_or_default();
    let turns = (0..longest).flat_map(|turn| queues.iter().filter_map(move |queue| queue.get(turn).copied()));
    let mut chosen: Vec<_> = turns.take(n).collect();
    chosen.sort_unstable();
    chosen.into_iter().map(|position| questions[position].clone()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn questions() -> Vec<Question> {
        (0..30)
            .map(|i| Question {
                id: format!("q{i}"),
                text: "x".into(),
                topic: Some(format!("t{}", i % 10)),
                choices: None,
            })
            .collect()
    }

    #[test]
    fn a_sample_covers_every_topic_before_any_twice_and_repeats_with_its_seed() {
        let all = questions();
        let ten = sample(&all, 10, 1);
        assert_eq!(ten.iter().map(Question::cluster).collect::<HashSet<_>>().len(), 10);
        assert_eq!(ten, sample(&all, 10, 1));
        assert_ne!(ten, sample(&all, 10, 2));
        assert_eq!(sample(&all, 99, 1), all);
    }
}
