//! `quantumflow hdr hgrm`: percentile distributions for HdrHistogram's plotters.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use super::Error;
use super::input::Input;
use crate::distribution::write_hgrm;
use crate::select::display_tag;

/// The percentile distribution (.hgrm) that HdrHistogram's plotters read
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  quantumflow hdr hgrm run.hlog --tag stage=total > total.hgrm    one tag to standard output, in microseconds
  quantumflow hdr hgrm run.hlog --out curves                      every tag to a file of its own")]
pub(super) struct Args {
    #[command(flatten)]
    input: Input,
    /// Write a file per tag into this directory
    #[arg(long)]
    out: Option<PathBuf>,
    /// Steps in each half of the distance to 100 %
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    ticks: u32,
}

pub(super) fn run(args: &Args, out: &mut dyn Write, notes: &mut dyn Write) -> Result<(), Error> {
    let tags = args.input.filter.gather(&args.input.logs, notes)?;
    let divisor = 1e3 / args.input.filter.value_unit.to_ns();
    let sorted = tags.sorted();
    let Some(dir) = &args.out else {
        let [(_, histogram)] = sorted[..] else {
            let names: Vec<_> = sorted.iter().map(|(tag, _)| display_tag(tag)).collect();
            let names = names.join(", ");
            return Err(Error::input(format!(
                "the logs hold {names}: choose one with --tag, or give --out DIR"
            )));
        };
        return Ok(write_hgrm(histogram, args.ticks, divisor, out)?);
    };
    fs::create_dir_all(dir)?;
    for (tag, histogram) in sorted {
        // A tag may hold a path's separator, and comes from a file that someone else wrote.
        let allowed = |c: char| {
            if c.is_ascii_alphanumeric() || "=-_.%".contains(c) {
                c
            } else {
                '_'
            }
        };
        let name: String = if tag.is_empty() {
            "untagged".into()
        } else {
            tag.chars().map(allowed).take(200).collect()
        };
        let path = dir.join(format!("{name}.hgrm"));
        let mut file = BufWriter::new(File::create(&path)?);
        write_hgrm(histogram, args.ticks, divisor, &mut file)?;
        file.flush()?;
        writeln!(out, "{}", path.display())?;
    }
    Ok(())
}
