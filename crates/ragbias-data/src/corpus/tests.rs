//! Tests what is accepted as a corpus, what is reported, and what is refused.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Mutex;

use proptest::prelude::*;
use ragbias_core::{Silent, Step, Unit};

use super::*;
use crate::load_axis;

fn file(name: &str, text: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs_err::write(&path, text).unwrap();
    (folder, path)
}

fn read(name: &str, text: impl AsRef<[u8]>) -> Result<Corpus> {
    let (_folder, path) = file(name, text);
    read_corpus(&path, None, &Silent)
}

/// The error about a file, without the folder in its name.
fn refused(name: &str, text: impl AsRef<[u8]>) -> String {
    let (folder, path) = file(name, text);
    let gender = load_axis("gender").unwrap();
    let error = read_corpus(&path, Some(&gender), &Silent).unwrap_err().to_string();
    error.replace(&format!("{}/", folder.path().display()), "")
}

fn leans(corpus: &Corpus) -> Vec<Option<i64>> {
    corpus.documents().iter().map(|d| d.gold_lean().unwrap().map(i64::from)).collect()
}

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Progress for Heard {
    fn begin(&self, _: &str, _: u64, _: Unit) -> Box<dyn Step> {
        Box::new(Silent)
    }

    fn note(&self, line: &str) {
        self.0.lock().unwrap().push(line.into());
    }
}

/// The notes about a file that is read, without its name.
fn notes(name: &str, text: impl AsRef<[u8]>) -> Vec<String> {
    let (_folder, path) = file(name, text);
    let (heard, gender) = (Heard::default(), load_axis("gender").unwrap());
    read_corpus(&path, Some(&gender), &heard).unwrap();
    let prefix = format!("{}:", path.display());
    heard.0.into_inner().unwrap().iter().map(|note| note.replace(&prefix, "")).collect()
}

#[test]
fn a_corpus_is_read_some_documents_at_a_time_and_checked_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("corpus.jsonl");
    let line = |id: usize| format!("{{\"_id\":\"d{id}\",\"text\":\"She left.\"}}\n");
    fs_err::write(&path, (0..7).map(line).collect::<String>()).unwrap();
    let corpus = CorpusFile::open(&path, None, &Silent).unwrap();
    let mut sizes = Vec::new();
    let each = |documents: Vec<Document>| {
        sizes.push(documents.len());
        Ok::<(), Error>(())
    };
    corpus.each_batch(3, each).unwrap();
    assert_eq!((corpus.len(), sizes), (7, vec![3, 3, 1]));
    let stopped = |_| Err(Error::Split("stop".into()));
    assert!(matches!(corpus.each_batch(3, stopped), Err(Error::Split(_))));
    fs_err::write(&path, (0..6).map(line).collect::<String>()).unwrap();
    let error = corpus.each_batch(9, |_| Ok::<(), Error>(())).unwrap_err().to_string();
    assert!(error.contains("corpus.jsonl: it changed while it was read"), "{error}");
    fs_err::write(&path, line(1) + &line(1)).unwrap();
    let error = CorpusFile::open(&path, None, &Silent).unwrap_err().to_string();
    assert!(error.contains("corpus.jsonl:2: _id `d1` occurs twice"), "{error}");
}

#[test]
fn malformed_records_are_reported_with_their_line() {
    let first = "{\"_id\":\"a\",\"text\":\"x\"}\n";
    for (line, reason) in [
        ("{\"_id\":\"b\",\"text\":}", "expected value (column 19)"),
        ("{\"_id\":\"b\"}", "missing field `text`; there are none other"),
        ("{\"text\":\"y\",\"docid\":1}", "missing field `_id`; there are text, docid"),
        ("{\"_id\":\"a\",\"text\":\"y\"}", "_id `a` occurs twice; it was already used in line 1"),
        ("{\"_id\":\"b\",\"text\":\" \"}", "document `b` has no text"),
        ("{\"_id\":\"b\",\"text\":null}", "document `b` has no text"),
        ("{\"_id\":\"b\",\"text\":\"y\",\"text\":\"z\"}", "the field `text` is there twice (column 33)"),
        (
            "{\"_id\":\"b\",\"text\":\"y\",\"metadata\":{\"a\":1,\"a\":1}}",
            "the field `a` is there twice (column 46)",
        ),
        ("{\"_id\":true,\"text\":\"y\"}", "_id: expected a text, received true"),
        ("{\"_id\":\"\",\"text\":\"y\"}", "_id: expected a text, received nothing"),
        ("{\"_id\":\"b\",\"text\":5}", "text: expected a text, received 5"),
        ("[1]", "expected an object {…}, received [1]"),
        ("{\"_id\":\"b\",\"text\":\"y\",\"metadata\":[]}", "metadata: expected an object {…}, received []"),
        ("{\"_id\":\"b\",\"text\":\"y\",\"Title\":\"t\"}", "the field `Title`: expected `title`"),
        (
            "{\"_id\":\"b\",\"text\":\"y\",\"metadata\":{\"Lean\":1}}",
            "the field `metadata.Lean`: expected `metadata.lean`",
        ),
    ] {
        assert_eq!(refused("c.jsonl", format!("{first}\r\n{line}\n")), format!("c.jsonl:3: {reason}"));
    }
    let at_the_top = refused("c.jsonl", "{\"_id\":\"b\",\"text\":\"y\",\"lean\":1}");
    assert!(
        at_the_top.starts_with("c.jsonl:1: the field `lean`: expected it in `metadata`\nhint: "),
        "{at_the_top}"
    );
    let large = refused("c.jsonl", "{\"_id\":12345678901234567890123,\"text\":\"y\"}");
    assert!(large.contains("which is not exact\nhint: put it in quotes"), "{large}");
    let nan = refused("c.jsonl", "{\"_id\":\"b\",\"title\":NaN,\"text\":\"y\"}");
    assert!(nan.contains("hint: JSON has no NaN"), "{nan}");
}

#[test]
fn files_of_another_layout_are_named() {
    let array = "[{\"_id\":\"a\",\"text\":\"x\"},\n{\"_id\":\"b\",\"text\":\"y\"}]\n";
    assert!(
        refused("c.json", array)
            .starts_with("c.json:1: a JSON array, expected an object on each line\nhint: ")
    );
    assert!(
        refused("c.jsonl", "{\n  \"_id\": \"a\"\n}").starts_with("c.jsonl:1: an object over several lines")
    );
    assert_eq!(refused("c.jsonl", ""), "c.jsonl: the file is empty");
    assert_eq!(refused("c.jsonl", "\n"), "c.jsonl: the corpus is empty");
    assert!(refused("c.jsonl", "id,text\n1,x\n").contains("; expected an object {…} on each line"));
    assert!(refused("c.csv", array).contains("these are objects of JSON"), "{}", refused("c.csv", array));
    assert!(
        refused("c.csv", "{\"_id\":\"a\",\"text\":\"x\"}\n")
            .contains("hint: a file of an object per line ends in .jsonl")
    );
    assert!(refused("c.parquet", "id,text\n").starts_with("c.parquet: no Parquet file"));
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
    for name in ["c.jsonl", "c.csv", "c.parquet"] {
        let error = refused(name, pointer);
        assert!(error.starts_with(&format!("{name}: this is a pointer of Git LFS")), "{error}");
    }
    assert!(refused("c.jsonl", b"BZh91AY").contains("bzip2 data\nhint: "));
    assert!(refused("c.csv", b"PK\x03\x04").contains("a workbook of a spreadsheet\nhint: "));
    assert!(refused("c.jsonl", " <!DOCTYPE html>").contains("this is a web page"));
    assert!(refused("c.docx", "x").contains("expected a file that ends in .jsonl"));
}

#[test]
fn numbers_and_nulls_are_read_as_other_files_write_them() {
    let text = "{\"_id\":1,\"title\":null,\"text\":\"x\",\"metadata\":null}\n{\"id\":2.0,\"title\":1984,\"text\":\"y\"}";
    let corpus = read("c.jsonl", text).unwrap();
    let seen: Vec<_> = corpus.documents().iter().map(|d| (d.id.as_str(), d.title.as_deref())).collect();
    assert_eq!(seen, [("1", None), ("2", Some("1984"))]);
}

#[test]
fn what_is_not_read_or_read_otherwise_is_said() {
    let text = "{\"_id\":\"a\",\"text\":\"x\",\"url\":\"u\",\"n\":null}\n{\"_id\":\"b \",\"text\":\"y\",\"titel\":\"t\",\"metadata\":{\"lean\":1}}\n";
    let expected = [
        "2: the field `titel` is not read; is it `title`?",
        "2: spaces around an id, which were removed",
        " 1 of 2 documents have a gold label",
        " not read: url",
    ];
    assert_eq!(notes("c.jsonl", text), expected);
    assert_eq!(
        notes("c.csv", "id,text,Titel,date\n1,x,t,d\n"),
        [" the column `Titel` is not read; is it `title`?", " not read: date"]
    );
    assert_eq!(
        notes("c.csv", "id,text\n1,\u{fffd}\n"),
        ["2: replacement characters (U+FFFD): this text was damaged before it came here"]
    );
    assert!(notes("c.jsonl", "{\"_id\":\"a\",\"text\":\"x\"}\n").is_empty());
}

#[test]
fn gold_labels_are_leans_in_any_spelling_and_by_the_poles_of_the_axis() {
    let gender = load_axis("gender").unwrap();
    let table = "id,text,Lean\na,x,1.0\nb,x,-1\nc,x,female\nd,x,Male\ne,x, \nf,x,+1\ng,x,−1\n";
    let (_folder, path) = file("c.csv", table);
    let corpus = read_corpus(&path, Some(&gender), &Silent).unwrap();
    assert_eq!(leans(&corpus), [Some(1), Some(-1), Some(1), Some(-1), None, Some(1), Some(-1)]);
    let json = "{\"_id\":\"a\",\"text\":\"x\",\"metadata\":{\"lean\":1.0}}\n{\"_id\":\"b\",\"text\":\"x\",\"metadata\":{\"lean\":\"-1\"}}";
    let corpus = read("c.jsonl", json).unwrap();
    assert_eq!(leans(&corpus), [Some(1), Some(-1)]);
    assert_eq!(corpus.documents()[0].metadata["lean"].to_string(), "1", "one spelling from here on");
    let expected = "expected -1, 0, 1, male, female or nothing, received";
    for (cell, received) in
        [("left", "`left`"), ("2", "`2`"), ("true", "`true`"), ("NA", "`NA`"), ("0.5", "`0.5`")]
    {
        let error = refused("c.csv", format!("id,text,lean\na,x,1\nb,\"two\nlines\",0\nc,x,{cell}\n"));
        assert_eq!(error, format!("c.csv:5: lean: {expected} {received}"));
    }
    let error = refused("c.jsonl", "{\"_id\":\"a\",\"text\":\"x\",\"metadata\":{\"lean\":true}}");
    assert_eq!(error, format!("c.jsonl:1: lean: {expected} true"));
}

#[test]
fn tables_of_every_dialect_are_the_same_corpus() {
    let expected = read("c.csv", "id,text,title,lean\nx,\"a, b\",,1\ny,c,T,\n").unwrap().content_id();
    for (name, text) in [
        ("c.csv", "\u{feff}ID;Text;Title;Lean\r\nx;a, b;;1\r\ny;c;T;\r\n"),
        ("c.TSV", " id \ttext\ttitle\tlean\nx\ta, b\t\t1.0\n\ny\tc\tT\t\n"),
        ("c.txt", "_id|text|title|metadata.lean\rx|a, b||+1\ry|c|T|"),
    ] {
        assert_eq!(read(name, text).unwrap().content_id(), expected, "{name}");
    }
    assert_eq!(
        refused("c.csv", "id,text\n1,x\n2,y,z\n"),
        "c.csv:3: expected 2 cells, as the first line has, received 3"
    );
    assert_eq!(
        refused("c.csv", "text,id, Text\n1,x,2\n"),
        "c.csv: the column `text` is there twice, as number 1 and 3"
    );
    assert!(refused("c.csv", "a,b\n1,2\n").ends_with("its columns are a, b"));
    assert_eq!(refused("c.csv", "id,text\n,x\n"), "c.csv:2: _id: expected a text, received nothing");
}

#[test]
fn twins_are_read_from_a_table_as_from_json_lines() {
    let json = concat!(
        r#"{"_id":"a","text":"Ann Roe came.","metadata":{"lean":1,"pair":"p","draw":0,"name":"Ann Roe"}}"#,
        "\n",
        r#"{"_id":"b","text":"Jan Roe came.","metadata":{"lean":-1,"pair":"p","draw":0,"name":"Jan Roe"}}"#,
    );
    let expected = read("c.jsonl", json).unwrap();
    let rows = "a,Ann Roe came.,1,p,0,Ann Roe\nb,Jan Roe came.,-1,p,0,Jan Roe\n";
    for header in
        ["_id,text,lean,pair,draw,name", "_id,text,metadata.lean,metadata.pair,metadata.draw,metadata.name"]
    {
        let table = read("c.csv", format!("{header}\n{rows}")).unwrap();
        assert_eq!(table.documents(), expected.documents(), "{header}");
        assert_eq!(table.content_id(), expected.content_id());
    }
    // Without pairs, these columns are somebody else's.
    let other = read("c.csv", "_id,text,draw,name\na,x,late,Ann\n").unwrap();
    assert!(other.documents()[0].metadata.is_empty());
    for (table, error) in [
        ("text,lean,pair,draw\nx,1,p,1.5\n", "c.csv:2: draw: expected a whole number from 0, received `1.5`"),
        (
            "text,lean,pair,draw\nx,1,,1\n",
            "c.csv:2: draw is `1` where pair is blank, expected both or neither",
        ),
    ] {
        assert_eq!(refused("c.csv", table), error);
    }
    assert!(
        refused("c.csv", "text,pair,metadata.pair\nx,p,p\n")
            .contains("one column, `pair` or `metadata.pair`")
    );
    let misspelt = r#"{"_id":"a","text":"x","metadata":{"lean":1,"Pair":"p"}}"#;
    assert_eq!(
        refused("c.jsonl", misspelt),
        "c.jsonl:1: the field `metadata.Pair`: expected `metadata.pair`"
    );
}

#[test]
fn a_corpus_is_read_packed_and_in_any_encoding_that_says_itself() {
    let text = "{\"_id\":\"é\",\"text\":\"Zoë 王 𝄞\"}\r\n{\"_id\":\"b\",\"text\":\"y\"}\r\n";
    let expected = read("c.jsonl", text).unwrap().content_id();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    // Two members, as in concatenated gzip files.
    let halves = text.split_at(text.find('\n').unwrap() + 1);
    let member = |half: &str| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(half.as_bytes()).unwrap();
        gzip.finish().unwrap()
    };
    let utf16 = |mark: char, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        format!("{mark}{text}").encode_utf16().flat_map(bytes).collect()
    };
    let (little, big) = (utf16('\u{feff}', u16::to_le_bytes), utf16('\u{feff}', u16::to_be_bytes));
    for (name, bytes) in [
        ("c.jsonl.gz", gzip.clone()),
        ("c.jsonl", gzip.clone()),
        ("c.JSONL.GZ", [member(halves.0), member(halves.1)].concat()),
        ("c.jsonl.zst", zstd::encode_all(text.as_bytes(), 1).unwrap()),
        ("c.ndjson", text.as_bytes().to_vec()),
        ("c.jsonl", little.clone()),
        ("c.jsonl", big),
        ("c.json.zst", zstd::encode_all(little.as_slice(), 1).unwrap()),
    ] {
        assert_eq!(read(name, bytes).unwrap().content_id(), expected, "{name}");
    }
    assert_eq!(notes("c.jsonl", &little), [" read as UTF-16, little-endian"]);
    let cut = refused("c.jsonl.gz", &gzip[..gzip.len() - 6]);
    assert!(cut.starts_with("c.jsonl.gz:") && cut.contains("end of file"), "{cut}");
    let half = refused("c.jsonl", &little[..little.len() - 1]);
    assert!(half.contains("UTF-16 with an odd number of bytes"), "{half}");
    let twice = refused("c.gz", zstd::encode_all(gzip.as_slice(), 1).unwrap());
    assert!(twice.contains("expected a file that ends in"), "{twice}");
    let twice = refused("c.jsonl.gz", zstd::encode_all(gzip.as_slice(), 1).unwrap());
    assert!(twice.contains("compressed twice"), "{twice}");
}

#[test]
fn bytes_that_are_no_text_are_refused_with_line_and_column() {
    let latin = refused("c.csv", b"id,text\n1,x\n2,caf\xe9\n");
    assert!(
        latin.starts_with("c.csv:3: byte 0xE9 at column 6 is not valid UTF-8\nhint: text in Windows-1252"),
        "{latin}"
    );
    let nul = refused("c.csv", b"id,text\n1,a\0b\n");
    assert!(nul.starts_with("c.csv:2: a NUL byte at column 4"), "{nul}");
    let joined = refused("c.csv", "id,text\n\u{feff}1,x\n");
    assert!(joined.starts_with("c.csv:2: a byte order mark within the file"), "{joined}");
}

#[test]
fn a_small_file_that_unpacks_to_a_very_long_line_is_refused_without_being_held() {
    let packed = zstd::encode_all(std::io::repeat(b' ').take(100 << 20), 1).unwrap();
    assert!(packed.len() < 100_000);
    assert_eq!(
        refused("c.jsonl.zst", packed),
        "c.jsonl.zst:1: a line of more than 64 MiB; expected a record per line"
    );
}

#[test]
fn a_folder_stands_for_its_corpus_and_says_what_it_lacks() {
    let (folder, _) = file("notes.md", "x");
    let error = read_corpus(folder.path(), None, &Silent).unwrap_err().to_string();
    assert!(error.ends_with("a folder without corpus.jsonl, and without .parquet files"), "{error}");
    fs_err::write(folder.path().join("corpus.csv"), "id,text\na,x\n").unwrap();
    assert_eq!(read_corpus(folder.path(), None, &Silent).unwrap().len(), 1);
}

#[test]
fn a_missing_file_is_named() {
    let error = read_corpus(Path::new("no/such.jsonl"), None, &Silent).unwrap_err().to_string();
    assert!(error.contains("no/such.jsonl"), "{error}");
}

fn document() -> impl Strategy<Value = Document> {
    let text = "[ -~é王\u{202e}\n\t\r]{0,12}[a-z]";
    (text, prop::option::of("[ -~]{0,5}[A-Z]"), prop::option::of(-1_i64..=1)).prop_map(
        |(text, title, lean)| {
            let mut document = Document::new("", text);
            document.title = title;
            if let Some(lean) = lean {
                document.metadata.insert("lean".into(), lean.into());
            }
            document
        },
    )
}

proptest! {
    #[test]
    fn a_corpus_that_is_written_is_read_as_it_was(documents in prop::collection::vec(document(), 1..8)) {
        let documents: Vec<Document> = (documents.into_iter().enumerate())
            .map(|(number, document)| Document { id: format!("d{number}"), ..document })
            .collect();
        let json: String = documents.iter().map(|d| serde_json::to_string(d).unwrap() + "\n").collect();
        let corpus = read("c.jsonl", json).unwrap();
        prop_assert_eq!(corpus.documents(), documents.as_slice());
        let cell = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let mut table = "id,title,text,lean\n".to_owned();
        for document in &documents {
            let lean = document.metadata.get("lean").map(ToString::to_string).unwrap_or_default();
            let title = cell(document.title.as_deref().unwrap_or_default());
            table += &[document.id.clone(), title, cell(&document.text), lean].join(",");
            table.push('\n');
        }
        let corpus = read("c.csv", table).unwrap();
        prop_assert_eq!(corpus.documents(), documents.as_slice());
    }
}
