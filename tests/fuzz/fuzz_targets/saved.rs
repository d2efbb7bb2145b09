//! Files written by the program: the first byte selects the file, the rest is its content.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ragbias_fuzz::folder;
use ragbias_fuzz::saved::Saved;

static SAVED: LazyLock<Saved> = LazyLock::new(|| Saved::new(folder));

fuzz_target!(|input: &[u8]| {
    SAVED.read(input);
});
