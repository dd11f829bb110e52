//! The facts that the page has without a script: which engines there are, how they are, and where else to look.

use std::path::Path;

use crate::engine::{REVISION, VERSION};
use crate::monitoring;
use crate::source::{Condition, Host, Sight};

/// The page's title: the worst state, so that a row of browser tabs tells which host to look at.
pub fn title(host: &Host) -> String {
    let states = host.engines.iter().map(|sight| sight.view.condition);
    let down = states.clone().find(|condition| !condition.is_up());
    let state = down.or_else(|| states.clone().next()).unwrap_or(Condition::Absent);
    format!("QuantumFlow exporter: {}", state.name())
}

/// A list of the engines and of what is known of each, as HTML.
pub fn facts(host: &Host, dir: &Path) -> String {
    let mut html = String::from("<dl>\n");
    if host.engines.is_empty() {
        fact(
            &mut html,
            "Engine",
            &state(Condition::Absent.name(), host.reason.as_deref()),
        );
    }
    for sight in &host.engines {
        html.push_str(&of_engine(sight));
    }
    fact(&mut html, "Directory", &escape(&dir.display().to_string()));
    let exporter = format!("version {VERSION}, revision {REVISION}");
    fact(&mut html, "Exporter", &escape(&exporter));
    html.push_str("</dl>\n");
    html
}

fn of_engine(sight: &Sight) -> String {
    let view = &sight.view;
    let mut html = String::new();
    let engine = state(view.condition.name(), view.reason.as_deref());
    fact(&mut html, "Engine", &format!("{}: {engine}", escape(&sight.engine)));
    if !view.stuck.is_empty() {
        fact(&mut html, "Threads that hang", &escape(&view.stuck.join(", ")));
    }
    if let Some(region) = &view.region {
        let info = &region.info;
        let (version, revision) = (known(&info.version), known(&info.revision));
        let build = format!("version {version}, revision {revision}, process {}", info.pid);
        fact(&mut html, "Build", &escape(&build));
        fact(&mut html, "Region", &escape(&region.file));
    }
    html
}

fn state(name: &str, reason: Option<&str>) -> String {
    let reason = reason.map(|reason| format!(": {}", escape(reason)));
    format!("<strong>{name}</strong>{}", reason.unwrap_or_default())
}

fn known(text: &str) -> &str {
    if text.is_empty() { "unknown" } else { text }
}

fn fact(html: &mut String, term: &str, description: &str) {
    html.push_str(&format!("<dt>{term}</dt><dd>{description}</dd>\n"));
}

/// Links to the other answers, as HTML.
pub fn links(telemetry_path: &str) -> String {
    let [health, readiness, _, system, json] = monitoring::PATHS;
    let links = [
        (telemetry_path, "Metrics"),
        (json, "Metrics as JSON"),
        (health, "Health"),
        (readiness, "Readiness"),
        (system, "System"),
    ];
    let item = |(path, text): (&str, &str)| format!("<li><a href=\"{}\">{text}</a></li>\n", escape(path));
    links.map(item).concat()
}

/// Text for an HTML page: a region's strings are another program's.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}
