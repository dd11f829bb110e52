//! `quantumflow hdr`: latency logs in the HdrHistogram format, which are a crate of their own.

use std::io::{self, BufWriter, Write};

pub(super) use quantumflow_hdr::cli::Args;

use super::Outcome;

pub(super) fn run(args: &Args) -> Outcome {
    let mut out = BufWriter::new(io::stdout().lock());
    quantumflow_hdr::cli::run(args, &mut out, &mut io::stderr())?;
    Ok(out.flush()?)
}
