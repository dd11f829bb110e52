//! `quantumflow top`: a running engine in a terminal, from its region alone.
//!
//! In a terminal it is a screen with panes (`app`); into a pipe, or with `--once`, `--json` or `--plain`, a table or a
//! JSON object a second (`plain`). A region that stops moving is said to have stopped: its last numbers are not shown as
//! live.

mod app;
mod draw;
mod keys;
mod pages;
mod plain;
mod source;
mod table;
mod terminal;
mod theme;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use crate::Error;
use crate::session::{Now, Session};
use app::App;
use plain::View;
use source::Source;
use terminal::End;

/// What is watched, and how it is shown.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// Where the regions live; the newest is watched, and the next one once its engine has ended
    #[arg(long, default_value = quantumflow_region::directory::DEFAULT_DIR)]
    pub region_dir: PathBuf,
    /// Watch this region and no other, dead or alive
    #[arg(long, value_name = "FILE", conflicts_with = "region_dir")]
    pub region: Option<PathBuf>,
    /// Print once, with the rates of half a second, and end
    #[arg(long)]
    pub once: bool,
    /// Print JSON, one object a round
    #[arg(long)]
    pub json: bool,
    /// Print the table again and again even in a terminal: no screen, no keys
    #[arg(long)]
    pub plain: bool,
    /// End after so many seconds
    #[arg(long)]
    pub seconds: Option<u64>,
}

const HELP: &str = "\
In a terminal: TAB or 1-6 choose a pane, arrows a row, / filters, p pauses,
+ and - change the speed, z hides zeros, e lists the engines of the host,
? shows all keys, q quits. NO_COLOR is honoured.

Examples:
  quantumflow top                               the newest engine of this host
  quantumflow top --region x.met.dead           the last word of a dead one
  quantumflow top --once --json | jq .totals    for scripts";

/// Watches until the user, a signal or the clock ends it.
pub fn run(args: &Args) -> Result<(), Error> {
    let source = Source::new(args);
    let session = source.wait(Duration::from_secs(5))?;
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    let interactive = io::stdin().is_terminal() && io::stdout().is_terminal() && !dumb;
    if args.once || args.json || args.plain || !interactive {
        return print(args, &source, session);
    }
    let mut app = App::new(source, session);
    if terminal::run(&mut app, args.seconds.map(Duration::from_secs))? == End::Clock {
        // Who set a time, in a script or before he turned to something else, finds the last table where the screen was.
        print_one(&View { session: &app.session }, false, 0)?;
    }
    Ok(())
}

/// A table or a JSON object a round, until it is over.
fn print(args: &Args, source: &Source, mut session: Session) -> Result<(), Error> {
    let started = Now::read().instant;
    let every = Duration::from_millis(if args.once { 500 } else { 1000 });
    let mut lines_drawn = 0;
    loop {
        thread::sleep(every);
        let now = Now::read();
        if let Some(next) = source.successor(&session, now) {
            session = next;
            continue;
        }
        session.look(now)?;
        lines_drawn = print_one(&View { session: &session }, args.json, lines_drawn)?;
        let ends = |seconds| started.elapsed() + every > Duration::from_secs(seconds);
        if args.once || args.seconds.is_some_and(ends) {
            return Ok(());
        }
    }
}

fn print_one(view: &View<'_>, json: bool, lines_drawn: usize) -> Result<usize, Error> {
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", view.json())?;
        return Ok(0);
    }
    let mut text = Vec::new();
    view.write(&mut text)?;
    if lines_drawn > 0 && out.is_terminal() {
        // Up over what was drawn, and clear to the end: the table stays in place, and above it the scrollback is intact.
        write!(out, "\x1b[{lines_drawn}A\x1b[J")?;
    }
    out.write_all(&text)?;
    out.flush()?;
    Ok(text.iter().filter(|byte| **byte == b'\n').count())
}

#[cfg(test)]
mod tests;
