//! `quantumflow hdr heatmap`: latency over time.

use std::io::Write;
use std::path::PathBuf;

use super::Error;
use super::input::{Input, nothing_selected, remark_if_cut};
use super::plot::check_names;
use crate::log::{LogReader, ReadError};
use crate::picture::heatmap::Heatmap;
use crate::picture::save;
use crate::select::{Selection, display_tag, too_much};

/// Latency over time, as SVG or PNG
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Shows one tag: stage=total, or the only one there is, unless --tag says another.
Example: quantumflow hdr heatmap logs --tag stage=model --from 2026-11-21T09:00:00Z --out model.png")]
pub(super) struct Args {
    #[command(flatten)]
    input: Input,
    /// The picture, .svg or .png; may be given several times
    #[arg(long, required = true)]
    out: Vec<PathBuf>,
    /// What to write above the picture, instead of the tag
    #[arg(long)]
    title: Option<String>,
}

/// What a first reading of the logs finds out.
#[derive(Default)]
struct Survey {
    tags: Vec<String>,
    from_ns: Option<u64>,
    to_ns: u64,
    interval_ns: u64,
}

pub(super) fn run(args: &Args, out: &mut dyn Write, notes: &mut dyn Write) -> Result<(), Error> {
    check_names(&args.out)?;
    let filter = &args.input.filter;
    let (paths, mut selection) = filter.open(&args.input.logs)?;
    let tag = choose(&survey(&paths, &selection)?, &selection, &paths)?;
    selection.tags = vec![tag.clone()];
    let survey = survey(&paths, &selection)?;
    let from_ns = survey.from_ns.ok_or_else(|| nothing_selected(&paths))?;
    let title = args
        .title
        .clone()
        .unwrap_or_else(|| format!("Latency over time, {}", display_tag(&tag)));
    let range = (from_ns, survey.to_ns);
    let mut map = Heatmap::new(&title, range, survey.interval_ns, filter.value_unit.to_ns()).map_err(Error::running)?;
    for path in &paths {
        let mut reader = LogReader::open(path).map_err(Error::input)?;
        while let Some(line) = reader.next_line().map_err(Error::input)? {
            if !selection.takes(&line) {
                continue;
            }
            let interval = (line.start_ns, line.end_ns());
            let histogram = line.histogram();
            let histogram = histogram.map_err(|error| Error::input(reader.error(error)))?;
            if !map.add(interval, &histogram) {
                return Err(Error::input(too_much(&reader)));
            }
        }
        remark_if_cut(&reader, notes)?;
    }
    for path in &args.out {
        save(&map, path).map_err(Error::running)?;
        writeln!(out, "{}", path.display())?;
    }
    Ok(())
}

/// Which tags there are, and over what time: without a look into the histograms.
fn survey(paths: &[PathBuf], selection: &Selection) -> Result<Survey, Error> {
    let mut survey = Survey::default();
    for path in paths {
        read_survey(path, selection, &mut survey).map_err(Error::input)?;
    }
    Ok(survey)
}

fn read_survey(path: &std::path::Path, selection: &Selection, survey: &mut Survey) -> Result<(), ReadError> {
    /// Enough to say which there are.
    const TAGS_MAX: usize = 100;
    let mut reader = LogReader::open(path)?;
    while let Some(line) = reader.next_line()? {
        if !selection.takes(&line) {
            continue;
        }
        let tag = line.tag.unwrap_or("");
        if survey.tags.len() < TAGS_MAX && !survey.tags.iter().any(|known| known == tag) {
            survey.tags.push(tag.to_owned());
        }
        survey.from_ns = Some(survey.from_ns.map_or(line.start_ns, |from| from.min(line.start_ns)));
        survey.to_ns = survey.to_ns.max(line.end_ns());
        survey.interval_ns = survey.interval_ns.max(line.length_ns);
    }
    Ok(())
}

fn choose(survey: &Survey, selection: &Selection, paths: &[PathBuf]) -> Result<String, Error> {
    const END_TO_END: &str = "stage=total";
    match (&selection.tags[..], &survey.tags[..]) {
        ([only], _) | ([], [only]) => Ok(only.clone()),
        ([], []) => Err(nothing_selected(paths)),
        ([], tags) if tags.iter().any(|tag| tag == END_TO_END) => Ok(END_TO_END.to_owned()),
        ([], tags) => {
            let names: Vec<_> = tags.iter().map(|tag| display_tag(tag)).collect();
            Err(Error::input(format!(
                "the logs hold {}: choose one with --tag",
                names.join(", ")
            )))
        }
        _ => Err(Error::input("a heat map shows one tag: give --tag once")),
    }
}
