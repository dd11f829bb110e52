//! The `quantumflow` command.

fn main() {}
