//! The web configuration: TLS, passwords and header lines of the HTTP port, in the file format that all Prometheus
//! exporters share (exporter-toolkit's `--web.config.file`).
//!
//! [`mod@file`] is the YAML as it is written, [`tls`] turns its first section into what rustls wants, [`settings`] is a file
//! that was read with everything it points to, [`live`] keeps that fresh while the process runs, and [`guard`] stands in
//! front of the application with it, with [`passwords`] to judge who may pass.
//!
//! Three rules hold throughout. A key that is unknown, or that this server cannot honour, is refused by name: a setting
//! that is silently ignored is a door that its owner believes shut. A file that changes for the worse is reported, and
//! the last good one stays in force. And a change never takes protection away: see [`live`].

pub mod file;
pub mod guard;
pub mod live;
pub mod passwords;
pub mod settings;
pub mod tls;
