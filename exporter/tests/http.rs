//! The exporter as an HTTP server: what it answers, refuses and outlives.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

mod common;

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Client, Exporter, shm};
use quantumflow_exporter::http::connection::Patience;
use quantumflow_exporter::http::server::{Limits, Server};
use quantumflow_exporter::http::{Answer, Handler, Request, Response, Stream};

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
        // A connection is at rest a moment after its answer has arrived; the next one's moment is to come later.
        std::thread::sleep(Duration::from_millis(500));
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
    Server::start(vec![listener], Arc::new(handler), limits, None).unwrap()
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
            ..Limits::default()
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
            ..Limits::default()
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
            ..Limits::default()
        },
    );
    let mut client = Client::connect(server.addresses()[0]);
    assert_eq!(client.get("/").status, 200);
    assert!(client.is_closed());
    server.stop(Duration::from_secs(1));
}

/// Ticks for ever, on `/stream`; `/flood` sends as fast as it is read.
struct Ticking;

struct Ticks(usize, Duration);

impl Stream for Ticks {
    fn next(&mut self) -> Option<Vec<u8>> {
        std::thread::sleep(self.1);
        Some([b"data: ".as_slice(), &vec![b'x'; self.0], b"\n\n"].concat())
    }
}

impl Handler for Ticking {
    fn answer(&self, request: &Request) -> Answer {
        let (bytes, pause) = match request.path.as_str() {
            "/stream" => (1, Duration::from_millis(20)),
            "/flood" => (1 << 20, Duration::ZERO),
            _ => return Response::text(200, "ok\n").into(),
        };
        let head = Response {
            content_type: "text/event-stream",
            ..Response::text(200, "")
        };
        Answer::Stream(head, Box::new(Ticks(bytes, pause)))
    }
}

fn ticking(connections: usize, streams: usize, patience: Patience) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let limits = Limits {
        connections,
        streams,
        patience,
    };
    Server::start(vec![listener], Arc::new(Ticking), limits, None).unwrap()
}

fn follow(server: &Server, path: &str) -> (Client, u16) {
    let mut client = Client::connect(server.addresses()[0]);
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    let status = client.head().status;
    (client, status)
}

#[test]
fn scrapes_go_on_while_all_streams_are_taken_and_a_slow_loris_is_at_work() {
    let server = ticking(4, 3, Patience::default());
    let address = server.addresses()[0];
    let mut streams: Vec<Client> = (0..3).map(|_| follow(&server, "/stream").0).collect();
    let mut beyond = Client::connect(address);
    let refused = beyond.get("/stream");
    assert_eq!((refused.status, refused.header("Retry-After")), (503, Some("10")));
    assert_eq!(
        beyond.get("/metrics").status,
        200,
        "the same connection can still scrape"
    );
    drop(beyond);

    let mut lorises: Vec<TcpStream> = Vec::new();
    let drip = |lorises: &mut Vec<TcpStream>| {
        // Whoever was given away comes again.
        lorises.retain_mut(|loris| loris.write_all(b"x").is_ok());
        while lorises.len() < 4 {
            let mut loris = TcpStream::connect(address).unwrap();
            loris.write_all(b"GET /metrics HTTP/1.1\r\nX: ").unwrap();
            lorises.push(loris);
        }
    };
    for scrape in 0..4 {
        for _ in 0..11 {
            drip(&mut lorises);
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(Client::connect(address).get("/metrics").status, 200, "scrape {scrape}");
    }
    for stream in &mut streams {
        assert!(stream.reads_on(), "a stream never gives way");
    }
    server.stop(Duration::from_millis(100));
}

#[test]
fn a_stream_whose_client_left_or_does_not_read_frees_its_place() {
    let patience = Patience {
        answer: Duration::from_millis(400),
        ..Patience::default()
    };
    let server = ticking(4, 1, patience);
    let (left, status) = follow(&server, "/stream");
    assert_eq!(status, 200);
    assert_eq!(follow(&server, "/stream").1, 503);
    drop(left);
    // A connection of another test may be slower than the next tick.
    std::thread::sleep(Duration::from_millis(300));
    let (deaf, status) = follow(&server, "/flood");
    assert_eq!(status, 200, "who left is noticed at the next tick");
    std::thread::sleep(Duration::from_millis(1500));
    let (_next, status) = follow(&server, "/stream");
    assert_eq!(status, 200, "who does not read is given up");
    drop(deaf);
    server.stop(Duration::from_millis(100));
}

#[test]
fn streams_end_at_once_with_the_server() {
    let server = ticking(2, 2, Patience::default());
    let (mut client, _) = follow(&server, "/stream");
    assert!(client.reads_on());
    let started = Instant::now();
    server.stop(Duration::from_secs(20));
    assert!(started.elapsed() < Duration::from_secs(10), "nobody waits for a stream");
    client.read_to_end();
}
