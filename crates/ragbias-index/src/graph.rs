//! The links of a finished graph, in a layout for searching.

use std::io::{Read, Write};

use hnsw_rs::anndists::dist::Distance;
use hnsw_rs::hnsw::Hnsw;
use ragbias_kernels::{Cache, prefetch};

use crate::codes::Codes;

/// Links of the vectors of one layer: those of `nodes[i]` are `links[starts[i]..starts[i + 1]]`.
#[derive(PartialEq, Eq)]
struct Layer {
    /// Ascending; all vectors on the lowest layer.
    nodes: Vec<u32>,
    starts: Vec<u32>,
    links: Vec<u32>,
}

impl Layer {
    fn of(&self, at: usize) -> &[u32] {
        &self.links[self.starts[at] as usize..self.starts[at + 1] as usize]
    }
}

/// A navigable graph built by `hnsw_rs`.
///
/// In `hnsw_rs` every link is a reference-counted pointer to a point behind a lock, and the visited set of a search is a hash
/// map of such pointers. Here links are contiguous numbers, and the visited set is a bitmap.
#[derive(PartialEq, Eq)]
pub(crate) struct Graph {
    /// The lowest first.
    layers: Vec<Layer>,
    /// The entry point of every search: a vector of the highest layer.
    entry: u32,
}

/// The buffers of a search, reused by the next.
#[derive(Default)]
pub(crate) struct Scratch {
    /// A visited bit for every vector.
    seen: Vec<u64>,
    /// Best first, at most as many as the search width.
    nearest: Vec<Candidate>,
    fresh: Vec<u32>,
    question: Vec<i8>,
}

#[derive(Clone, Copy)]
struct Candidate {
    score: i32,
    row: u32,
    /// Its links have been followed.
    done: bool,
}

impl Candidate {
    /// The higher score first; among equal scores, the earlier vector.
    fn before(&self, other: &Self) -> bool {
        self.score > other.score || (self.score == other.score && self.row < other.row)
    }
}

impl Graph {
    /// The links of a graph whose points are identified by row, 0 to n − 1.
    pub(crate) fn flatten<T, D>(graph: &Hnsw<'_, T, D>) -> Self
    where
        T: Clone + Send + Sync,
        D: Distance<T> + Send + Sync,
    {
        let points = graph.get_point_indexation();
        let n = points.get_nb_point();
        let top = usize::from(graph.get_max_level_observed());
        // The same entry point as in hnsw_rs: the first point of the highest layer.
        let entry =
            points.get_layer_iterator(top).next().expect("the highest layer has a point; this is a bug");
        let mut layers: Vec<Vec<(u32, Vec<u32>)>> = (0..=top).map(|_| Vec::new()).collect();
        layers[0].reserve(n);
        for own in 0..=top {
            for point in points.get_layer_iterator(own) {
                let row = point.get_origin_id() as u32;
                for (layer, links) in point.get_neighborhood_id().into_iter().enumerate().take(own + 1) {
                    let links = links.iter().map(|link| link.get_origin_id() as u32);
                    layers[layer].push((row, links.filter(|&link| link != row).collect()));
                }
            }
        }
        let layers = layers.into_iter().map(|mut nodes| {
            nodes.sort_unstable_by_key(|(row, _)| *row);
            let mut layer =
                Layer { nodes: Vec::with_capacity(nodes.len()), starts: vec![0], links: Vec::new() };
            for (row, links) in nodes {
                layer.nodes.push(row);
                layer.links.extend(links);
                layer
                    .starts
                    .push(u32::try_from(layer.links.len()).expect("fewer than 2³² links; this is a bug"));
            }
            layer
        });
        Self { layers: layers.collect(), entry: entry.get_origin_id() as u32 }
    }

    /// The `width` nearest vectors found by the traversal, best first.
    pub(crate) fn search<'s>(
        &self,
        codes: &Codes,
        question: &[f32],
        width: usize,
        scratch: &'s mut Scratch,
    ) -> impl Iterator<Item = u32> + 's {
        let Scratch { seen, nearest, fresh, question: code } = scratch;
        codes.encode(question, code);
        let entry = self.descend(codes, code);
        let bottom = &self.layers[0];
        seen.clear();
        seen.resize(bottom.nodes.len().div_ceil(64), 0);
        nearest.clear();
        seen[entry.row as usize / 64] |= 1 << (entry.row % 64);
        nearest.push(entry);
        let mut next = 0;
        while let Some(candidate) = nearest.get_mut(next) {
            if candidate.done {
                next += 1;
                continue;
            }
            candidate.done = true;
            fresh.clear();
            for &link in bottom.of(candidate.row as usize) {
                let (word, bit) = (&mut seen[link as usize / 64], 1 << (link % 64));
                if *word & bit == 0 {
                    *word |= bit;
                    fresh.push(link);
                }
            }
            next += 1;
            for &row in fresh.iter().take(AHEAD) {
                fetch(codes.row(row));
            }
            for (at, &row) in fresh.iter().enumerate() {
                if let Some(&later) = fresh.get(at + AHEAD) {
                    fetch(codes.row(later));
                }
                let found = Candidate { score: codes.score(code, row), row, done: false };
                if nearest.len() == width {
                    if !found.before(&nearest[width - 1]) {
                        continue;
                    }
                    nearest.pop();
                }
                let place = nearest.partition_point(|other| other.before(&found));
                nearest.insert(place, found);
                next = next.min(place);
            }
        }
        nearest.iter().map(|near| near.row)
    }

    /// Descends from the highest layer, moving on each to a vector whose links lead to no better one.
    fn descend(&self, codes: &Codes, code: &[i8]) -> Candidate {
        let at = |row: u32| Candidate { score: codes.score(code, row), row, done: false };
        let mut here = at(self.entry);
        for layer in self.layers[1..].iter().rev() {
            // The first points of a layer have links to points of the layer below: the search continues there.
            while let Ok(place) = layer.nodes.binary_search(&here.row) {
                let mut best = here;
                for &link in layer.of(place) {
                    let other = at(link);
                    if other.before(&best) {
                        best = other;
                    }
                }
                if best.row == here.row {
                    break;
                }
                here = best;
            }
        }
        here
    }
}

/// How many vectors are prefetched.
const AHEAD: usize = 3;

/// Asks for the cache lines of a vector's codes.
#[inline]
fn fetch(row: &[i8]) {
    for line in row.chunks(64) {
        prefetch(Cache::First, line.as_ptr());
    }
}

/// Numbers as u32, little-endian: layers, entry point, and for each layer its number of nodes and links, and all of them.
impl Graph {
    pub(crate) fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        let mut numbers = vec![self.layers.len() as u32, self.entry];
        for layer in &self.layers {
            numbers.extend([layer.nodes.len() as u32, layer.links.len() as u32]);
            numbers.extend(layer.nodes.iter().chain(&layer.starts).chain(&layer.links));
            out.write_all(&numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>())?;
            numbers.clear();
        }
        Ok(())
    }

    /// A graph of `n` vectors, or the defect found.
    pub(crate) fn read(mut bytes: &[u8], n: usize) -> Result<Self, String> {
        let mut numbers = |count: usize| -> Result<Vec<u32>, String> {
            let length = count.checked_mul(4).filter(|length| *length <= bytes.len());
            let mut taken = vec![0; length.ok_or("it is cut")?];
            bytes.read_exact(&mut taken).map_err(|error| error.to_string())?;
            Ok(taken.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
        };
        let head = numbers(2)?;
        let mut layers = Vec::new();
        for _ in 0..head[0] {
            let counts = numbers(2)?;
            let (nodes, links) = (counts[0] as usize, counts[1] as usize);
            layers.push(Layer {
                nodes: numbers(nodes)?,
                starts: numbers(nodes + 1)?,
                links: numbers(links)?,
            });
        }
        let graph = Self { layers, entry: head[1] };
        if !bytes.is_empty() {
            return Err(format!("bytes left over: {}", bytes.len()));
        }
        graph.check(n)?;
        Ok(graph)
    }

    fn check(&self, n: usize) -> Result<(), String> {
        let within = |rows: &[u32]| rows.iter().all(|&row| (row as usize) < n);
        let sound = |layer: &Layer| {
            within(&layer.nodes)
                && within(&layer.links)
                && layer.nodes.is_sorted_by(|a, b| a < b)
                && layer.starts.is_sorted()
                && layer.starts.first() == Some(&0)
                && layer.starts.last().map(|&end| end as usize) == Some(layer.links.len())
        };
        let whole = self.layers.first().is_some_and(|bottom| bottom.nodes.len() == n);
        let sound = whole && within(&[self.entry]) && self.layers.iter().all(sound);
        if sound { Ok(()) } else { Err(format!("it is no graph of {n} vectors")) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use ragbias_core::Similarity;

    use super::*;
    use crate::codes::CodeDistance;
    use crate::exact::tests::unit;

    fn built(codes: &Codes, n: usize) -> Hnsw<'static, i8, CodeDistance> {
        let graph = Hnsw::new(4, n, 16, 20, codes.distance());
        (0..n).for_each(|row| graph.insert_slice((codes.row(row as u32), row)));
        graph
    }

    /// Reference implementation of the same traversal, with a visited set and a full sort after every step.
    fn slow_walk(graph: &Graph, codes: &Codes, code: &[i8], width: usize) -> Vec<u32> {
        let score = |row: u32| std::cmp::Reverse(codes.score(code, row));
        let mut here = graph.entry;
        for layer in graph.layers[1..].iter().rev() {
            while let Some(place) = layer.nodes.iter().position(|&row| row == here) {
                let best = layer.of(place).iter().copied().chain([here]).min_by_key(|&row| (score(row), row));
                if best == Some(here) {
                    break;
                }
                here = best.unwrap();
            }
        }
        let (mut seen, mut nearest, mut followed) = (HashSet::from([here]), vec![here], HashSet::new());
        while let Some(&row) = nearest.iter().find(|row| !followed.contains(*row)) {
            followed.insert(row);
            nearest.extend(graph.layers[0].of(row as usize).iter().filter(|&&link| seen.insert(link)));
            nearest.sort_by_key(|&row| (score(row), row));
            nearest.truncate(width);
        }
        nearest
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]
        #[test]
        fn traversal_equals_the_reference_implementation(n in 1..600_usize, width in 1..60_usize, seed in 1..99_u64) {
            let (rows, questions) = (unit(n, 40, seed), unit(5, 40, seed + 100));
            let codes = Codes::new(rows.as_slice(), 40, Similarity::Cosine);
            let graph = Graph::flatten(&built(&codes, n));
            let mut scratch = Scratch::default();
            for question in questions.view().rows() {
                let question = question.to_slice().unwrap();
                let fast: Vec<u32> = graph.search(&codes, question, width, &mut scratch).collect();
                let mut code = Vec::new();
                codes.encode(question, &mut code);
                prop_assert_eq!(fast, slow_walk(&graph, &codes, &code, width));
            }
        }
    }

    #[test]
    fn the_links_are_those_of_hnsw_rs() {
        let codes = Codes::new(unit(400, 40, 5).as_slice(), 40, Similarity::Cosine);
        let theirs = built(&codes, 400);
        let ours = Graph::flatten(&theirs);
        assert!(ours.layers.len() > 1, "a graph of one layer shows little");
        for point in theirs.get_point_indexation() {
            let own = usize::from(point.get_point_id().0);
            for (layer, links) in point.get_neighborhood_id().iter().enumerate().take(own + 1) {
                let place = ours.layers[layer].nodes.binary_search(&(point.get_origin_id() as u32)).unwrap();
                let links: Vec<u32> = links.iter().map(|link| link.get_origin_id() as u32).collect();
                assert_eq!(ours.layers[layer].of(place), links);
            }
        }
    }

    #[test]
    fn a_graph_is_read_as_it_was_written_and_refused_where_it_is_not_whole() {
        let codes = Codes::new(unit(300, 40, 5).as_slice(), 40, Similarity::Cosine);
        let graph = Graph::flatten(&built(&codes, 300));
        let mut bytes = Vec::new();
        graph.write(&mut bytes).unwrap();
        assert!(Graph::read(&bytes, 300).unwrap() == graph);
        let refusal = |bytes: &[u8], n| Graph::read(bytes, n).err().unwrap();
        assert_eq!(refusal(&bytes, 299), "it is no graph of 299 vectors");
        assert_eq!(refusal(&bytes[..bytes.len() - 4], 300), "it is cut");
        bytes.push(0);
        assert_eq!(refusal(&bytes, 300), "bytes left over: 1");
        let end = bytes.len() - 1;
        bytes.truncate(end);
        bytes[end - 4..].copy_from_slice(&300_u32.to_le_bytes());
        assert_eq!(refusal(&bytes, 300), "it is no graph of 300 vectors");
    }
}
