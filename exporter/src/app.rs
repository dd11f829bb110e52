//! What is behind each path.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus::Registry;

use crate::engine::{EngineCollector, REVISION, VERSION};
use crate::exposition;
use crate::http::{Answer, Handler, Request, Response};
use crate::process::ProcessCollector;
use crate::source::{Condition, Sight, Source, View};

/// The exporter without its sockets.
pub struct App {
    source: Arc<Source>,
    registry: Registry,
    telemetry_path: String,
    /// Most scrapes at one time, zero for no limit.
    max_requests: usize,
    scrapes: AtomicUsize,
}

impl App {
    /// Serves what `source` finds, at `telemetry_path`; with the metrics of its own process if `process_metrics`.
    pub fn new(source: Arc<Source>, telemetry_path: &str, max_requests: usize, process_metrics: bool) -> Self {
        let registry = Registry::new();
        let fresh = "the first collectors of a registry clash with nothing";
        registry
            .register(Box::new(EngineCollector::new(Arc::clone(&source))))
            .expect(fresh);
        if process_metrics {
            registry.register(Box::new(ProcessCollector::default())).expect(fresh);
        }
        let telemetry_path = telemetry_path.to_owned();
        Self {
            source,
            registry,
            telemetry_path,
            max_requests,
            scrapes: AtomicUsize::new(0),
        }
    }

    /// One exposition.
    ///
    /// # Errors
    /// What the encoder refuses; the collectors hand it nothing of the kind.
    pub fn exposition(&self) -> Result<String, prometheus::Error> {
        exposition::encode(&self.registry.gather())
    }

    fn metrics(&self) -> Response {
        let scrape = Scrape::begin(&self.scrapes);
        if self.max_requests > 0 && scrape.at_once > self.max_requests {
            return Response::text(
                503,
                format!("{} scrapes are under way, try again later\n", self.max_requests),
            );
        }
        match self.exposition() {
            Ok(text) => {
                let content_type = exposition::CONTENT_TYPE;
                Response {
                    status: 200,
                    content_type,
                    headers: Vec::new(),
                    body: text.into_bytes(),
                }
            }
            Err(error) => Response::text(500, format!("failed to encode the metrics: {error}\n")),
        }
    }

    /// Whether the process can do its work: a region is mapped and of a version that is known. How its engine is, the
    /// metrics say; a monitor that went unready with the engine would be taken away when it has most to tell.
    fn ready(&self) -> Response {
        let host = self.source.look();
        let line = |sight: &Sight| {
            let View { condition, reason, .. } = &sight.view;
            let reason = reason.as_deref().map_or(String::new(), |reason| format!(": {reason}"));
            format!("{} is {}{reason}\n", sight.engine, condition.name())
        };
        let lines: String = host.engines.iter().map(line).collect();
        if host.engines.iter().any(|sight| sight.view.region.is_some()) {
            Response::text(200, format!("ready\n{lines}"))
        } else {
            let reason = host.reason.map_or(String::new(), |reason| reason + "\n");
            Response::text(503, format!("not ready\n{reason}{lines}"))
        }
    }

    fn landing(&self) -> Response {
        let host = self.source.look();
        let ups = host.engines.iter().filter(|sight| sight.view.condition.is_up()).count();
        let state = match host.engines.as_slice() {
            [] => Condition::Absent.name().to_owned(),
            [one] => one.view.condition.name().to_owned(),
            several => format!("{ups} of {} up", several.len()),
        };
        let mut rows = String::new();
        if host.engines.is_empty() {
            let reason = escape(host.reason.as_deref().unwrap_or_default());
            rows.push_str(&format!("<dt>Engine</dt><dd><strong>absent</strong>: {reason}</dd>\n"));
        }
        for sight in &host.engines {
            rows.push_str(&row(sight));
        }
        rows.push_str(&format!(
            "<dt>Directory</dt><dd>{}</dd>\n",
            escape(&self.source.dir().display().to_string())
        ));
        let metrics = escape(&self.telemetry_path);
        let page = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>QuantumFlow exporter: {state}</title>\n</head>\n<body>\n<main>\n<h1>QuantumFlow exporter</h1>\n\
             <p>Version {VERSION}, revision {REVISION}</p>\n<dl>\n{rows}</dl>\n<ul>\n\
             <li><a href=\"{metrics}\">Metrics</a></li>\n<li><a href=\"/-/healthy\">Health</a></li>\n\
             <li><a href=\"/-/ready\">Readiness</a></li>\n</ul>\n</main>\n</body>\n</html>\n"
        );
        let policy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
        Response {
            content_type: "text/html; charset=utf-8",
            ..Response::text(200, page)
        }
        .with_header("Content-Security-Policy", policy)
    }
}

impl Handler for App {
    fn answer(&self, request: &Request) -> Answer {
        Answer::Whole(match request.path.as_str() {
            path if path == self.telemetry_path => self.metrics(),
            "/-/healthy" | "/healthz" | "/livez" => Response::text(200, "healthy\n"),
            "/-/ready" | "/readyz" => self.ready(),
            "/" => self.landing(),
            _ => Response::text(404, format!("not found: metrics are at {}\n", self.telemetry_path)),
        })
    }
}

/// An engine on the landing page.
fn row(sight: &Sight) -> String {
    let view = &sight.view;
    let mut row = format!(
        "<dt>{}</dt><dd><strong>{}</strong>",
        escape(&sight.engine),
        view.condition.name()
    );
    if let Some(reason) = &view.reason {
        row.push_str(&format!(": {}", escape(reason)));
    }
    if !view.stuck.is_empty() {
        row.push_str(&format!("<br>threads that hang: {}", escape(&view.stuck.join(", "))));
    }
    if let Some(region) = &view.region {
        let info = &region.info;
        let known = |text: &str| {
            if text.is_empty() {
                "unknown".to_owned()
            } else {
                escape(text)
            }
        };
        let (version, revision) = (known(&info.version), known(&info.revision));
        row.push_str(&format!(
            "<br>version {version}, revision {revision}, process {}<br>{}",
            info.pid,
            escape(&region.file)
        ));
    }
    row + "</dd>\n"
}

/// Counts itself among the scrapes under way.
struct Scrape<'a> {
    under_way: &'a AtomicUsize,
    /// How many there are with this one.
    at_once: usize,
}

impl<'a> Scrape<'a> {
    fn begin(under_way: &'a AtomicUsize) -> Self {
        // Relaxed: a number to compare, which guards no memory.
        Self {
            under_way,
            at_once: under_way.fetch_add(1, Ordering::Relaxed) + 1,
        }
    }
}

impl Drop for Scrape<'_> {
    fn drop(&mut self) {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Text for an HTML page: a region's strings are another program's.
fn escape(text: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn get(app: &App, path: &str) -> (u16, String) {
        let request = Request {
            path: path.into(),
            query: String::new(),
            headers: Vec::new(),
            head_only: false,
        };
        let Answer::Whole(response) = app.answer(&request) else {
            panic!("{path} is a stream")
        };
        (response.status, String::from_utf8(response.body).unwrap())
    }

    #[test]
    fn without_an_engine_it_is_healthy_and_not_ready_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let hostile = dir.path().join("<script>&\"'");
        let app = App::new(Arc::new(Source::new(&hostile)), "/m", 40, true);
        for path in ["/-/healthy", "/healthz", "/livez"] {
            assert_eq!(get(&app, path), (200, "healthy\n".into()));
        }
        for path in ["/-/ready", "/readyz"] {
            let (status, body) = get(&app, path);
            assert!(status == 503 && body.contains("no region in "), "{body}");
        }
        let (status, page) = get(&app, "/");
        assert!(
            status == 200 && page.contains("<strong>absent</strong>") && page.contains("href=\"/m\""),
            "{page}"
        );
        assert!(
            page.contains("&lt;script&gt;&amp;&quot;&#39;") && !page.contains("<script>"),
            "{page}"
        );
        let (status, body) = get(&app, "/m");
        assert!(
            status == 200 && body.contains("\nhft_up 0\n") && body.contains("\nprocess_open_fds "),
            "{body}"
        );
        for path in ["/metrics", "/favicon.ico", "//", "/m/"] {
            assert_eq!(get(&app, path).0, 404, "{path}");
        }
    }

    #[test]
    fn metrics_at_the_root_replace_the_page() {
        let app = App::new(Arc::new(Source::new("/nonexistent")), "/", 0, false);
        let (status, body) = get(&app, "/");
        assert!(
            status == 200 && body.contains("\nhft_up 0\n") && !body.contains("process_"),
            "{body}"
        );
    }

    #[test]
    fn scrapes_beyond_the_limit_are_sent_away() {
        let app = App::new(Arc::new(Source::new("/nonexistent")), "/metrics", 2, false);
        let first = Scrape::begin(&app.scrapes);
        assert_eq!(get(&app, "/metrics").0, 200);
        let second = Scrape::begin(&app.scrapes);
        assert_eq!(get(&app, "/metrics").0, 503);
        assert_eq!(get(&app, "/-/healthy").0, 200);
        drop((first, second));
        assert_eq!(get(&app, "/metrics").0, 200);
    }
}
