//! What is behind each path.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus::Registry;

use crate::engine::{EngineCollector, Engines};
use crate::exposition::{Format, openmetrics, protobuf, text};
use crate::http::{Answer, Handler, Request, Response};
use crate::page::Pages;
use crate::select::Selection;
use crate::source::{Sight, Source, View};

/// The exporter without its sockets.
pub struct App {
    source: Arc<Source>,
    engines: Arc<Engines>,
    telemetry_path: String,
    /// Most scrapes at one time, zero for no limit.
    max_requests: usize,
    scrapes: AtomicUsize,
    pages: Pages,
}

impl App {
    /// Serves what `source` finds, at `telemetry_path`; with the metrics of its own process if `process_metrics`.
    pub fn new(source: Arc<Source>, telemetry_path: &str, max_requests: usize, process_metrics: bool) -> Self {
        let engines = Arc::new(Engines::new(Arc::clone(&source), process_metrics));
        Self {
            pages: Pages::new(Arc::clone(&source), telemetry_path),
            source,
            engines,
            telemetry_path: telemetry_path.to_owned(),
            max_requests,
            scrapes: AtomicUsize::new(0),
        }
    }

    /// To be called about once a second: sees a stall when it begins, and remembers what growth is measured from.
    pub fn watch(&self) {
        self.source.watch();
        self.pages.observe();
    }

    /// One exposition of everything, as text.
    ///
    /// # Errors
    /// What the encoder refuses; the collector hands it nothing of the kind.
    pub fn exposition(&self) -> Result<String, prometheus::Error> {
        self.text(Selection::default())
    }

    /// What `selection` asks for, in `format`.
    ///
    /// # Errors
    /// As [`exposition`](Self::exposition).
    pub fn encode(&self, selection: Selection, format: Format) -> Result<Vec<u8>, prometheus::Error> {
        Ok(match format {
            Format::Text => self.text(selection)?.into_bytes(),
            Format::OpenMetrics => openmetrics::encode(&self.engines.families(&selection, false)).into_bytes(),
            Format::Protobuf => protobuf::encode(&self.engines.families(&selection, true)),
        })
    }

    fn text(&self, selection: Selection) -> Result<String, prometheus::Error> {
        // A registry for each scrape, since each asks for its own part.
        let registry = Registry::new();
        registry.register(Box::new(EngineCollector::new(Arc::clone(&self.engines), selection)))?;
        text::encode(&registry.gather())
    }

    fn metrics(&self, request: &Request) -> Response {
        let selection = match Selection::parse(&request.query) {
            Ok(selection) => selection,
            Err(error) => return Response::text(400, format!("{error}\n")),
        };
        let scrape = Scrape::begin(&self.scrapes);
        if self.max_requests > 0 && scrape.at_once > self.max_requests {
            return Response::text(
                503,
                format!("{} scrapes are under way, try again later\n", self.max_requests),
            );
        }
        let accept = request.headers.iter().filter(|(name, _)| name == "accept");
        let accept: Vec<&str> = accept.map(|(_, value)| value.as_str()).collect();
        let format = Format::negotiate(&accept.join(","));
        match self.encode(selection, format) {
            Ok(body) => Response {
                status: 200,
                content_type: format.content_type(),
                headers: Vec::new(),
                body,
            },
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
}

impl Handler for App {
    fn answer(&self, request: &Request) -> Answer {
        Answer::Whole(match request.path.as_str() {
            path if path == self.telemetry_path => self.metrics(request),
            "/-/healthy" | "/healthz" | "/livez" => Response::text(200, "healthy\n"),
            "/-/ready" | "/readyz" => self.ready(),
            _ => {
                let not_found = || Response::text(404, format!("not found: metrics are at {}\n", self.telemetry_path));
                return self.pages.answer(request).unwrap_or_else(|| not_found().into());
            }
        })
    }
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
