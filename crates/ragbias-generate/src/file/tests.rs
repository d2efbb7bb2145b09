use std::path::Path;

use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Value as Written;

use super::*;
use crate::architecture::{Architecture, Sizes};
use crate::decoder::Decoder;
use crate::testing::gguf;

/// The bytes of a file, with one defect.
struct Raw {
    version: u32,
    /// Key, number of its type, and value.
    entries: Vec<(&'static str, u32, Vec<u8>)>,
    /// Name, dimensions from the innermost, type and offset.
    tensors: Vec<(&'static str, Vec<u64>, u32, u64)>,
    data: usize,
}

impl Raw {
    fn new() -> Self {
        Self {
            version: 3,
            entries: Vec::new(),
            tensors: vec![("a", vec![8], 0, 0), ("b", vec![32, 2], 8, 32)],
            data: 100,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.entries.len() as u64).to_le_bytes());
        let text = |out: &mut Vec<u8>, text: &str| {
            out.extend((text.len() as u64).to_le_bytes());
            out.extend(text.as_bytes());
        };
        for (key, kind, value) in &self.entries {
            text(&mut out, key);
            out.extend(kind.to_le_bytes());
            out.extend(value);
        }
        for (name, shape, kind, offset) in &self.tensors {
            text(&mut out, name);
            out.extend((shape.len() as u32).to_le_bytes());
            for n in shape {
                out.extend(n.to_le_bytes());
            }
            out.extend(kind.to_le_bytes());
            out.extend(offset.to_le_bytes());
        }
        out.resize(out.len().next_multiple_of(32) + self.data, 0);
        out
    }
}

fn open(bytes: &[u8]) -> Result<GgufFile> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    fs_err::write(&path, bytes).unwrap();
    GgufFile::open(&path)
}

fn error(bytes: &[u8]) -> String {
    let error = open(bytes).err().expect("a file that is refused").to_string();
    error.split_once("model.gguf: ").expect("an error that names the file").1.to_owned()
}

/// The error for a file with one change.
fn wrong(change: impl FnOnce(&mut Raw)) -> String {
    let mut raw = Raw::new();
    change(&mut raw);
    error(&raw.bytes())
}

fn assert_begins(error: String, expected: &str) {
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn a_whole_file_is_read() {
    let file = open(&Raw::new().bytes()).unwrap();
    assert_eq!(file.vector("a", 8).unwrap(), [0.0; 8]);
    assert_eq!(file.height("b").unwrap(), 2);
}

#[test]
fn what_is_no_model_is_called_by_its_name() {
    assert_begins(error(b""), "not a whole GGUF file: it is empty");
    assert_begins(error(b"<htm"), "not a whole GGUF file: it begins with `<htm`, expected `GGUF`");
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 98362432\n";
    let message = error(pointer);
    assert!(
        message.starts_with("this is a git-lfs pointer") && message.contains("`git lfs pull`"),
        "{message}"
    );
    assert_begins(wrong(|raw| raw.version = 3_u32.swap_bytes()), "version: the file is big-endian");
    assert_begins(wrong(|raw| raw.version = 1), "version: GGUF version 1 is not read, expected 2 or 3");
    assert_begins(wrong(|raw| raw.version = 4), "version: GGUF version 4");
}

#[test]
fn every_cut_of_a_file_is_an_error_with_both_lengths() {
    let bytes = Raw::new().bytes();
    for length in 4..bytes.len() {
        let message = error(&bytes[..length]);
        assert!(
            message.contains("truncated: expected at least")
                && message.contains(&format!("received {length}\n")),
            "{message}"
        );
    }
}

#[test]
fn types_that_are_not_read_are_refused_by_name() {
    for (number, name) in
        [(20, "IQ4_NL"), (23, "IQ4_XS"), (39, "MXFP4"), (35, "TQ2_0"), (40, "NVFP4"), (99, "number 99")]
    {
        let message = wrong(|raw| raw.tensors[1].2 = number);
        assert_begins(message.clone(), &format!("tensor `b`: its type is {name}"));
        assert!(message.contains("hint: ") && message.contains("llama-quantize"), "{message}");
    }
}

#[test]
fn tensors_that_cannot_be_are_refused() {
    let shape = |shape: Vec<u64>| wrong(move |raw| raw.tensors[1].1 = shape);
    for dimensions in [vec![32, 1 << 62], vec![32, 1 << 59], vec![u64::MAX - 31, 4], vec![32, 0]] {
        assert!(shape(dimensions.clone()).contains("`b` has the impossible shape"), "{dimensions:?}");
    }
    assert!(shape(vec![32, 1 << 40]).starts_with("the file is truncated"));
    assert!(shape(vec![40, 2]).contains("no whole blocks of 32"));
    assert!(shape(vec![32; 5]).contains("5 dimensions"));
    for offset in [0, 16, 33, 64, u64::MAX] {
        let message = wrong(|raw| raw.tensors[1].3 = offset);
        assert!(
            message.contains(&format!("`b` begins at byte {offset} of the weights, expected 32")),
            "{message}"
        );
    }
    assert!(wrong(|raw| raw.tensors[1].0 = "a").contains("the tensor `a` is there twice"));
}

#[test]
fn keys_that_cannot_be_are_refused() {
    let number = |number: u32| number.to_le_bytes().to_vec();
    let with = |entries: Vec<(&'static str, u32, Vec<u8>)>| wrong(|raw| raw.entries = entries);
    assert!(with(vec![("x", 4, number(1)), ("x", 4, number(1))]).contains("the key `x` is there twice"));
    assert!(with(vec![("x", 77, number(1))]).contains("`x` has a value of the unknown type 77"));
    assert!(with(vec![("x", 7, vec![2])]).contains("`x` is a flag of 2"));
    for alignment in [0, 3, 1 << 31] {
        assert!(with(vec![("general.alignment", 4, number(alignment))]).contains("expected a power of two"));
    }
    let list = |kind: u32, count: u64| [kind.to_le_bytes().as_slice(), &count.to_le_bytes()].concat();
    assert!(with(vec![("x", 9, list(9, 1))]).contains("`x` is a list of lists"));
    for count in [1 << 60, u64::MAX] {
        assert!(with(vec![("x", 9, list(4, count))]).contains(&format!("it speaks of {count} values")));
    }
    assert!(with(vec![("general.quantization_version", 4, number(1))]).contains("version 1, expected 2"));
}

#[test]
fn an_alignment_is_honoured() {
    let mut raw = Raw::new();
    raw.entries = vec![("general.alignment", 4, 64_u32.to_le_bytes().to_vec())];
    assert!(error(&raw.bytes()).contains("expected 64"));
    raw.tensors[1].3 = 64;
    raw.data = 200;
    assert!(open(&raw.bytes()).is_ok());
}

#[test]
fn any_changed_byte_is_a_file_or_an_error() {
    let mut bytes = gguf("llama", GgmlDType::Q8_0);
    for at in 0..4000 {
        for change in [1, 0x80, 0xff] {
            bytes[at] ^= change;
            if let Err(error) = Header::read(Path::new("model.gguf"), &bytes) {
                assert!(error.to_string().starts_with("model.gguf: "), "{error}");
            } else if at % 11 == 0
                && let Ok(file) = open(&bytes)
            {
                let _ = Architecture::of(&file).and_then(|architecture| Sizes::read(architecture, &file));
            }
            bytes[at] ^= change;
        }
    }
}

/// The parts of a model whose tensors and keys are divided among files.
fn write_parts(folder: &Path, change: impl Fn(usize, &mut Raw)) -> std::path::PathBuf {
    let short = |number: u16| number.to_le_bytes().to_vec();
    for (part, name) in ["a", "b"].into_iter().enumerate() {
        let mut raw = Raw::new();
        raw.tensors = vec![(name, vec![8], 0, 0)];
        raw.data = 32;
        raw.entries = vec![
            ("split.no", 2, short(part as u16)),
            ("split.count", 2, short(2)),
            ("split.tensors.count", 5, 2_i32.to_le_bytes().to_vec()),
        ];
        change(part, &mut raw);
        fs_err::write(folder.join(format!("m-0000{}-of-00002.gguf", part + 1)), raw.bytes()).unwrap();
    }
    folder.join("m-00001-of-00002.gguf")
}

#[test]
fn parts_are_one_model() {
    let folder = tempfile::tempdir().unwrap();
    let first = write_parts(folder.path(), |_, _| ());
    let file = GgufFile::open(&first).unwrap();
    assert_eq!(file.vector("b", 8).unwrap().len(), 8);
    let id = file.content_id();
    write_parts(folder.path(), |part, raw| raw.data += part);
    assert_ne!(GgufFile::open(&first).unwrap().content_id(), id, "a change in the second part");
}

#[test]
fn parts_that_do_not_go_together_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let message = |first: &Path| GgufFile::open(first).err().unwrap().to_string();
    let with = |change: &dyn Fn(usize, &mut Raw)| message(&write_parts(folder.path(), change));
    assert!(
        with(&|part, raw| raw.tensors[0].0 = ["a", "a"][part])
            .contains("the tensor `a` is in an earlier part too")
    );
    assert!(
        with(&|_, raw| raw.entries[2].2 = vec![3, 0, 0, 0]).contains("the parts have 2 tensors, expected 3")
    );
    assert!(
        with(&|part, raw| raw.entries[0].2 = vec![[0, 0][part], 0]).contains("part 1 of 2, expected 2 of 2")
    );
    let other = |part: usize, raw: &mut Raw| raw.entries.push(("llama.x", 4, vec![part as u8, 0, 0, 0]));
    assert!(with(&other).contains("`llama.x`: the first part says otherwise"));

    let first = write_parts(folder.path(), |_, _| ());
    let second = folder.path().join("m-00002-of-00002.gguf");
    let given = message(&second);
    assert!(given.contains("this is part 2 of 2") && given.contains("m-00001-of-00002.gguf"), "{given}");
    fs_err::remove_file(&second).unwrap();
    let missing = message(&first);
    assert!(missing.contains("part 1 of 2, and m-00002-of-00002.gguf is not beside it"), "{missing}");
    let renamed = folder.path().join("model.gguf");
    fs_err::rename(&first, &renamed).unwrap();
    let name = message(&renamed);
    assert!(name.contains("does not end in `-00001-of-00002.gguf`") && name.contains("--merge"), "{name}");
}

/// The error for a small model with one key added or changed.
fn with_key(architecture: &str, key: &str, value: Written) -> Result<()> {
    let file = open(&crate::testing::gguf_with(architecture, key, value))?;
    let architecture = Architecture::of(&file)?;
    Sizes::read(architecture, &file)?;
    file.refuse_keys("", architecture.name)
}

#[test]
fn keys_that_nothing_knows_or_computes_are_refused_by_name() {
    let cases = [
        ("llama.surprise", Written::U32(1)),
        ("llama.logit_scale", Written::F32(0.5)),
        ("llama.attn_logit_softcapping", Written::F32(30.0)),
        ("llama.final_logit_softcapping", Written::F32(30.0)),
        ("llama.attention.scale", Written::F32(0.5)),
        ("llama.attention.causal", Written::Bool(false)),
        ("llama.attention.sliding_window", Written::U32(128)),
        ("llama.attention.value_length", Written::U32(8)),
        ("llama.rope.scaling.type", Written::String("longrope".into())),
        ("llama.rope.scaling.alpha", Written::F32(1000.0)),
        ("llama.rope.dimension_count", Written::U32(8)),
        ("llama.expert_count", Written::U32(8)),
        ("general.type", Written::String("adapter".into())),
        ("tokenizer.ggml.surprise", Written::U32(1)),
        ("tokenizer.ggml.precompiled_charsmap", Written::Array(vec![Written::U8(1)])),
        ("mistral.attention.sliding_window", Written::U32(128)),
    ];
    for (key, value) in cases {
        let message = with_key("llama", key, value).unwrap_err().to_string();
        let named = message.contains(&format!("`{key}`")) || key.ends_with("dimension_count");
        assert!(named && message.contains("hint: "), "{key}: {message}");
    }
    let others = [
        ("qwen2", "qwen2.attention.sliding_window", Written::U32(128)),
        ("qwen2", "qwen2.rope.dimension_sections", Written::Array(vec![Written::U32(4)])),
        ("qwen3", "qwen3.rope.scaling.type", Written::String("longrope".into())),
        ("phi3", "phi3.attention.sliding_window_pattern", Written::U32(2)),
        ("phi3", "phi3.rope.scaling.type", Written::String("longrope".into())),
        ("smollm3", "smollm3.attention.scale", Written::F32(0.5)),
        ("olmo2", "olmo2.rope.freq_base_swa", Written::F32(500.0)),
        ("gemma2", "gemma2.attention.sliding_window", Written::U32(0)),
    ];
    for (architecture, key, value) in others {
        let message = with_key(architecture, key, value).unwrap_err().to_string();
        assert!(message.contains(&format!("`{key}`")) && message.contains("hint: "), "{key}: {message}");
    }
    let capped = with_key("gemma3", "gemma3.attn_logit_softcapping", Written::F32(50.0));
    assert!(capped.unwrap_err().to_string().contains("`gemma3.attn_logit_softcapping`"));
}

#[test]
fn keys_of_the_wrong_type_are_refused_rather_than_passed_over() {
    for (key, value) in [
        ("llama.rope.freq_base", Written::String("10000".into())),
        ("llama.rope.scaling.factor", Written::F32(f32::NAN)),
        ("llama.rope.scaling.type", Written::U32(2)),
        ("llama.attention.head_count_kv", Written::F32(2.0)),
        ("llama.attention.head_count", Written::Array(vec![Written::U32(4), Written::U32(2)])),
        ("llama.context_length", Written::I32(-1)),
    ] {
        let message = with_key("llama", key, value).unwrap_err().to_string();
        assert!(message.contains(&format!("`{key}` is ")) && message.contains("expected"), "{message}");
    }
}

#[test]
fn keys_that_change_nothing_are_passed_over() {
    for (key, value) in [
        ("general.name", Written::String("a model".into())),
        ("quantize.imatrix.file", Written::String("x.dat".into())),
        ("llama.expert_count", Written::U32(0)),
        ("llama.attention.causal", Written::Bool(true)),
        ("llama.attention.sliding_window", Written::U32(4096)),
        ("llama.attention.scale", Written::F32(0.25)),
        ("llama.vocab_size", Written::U32(97)),
    ] {
        with_key("llama", key, value).expect(key);
    }
}

#[test]
fn an_unknown_architecture_is_refused_with_those_that_are_known() {
    let key = "general.architecture";
    let message = with_key("llama", key, Written::String("mamba".into())).unwrap_err().to_string();
    assert!(
        message.contains("architecture `mamba`, expected one of llama, qwen2, qwen3, ")
            && message.contains("\nhint: "),
        "{message}"
    );
}

#[test]
fn tensors_that_nothing_uses_are_refused_by_name() {
    let mut bytes = gguf("llama", GgmlDType::F32);
    let name = b"blk.0.attn_norm.weight";
    let at = bytes.windows(name.len()).position(|window| window == name).unwrap();
    bytes[at..at + name.len()].copy_from_slice(b"blk.9.attn_norm.weight");
    let file = open(&bytes).unwrap();
    let llama = Architecture::of(&file).unwrap();
    let sizes = Sizes::read(llama, &file).unwrap();
    assert!(Decoder::load(llama, sizes, &file).is_err());
    let message = file.refuse_tensors("llama").unwrap_err().to_string();
    assert!(message.contains("tensor `blk."), "{message}");
}
