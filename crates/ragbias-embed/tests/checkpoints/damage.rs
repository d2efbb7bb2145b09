//! Truncated, damaged, hostile and foreign files.

use std::io::{Cursor, Write};

use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

use crate::folder::Variants;
use crate::load;

/// The error for a variant with one file replaced.
fn refusal_with(name: &str, file: &str, bytes: &[u8]) -> String {
    let folder = Variants::read().make(name);
    fs_err::write(folder.path().join(file), bytes).unwrap();
    load(folder.path()).expect_err(file).to_string()
}

#[test]
fn pointers_of_git_lfs_and_empty_files_are_named_as_such() {
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 90868376\n";
    let files = [
        ("base", "model.safetensors"),
        ("base", "tokenizer.json"),
        ("base", "config.json"),
        ("base", "modules.json"),
        ("base", "1_Pooling/config.json"),
        ("torch", "pytorch_model.bin"),
        ("dense-tanh", "2_Dense/model.safetensors"),
        ("vocabulary-alone", "vocab.txt"),
    ];
    for (name, file) in files {
        let error = refusal_with(name, file, pointer);
        assert!(
            error.contains(file) && error.contains("a git-lfs pointer") && error.contains("git lfs pull"),
            "{error}"
        );
        let error = refusal_with(name, file, b"");
        assert!(error.contains(file) && error.contains("the file is empty"), "{error}");
    }
}

/// An archive as `torch.save` writes it, around a pickle.
fn archive(pickle: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in [("archive/data.pkl", pickle), ("archive/data/0", &[0; 64])] {
        zip.start_file(name, stored).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// `{'t': tensor}` of a storage of 16 numbers, with an offset, a shape and strides of its own.
fn tensor(offset: &[u8], shape: &[u8], strides: &[u8]) -> Vec<u8> {
    let text = |text: &str| [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let name = text("t");
    let (storage, key, place) = (text("storage"), text("0"), text("cpu"));
    [
        b"\x80\x02}".as_slice(),
        &name,
        b"ctorch._utils\n_rebuild_tensor_v2\n((",
        &storage,
        b"ctorch\nFloatStorage\n",
        &key,
        &place,
        b"K\x10tQ",
        offset,
        b"(",
        shape,
        b"t(",
        strides,
        b"t\x89ccollections\nOrderedDict\n)RtRs.",
    ]
    .concat()
}

#[test]
fn a_pickle_that_would_run_something_is_refused_by_what_it_asks_for() {
    for code in
        [b"cos\nsystem\n(X\x02\x00\x00\x00idtR.".as_slice(), b"c__builtin__\neval\n)R.", b"cposix\nsystem\n."]
    {
        let pickle = [b"\x80\x02", code].concat();
        for bytes in [archive(&pickle), pickle] {
            let error = refusal_with("torch", "pytorch_model.bin", &bytes);
            let says = error.contains("which weights do not need; nothing of it was run")
                || error.contains("not a file of PyTorch");
            assert!(error.contains("pytorch_model.bin") && says && error.contains("hint: "), "{error}");
        }
    }
    let error = refusal_with("torch", "pytorch_model.bin", &archive(b"\x80\x02cos\nsystem\n."));
    assert!(error.contains("it asks for `os.system`"), "{error}");
}

#[test]
fn sizes_beyond_a_file_and_pickles_that_grow_are_refused() {
    let whole = archive(&tensor(b"K\x00", b"K\x04K\x04", b"K\x04K\x01"));
    let error = refusal_with("torch", "pytorch_model.bin", &whole);
    assert!(error.contains("tensor `t` belongs neither"), "the tensor itself is read: {error}");
    for (offset, shape, strides) in [
        (b"K\x01".as_slice(), b"K\x04K\x04".as_slice(), b"K\x04K\x01".as_slice()),
        (b"K\x00", b"K\x04K\x04", b"K\x05K\x01"),
        (b"K\x00", b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f", b"K\x00K\x00"),
        (b"K\x00", b"K\x11", b"K\x00"),
        (b"K\x00", b"J\xff\xff\xff\xff", b"K\x01"),
        (b"K\x00", b"K\x04", b"K\x04K\x01"),
        (b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f", b"K\x04", b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f"),
    ] {
        let error = refusal_with("torch", "pytorch_model.bin", &archive(&tensor(offset, shape, strides)));
        let says = ["values beyond the 16", "the size -1", "dimensions with"]
            .iter()
            .any(|says| error.contains(says));
        assert!(says, "{error}");
    }
    let nested = [b"\x80\x02)".as_slice(), &vec![0x85; 100_000], b"."].concat();
    assert!(refusal_with("torch", "pytorch_model.bin", &archive(&nested)).contains("deep"));
    let endless = [b"\x80\x02".as_slice(), &vec![b'N'; 2_000_000], b"."].concat();
    assert!(refusal_with("torch", "pytorch_model.bin", &archive(&endless)).contains("instructions"));
    let long_text = b"\x80\x02X\xff\xff\xff\xffabc.";
    assert!(refusal_with("torch", "pytorch_model.bin", &archive(long_text)).contains("the pickle is cut"));
}

/// Loads a variant repeatedly, each time with one byte of a file changed or the file truncated: the result is an error that names
/// a file of it, or a checkpoint.
fn damage(name: &str, file: &str, every: usize) {
    let folder = Variants::read().make(name);
    let path = folder.path().join(file);
    let whole = fs_err::read(&path).unwrap();
    let check = |bytes: &[u8], place: usize| {
        fs_err::write(&path, bytes).unwrap();
        if let Err(error) = load(folder.path()) {
            let error = error.to_string();
            assert!(error.contains(folder.path().to_str().unwrap()), "{file}, byte {place}: {error}");
        }
    };
    for place in (0..whole.len()).step_by(every) {
        let mut bytes = whole.clone();
        bytes[place] ^= 1 << (place % 8);
        check(&bytes, place);
        bytes[place] = 0xff;
        check(&bytes, place);
        check(&whole[..place], place);
    }
}

#[test]
fn no_changed_byte_of_a_file_of_pytorch_ends_in_a_panic() {
    damage("torch", "pytorch_model.bin", 97);
    damage("torch-older-layout-f16", "pytorch_model.bin", 97);
    damage("dense-torch", "2_Dense/pytorch_model.bin", 7);
}

#[test]
fn no_changed_byte_of_a_settings_file_ends_in_a_panic() {
    for file in ["config.json", "modules.json", "1_Pooling/config.json", "tokenizer_config.json"] {
        damage("base", file, 5);
    }
    damage("base", "tokenizer.json", 3);
    damage("tokenizer-json-as-it-is", "tokenizer.json", 11);
    damage("prompts", "config_sentence_transformers.json", 3);
    damage("base", "model.safetensors", 211);
    damage("vocabulary-alone", "vocab.txt", 13);
}

#[test]
fn a_vocabulary_without_the_token_for_unknown_words_is_refused() {
    let error = refusal_with("vocabulary-alone", "vocab.txt", b"[PAD]\n[CLS]\n[SEP]\n[MASK]\nmill\n");
    assert!(error.contains("vocab.txt: unk_token") && error.contains("[UNK]"), "{error}");
}

#[test]
fn a_template_of_a_token_that_is_not_defined_is_refused() {
    let name = "tokenizer-json-as-it-is";
    let folder = Variants::read().make(name);
    let whole = fs_err::read_to_string(folder.path().join("tokenizer.json")).unwrap();
    let mut file: serde_json::Value = serde_json::from_str(&whole).unwrap();
    let tokens = file["post_processor"]["special_tokens"].as_object_mut().unwrap();
    assert!(tokens.remove("[SEP]").is_some());
    let error = refusal_with(name, "tokenizer.json", file.to_string().as_bytes());
    assert!(error.contains("tokenizer.json: post_processor") && error.contains("[SEP]"), "{error}");
}

#[test]
fn a_part_of_an_index_that_is_not_there_or_elsewhere_is_refused() {
    let folder = Variants::read().make("sharded");
    let part = "model-00002-of-00002.safetensors";
    fs_err::rename(folder.path().join(part), folder.path().join("elsewhere")).unwrap();
    let error = load(folder.path()).unwrap_err().to_string();
    assert!(error.contains("model.safetensors.index.json: a file is `model-00002"), "{error}");
    let index = r#"{"weight_map": {"a": "../a.safetensors"}}"#;
    fs_err::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
    let error = load(folder.path()).unwrap_err().to_string();
    assert!(error.contains("a file is `../a.safetensors`, expected one beside this file"), "{error}");
}

#[test]
fn a_tensor_that_nothing_computes_with_is_refused_by_name() {
    let folder = Variants::read().make("with-head");
    let path = folder.path().join("model.safetensors");
    let bytes = fs_err::read(&path).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let other = tensors.tensor("cls.predictions.bias").unwrap();
    let name = "bert.encoder.layer.0.attention.self.distance_embedding.weight";
    let all = tensors.iter().chain([(name, other)]);
    fs_err::write(&path, safetensors::serialize(all, None).unwrap()).unwrap();
    let error = load(folder.path()).unwrap_err().to_string();
    assert!(
        error.contains(
            "tensor `bert.encoder.layer.0.attention.self.distance_embedding.weight` belongs neither"
        ),
        "{error}"
    );
}
