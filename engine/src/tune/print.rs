//! Findings for people, for fleets, and for `scripts/tune-host`.

use std::io::{self, Write};

use serde_json::json;

use super::{Finding, Host, Status, Target, settings};

/// How many lines of one kind a finding may have in the table; `--settings` and `--json` have them all.
const LINES_MAX: usize = 4;

fn word(status: Status) -> &'static str {
    match status {
        Status::Costs => "COSTS",
        Status::Unknown => "unknown",
        Status::Good => "good",
    }
}

fn release(host: &Host) -> String {
    let release = host.read("/proc/sys/kernel/osrelease");
    release.map_or_else(|error| error.to_string(), |seen| seen.value)
}

/// A block for each finding that costs something, a line for each other one.
pub fn print_table(findings: &[Finding], host: &Host, target: &Target, out: &mut impl Write) -> io::Result<()> {
    let count = |status| findings.iter().filter(|finding| finding.status == status).count();
    let hot = match target.hot.is_empty() {
        true => "no hot core named".to_owned(),
        false => format!("hot core {}", target.hot),
    };
    writeln!(
        out,
        "Linux {}, {hot}: {} cost latency, {} unknown, {} good",
        release(host),
        count(Status::Costs),
        count(Status::Unknown),
        count(Status::Good)
    )?;
    let mut last = None;
    for finding in findings {
        let is_block = finding.status == Status::Costs;
        if is_block || last != Some(finding.status) {
            writeln!(out)?;
        }
        last = Some(finding.status);
        writeln!(
            out,
            "{:<8} {:<18} {}",
            word(finding.status),
            finding.check,
            finding.says
        )?;
        if is_block {
            block(finding, out)?;
        }
    }
    let settings = settings(findings);
    if !settings.is_empty() {
        let files = if settings.len() == 1 { "file" } else { "files" };
        writeln!(
            out,
            "\n{} {files} can be set at once: scripts/tune-host prints the commands, scripts/tune-host --apply runs them",
            settings.len()
        )?;
    }
    writeln!(
        out,
        "docs/tuning.md says why each matters; quantumflow jitter measures what is left"
    )
}

fn block(finding: &Finding, out: &mut impl Write) -> io::Result<()> {
    let seen = finding.seen.iter().map(|seen| match seen.value.as_str() {
        "" => format!("{} is empty", seen.file),
        value => format!("{}: {value}", seen.file),
    });
    let now = finding
        .settings
        .iter()
        .map(|setting| format!("echo {} > {}", setting.to, setting.file))
        .chain(finding.by_hand.iter().cloned());
    lines("seen", seen, out)?;
    lines("costs", finding.costs.map(str::to_owned).into_iter(), out)?;
    lines("now", now, out)?;
    lines("at boot", finding.at_boot.iter().cloned(), out)
}

fn lines(name: &str, texts: impl Iterator<Item = String>, out: &mut impl Write) -> io::Result<()> {
    let texts: Vec<String> = texts.collect();
    // One more is shown rather than counted.
    let shown = if texts.len() > LINES_MAX + 1 {
        LINES_MAX
    } else {
        texts.len()
    };
    for (at, text) in texts.iter().take(shown).enumerate() {
        writeln!(out, "{:<8} {:>18} {text}", "", if at == 0 { name } else { "" })?;
    }
    if shown < texts.len() {
        writeln!(out, "{:<27} and {} more (--json)", "", texts.len() - shown)?;
    }
    Ok(())
}

/// All that is known, for programs.
pub fn print_json(findings: &[Finding], host: &Host, target: &Target, out: &mut impl Write) -> io::Result<()> {
    let all = json!({
        "kernel": release(host),
        "hot_cores": target.hot.iter().collect::<Vec<_>>(),
        "findings": findings,
    });
    serde_json::to_writer_pretty(&mut *out, &all)?;
    writeln!(out)
}

/// The files that can be written now, one a line: file, what it says, what it should say, with a tab between. What is
/// left to people follows in lines that begin with `#`: the check, and what to do.
pub fn print_settings(findings: &[Finding], out: &mut impl Write) -> io::Result<()> {
    for setting in settings(findings) {
        writeln!(out, "{}\t{}\t{}", setting.file, setting.from, setting.to)?;
    }
    for finding in findings {
        for text in finding.by_hand.iter().chain(&finding.at_boot) {
            writeln!(out, "# {}: {text}", finding.check)?;
        }
    }
    Ok(())
}
