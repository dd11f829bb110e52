//! Shared-memory files: the metrics region and the signal ring.
