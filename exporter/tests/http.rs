//! The exporter as an HTTP server: what it answers, refuses and outlives.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

mod common;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Client, Exporter, shm};
use quantumflow_exporter::http::connection::Patience;
use quantumflow_exporter::http::server::{Limits, Server};
use quantumflow_exporter::http::{Request, Response};

#[test]
fn a_scrape_has_the_type_that_prometheus_insists_on() {
    let dir = shm();
    let exporter = Exporter::start(dir.path(), &[]);
    let mut client = exporter.connect();
    for accept in ["", "Accept: application/json\r\n", "Accept: */*\r\n"] {
        client.send(format!(
            "GET /metrics HTTP/1.1\r\nHost: a\r\n{accept}Accept-Encoding: gzip\r\n\r\n"
        ));
        let answer = client.answer();
        assert_eq!(
            (answer.status, answer.header("Content-Type")),
            (200, Some("text/plain; version=0.0.4; charset=utf-8"))
        );
        assert!(
            answer
                .header("Date")
                .is_some_and(|date| date.ends_with(" GMT") && date.len() == 29),
            "{}",
            answer.head
        );
        assert_eq!(answer.header("Transfer-Encoding"), None);
        assert_eq!(answer.header("Content-Encoding"), None);
        assert_eq!(
            answer.header("Connection"),
            Some("keep-alive"),
            "the same connection serves them all"
        );
    }
}

#[test]
fn every_path_answers_head_as_get_without_the_body() {
    let dir = shm();
    let exporter = Exporter::start(dir.path(), &[]);
    let mut client = exporter.connect();
    for (path, status) in [
        ("/", 200),
        ("/metrics", 200),
        ("/metrics?collect[]=feeds", 200),
        ("/-/healthy", 200),
        ("/healthz", 200),
        ("/livez", 200),
        ("/-/ready", 503),
        ("/readyz", 503),
        ("/nowhere", 404),
    ] {
        let full = client.get(path);
        assert_eq!(full.status, status, "{path}");
        assert!(!full.body.is_empty(), "{path}");
        client.send(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let head = client.head();
        assert_eq!(head.status, status, "{path}");
        assert_eq!(head.header("Content-Type"), full.header("Content-Type"), "{path}");
        // Times and memory differ from scrape to scrape, and with them the length.
        assert!(
            path.starts_with("/metrics") || head.header("Content-Length") == full.header("Content-Length"),
            "{path}"
        );
    }
}

#[test]
fn refusals_reach_the_client_whole_and_close_the_connection() {
    let dir = shm();
    let exporter = Exporter::start(dir.path(), &[]);
    let long_head = format!(
        "GET /metrics HTTP/1.1\r\nHost: a\r\nCookie: {}\r\n\r\n",
        "c".repeat(20_000)
    );
    let long_body = format!(
        "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n{}",
        "b".repeat(50_000)
    );
    for (request, status) in [
        ("POST /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (long_body.as_str(), 405),
        ("GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody", 413),
        (
            "GET /metrics HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            413,
        ),
        (long_head.as_str(), 431),
        ("GET /metrics HTTP/1.1\r\n\r\n", 400),
        ("GET /metrics HTTP/3.0\r\nHost: a\r\n\r\n", 505),
        ("\u{16}\u{3}\u{1} hello, is this TLS?\r\n\r\n", 400),
    ] {
        let mut client = exporter.connect();
        client.send(request);
        let answer = client.answer();
        let what = &request[..request.len().min(40)];
        assert_eq!(answer.status, status, "{what:?}");
        assert_eq!(
            answer.header("Allow"),
            (status == 405).then_some("GET, HEAD"),
            "{what:?}"
        );
        assert_eq!(answer.header("Connection"), Some("close"), "{what:?}");
        assert!(client.is_closed(), "{what:?}");
    }
    assert_eq!(exporter.get("/-/healthy").status, 200);
}

#[test]
fn several_addresses_are_listened_on_and_each_has_its_line() {
    let dir = shm();
    let exporter = Exporter::start_on(
        dir.path(),
        &["127.0.0.1:0", "127.0.0.2:0"],
        &["--web.telemetry-path", "/m"],
    );
    assert_eq!(exporter.addresses.len(), 2);
    for &address in &exporter.addresses {
        assert_ne!(address.port(), 0);
        assert_eq!(Client::connect(address).get("/m").status, 200);
        assert_eq!(Client::connect(address).get("/metrics").status, 404);
    }
}

#[test]
fn its_own_process_can_be_left_out() {
    let dir = shm();
    let exporter = Exporter::start(dir.path(), &["--web.disable-exporter-metrics"]);
    let scrape = exporter.scrape();
    assert!(
        scrape.families.keys().all(|name| name.starts_with("hft_")),
        "{:?}",
        scrape.families.keys()
    );
}

#[test]
fn a_connection_beyond_the_ceiling_gets_503_unless_an_idle_one_can_give_way() {
    let dir = shm();
    let exporter = Exporter::start(dir.path(), &["--web.max-connections", "2"]);
    let mut at_work: Vec<Client> = (0..2).map(|_| exporter.connect()).collect();
    at_work
        .iter_mut()
        .for_each(|client| client.send("GET /metrics HTTP/1.1\r\nHo"));
    std::thread::sleep(Duration::from_millis(100));
    let refused = exporter.connect().answer();
    assert_eq!((refused.status, refused.header("Connection")), (503, Some("close")));

    for client in &mut at_work {
        client.send("st: a\r\n\r\n");
        assert_eq!(client.answer().status, 200);
    }
    std::thread::sleep(Duration::from_millis(1100));
    let mut third = exporter.connect();
    assert_eq!(
        third.get("/metrics").status,
        200,
        "one that has been idle for a second gives way"
    );
    assert!(at_work[0].is_closed(), "the one that has been idle for longest");
    assert_eq!(at_work[1].get("/metrics").status, 200);
}

#[test]
fn slow_clients_do_not_hold_up_the_others() {
    let dir = shm();
    let exporter = Exporter::start(dir.path(), &[]);
    let mut slow: Vec<Client> = (0..8).map(|_| exporter.connect()).collect();
    for client in &mut slow {
        client.send("GET /metrics HT");
    }
    let started = Instant::now();
    assert_eq!(exporter.get("/metrics").status, 200);
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "sooner than the patience with the slow ones ends"
    );
}

fn in_process(body: usize, limits: Limits) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let handler = move |_: &Request| Response::text(200, "x".repeat(body));
    Server::start(vec![listener], Arc::new(handler), limits).unwrap()
}

#[test]
fn a_head_that_never_ends_is_given_up() {
    let patience = Patience {
        head: Duration::from_millis(200),
        ..Patience::default()
    };
    let server = in_process(
        10,
        Limits {
            connections: 1,
            patience,
        },
    );
    let mut slow = Client::connect(server.addresses()[0]);
    slow.send("GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ");
    assert_eq!(slow.answer().status, 408);
    assert!(slow.is_closed());
    server.stop(Duration::from_secs(1));
}

#[test]
fn an_answer_that_nobody_reads_is_given_up() {
    let patience = Patience {
        answer: Duration::from_millis(300),
        ..Patience::default()
    };
    let server = in_process(
        64 << 20,
        Limits {
            connections: 1,
            patience,
        },
    );
    let address = server.addresses()[0];
    let mut deaf = Client::connect(address);
    deaf.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    std::thread::sleep(Duration::from_millis(800));
    let mut next = Client::connect(address);
    next.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(next.head().status, 200, "its place is free again");
    server.stop(Duration::from_secs(1));
}

#[test]
fn an_idle_connection_is_closed_in_time_and_without_a_word() {
    let patience = Patience {
        idle: Duration::from_millis(200),
        ..Patience::default()
    };
    let server = in_process(
        10,
        Limits {
            connections: 4,
            patience,
        },
    );
    let mut client = Client::connect(server.addresses()[0]);
    assert_eq!(client.get("/").status, 200);
    assert!(client.is_closed());
    server.stop(Duration::from_secs(1));
}
