//! What the configuration accepts, what it refuses, and with which words.

use super::*;

fn check(text: &str, expected: &[&str]) {
    let error = parse(text, Path::new("engine.toml")).expect_err("refused").to_string();
    for part in expected {
        assert!(error.contains(part), "{error:?} does not say {part:?}");
    }
}

const FEED: &str = "[[feed]]\nvenue = \"binance\"\nsymbols = [\"BTCUSDT\"]\n";

#[test]
fn a_feed_alone_is_a_configuration() {
    let config = parse(FEED, Path::new("engine.toml")).unwrap();
    assert_eq!(config.engine.name, "quantumflow");
    assert_eq!(config.engine.core, None);
    assert_eq!(config.feeds[0].url, "wss://stream.binance.com:9443");
    assert_eq!(config.feeds[0].depth, 5000);
    assert!(config.capture.is_none());
}

#[test]
fn books_are_checked_once_a_minute_where_that_is_possible() {
    let interval_s = |text: &str| {
        let config = parse(&format!("[[feed]]\n{text}"), Path::new("engine.toml")).unwrap();
        config.feeds[0].checkpoint_interval.map(|interval| interval.as_secs())
    };
    let (binance, bybit) = (
        "venue = \"binance\"\nsymbols = [\"X\"]\n",
        "venue = \"bybit\"\nsymbols = [\"X\"]\n",
    );
    assert_eq!(interval_s(binance), Some(60));
    assert_eq!(interval_s(&format!("{binance}checkpoint_interval_s = 5\n")), Some(5));
    assert_eq!(interval_s(&format!("{binance}checkpoint_interval_s = 0\n")), None);
    assert_eq!(interval_s(bybit), None);
    assert_eq!(interval_s(&format!("{bybit}checkpoint_interval_s = 0\n")), None);
    assert_eq!(interval_s(&format!("{bybit}depth = 1000\n")), Some(60));
}

#[test]
fn the_manual_documents_every_feed_key_that_is_accepted() {
    let lines: Vec<_> = DEFAULT_TOML.lines().skip_while(|line| *line != "# [[feed]]").collect();
    let feed: Vec<_> = lines
        .iter()
        .map(|line| line.strip_prefix("# ").unwrap_or(line))
        .collect();
    parse(&feed.join("\n"), Path::new("default.toml")).expect("the commented feed of the manual is valid");
}

#[test]
fn settings_are_laid_over_the_defaults() {
    let text = format!("[engine]\ncore = 1\nidle = \"spin\"\n{FEED}depth = 100\n");
    let config = parse(&text, Path::new("engine.toml")).unwrap();
    assert_eq!(config.engine.core, Some(1));
    assert!(config.engine.lock_memory);
    assert_eq!(config.feeds[0].depth, 100);
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_nearest_name() {
    check(
        &format!("[engine]\nnam = \"x\"\n{FEED}"),
        &["engine.toml", "line 2", "unknown field `nam`", "did you mean `name`?"],
    );
    check(&format!("{FEED}simbols = []\n"), &["line 4", "did you mean `symbols`?"]);
    check(&format!("[regoin]\ndir = \"/x\"\n{FEED}"), &["did you mean `region`?"]);
}

#[test]
fn values_that_cannot_be_meant_are_refused_with_the_right_ones() {
    let rows: &[(&str, &[&str])] = &[
        ("", &["feed", "add a [[feed]]"]),
        ("[engine]\nidle = \"sleep\"\n", &["engine.idle = sleep", "spin-wait"]),
        ("[engine]\ncore = -2\n", &["engine.core = -2"]),
        ("[engine]\nname = \"a/b\"\n", &["engine.name = a/b"]),
        (
            "[region]\nring_slots = 1000\n",
            &["region.ring_slots = 1000", "power of two"],
        ),
        ("[model]\nsignal_threshold = 1.5\n", &["model.signal_threshold = 1.5"]),
        ("[log]\nlevel = \"loud\"\n", &["log.level = loud"]),
    ];
    for (text, expected) in rows {
        let feed = if text.is_empty() { "" } else { FEED };
        check(&format!("{text}{feed}"), expected);
    }
    let feeds: &[(&str, &[&str])] = &[
        (
            "venue = \"binanse\"\nsymbols = [\"X\"]",
            &["feed[0].venue = binanse", "binance, kraken"],
        ),
        ("venue = \"kraken\"\nsymbols = []", &["feed[0].symbols"]),
        (
            "venue = \"kraken\"\nsymbols = [\"BTCUSD\"]",
            &["feed[0].symbols", "not as kraken spells it", "BTC/USD"],
        ),
        (
            "venue = \"kraken\"\nsymbols = [\"BTC/USD\", \"BTC/USD\"]",
            &["named twice"],
        ),
        (
            "venue = \"kraken\"\nsymbols = [\"BTC/USD\"]\ndepth = 20",
            &["feed[0].depth = 20", "10, 25, 100, 500 or 1000"],
        ),
        (
            "venue = \"binance\"\nsymbols = [\"X\"]\nurl = \"http://x\"",
            &["feed[0].url = http://x"],
        ),
        (
            "venue = \"binance\"\nsymbols = [\"X\"]\nrest_url = \"ftp://x\"",
            &["feed[0].rest_url"],
        ),
        (
            "venue = \"binance\"\nsymbols = [\"X\"]\ncheckpoint_interval_s = 1",
            &["feed[0].checkpoint_interval_s = 1", "between 5 and 86400, or 0"],
        ),
        (
            "venue = \"kraken\"\nsymbols = [\"BTC/USD\"]\ncheckpoint_interval_s = 60",
            &["feed[0].checkpoint_interval_s = 60", "kraken have no ids"],
        ),
        (
            "venue = \"bybit\"\nsymbols = [\"BTCUSDT\"]\ncheckpoint_interval_s = 60",
            &["at depth 50"],
        ),
        (
            "venue = \"kraken\"\nsymbols = [\"BTC/USD\"]\nredundant = true",
            &["feed[0].redundant = true", "no ids that two connections share"],
        ),
        (
            "venue = \"coinbase\"\nsymbols = [\"BTC-USD\"]\nconnection_life_s = 3600",
            &["feed[0].connection_life_s = 3600", "leave it out"],
        ),
        (
            "venue = \"okx\"\nsymbols = [\"BTC-USDT\"]\nconnection_life_s = 1",
            &["feed[0].connection_life_s = 1", "between 10 and 604800"],
        ),
    ];
    for (text, expected) in feeds {
        check(&format!("[[feed]]\n{text}\n"), expected);
    }
}

#[test]
fn a_wrong_type_has_its_position() {
    check(&format!("[engine]\ncore = \"one\"\n{FEED}"), &["line 2", "core"]);
}

/// A feed of so many symbols.
fn feed_of(venue: &str, count: usize) -> String {
    let symbols: Vec<_> = (0..count).map(|index| format!("\"X{index}USDT\"")).collect();
    format!("[[feed]]\nvenue = \"{venue}\"\nsymbols = [{}]\n", symbols.join(","))
}

#[test]
fn what_a_venue_does_not_take_on_one_connection_is_refused() {
    parse(&feed_of("binance", 200), Path::new("engine.toml")).expect("two hundred symbols are taken");
    check(
        &feed_of("binance", 342),
        &["feed[0].symbols = 342 of them", "1026 streams", "at most 1024"],
    );
    let deep = format!("{}depth = 1000\n", feed_of("bybit", 510));
    check(&deep, &["characters of topics", "at most 21000"]);
    check(&feed_of("binance_usdm", 513), &["at most 512"]);
}

#[test]
fn the_memory_of_a_feed_of_many_symbols_is_that_of_thirty_two() {
    let backlog = |count| {
        let config = parse(&feed_of("binance", count), Path::new("engine.toml")).unwrap();
        config.feeds[0].backlog_bytes_max
    };
    assert_eq!([1, 32, 200].map(backlog), [8 << 20, 8 << 20, (256 << 20) / 200]);
}

#[test]
fn feeds_of_one_venue_share_its_rest_budget() {
    let feeds = ["binance", "binance", "binance", "binance_usdm", "okx"].map(|venue| match venue {
        "okx" => "[[feed]]\nvenue = \"okx\"\nsymbols = [\"BTC-USDT\"]\n".to_owned(),
        venue => feed_of(venue, 1),
    });
    let config = parse(&feeds.concat(), Path::new("engine.toml")).unwrap();
    let weights = config
        .feeds
        .iter()
        .map(|feed| config.session(feed).rest_weight_per_minute);
    assert_eq!(weights.collect::<Vec<_>>(), [1_000, 1_000, 1_000, 1_200, 3_000]);
    // However many there are, each has a snapshot a minute.
    let config = parse(&feed_of("binance", 1).repeat(20), Path::new("engine.toml")).unwrap();
    assert_eq!(config.session(&config.feeds[19]).rest_weight_per_minute, 250);
}
