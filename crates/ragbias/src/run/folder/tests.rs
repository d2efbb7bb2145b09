use ragbias_data::write_file;
use serde_json::json;

use super::*;

fn put(folder: &Path, files: &[(&str, &str)]) {
    for (file, text) in files {
        write_file(&folder.join(file), text).unwrap();
    }
}

fn read(folder: &Path, file: &str) -> Option<String> {
    fs_err::read_to_string(folder.join(file)).ok()
}

const OLD: [(&str, &str); 3] = [("a.json", "old"), ("figures/f.svg", "old"), ("figures/gone.svg", "old")];
const NEW: [(&str, &str); 3] = [("a.json", "new"), ("b.json", "new"), ("figures/f.svg", "new")];

fn is_new(folder: &Path) -> bool {
    NEW.iter().all(|(file, _)| read(folder, file).as_deref() == Some("new"))
        && read(folder, "figures/gone.svg").is_none()
        && !folder.join(NEXT).exists()
}

#[test]
fn files_take_the_places_of_earlier_ones_together() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), &OLD);
    let run = RunFolder::open(folder.path()).unwrap();
    let staging = run.stage().unwrap();
    put(staging.path(), &NEW);
    assert_eq!(read(folder.path(), "a.json").as_deref(), Some("old"), "nothing has changed yet");
    run.publish(staging).unwrap();
    assert!(is_new(folder.path()));
}

#[test]
fn what_was_killed_before_the_rename_leaves_the_earlier_files_and_after_it_the_new_ones() {
    // Killed after each step of moving files into place.
    for moved in 0..=2 {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), &OLD);
        put(&folder.path().join(NEXT), &NEW);
        for file in ["b.json", "a.json"].iter().take(moved) {
            move_over(&folder.path().join(NEXT).join(file), &folder.path().join(file)).unwrap();
        }
        if moved == 2 {
            fs_err::remove_dir_all(folder.path().join("figures")).unwrap();
        }
        RunFolder::open(folder.path()).unwrap();
        assert!(is_new(folder.path()), "{moved}");
    }
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), &OLD);
    put(&folder.path().join(".ragbias-tmp-x"), &NEW);
    RunFolder::open(folder.path()).unwrap();
    assert_eq!(read(folder.path(), "a.json").as_deref(), Some("old"));
    assert!(!folder.path().join(".ragbias-tmp-x").exists(), "its process is gone");
}

fn manifest(run: Option<ContentId>) -> String {
    let part = json!({ "axis": "gender", "data": "gender", "embedders": ["minilm"] });
    let experiment = json!({ "name": "x", "part": [part] });
    let mut manifest = json!({ "version": "0", "commit": null, "experiment": experiment, "inputs": {} });
    if let Some(run) = run {
        manifest["run"] = run.to_string().into();
        manifest = super::super::sealed(manifest);
    }
    manifest.to_string()
}

#[test]
fn a_choice_of_another_run_is_set_aside_and_one_of_the_same_run_stays() {
    let (one, other) = (ContentId::of(b"one"), ContentId::of(b"other"));
    let choice = |run: Option<ContentId>| match run {
        Some(run) => json!([{ "run": run.to_string() }]).to_string(),
        None => json!([{}]).to_string(),
    };
    for (run, of, stays) in [
        (Some(one), Some(one), true),
        (None, None, true),
        (Some(one), Some(other), false),
        (Some(one), None, false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), &[("choice/x/control.json", "{}"), (CHOICES, &choice(of))]);
        let opened = RunFolder::open(folder.path()).unwrap();
        let staging = opened.stage().unwrap();
        put(staging.path(), &[("manifest.json", &manifest(run))]);
        let aside = opened.publish(staging).unwrap();
        assert_eq!(aside.is_none(), stays);
        assert_eq!(folder.path().join(CHOICES).exists(), stays);
        assert_eq!(folder.path().join("choice/x/control.json").exists(), stays);
        if let Some(aside) = aside {
            assert!(aside.join(CHOICES).is_file() && aside.join("choice/x/control.json").is_file());
        }
    }
}

#[test]
fn what_was_made_of_a_run_is_not_put_beside_another_one() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), &[("manifest.json", &manifest(Some(ContentId::of(b"one"))))]);
    let opened = RunFolder::open(folder.path()).unwrap();
    let of = Manifest::read(folder.path()).unwrap();
    let staging = opened.stage().unwrap();
    put(staging.path(), &[("report.html", "of one")]);
    put(folder.path(), &[("manifest.json", &manifest(Some(ContentId::of(b"other"))))]);
    let error = opened.publish_of(&of, staging).unwrap_err().to_string();
    assert!(error.contains("another run was written here meanwhile"), "{error}");
    assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1, "and nothing is left of it");
}
