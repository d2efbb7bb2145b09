//! The whole program as a user runs it, on the real default models and data.
//!
//! `published` reads data sets that are not part of the repository, from the folder `RAGBIAS_DATA_DIR`; if it is not
//! set, those tests say so and pass.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test says what went wrong by panicking")]

mod answers;
mod at_once;
mod audit;
mod axes;
mod bad_input;
mod calibrate;
mod choose;
mod commands;
mod data;
mod files;
mod fit;
mod full_disk;
mod harness;
mod host;
mod kills;
mod lab;
mod loops;
mod members;
#[path = "../../crates/ragbias-generate/src/server/mock.rs"]
#[allow(dead_code, reason = "it serves the server's own tests too")]
mod mock;
mod monitor;
mod postgres;
#[path = "../../crates/ragbias-postgres/tests/database/server.rs"]
#[allow(dead_code, reason = "it serves the crate's own tests too")]
mod postgres_server;
mod published;
mod ranks;
mod report;
mod resume;
mod runs;
mod secrets;
mod serve;
mod server;
mod twins;
mod twins_of_corpora;
mod verify;
mod workspace;
