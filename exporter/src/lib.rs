//! Reads the engine's metrics region and serves Prometheus.
