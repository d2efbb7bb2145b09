//! The report of a run: a page and its figures.

mod evidence;
mod figures;
mod png;
mod source;
mod words;

use std::path::{Path, PathBuf};

use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, context};
use ragbias_core::{Progress, Silent};
use ragbias_data::write_file;
use serde::Serialize;

use crate::Result;
use crate::run::{RunFolder, SavedRun};
use evidence::Evidence;
use figures::Figure;
use png::Painter;
use ragbias_stats::Estimate;
use source::{Source, System};

/// Renders `report.html` of a run folder, and `figures/`, from its other files, and returns the path of the page.
///
/// The page is one file that works offline: the measurements, the lines, the choice if one was made, and the questions
/// behind every point. Each figure is also written as SVG and, if the machine has a font, as PNG.
///
/// # Errors
/// A folder that is not a run, files that differ from what the run wrote, or failures of the file system.
pub fn report(folder: &Path, progress: &dyn Progress) -> Result<PathBuf> {
    let run = RunFolder::open(folder)?;
    let saved = SavedRun::read(folder)?;
    let staging = run.stage()?;
    write_report(&saved, folder, staging.path(), progress)?;
    run.publish_of(saved.manifest(), staging)?;
    Ok(folder.join(PAGE))
}

/// The same into another folder, and without PNG files, which take a second: for the fuzz target of run folders.
#[doc(hidden)]
pub fn report_without_pixels(folder: &Path, into: &Path) -> Result<()> {
    RunFolder::open(folder)?;
    write_files(&SavedRun::read(folder)?, folder, into, None, &Silent)
}

/// The page of a run.
const PAGE: &str = "report.html";

/// The folder for data that do not fit into the page, and for every figure as a file.
const FIGURES: &str = "figures";

/// Maximum bytes of figures in the page itself; it loads further ones from their files when they come into view.
const ROOM: usize = 8 << 20;

/// Renders the page of a run, with the choices in a folder, and its figures, into another.
pub(crate) fn write_report(
    run: &SavedRun,
    choices: &Path,
    into: &Path,
    progress: &dyn Progress,
) -> Result<()> {
    let painter = Painter::new();
    if painter.is_none() {
        progress.note(
            "no font on this machine: figures are written as SVG, not as PNG\nhint: install a font, such as DejaVu Sans",
        );
    }
    write_files(run, choices, into, painter.as_ref(), progress)
}

fn write_files(
    run: &SavedRun,
    choices: &Path,
    into: &Path,
    painter: Option<&Painter>,
    progress: &dyn Progress,
) -> Result<()> {
    let source = Source::read(run, choices)?;
    let groups = groups(&source);
    let evidence = Evidence::write(&source, &into.join(FIGURES))?;
    for figure in groups.iter().flat_map(Group::figures) {
        let path = |ending: &str| into.join(FIGURES).join(format!("{}.{ending}", figure.id));
        let svg = figure.svg.standalone();
        write_file(&path("svg"), &svg)?;
        match painter.map(|painter| painter.png(&svg)) {
            Some(Ok(png)) => write_file(&path("png"), png)?,
            Some(Err(reason)) => {
                progress.note(&format!("the figure {} is there as SVG alone: {reason}", figure.id));
            }
            None => {}
        }
    }
    Ok(write_file(&into.join(PAGE), page(&source, &groups, &evidence)?)?)
}

/// One LLM on one axis: the system on test topics first, if there are any, then on others.
struct Group<'a> {
    axis: &'a str,
    llm: Option<&'a str>,
    parts: Vec<Part<'a>>,
    /// For all LLMs on the axis; shown with the first of them.
    sensitivities: Option<Figure>,
}

struct Part<'a> {
    system: &'a System,
    number: usize,
    figures: Vec<Figure>,
}

impl Group<'_> {
    fn figures(&self) -> impl Iterator<Item = &Figure> {
        self.sensitivities.iter().chain(self.parts.iter().flat_map(|part| &part.figures))
    }
}

fn groups<'s>(source: &'s Source<'_>) -> Vec<Group<'s>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (number, system) in source.systems.iter().enumerate() {
        let base = system.base();
        let part = Part { system, number, figures: Vec::new() };
        let same = |group: &&mut Group<'_>| {
            group.axis == base.axis
                && group.llm == base.llm.as_deref()
                && group.parts[0].system.base().data == base.data
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.parts.push(part),
            None => groups.push(Group {
                axis: &base.axis,
                llm: base.llm.as_deref(),
                parts: vec![part],
                sensitivities: None,
            }),
        }
    }
    let mut axes = Vec::new();
    for group in &mut groups {
        group.parts.sort_by_key(|part| part.system.base().split != "test");
        for (place, part) in group.parts.iter_mut().enumerate() {
            part.figures = figures::of_system(part.system, part.number, place == 0);
        }
        if !axes.contains(&group.axis) {
            axes.push(group.axis);
            let on_axis: Vec<&System> =
                source.systems.iter().filter(|system| system.base().axis == group.axis).collect();
            group.sensitivities = figures::of_axis(group.axis, &on_axis);
        }
    }
    groups
}

#[derive(Serialize)]
struct FigureOfPage<'a> {
    id: &'a str,
    title: &'a str,
    caption: &'a str,
    /// None if it does not fit into the page.
    svg: Option<String>,
}

impl<'a> FigureOfPage<'a> {
    fn new(figure: &'a Figure, room: &mut usize) -> Self {
        let svg = figure.svg.inline(&figure.id);
        let left = room.checked_sub(svg.len());
        *room = left.unwrap_or(*room);
        let svg = left.is_some().then_some(svg);
        Self { id: &figure.id, title: &figure.title, caption: &figure.caption, svg }
    }
}

/// A row of the table of embedders.
#[derive(Serialize)]
struct RowOfPage<'a> {
    number: usize,
    embedder: &'a str,
    family: &'a str,
    is_base: bool,
    embedder_bias: Estimate,
    rag_bias: Option<Estimate>,
    /// Number of answers that R_b is based on, and number asked.
    answers: Option<String>,
    verdict: &'static str,
    residual: Option<f64>,
    ndcg10: Option<f64>,
}

fn part_of_page(part: &Part<'_>, room: &mut usize) -> Value {
    let system = part.system;
    let base = system.base();
    let rows: Vec<RowOfPage<'_>> = (system.rows.iter().enumerate())
        .map(|(number, row)| {
            let embedder_bias = Estimate::from(row.measured.embedder_bias);
            let rag_bias = row.measured.rag_bias.map(Estimate::from);
            let residual = rag_bias.zip(system.line.as_ref()).map(|(rag, line)| {
                rag.value
                    - line.conflict.intercept.value
                    - line.conflict.sensitivity.value * embedder_bias.value
            });
            RowOfPage {
                number,
                embedder: &row.embedder,
                family: &row.family,
                is_base: row.is_base(),
                embedder_bias,
                rag_bias,
                answers: row.measured.rag_bias.filter(|bias| bias.n() < row.questions).map(|bias| {
                    format!("{} of {} answers: {}", bias.n(), row.questions, words::left_out(bias))
                }),
                verdict: words::verdict(row.verdict(system.delta())),
                residual,
                ndcg10: row.measured.ndcg10,
            }
        })
        .collect();
    let figures: Vec<FigureOfPage<'_>> =
        part.figures.iter().map(|figure| FigureOfPage::new(figure, room)).collect();
    context! {
        number => part.number,
        id => system.id(),
        split => &base.split,
        data => &base.data,
        questions => base.questions,
        counts => system.line.as_ref().and_then(|line| line.equivalence).map(Serde),
        delta => system.delta(),
        verdict => words::verdict(system.verdict()),
        sentences => words::sentences(system),
        selection => words::selection(base),
        corrections => words::corrections(base),
        figures => Serde(figures),
        rows => Serde(rows),
    }
}

fn page(source: &Source<'_>, groups: &[Group<'_>], evidence: &Evidence) -> Result<String> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_filter("signed", words::signed);
    environment.add_filter("number", crate::svg::number);
    environment.add_filter("symbols", |text: &str| {
        Value::from_safe_string(crate::svg::escape(text).replace("_b", "<sub>b</sub>"))
    });
    environment.add_template("report", include_str!("report/page.html"))?;
    let mut room = ROOM;
    let groups: Vec<Value> = groups
        .iter()
        .map(|group| {
            let parts: Vec<Value> = group.parts.iter().map(|part| part_of_page(part, &mut room)).collect();
            let sensitivities = group.sensitivities.as_ref();
            let sensitivities = sensitivities.map(|figure| Serde(FigureOfPage::new(figure, &mut room)));
            context! { axis => group.axis, llm => group.llm, parts, sensitivities }
        })
        .collect();
    let comparisons: Vec<String> = source.comparisons.iter().map(words::comparison).collect();
    Ok(environment.get_template("report")?.render(context! {
        manifest => Serde(source.manifest),
        groups,
        comparisons,
        tests => source.tests.iter().map(words::test).collect::<Vec<_>>(),
        threshold => source.manifest.experiment.threshold.as_ref().map(words::threshold),
        style => Value::from_safe_string(format!("{}{}", include_str!("report/page.css"), crate::svg::STYLE)),
        script => Value::from_safe_string(include_str!("report/page.js").to_owned()),
        evidence => Value::from_safe_string(evidence.json()),
    })?)
}
