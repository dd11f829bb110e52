//! Reads the engine's metrics region and serves Prometheus.

#![forbid(unsafe_code)]

pub mod http;
