//! The command line. Flags have the names that Prometheus' own exporters use.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::PathBuf;

use clap::Parser;

use crate::{monitoring, page};

/// Serves the metrics of QuantumFlow engines to Prometheus, and a live page to people.
///
/// Reads the regions of all engines in a directory, read-only, and answers on `/metrics`. It needs no engine to start,
/// sees an engine that starts, stops or crashes by itself, and says so in `hft_up` and `hft_engine_state`.
#[derive(Clone, Debug, Parser)]
#[command(name = "quantumflow-exporter", version, after_help = EXAMPLES)]
pub struct Options {
    /// Directory of the engine's regions.
    #[arg(long, value_name = "DIR", default_value = quantumflow_region::directory::DEFAULT_DIR)]
    pub region_dir: PathBuf,

    /// Address to listen on; may be given several times. Port 0 takes a free one; `:9187` is every interface.
    #[arg(
        long = "web.listen-address",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:9187"
    )]
    pub listen: Vec<String>,

    /// Serve on the sockets that systemd hands over, instead of on addresses.
    #[arg(long = "web.systemd-socket", conflicts_with = "listen")]
    pub systemd_socket: bool,

    /// File with TLS, passwords and header lines for the port, in the format of all Prometheus exporters. Read again when
    /// it or a file that it names changes. `promtool check web-config FILE` checks it, too.
    #[arg(long = "web.config.file", value_name = "FILE")]
    pub web_config: Option<PathBuf>,

    /// Path of the metrics.
    #[arg(long = "web.telemetry-path", value_name = "PATH", default_value = "/metrics", value_parser = telemetry_path)]
    pub telemetry_path: String,

    /// Scrapes that may be answered at the same time, 0 for no limit; more get 503.
    #[arg(long = "web.max-requests", value_name = "N", default_value_t = 40)]
    pub max_requests: usize,

    /// Connections that may be open at the same time; more get 503 unless an idle one can give way.
    #[arg(long = "web.max-connections", value_name = "N", default_value_t = 16, value_parser = connections)]
    pub max_connections: usize,

    /// Live pages that may be followed at the same time, beside the connections; more get 503.
    #[arg(long = "web.max-streams", value_name = "N", default_value_t = 8, value_parser = connections)]
    pub max_streams: usize,

    /// Leave out the metrics about the exporter's own process (`process_*`).
    #[arg(long = "web.disable-exporter-metrics")]
    pub disable_exporter_metrics: bool,

    /// Keep the privileges that serving does not need: no seccomp filter. For kernels that refuse it.
    #[arg(long)]
    pub no_sandbox: bool,

    /// Print the metrics once to standard output and exit; no port is opened.
    #[arg(long)]
    pub once: bool,
}

const EXAMPLES: &str = "\
Examples:
  quantumflow-exporter
      metrics of the engine on this host at http://127.0.0.1:9187/metrics

  quantumflow-exporter --region-dir /run/quantumflow --web.listen-address 10.0.0.7:9187
      regions of a service's runtime directory, for a Prometheus on another host

  quantumflow-exporter --web.listen-address :9187 --web.config.file /etc/quantumflow/web.yml
      the same with TLS and a password; docs/web.md tells how to make that file

  quantumflow-exporter --web.systemd-socket
      on the sockets of a systemd .socket unit

  quantumflow-exporter --once | grep '^hft_up'
      one look from a script

Other paths: / (live page), /monitoring/health, /monitoring/health/readiness, /monitoring/health/liveness,
/monitoring/system/info, /metrics.json, /-/healthy, /-/ready, and /healthz, /livez, /readyz for Kubernetes.
/metrics takes ?collect[]=GROUP, ?exclude[]=GROUP and ?engine[]=NAME.

Exit codes: 0 ended by a signal, 1 could not start, 2 wrong command line, 74 a region was cut while it was read.";

/// Paths that mean something else than metrics, beside those of [`monitoring`] and the live page.
pub const FIXED_PATHS: [&str; 5] = ["/-/healthy", "/healthz", "/livez", "/-/ready", "/readyz"];

fn telemetry_path(path: &str) -> Result<String, String> {
    if !path.starts_with('/') {
        return Err("it must start with /".into());
    }
    if !path.bytes().all(|b| b.is_ascii_graphic()) || path.contains(['?', '#', '%']) {
        return Err("it must be a plain path, without spaces, ?, # or %".into());
    }
    let taken = FIXED_PATHS.iter().chain(&monitoring::PATHS).chain(&[page::EVENTS]);
    if taken.into_iter().any(|taken| *taken == path) {
        return Err("this path is taken: a health check, a document or the live page's events".into());
    }
    Ok(path.into())
}

fn connections(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n @ 1..=1024) => Ok(n),
        _ => Err("give a number from 1 to 1024".into()),
    }
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen on {address} (--web.listen-address)")]
pub struct ListenError {
    address: String,
    #[source]
    source: std::io::Error,
}

/// Opens an address as exporters spell it: `host:port`, `[ip6]:port`, or `:port` for every interface.
///
/// # Errors
/// An address that cannot be understood, resolved or bound.
pub fn listen(address: &str) -> Result<TcpListener, ListenError> {
    let bind = || match address.strip_prefix(':') {
        // Both families through one socket; a host without IPv6 has the other one.
        Some(port) => {
            TcpListener::bind(format!("[::]:{port}")).or_else(|_| TcpListener::bind(format!("0.0.0.0:{port}")))
        }
        None => {
            let candidates: Vec<SocketAddr> = address.to_socket_addrs()?.collect();
            TcpListener::bind(&*candidates)
        }
    };
    bind().map_err(|source| ListenError {
        address: address.into(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent_and_has_the_usual_defaults() {
        Options::command().debug_assert();
        let options = Options::parse_from(["quantumflow-exporter"]);
        assert_eq!(options.listen, ["127.0.0.1:9187"]);
        assert_eq!((options.max_requests, options.max_connections), (40, 16));
        assert_eq!(options.telemetry_path, "/metrics");
        let options = Options::parse_from([
            "x",
            "--web.listen-address",
            "127.0.0.1:0",
            "--web.listen-address=[::1]:0",
            "--once",
        ]);
        assert_eq!(options.listen, ["127.0.0.1:0", "[::1]:0"]);
        assert!(options.once && !options.systemd_socket && !options.no_sandbox && options.web_config.is_none());
        let both = ["x", "--web.systemd-socket", "--web.listen-address", ":1"];
        assert!(
            Options::try_parse_from(both).is_err(),
            "sockets of one kind or the other"
        );
        assert!(Options::try_parse_from(["x", "--web.config-file=a"]).is_err());
    }

    #[test]
    fn paths_that_cannot_be_served_are_refused() {
        for path in [
            "metrics",
            "",
            "/a b",
            "/a?b",
            "/a#b",
            "/é",
            "/-/ready",
            "/live/events",
            "/metrics.json",
            "/%20",
        ] {
            assert!(telemetry_path(path).is_err(), "{path:?}");
        }
        for path in ["/", "/metrics", "/a/b.c"] {
            assert_eq!(telemetry_path(path).as_deref(), Ok(path));
        }
    }

    #[test]
    fn addresses_are_read_as_exporters_spell_them() {
        assert!(listen("127.0.0.1:0").unwrap().local_addr().unwrap().ip().is_loopback());
        assert!(listen("localhost:0").unwrap().local_addr().unwrap().ip().is_loopback());
        assert!(listen(":0").unwrap().local_addr().unwrap().ip().is_unspecified());
        for address in ["", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:99999", "203.0.113.77:0"] {
            let error = listen(address).unwrap_err();
            assert!(error.to_string().contains(address));
        }
    }
}
