//! TLS, passwords and header lines: real handshakes with a real exporter, and files that change under it.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

mod common;
mod web_support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use common::{Client, command, shm};
use quantumflow_exporter::http::connection::Patience;
use quantumflow_exporter::http::server::{Limits, Server};
use quantumflow_exporter::http::{Answer, Handler, Request, Response, Stream};
use quantumflow_exporter::web::live::LiveSettings;
use rcgen::{CertificateParams, SanType};
use rustls_stable::version::{TLS12, TLS13};
use rustls_stable::{ALL_VERSIONS, ProtocolVersion};
use tempfile::TempDir;
use web_support::{Authority, Running, TlsClient, basic, client_config, der, hash, install, replace};

const TLS: &str = "tls_server_config: {cert_file: server.pem, key_file: server.key}\n";

/// An exporter with a web configuration, and the authority of its certificate.
struct Site {
    dir: TempDir,
    authority: Authority,
    exporter: Running,
}

impl Site {
    fn start(config: &str) -> Self {
        Self::prepare(config, |_, _| {})
    }

    fn prepare(config: &str, prepare: impl FnOnce(&Path, &Authority)) -> Self {
        let dir = shm();
        let authority = Authority::new("authority");
        install(dir.path(), &authority.issue(&["localhost"]));
        prepare(dir.path(), &authority);
        replace(&dir.path().join("web.yml"), config);
        let exporter = Running::start(&mut exporter(dir.path()), 1);
        Self {
            dir,
            authority,
            exporter,
        }
    }

    fn write(&self, config: &str) {
        replace(&self.dir.path().join("web.yml"), config);
    }

    fn connect(&self) -> TlsClient {
        let config = client_config(&self.authority.pem, None, ALL_VERSIONS);
        TlsClient::connect(self.exporter.addresses[0], &config)
    }
}

fn exporter(dir: &Path) -> Command {
    let mut command = command(dir);
    command.args(["--web.listen-address", "127.0.0.1:0", "--web.config.file"]);
    command.arg(dir.join("web.yml"));
    command
}

#[test]
fn both_versions_of_tls_serve_scrapes_and_the_files_lines_are_on_every_answer() {
    let site = Site::start(&format!(
        "{TLS}http_server_config:\n  headers:\n    Strict-Transport-Security: max-age=63072000\n    \
         X-Frame-Options: deny\n    X-Content-Type-Options: nosniff\n    Content-Security-Policy: default-src 'self'\n"
    ));
    assert_eq!(site.exporter.scheme, "https");
    for (version, number) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let config = client_config(&site.authority.pem, None, &[version]);
        let mut client = TlsClient::connect(site.exporter.addresses[0], &config);
        for (method, path, status) in [
            ("GET", "/metrics", 200),
            ("HEAD", "/metrics", 200),
            ("GET", "/nowhere", 404),
            ("GET", "/", 200),
            ("POST", "/metrics", 405),
        ] {
            let answer = client.try_request(method, path, "").unwrap();
            assert_eq!(answer.status, status, "{method} {path}");
            for line in ["Strict-Transport-Security: max-age=63072000", "X-Frame-Options: deny"] {
                assert_eq!(
                    answer.head.matches(&format!("\r\n{line}\r\n")).count(),
                    1,
                    "{}",
                    answer.head
                );
            }
            for name in ["X-Content-Type-Options:", "Content-Security-Policy:"] {
                assert_eq!(answer.head.matches(name).count(), 1, "{}", answer.head);
            }
            if (method, path) == ("GET", "/metrics") {
                assert!(answer.body.contains("\nhft_up 0\n"), "{}", answer.body);
            }
        }
        assert_eq!(client.connection().protocol_version(), Some(number));
        assert_eq!(client.rest().unwrap(), "", "a refusal ends with TLS's goodbye");
    }
}

#[test]
fn what_is_not_tls_gets_a_hint_or_nothing() {
    let site = Site::start(TLS);
    let address = site.exporter.addresses[0];
    let answer = Client::connect(address).get("/metrics");
    assert!(
        answer.status == 400 && answer.text().contains("HTTPS"),
        "{}",
        answer.text()
    );
    for bytes in [&[22_u8, 3, 1, 0, 5, 9, 9, 9, 9, 9][..], &[0; 64]] {
        let mut noise = std::net::TcpStream::connect(address).unwrap();
        noise.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
        noise.write_all(bytes).unwrap();
        let mut alert = Vec::new();
        // What is left unread makes the kernel reset the connection.
        let _ = noise.read_to_end(&mut alert);
        assert!(
            alert.first().is_none_or(|first| *first == 21),
            "at most one of TLS's alerts: {alert:?}"
        );
    }
    assert_eq!(site.connect().get("/-/healthy", "").status, 200);
}

#[test]
fn a_handshake_that_never_ends_is_given_up() {
    let dir = shm();
    install(dir.path(), &Authority::new("authority").issue(&["localhost"]));
    replace(&dir.path().join("web.yml"), TLS);
    let live = LiveSettings::open(&dir.path().join("web.yml"), |_| {}).unwrap_or_else(|e| panic!("{e}"));
    let config = live.current().tls.clone().unwrap();
    let patience = Patience {
        head: Duration::from_millis(300),
        ..Patience::default()
    };
    let limits = Limits {
        patience,
        ..Limits::default()
    };
    let handler = Arc::new(|_: &Request| Response::text(200, "yes\n"));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let tls = Arc::new(move || Arc::clone(&config));
    let server = Server::start(vec![listener], handler, limits, Some(tls)).unwrap();
    let mut silent = Client::connect(server.addresses()[0]);
    let mut dripping = std::net::TcpStream::connect(server.addresses()[0]).unwrap();
    let drips = [22_u8, 3, 1, 2, 0].into_iter().chain(std::iter::repeat(1));
    let sent = drips.take(100).take_while(|byte| {
        std::thread::sleep(Duration::from_millis(50));
        dripping.write_all(&[*byte]).is_ok()
    });
    assert!(sent.count() < 30, "more bytes do not mean more time");
    assert!(silent.is_closed());
    server.stop(Duration::from_secs(1));
}

#[test]
fn without_the_right_password_there_is_nothing_but_a_challenge() {
    let config = format!(
        "{TLS}basic_auth_users:\n  prom: {}\n  ops: {}\n",
        hash("s3cret"),
        hash("other")
    );
    let site = Site::start(&config);
    let mut client = site.connect();
    for lines in [
        String::new(),
        basic("prom", "other"),
        basic("prom", ""),
        basic("nobody", "s3cret"),
        "Authorization: Basic %%%\r\n".into(),
        "Authorization: Bearer s3cret\r\n".into(),
    ] {
        for path in ["/metrics", "/", "/-/healthy", "/nowhere"] {
            let answer = client.get(path, &lines);
            assert_eq!(answer.status, 401, "{path} {lines}");
            assert!(
                answer.head.contains("\r\nWWW-Authenticate: Basic realm="),
                "{}",
                answer.head
            );
            assert!(!answer.body.contains("hft_"));
        }
    }
    for _ in 0..3 {
        assert_eq!(client.get("/metrics", &basic("prom", "s3cret")).status, 200);
        assert_eq!(client.get("/-/healthy", &basic("ops", "other")).status, 200);
    }
}

#[test]
fn a_scraper_that_is_known_is_served_while_others_guess() {
    let site = Site::start(&format!("{TLS}basic_auth_users:\n  prom: {}\n", hash("s3cret")));
    let mut scraper = site.connect();
    assert_eq!(scraper.get("/metrics", &basic("prom", "s3cret")).status, 200);
    std::thread::scope(|scope| {
        for guesser in 0..8 {
            let site = &site;
            scope.spawn(move || {
                let mut client = site.connect();
                for guess in 0..10 {
                    let answer = client.get("/metrics", &basic("prom", &format!("{guesser}-{guess}")));
                    assert!(matches!(answer.status, 401 | 503), "{}", answer.head);
                }
            });
        }
        for _ in 0..20 {
            assert_eq!(scraper.get("/-/healthy", &basic("prom", "s3cret")).status, 200);
        }
    });
}

#[test]
fn client_certificates_are_asked_for_as_the_file_says() {
    let (no_cert, known, stranger) = (0, 1, 2);
    for (auth, served) in [
        ("NoClientCert", vec![no_cert, known, stranger]),
        ("RequestClientCert", vec![no_cert, known, stranger]),
        ("RequireAnyClientCert", vec![known, stranger]),
        ("VerifyClientCertIfGiven", vec![no_cert, known]),
        ("RequireAndVerifyClientCert", vec![known]),
    ] {
        let ca = if auth == "NoClientCert" {
            ""
        } else {
            ", client_ca_file: clients.pem"
        };
        let clients = Authority::new("clients");
        let site = Site::prepare(
            &format!(
                "tls_server_config: {{cert_file: server.pem, key_file: server.key, client_auth_type: {auth}{ca}}}\n"
            ),
            |dir, _| replace(&dir.join("clients.pem"), &clients.pem),
        );
        let identities = [
            None,
            Some(clients.issue(&["scraper"])),
            Some(Authority::new("strangers").issue(&["scraper"])),
        ];
        for (who, identity) in identities.iter().enumerate() {
            for version in [&TLS12, &TLS13] {
                let config = client_config(&site.authority.pem, identity.as_ref(), &[version]);
                let mut client = TlsClient::connect(site.exporter.addresses[0], &config);
                let answer = client.try_request("GET", "/-/healthy", "");
                let is_served = answer.as_ref().is_ok_and(|answer| answer.status == 200);
                assert_eq!(
                    is_served,
                    served.contains(&who),
                    "{auth}, client {who}, {version:?}: {answer:?}"
                );
            }
        }
    }
}

#[test]
fn of_the_known_clients_only_those_with_an_allowed_name_are_served() {
    let clients = Authority::new("clients");
    let site = Site::prepare(
        "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n  client_ca_file: clients.pem\n  \
         client_auth_type: RequireAndVerifyClientCert\n  \
         client_allowed_sans: [prom.example, 192.0.2.7, 'spiffe://example/prom']\n",
        |dir, _| replace(&dir.join("clients.pem"), &clients.pem),
    );
    let uri = |uri: &str| SanType::URI(uri.try_into().unwrap());
    let names = |names: Vec<SanType>| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names;
        clients.issue_with(params)
    };
    for (identity, expected) in [
        (clients.issue(&["prom.example"]), true),
        (clients.issue(&["other.example", "prom.example"]), true),
        (clients.issue(&["192.0.2.7"]), true),
        (names(vec![uri("spiffe://example/prom")]), true),
        (clients.issue(&["other.example"]), false),
        (clients.issue(&["*.example"]), false),
        (clients.issue(&["192.0.2.8"]), false),
        (names(vec![uri("spiffe://example/prom2")]), false),
        (names(Vec::new()), false),
    ] {
        let config = client_config(&site.authority.pem, Some(&identity), ALL_VERSIONS);
        let mut client = TlsClient::connect(site.exporter.addresses[0], &config);
        let answer = client.try_request("GET", "/-/healthy", "");
        assert_eq!(answer.is_ok(), expected, "{} {answer:?}", identity.cert);
    }
}

#[test]
fn a_new_certificate_counts_from_the_next_connection_on() {
    let site = Site::start(TLS);
    let mut old = site.connect();
    assert_eq!(old.get("/-/healthy", "").status, 200);
    for _ in 0..3 {
        let renewed = site.authority.issue(&["localhost"]);
        install(site.dir.path(), &renewed);
        let mut new = site.connect();
        assert_eq!(new.get("/-/healthy", "").status, 200);
        assert_eq!(new.server_certificate(), der(&renewed.cert));
        assert_eq!(
            old.get("/-/healthy", "").status,
            200,
            "a connection that is open stays so"
        );
    }

    // Half of a renewal: the certificate without its key.
    let before = site.connect_and_see();
    let next = site.authority.issue(&["localhost"]);
    replace(&site.dir.path().join("server.pem"), &next.cert);
    assert_eq!(site.connect_and_see(), before, "the last good pair stays in force");
    site.exporter.wait_for("key_file: cannot be used with the certificate");
    replace(&site.dir.path().join("server.key"), &next.key);
    assert_eq!(site.connect_and_see(), der(&next.cert));
    site.exporter.wait_for("can be used again");
}

impl Site {
    fn connect_and_see(&self) -> Vec<u8> {
        let mut client = self.connect();
        assert_eq!(client.get("/-/healthy", "").status, 200);
        client.server_certificate()
    }
}

#[test]
fn a_new_password_counts_from_the_next_request_on() {
    let with = |password: &str| format!("{TLS}basic_auth_users: {{prom: {}}}\n", hash(password));
    let site = Site::start(&with("password 0"));
    let mut client = site.connect();
    for n in 0..4 {
        site.write(&with(&format!("password {n}")));
        for tried in 0..4 {
            let status = client
                .get("/metrics", &basic("prom", &format!("password {tried}")))
                .status;
            assert_eq!(status, if tried == n { 200 } else { 401 }, "{tried} at {n}");
        }
    }
}

#[test]
fn a_file_that_got_worse_is_reported_once_and_the_last_good_one_stays_in_force() {
    let good = format!("{TLS}basic_auth_users: {{prom: {}}}\n", hash("s3cret"));
    let site = Site::start(&good);
    let in_force = |why: &str| {
        let mut client = site.connect();
        assert_eq!(client.get("/metrics", "").status, 401, "{why}");
        assert_eq!(client.get("/metrics", &basic("prom", "s3cret")).status, 200, "{why}");
    };
    in_force("at first");
    for (text, report) in [
        ("tls_server_config: {certfile: a}\n", "unknown field `certfile`"),
        ("", "turning TLS off needs a restart"),
        ("# half a file\n", "turning TLS off needs a restart"),
        (TLS, "taking all passwords away needs a restart"),
        ("basic_auth_users: {prom: s3cret}\n", "not a bcrypt hash"),
    ] {
        site.write(text);
        in_force(report);
        // Seen without a request, too, and said once.
        site.exporter.wait_for(report);
        in_force(report);
    }
    std::fs::remove_file(site.dir.path().join("web.yml")).unwrap();
    in_force("no file");
    site.exporter.wait_for("failed to read");
    site.write(&good);
    in_force("mended");
    site.exporter.wait_for("can be used again");
    let said = site.exporter.said();
    assert_eq!(said.matches("turning TLS off").count(), 1, "{said}");
    assert_eq!(said.matches("stays in force").count(), 5, "{said}");
    assert!(!said.contains("s3cret") && !said.contains("$2"), "{said}");
}

#[test]
fn a_configuration_that_cannot_work_is_said_on_one_line_before_a_port_is_opened() {
    let dir = shm();
    let authority = Authority::new("authority");
    install(dir.path(), &authority.issue(&["localhost"]));
    for (config, expected) in [
        (
            "tls_server_config:\n  cert_file: nowhere.pem\n  key_file: server.key\n",
            "nowhere.pem: No such file",
        ),
        (
            "tls_server_config:\n  cert_file: server.pem\n",
            "web.yml: tls_server_config.key_file: is missing",
        ),
        (
            "tls_server_config:\n  client_auth_type: RequireAnyClientCert\n",
            "tls_server_config.cert_file: is missing",
        ),
        (
            "tls_server_config:\n  cert_files: server.pem\n",
            "web.yml:2: unknown field `cert_files`",
        ),
        (
            "tls_server_config: {cert_file: server.key, key_file: server.key}",
            "cert_file: holds no certificate",
        ),
        (
            "basic_auth_users:\n  prom: s3cret\n",
            "web.yml:2: prom: not a bcrypt hash",
        ),
        (
            "rate_limit: {interval: 1s, burst: 3}\n",
            "rate_limit is not supported here",
        ),
    ] {
        replace(&dir.path().join("web.yml"), config);
        let output = exporter(dir.path()).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{error}");
        assert!(
            error.contains("--web.config.file: ") && error.contains(expected),
            "{error}"
        );
        assert!(output.stdout.is_empty() && !error.contains("s3cret"), "{error}");
    }
}

#[test]
fn what_its_owner_should_know_is_said() {
    let site = Site::prepare(
        &format!(
            "{TLS}http_server_config: {{http2: true}}\nbasic_auth_users: {{a: {}}}\n",
            hash("a")
        ),
        |dir, _| {
            let public = std::os::unix::fs::PermissionsExt::from_mode(0o644);
            std::fs::set_permissions(dir.join("server.key"), public).unwrap();
        },
    );
    site.exporter
        .wait_for("server.key holds a secret, and everybody on this host can read it");
    site.exporter.wait_for("HTTP/1.1 is what is served");
    assert!(
        !site.exporter.said().contains("web.yml holds a secret"),
        "{}",
        site.exporter.said()
    );

    let plain = Site::start(&format!("basic_auth_users: {{a: {}}}\n", hash("a")));
    plain.exporter.wait_for("passwords are sent in the clear");
    assert_eq!(Client::connect(plain.exporter.addresses[0]).get("/metrics").status, 401);
}

#[test]
fn a_stream_over_tls_ends_with_a_goodbye_from_either_side() {
    struct Numbers(u32);
    impl Stream for Numbers {
        fn next(&mut self) -> Option<Vec<u8>> {
            std::thread::sleep(Duration::from_millis(10));
            self.0 = self.0.checked_sub(1)?;
            Some(format!("{}\n", self.0).into_bytes())
        }
    }
    struct Counting;
    impl Handler for Counting {
        fn answer(&self, request: &Request) -> Answer {
            let count = if request.path == "/short" { 3 } else { u32::MAX };
            Answer::Stream(Response::text(200, ""), Box::new(Numbers(count)))
        }
    }
    let dir = shm();
    let authority = Authority::new("authority");
    install(dir.path(), &authority.issue(&["localhost"]));
    replace(&dir.path().join("web.yml"), TLS);
    let live = LiveSettings::open(&dir.path().join("web.yml"), |_| {}).unwrap_or_else(|e| panic!("{e}"));
    let config = live.current().tls.clone().unwrap();
    let limits = Limits {
        streams: 1,
        ..Limits::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let tls = Arc::new(move || Arc::clone(&config));
    let server = Server::start(vec![listener], Arc::new(Counting), limits, Some(tls)).unwrap();
    let follow = |path: &str| {
        let mut client = TlsClient::connect(
            server.addresses()[0],
            &client_config(&authority.pem, None, ALL_VERSIONS),
        );
        client.send(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap();
        client
    };
    let whole = follow("/short").rest().expect("a goodbye, not a cut");
    assert!(
        whole.starts_with("HTTP/1.1 200 ") && whole.ends_with("\r\n\r\n2\n1\n0\n"),
        "{whole}"
    );

    let mut leaving = follow("/long");
    assert_eq!(leaving.line().unwrap(), "HTTP/1.1 200 OK\r\n");
    assert_eq!(follow("/long").line().unwrap(), "HTTP/1.1 503 Service Unavailable\r\n");
    // The socket stays open: the goodbye alone must do.
    leaving.say_goodbye();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(follow("/long").line().unwrap(), "HTTP/1.1 200 OK\r\n");
    server.stop(Duration::from_secs(1));
}

/// The example of `docs/web.md`, with what it needs beside it.
fn example(dir: &Path) {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/web.md");
    let text = std::fs::read_to_string(docs).unwrap();
    let (_, rest) = text.split_once("```yaml\n").unwrap();
    let (yaml, _) = rest.split_once("```").unwrap();
    replace(&dir.join("web.yml"), yaml);
    let authority = Authority::new("authority");
    install(dir, &authority.issue(&["localhost"]));
    replace(&dir.join("clients.pem"), &authority.pem);
}

#[test]
fn the_documented_example_is_accepted_here_and_by_promtool() {
    let dir = shm();
    example(dir.path());
    let path = dir.path().join("web.yml");
    LiveSettings::open(&path, |warning| panic!("{warning}")).unwrap_or_else(|e| panic!("{e}"));
    match Command::new("promtool")
        .args(["check", "web-config"])
        .arg(&path)
        .output()
    {
        Ok(output) => assert!(output.status.success(), "{output:?}"),
        Err(error) => println!("skipped: promtool: {error}"),
    }
}

#[test]
fn curl_gets_in_with_the_authority_and_the_password() {
    let site = Site::start(&format!("{TLS}basic_auth_users: {{prom: {}}}\n", hash("s3cret")));
    let ca = site.dir.path().join("authority.pem");
    replace(&ca, &site.authority.pem);
    let url = format!("https://localhost:{}/metrics", site.exporter.addresses[0].port());
    let curl = |arguments: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args([
            "-sS",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code} %{http_version}",
            "--cacert",
        ])
        .arg(&ca);
        curl.args(arguments).arg(&url).output()
    };
    let output = match curl(&["-u", "prom:s3cret"]) {
        Ok(output) => output,
        Err(error) => return println!("skipped: curl: {error}"),
    };
    assert_eq!(String::from_utf8_lossy(&output.stdout), "200 1.1", "{output:?}");
    assert_eq!(
        String::from_utf8_lossy(&curl(&["-u", "prom:wrong"]).unwrap().stdout),
        "401 1.1"
    );
    assert_eq!(
        String::from_utf8_lossy(&curl(&["--tls-max", "1.2"]).unwrap().stdout),
        "401 1.1"
    );
}
