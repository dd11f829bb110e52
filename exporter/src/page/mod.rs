//! The live page: what an operator looks at when the dashboards are far away.
//!
//! One HTML document at `/`, with its style and its script inside, that asks nobody but this exporter. The facts of the
//! moment are in the HTML itself ([`landing`]), so that it says how the engines are without a script, too; with one it
//! follows `/live/events` ([`live`]), an event a second, each a JSON document of what is shown ([`document`]).
//!
//! The script draws its charts itself: four kinds of lines over ten minutes are some hundred lines of code, less to read
//! than a charting library is to vendor, and they are SVG, which zooms, prints and has a text alternative.
//!
//! The policy that is sent along ([`POLICY`]) lets the browser run this script and this style, by their hashes, connect to
//! this origin, and nothing else. Every text from a region reaches the page as text: escaped here, `textContent` there.

pub mod document;
pub mod landing;
pub mod live;

use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::digest::{SHA256, digest};

use crate::http::{Answer, Request, Response};
use crate::monitoring::Monitoring;
use crate::source::Source;
use live::Live;

/// Path of the page.
pub const PAGE: &str = "/";
/// Path of the events.
pub const EVENTS: &str = "/live/events";

/// The page, its events, and the JSON documents beside it.
pub struct Pages {
    source: Arc<Source>,
    telemetry_path: String,
    monitoring: Arc<Monitoring>,
    live: Arc<Live>,
}

impl Pages {
    /// Tells of what `source` finds, with a link to the metrics at `telemetry_path`.
    pub fn new(source: Arc<Source>, telemetry_path: &str) -> Self {
        let monitoring = Arc::new(Monitoring::new(Arc::clone(&source)));
        Self {
            live: Arc::new(Live::new(Arc::clone(&source), Arc::clone(&monitoring))),
            source,
            telemetry_path: telemetry_path.to_owned(),
            monitoring,
        }
    }

    /// The answer, if the path is one of these.
    pub fn answer(&self, request: &Request) -> Option<Answer> {
        match request.path.as_str() {
            PAGE => Some(self.page().into()),
            EVENTS => Some(live::follow(&self.live)),
            path => self.monitoring.answer(path).map(Answer::Whole),
        }
    }

    /// To be called about once a second.
    pub fn observe(&self) {
        self.monitoring.observe();
    }

    fn page(&self) -> Response {
        let host = self.source.look();
        let facts = landing::facts(&host, self.source.dir());
        let links = landing::links(&self.telemetry_path);
        let html = TEMPLATE
            .replace("{{title}}", &landing::title(&host))
            .replace("{{style}}", STYLE)
            .replace("{{script}}", SCRIPT);
        // Last, so that nothing that a region says is taken for a place in the template.
        let html = html.replace("{{links}}", &links).replace("{{facts}}", &facts);
        Response {
            content_type: "text/html; charset=utf-8",
            ..Response::text(200, html)
        }
        .with_header("Content-Security-Policy", POLICY.as_str())
        .with_header("Referrer-Policy", "no-referrer")
    }
}

const TEMPLATE: &str = include_str!("assets/page.html");
const STYLE: &str = include_str!("assets/page.css");
const SCRIPT: &str = concat!(
    include_str!("assets/format.js"),
    include_str!("assets/chart.js"),
    include_str!("assets/sections.js"),
    include_str!("assets/page.js")
);

/// What the browser may do with the page.
pub static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |text: &str| BASE64_STANDARD.encode(digest(&SHA256, text.as_bytes()));
    format!(
        "default-src 'none'; connect-src 'self'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(SCRIPT),
        hash(STYLE),
    )
});

#[cfg(test)]
mod tests;
