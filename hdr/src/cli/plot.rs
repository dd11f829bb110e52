//! `quantumflow hdr plot`: percentile curves.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::slice;

use super::Error;
use super::input::Input;
use crate::picture::percentiles::{CURVES_MAX, PercentilePlot};
use crate::picture::{Kind, PictureError, save};
use crate::select::display_tag;

/// Percentile curves, as SVG or PNG
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  quantumflow hdr plot logs --out stages.svg --out stages.png             every tag of all logs
  quantumflow hdr plot a.hlog b.hlog --overlay --tag stage=total --out ab.png   one curve per log")]
pub(super) struct Args {
    #[command(flatten)]
    input: Input,
    /// The picture, .svg or .png; may be given several times
    #[arg(long, required = true)]
    out: Vec<PathBuf>,
    /// Keep the logs of the command line apart, a directory being one, instead of merging them
    #[arg(long)]
    overlay: bool,
    /// A linear latency axis
    #[arg(long)]
    linear: bool,
    /// What to write above the picture
    #[arg(long, default_value = "Latency by percentile")]
    title: String,
}

pub(super) fn run(args: &Args, out: &mut dyn Write, notes: &mut dyn Write) -> Result<(), Error> {
    check_names(&args.out)?;
    let (logs, filter) = (&args.input.logs, &args.input.filter);
    let mut plot = PercentilePlot::new(&args.title, args.linear);
    let mut count = 0;
    let groups: Vec<&[PathBuf]> = if args.overlay {
        logs.iter().map(slice::from_ref).collect()
    } else {
        vec![logs]
    };
    for group in groups {
        let tags = filter.gather(group, notes)?;
        for (tag, histogram) in tags.sorted() {
            let label = match args.overlay {
                true => format!("{} {}", name_of(&group[0]), display_tag(tag)),
                false => display_tag(tag).to_owned(),
            };
            count += usize::from(!histogram.is_empty());
            plot.add(label, histogram, filter.value_unit.to_ns());
        }
    }
    if count == 0 {
        return Err(Error::input("the selected histograms hold no values"));
    }
    if count > CURVES_MAX {
        return Err(Error::input(format!(
            "{count} curves, and {CURVES_MAX} can be told apart: choose with --tag"
        )));
    }
    for path in &args.out {
        save(&plot, path).map_err(Error::running)?;
        writeln!(out, "{}", path.display())?;
    }
    Ok(())
}

/// Refuses names that say no kind of picture before any log is read.
pub(super) fn check_names(paths: &[PathBuf]) -> Result<(), Error> {
    let kinds: Result<Vec<Kind>, PictureError> = paths.iter().map(|path| Kind::of(path)).collect();
    kinds.map(drop).map_err(Error::input)
}

fn name_of(path: &Path) -> String {
    path.file_stem()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}
