//! Which part of the metrics a scrape asks for: `?collect[]=GROUP`, `?exclude[]=GROUP` and `?engine[]=NAME`.
//!
//! As in other exporters: `collect[]` names what to show, `exclude[]` what to leave out, each may come several times, and
//! both at once, or a group that does not exist, is a mistake that is answered and not guessed at. Whether the engines are
//! up is always shown: no filter can hide that. Parameters of other names are let through; proxies add their own.

use std::collections::BTreeSet;

/// A group of metrics that can be asked for.
#[derive(Debug)]
pub struct Group {
    /// Its name in the query.
    pub name: &'static str,
    /// What is in it, for people.
    pub what: &'static str,
    /// The beginnings of its metrics' names.
    prefixes: &'static [&'static str],
}

/// Every group. A metric is in the first whose beginnings fit its name, and in the last where none does; only latencies
/// go by the end of their names.
pub const GROUPS: [Group; 11] = [
    Group {
        name: "latency",
        what: "latency histograms (names that end in _latency_seconds)",
        prefixes: &[],
    },
    Group {
        name: "process",
        what: "the engine's process: processor time, memory, threads, context switches",
        prefixes: &["hft_process_", "hft_writer_context_switches"],
    },
    Group {
        name: "exporter",
        what: "this exporter: its build, its process, its reading",
        prefixes: &["hft_exporter_", "hft_scrape_", "process_", "hft_region_files"],
    },
    Group {
        name: "feeds",
        what: "connections, messages, captures",
        prefixes: &[
            "hft_feed_",
            "hft_price_updates_",
            "hft_trades_received_",
            "hft_capture_",
            "hft_circuit_breaker_",
        ],
    },
    Group {
        name: "books",
        what: "order books: prices, quality, gaps, checksums",
        prefixes: &[
            "hft_book_",
            "hft_snapshots_",
            "hft_best_",
            "hft_spread",
            "hft_data_quality_",
        ],
    },
    Group {
        name: "bars",
        what: "time bars and their indicators",
        prefixes: &["hft_bar_", "hft_bars_", "hft_indicator_"],
    },
    Group {
        name: "features",
        what: "features and their drift",
        prefixes: &["hft_feature_", "hft_features_", "hft_drift_"],
    },
    Group {
        name: "predictions",
        what: "models, predictions, signals",
        prefixes: &[
            "hft_prediction_",
            "hft_predictions_",
            "hft_model_",
            "hft_signal_",
            "hft_signals_",
            "hft_trading_signals_",
            "hft_online_",
            "hft_ranking_",
            "hft_training_",
            "hft_last_training_",
        ],
    },
    Group {
        name: "trading",
        what: "positions, orders, profit and loss",
        prefixes: &[
            "hft_paper_",
            "hft_portfolio_",
            "hft_position_",
            "hft_realized_",
            "hft_unrealized_",
            "hft_risk_",
            "hft_order_",
            "hft_orders_",
        ],
    },
    Group {
        name: "engine",
        what: "the engine itself: threads, queues, its region, its build",
        prefixes: &[
            "hft_engine_",
            "hft_heartbeat_",
            "hft_hot_loop_",
            "hft_queue_",
            "hft_log_",
            "hft_region_",
            "hft_writer_",
        ],
    },
    Group {
        name: "other",
        what: "what is in no other group",
        prefixes: &[""],
    },
];

const LATENCY: usize = 0;
/// No filter hides these.
const ALWAYS: [&str; 3] = ["hft_engine_state", "hft_engines", "hft_up"];

/// The group that a metric is in.
pub fn group_of(metric: &str) -> &'static Group {
    &GROUPS[group_index(metric)]
}

fn group_index(metric: &str) -> usize {
    if metric.ends_with("_latency_seconds") {
        return LATENCY;
    }
    let fits = |group: &Group| group.prefixes.iter().any(|prefix| metric.starts_with(prefix));
    GROUPS
        .iter()
        .position(fits)
        .expect("every name begins with the last group's prefix, which is empty")
}

/// What a scrape asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Bit by place in [`GROUPS`].
    groups: u32,
    /// Empty: all.
    engines: BTreeSet<String>,
}

/// What is wrong with a query. Each is answered with 400 and its words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// There is no such group.
    #[error("no group of metrics is called {0:?}; there are: {names}", names = names())]
    UnknownGroup(String),
    /// Both kinds of filters.
    #[error("collect[] and exclude[] cannot be combined: give one of them")]
    Both,
    /// Not a name that an engine can have.
    #[error(
        "{0:?} cannot be an engine's name: give the value of its label `engine`, at most {ENGINE_BYTES_MAX} of a-z, 0-9, \
         '-', '_', '@'"
    )]
    EngineName(String),
    /// More engines than are ever shown.
    #[error("more than {ENGINES_MAX} engine[] parameters")]
    TooManyEngines,
    /// A percent sign that does not begin a character.
    #[error("{0:?} is not percent-encoded UTF-8")]
    Encoding(String),
}

const ENGINE_BYTES_MAX: usize = 80;
const ENGINES_MAX: usize = crate::source::REGIONS_MAX;

impl Default for Selection {
    /// Everything.
    fn default() -> Self {
        Self {
            groups: ALL_GROUPS,
            engines: BTreeSet::new(),
        }
    }
}

const ALL_GROUPS: u32 = (1 << GROUPS.len()) - 1;

impl Selection {
    /// Reads a query, the part of a URL after its question mark.
    ///
    /// # Errors
    /// What cannot be meant.
    pub fn parse(query: &str) -> Result<Self, SelectionError> {
        let (mut collect, mut exclude) = (None, None);
        let mut engines = BTreeSet::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match decode(name)?.as_str() {
                "collect[]" => *collect.get_or_insert(0) |= bit(&decode(value)?)?,
                "exclude[]" => *exclude.get_or_insert(0) |= bit(&decode(value)?)?,
                "engine[]" => drop(engines.insert(engine(decode(value)?)?)),
                _ => {}
            }
        }
        if engines.len() > ENGINES_MAX {
            return Err(SelectionError::TooManyEngines);
        }
        let groups = match (collect, exclude) {
            (Some(_), Some(_)) => return Err(SelectionError::Both),
            (Some(groups), None) => groups,
            (None, Some(groups)) => ALL_GROUPS & !groups,
            (None, None) => ALL_GROUPS,
        };
        Ok(Self { groups, engines })
    }

    /// Whether a metric is asked for.
    pub fn wants(&self, metric: &str) -> bool {
        self.groups == ALL_GROUPS || self.groups & 1 << group_index(metric) != 0 || ALWAYS.contains(&metric)
    }

    /// Whether an engine is asked for.
    pub fn wants_engine(&self, engine: &str) -> bool {
        self.engines.is_empty() || self.engines.contains(engine)
    }

    /// The engines that are asked for by name.
    pub fn engines(&self) -> impl Iterator<Item = &str> {
        self.engines.iter().map(String::as_str)
    }
}

fn bit(group: &str) -> Result<u32, SelectionError> {
    let place = GROUPS.iter().position(|known| known.name == group);
    place
        .map(|place| 1 << place)
        .ok_or_else(|| SelectionError::UnknownGroup(shortened(group)))
}

fn engine(name: String) -> Result<String, SelectionError> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_@".contains(&b);
    if name.is_empty() || name.len() > ENGINE_BYTES_MAX || !name.bytes().all(allowed) {
        return Err(SelectionError::EngineName(shortened(&name)));
    }
    Ok(name)
}

fn names() -> String {
    GROUPS.map(|group| group.name).join(", ")
}

/// For an answer that repeats what was sent.
fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Percent-decoding as forms do it: a plus is a space.
fn decode(text: &str) -> Result<String, SelectionError> {
    let wrong = || SelectionError::Encoding(shortened(text));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(b) = rest.next() {
        bytes.push(match b {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let (high, low) = digit().zip(digit()).ok_or_else(wrong)?;
                (high << 4 | low) as u8
            }
            b => b,
        });
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;
    use quantumflow_region::catalogue;

    fn shown(query: &str) -> Vec<&'static str> {
        let selection = Selection::parse(query).unwrap();
        let metrics = [
            "hft_stage_latency_seconds",
            "hft_process_threads",
            "process_threads",
            "hft_feed_health",
            "hft_spread",
            "hft_unheard_of",
        ];
        metrics.into_iter().filter(|metric| selection.wants(metric)).collect()
    }

    #[test]
    fn groups_are_collected_or_excluded() {
        assert_eq!(shown("").len(), 6);
        assert_eq!(shown("collect[]=feeds"), ["hft_feed_health"]);
        assert_eq!(
            shown("collect%5B%5D=feeds&collect%5b%5d=b%6foks"),
            ["hft_feed_health", "hft_spread"]
        );
        assert_eq!(shown("collect[]=other&x=y"), ["hft_unheard_of"]);
        assert_eq!(
            shown("exclude[]=latency&exclude[]=process&&exclude[]=exporter"),
            ["hft_feed_health", "hft_spread", "hft_unheard_of"]
        );
        let nothing = GROUPS.map(|group| format!("exclude[]={}", group.name)).join("&");
        assert!(shown(&nothing).is_empty());
        assert!(
            ALWAYS
                .iter()
                .all(|metric| Selection::parse(&nothing).unwrap().wants(metric))
        );
    }

    #[test]
    fn mistakes_are_answered() {
        let error = |query: &str| Selection::parse(query).unwrap_err().to_string();
        for query in [
            "collect[]=feed",
            "exclude[]=FEEDS",
            "collect[]",
            "collect[]=",
            "collect[]=feeds&collect[]=x",
        ] {
            let text = error(query);
            assert!(GROUPS.iter().all(|group| text.contains(group.name)), "{query}: {text}");
        }
        assert!(error("collect[]=feeds&exclude[]=books").contains("cannot be combined"));
        for query in [
            "collect[]=%",
            "collect[]=%4",
            "collect[]=%zz",
            "collect[]=%ff",
            "%=1",
            "engine[]=%+1",
        ] {
            assert!(error(query).contains("percent"), "{query}");
        }
        for query in ["engine[]=", "engine[]=A", "engine[]=a+b", "engine[]=%22"] {
            assert!(error(query).contains("engine's name"), "{query}");
        }
        assert!(error(&format!("collect[]={}", "x".repeat(8000))).len() < 500);
        let many: String = (0..=ENGINES_MAX).map(|i| format!("engine[]=e{i}&")).collect();
        assert!(error(&many).contains("more than"));
    }

    #[test]
    fn engines_are_picked_by_name() {
        let selection = Selection::parse("engine[]=a&engine[]=b%4012").unwrap();
        assert!(selection.wants_engine("a") && selection.wants_engine("b@12") && !selection.wants_engine("b"));
        assert_eq!(selection.engines().count(), 2);
        assert!(Selection::default().wants_engine("any"));
    }

    /// A new metric of the catalogue needs a group: add its beginning to the table.
    #[test]
    fn every_metric_of_the_catalogue_has_a_group_of_its_own() {
        let homeless: Vec<&str> = catalogue::ALL
            .iter()
            .map(|metric| metric.name)
            .filter(|name| group_of(name).name == "other")
            .collect();
        assert_eq!(homeless, Vec::<&str>::new());
    }
}
