//! The ragbias command line.

fn main() {}
