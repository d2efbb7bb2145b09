//! Two checkpoint folders, in which the input replaces a file. The tests of `ragbias-embed` include this file.

use std::path::Path;

use tempfile::TempDir;

macro_rules! seeds {
    ($($path:literal = $seed:literal),+ $(,)?) => {
        &[$(($path, include_bytes!(concat!("../seeds/checkpoint/", $seed)))),+]
    };
}

/// A path in the folder, and a seed: the selecting byte followed by the file.
type Seed = (&'static str, &'static [u8]);

/// Every file.
pub const FILES: &[Seed] = seeds![
    "config.json" = "config",
    "modules.json" = "modules",
    "sentence_bert_config.json" = "sentence-bert",
    "config_sentence_transformers.json" = "sentence-transformers",
    "tokenizer_config.json" = "tokenizer-config",
    "tokenizer.json" = "tokenizer",
    "1_Pooling/config.json" = "pooling",
    "2_Dense/config.json" = "dense",
    "2_Dense/model.safetensors" = "dense-safetensors",
    "model.safetensors" = "safetensors",
    // Read only if the previous one is missing.
    "pytorch_model.bin" = "pytorch",
    "vocab.txt" = "vocabulary",
];

/// The files that differ in the other folder: a tokenizer whose class is not one of those that take only the
/// vocabulary from `tokenizer.json`, and so uses the file unchanged.
const OF_THE_FILE: &[Seed] = seeds![
    "tokenizer_config.json" = "tokenizer-config-of-the-file",
    "tokenizer.json" = "tokenizer-of-the-file-unigram",
];

/// The file that must be removed for this one to be read.
fn replaced_by(path: &str) -> Option<&'static str> {
    match path {
        "pytorch_model.bin" => Some("model.safetensors"),
        "vocab.txt" => Some("tokenizer.json"),
        _ => None,
    }
}

/// The folder whose tokenizer uses its file unchanged, and that of a `BertTokenizer`.
pub struct Folders([TempDir; 2]);

impl Folders {
    /// Writes both folders.
    pub fn new(folder: impl Fn() -> TempDir) -> Self {
        let folders = Self([folder(), folder()]);
        for which in [0, 1] {
            for (path, seed) in FILES.iter().filter(|(path, _)| replaced_by(path).is_none()) {
                folders.put(which, path, &whole(which, path, seed)[1..]);
            }
        }
        folders
    }

    fn put(&self, which: usize, path: &str, bytes: &[u8]) {
        let path = self.0[which].path().join(path);
        fs_err::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs_err::write(path, bytes).expect("a file");
    }

    /// Replaces the file selected by the input's first byte, and restores it after `read` has read the folder.
    pub fn with(&self, input: &[u8], read: impl FnOnce(&Path)) {
        let [kind, file @ ..] = input else { return };
        let which = usize::from(*kind) / FILES.len() % 2;
        let (path, seed) = FILES[usize::from(*kind) % FILES.len()];
        let folder = self.0[which].path();
        self.put(which, path, file);
        let away = replaced_by(path).map(|other| (folder.join(other), folder.join("away")));
        if let Some((other, away)) = &away {
            fs_err::rename(other, away).expect("the other file");
        }
        read(folder);
        if let Some((other, away)) = away {
            fs_err::rename(away, other).expect("the other file");
            fs_err::remove_file(folder.join(path)).expect("the file");
        } else {
            self.put(which, path, &whole(which, path, seed)[1..]);
        }
    }
}

impl Folders {
    /// The result of `read` for the folder of a `BertTokenizer`, with other modules.
    pub fn plain<T>(&self, modules: &str, read: impl FnOnce(&Path) -> T) -> T {
        self.put(1, "modules.json", modules.as_bytes());
        read(self.0[1].path())
    }
}

/// The original content of a file in a folder.
fn whole(which: usize, path: &str, seed: &'static [u8]) -> &'static [u8] {
    let other = OF_THE_FILE.iter().find(|(other, _)| which == 0 && *other == path);
    other.map_or(seed, |(_, seed)| seed)
}
