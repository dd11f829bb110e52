//! Sockets, TLS and the readiness poller.
