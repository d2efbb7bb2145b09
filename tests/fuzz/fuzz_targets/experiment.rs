//! Users' TOML files: the first byte selects the kind of file, the rest is the file.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ragbias_fuzz::experiment::Written;
use ragbias_fuzz::folder;

static WRITTEN: LazyLock<Written> = LazyLock::new(|| Written::new(folder()));

fuzz_target!(|input: &[u8]| {
    WRITTEN.read(input);
});
