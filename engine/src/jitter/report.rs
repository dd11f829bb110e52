//! What was stolen, for people, for programs, and as an interval log.

use std::io::{self, Write};

use quantumflow_hdr::log::{LogHeader, LogWriter, WriteError};
use quantumflow_hdr::{InvalidTag, Percentiles, Tag, rfc3339};
use serde_json::json;

use super::witness::Counted;
use super::{Plan, Steals};
use crate::os::TimeBase;

/// A measurement and what belongs to it.
#[derive(Debug)]
pub struct Report<'a> {
    /// Where it was made.
    pub core: usize,
    /// What was asked for.
    pub plan: &'a Plan,
    /// What the counter's readings mean.
    pub base: &'a TimeBase,
    /// What was stolen.
    pub steals: &'a Steals,
    /// What the kernel counted meanwhile.
    pub counted: &'a Counted,
}

/// Suspects that are shown; the others came less often.
const SUSPECTS_MAX: usize = 8;

const SECOND_NS: u64 = 1_000_000_000;

fn us(ns: u64) -> f64 {
    ns as f64 / 1e3
}

impl Report<'_> {
    fn measured_s(&self) -> f64 {
        self.steals.measured_ns as f64 / 1e9
    }

    fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.measured_s().max(1e-9)
    }

    fn stolen_percent(&self) -> f64 {
        100.0 * self.steals.stolen_ns() as f64 / self.steals.measured_ns.max(1) as f64
    }

    /// The seconds that were reached, whole or in part.
    fn second_count(&self) -> usize {
        let reached = self.steals.measured_ns.div_ceil(SECOND_NS);
        self.steals.seconds.len().min(reached as usize)
    }

    /// A few lines and a table.
    pub fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let steals = self.steals;
        let gaps = Percentiles::of(&steals.gaps());
        writeln!(
            out,
            "core {} for {:.2} s: {} steals over {} ns, {:.1} a second, {:.4} % of its time",
            self.core,
            self.measured_s(),
            gaps.count,
            self.plan.threshold_ns,
            self.per_second(gaps.count),
            self.stolen_percent()
        )?;
        writeln!(
            out,
            "the loop looks every {:.1} ns ({} at best): what is shorter goes unseen",
            steals.reading_ns_mean(),
            steals.reading_ns_min
        )?;
        if steals.reading_ns_mean() > self.plan.threshold_ns as f64 {
            writeln!(
                out,
                "note: the threshold is below that, so that readings are counted as steals"
            )?;
        }
        if let Some((ns, end)) = steals.longest {
            // The top of a bucket may lie above the longest of all.
            let [p50, p90, p99, p999, p9999] = gaps.at.map(|at| us(at.min(ns)));
            writeln!(
                out,
                "\nsteals in us {:>10} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}",
                "min", "p50", "p90", "p99", "p99.9", "p99.99", "max"
            )?;
            writeln!(
                out,
                "{:>12} {:>10.1} {p50:>10.1} {p90:>10.1} {p99:>10.1} {p999:>10.1} {p9999:>10.1} {:>10.1}",
                "",
                us(gaps.min),
                us(ns)
            )?;
            writeln!(
                out,
                "longest {:.1} us, until {:.3} s after the start, at {}",
                us(ns),
                self.base.nanos(end.since(steals.start)) as f64 / 1e9,
                rfc3339(self.base.at(end).0)
            )?;
            self.print_worst_second(out)?;
        }
        self.print_suspects(out)
    }

    fn print_worst_second(&self, out: &mut impl Write) -> io::Result<()> {
        let seconds = &self.steals.seconds[..self.second_count()];
        let least = seconds.iter().map(|second| second.gaps.len()).min().unwrap_or(0);
        let Some((at, worst)) = seconds.iter().enumerate().max_by_key(|(_, second)| second.stolen_ns) else {
            return Ok(());
        };
        writeln!(
            out,
            "worst second {}: {} steals took {:.1} us; the quietest had {least}",
            at + 1,
            worst.gaps.len(),
            us(worst.stolen_ns)
        )
    }

    fn print_suspects(&self, out: &mut impl Write) -> io::Result<()> {
        let counted = self.counted;
        writeln!(
            out,
            "\nwhat the kernel counted on core {} meanwhile, and what `quantumflow tune` says of it",
            self.core
        )?;
        for suspect in counted.suspects.iter().take(SUSPECTS_MAX) {
            writeln!(
                out,
                "{:>10} {:>10.1}/s  {:<36} {}",
                suspect.count,
                self.per_second(suspect.count),
                suspect.what,
                suspect.see
            )?;
        }
        if counted.suspects.is_empty() {
            writeln!(out, "nothing")?;
        }
        if let Some(rest) = counted.suspects.get(SUSPECTS_MAX..).filter(|rest| !rest.is_empty()) {
            writeln!(out, "{:>10} more kinds, less often", rest.len())?;
        }
        let accounted: u64 = counted.suspects.iter().map(|suspect| suspect.count).sum();
        let unaccounted = self.steals.gaps().len().saturating_sub(accounted);
        if counted.unread.is_empty() && unaccounted > 0 {
            writeln!(
                out,
                "{unaccounted:>10} {:>10.1}/s  at least, counted by nobody: below the kernel (hypervisor, firmware)",
                self.per_second(unaccounted)
            )?;
        }
        if let Some(waited_ns) = counted.waited_ns.filter(|ns| *ns > 0) {
            writeln!(
                out,
                "the thread waited {:.1} us for its core while others ran (isolation)",
                us(waited_ns)
            )?;
        }
        if let Some(percent) = counted.steal_percent.filter(|percent| *percent > 0.0) {
            writeln!(
                out,
                "the hypervisor took {percent:.2} % of the core's ticks (virtual_machine)"
            )?;
        }
        for reason in &counted.unread {
            writeln!(out, "unknown: {reason}")?;
        }
        Ok(())
    }

    /// The same for programs, times in nanoseconds.
    pub fn print_json(&self, out: &mut impl Write) -> io::Result<()> {
        let steals = self.steals;
        let gaps = Percentiles::of(&steals.gaps());
        let [p50, p90, p99, p999, p9999] = gaps.at;
        let longest = steals.longest.map(|(ns, end)| {
            json!({
                "ns": ns,
                "end_after_start_ns": self.base.nanos(end.since(steals.start)),
                "end_unix_ns": self.base.at(end).0,
            })
        });
        let seconds: Vec<_> = steals.seconds[..self.second_count()]
            .iter()
            .map(|second| json!({ "count": second.gaps.len(), "stolen_ns": second.stolen_ns }))
            .collect();
        let all = json!({
            "core": self.core,
            "threshold_ns": self.plan.threshold_ns,
            "start_unix_ns": self.base.at(steals.start).0,
            "measured_ns": steals.measured_ns,
            "stolen_ns": steals.stolen_ns(),
            "stolen_percent": self.stolen_percent(),
            "reading_ns_mean": steals.reading_ns_mean(),
            "reading_ns_min": steals.reading_ns_min,
            "steals": {
                "count": gaps.count, "min_ns": gaps.min, "p50_ns": p50, "p90_ns": p90, "p99_ns": p99, "p99.9_ns": p999,
                "p99.99_ns": p9999,
            },
            "longest": longest,
            "seconds": seconds,
            "suspects": self.counted.suspects,
            "waited_ns": self.counted.waited_ns,
            "hypervisor_percent": self.counted.steal_percent,
            "unread": self.counted.unread,
        });
        serde_json::to_writer_pretty(&mut *out, &all)?;
        writeln!(out)
    }

    /// An interval log with a line for each second, under a tag of the core and once more without one, as the recorder
    /// writes them.
    pub fn write_log(&self, out: impl Write) -> Result<(), LogError> {
        let tag = Tag::new(&format!("jitter:core={}", self.core))?;
        let start = self.base.at(self.steals.start).0;
        let mut header = LogHeader::latencies(start);
        header.untagged = Some(tag.clone());
        header.comments.push(format!(
            "quantumflow jitter: times over {} ns that the host took core {} away",
            self.plan.threshold_ns, self.core
        ));
        let mut log = LogWriter::begin(out, header)?;
        let end = start + self.steals.measured_ns;
        for (at, second) in self.steals.seconds[..self.second_count()].iter().enumerate() {
            let from = start + at as u64 * SECOND_NS;
            let interval = (from, (from + SECOND_NS).min(end));
            log.write(None, interval, &second.gaps)?;
            if !second.gaps.is_empty() {
                log.write(Some(&tag), interval, &second.gaps)?;
            }
        }
        log.finish()?;
        Ok(())
    }
}

/// Why the log was not written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file took no more.
    #[error("failed to write the log")]
    Io(#[from] io::Error),
    /// A line cannot be written.
    #[error(transparent)]
    Line(#[from] WriteError),
    /// The core's number makes no tag.
    #[error(transparent)]
    Tag(#[from] InvalidTag),
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::time::Duration;

    use quantumflow_hdr::log::LogReader;
    use serde_json::Value;

    use super::super::witness::Suspect;
    use super::super::{Second, measure};
    use super::*;
    use crate::os::TscClock;

    /// Two seconds of which a part is made up.
    fn made_up(plan: &Plan, base: &TimeBase) -> Steals {
        let mut steals = Steals::new(plan);
        measure(TscClock, base, plan, &AtomicBool::new(true), &mut steals);
        for (at, gaps_ns) in [(0, &[5_000_u64, 7_000][..]), (1, &[90_000])] {
            let Second { gaps, stolen_ns } = &mut steals.seconds[at];
            for ns in gaps_ns {
                gaps.record(*ns).unwrap();
                *stolen_ns += ns;
            }
        }
        let end = quantumflow_feeds::Ticks(steals.start.0 + base.ticks_in(Duration::from_millis(1_500)));
        steals.longest = Some((90_000, end));
        steals.measured_ns = 2 * SECOND_NS;
        (steals.reading_count, steals.reading_ns_min) = (100_000_000, 18);
        steals
    }

    fn report(check: impl Fn(&Report<'_>)) {
        let base = TimeBase::calibrate(Duration::from_millis(5));
        let plan = Plan {
            seconds: 3,
            threshold_ns: 1_000,
        };
        let steals = made_up(&plan, &base);
        let counted = Counted {
            suspects: vec![Suspect {
                what: "LOC Local timer interrupts".to_owned(),
                count: 500,
                see: "tick",
            }],
            steal_percent: Some(1.5),
            waited_ns: Some(2_000),
            unread: vec!["/proc/x is not there".to_owned()],
        };
        check(&Report {
            core: 3,
            plan: &plan,
            base: &base,
            steals: &steals,
            counted: &counted,
        });
    }

    #[test]
    fn people_read_what_was_stolen_and_who_was_there() {
        report(|report| {
            let mut text = Vec::new();
            report.print(&mut text).unwrap();
            let text = String::from_utf8(text).unwrap();
            for piece in [
                "core 3 for 2.00 s: 3 steals over 1000 ns, 1.5 a second, 0.0051 % of its time",
                "the loop looks every 20.0 ns (18 at best)",
                "longest 90.0 us, until 1.500 s after the start, at 2",
                "worst second 2: 1 steals took 90.0 us; the quietest had 1",
                "       500      250.0/s  LOC Local timer interrupts",
                "waited 2.0 us",
                "took 1.50 %",
                "unknown: /proc/x is not there",
            ] {
                assert!(text.contains(piece), "{piece:?} is not in\n{text}");
            }
        });
    }

    #[test]
    fn programs_read_the_same() {
        report(|report| {
            let mut text = Vec::new();
            report.print_json(&mut text).unwrap();
            let json: Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(json["stolen_ns"], 102_000);
            assert_eq!(json["steals"]["count"], 3);
            assert_eq!(
                json["seconds"].as_array().unwrap().len(),
                2,
                "the third was not reached"
            );
            assert_eq!(json["longest"]["ns"], 90_000);
            assert_eq!(json["suspects"][0]["count"], 500);
        });
    }

    #[test]
    fn the_log_is_one_that_the_other_tools_read() {
        report(|report| {
            let mut text = Vec::new();
            report.write_log(&mut text).unwrap();
            let mut reader = LogReader::new(&text[..], "jitter.hlog");
            let mut lines = Vec::new();
            while let Some(line) = reader.next_line().unwrap() {
                let count = line.histogram().unwrap().len();
                lines.push((line.tag.map(str::to_owned), line.is_repeat, line.length_ns, count));
            }
            let tag = || Some("jitter:core=3".to_owned());
            assert_eq!(
                lines,
                [
                    (None, true, SECOND_NS, 2),
                    (tag(), false, SECOND_NS, 2),
                    (None, true, SECOND_NS, 1),
                    (tag(), false, SECOND_NS, 1)
                ]
            );
        });
    }
}
