use std::path::PathBuf;

use candle_core::DType;
use candle_nn::VarBuilder;
use candle_transformers::models::clip::text_model::{Activation, ClipTextConfig};
use candle_transformers::models::clip::vision_model::ClipVisionConfig;
use candle_transformers::models::clip::{ClipConfig as CandleConfig, ClipModel};
use serde_json::Value;

use super::*;

/// Checkpoints, pictures and vectors.json, made by scripts/reference/clip.py with transformers 5.24.0.
fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/clip")
}

fn reference() -> Value {
    serde_json::from_slice(&fs_err::read(fixtures().join("vectors.json")).unwrap()).unwrap()
}

fn floats(value: &Value) -> Vec<f32> {
    serde_json::from_value(value.clone()).unwrap()
}

fn strings(value: &Value) -> Vec<String> {
    serde_json::from_value(value.clone()).unwrap()
}

fn pictures(reference: &Value) -> Vec<Picture> {
    let path = |name: &String| fixtures().join(format!("{name}.png"));
    strings(&reference["pictures"]).iter().map(|name| Picture::read(&path(name)).unwrap()).collect()
}

fn difference<'a>(a: impl IntoIterator<Item = &'a f32>, b: &[f32]) -> f32 {
    let a: Vec<f32> = a.into_iter().copied().collect();
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn vectors_and_gradients_are_those_of_transformers() {
    let reference = reference();
    let texts = strings(&reference["texts"]);
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let pictures = pictures(&reference);
    for (name, model) in reference["models"].as_object().unwrap() {
        let clip = Clip::load(&fixtures().join(name)).unwrap();
        for (row, text) in texts.iter().enumerate() {
            let ids: Vec<u32> = serde_json::from_value(model["ids"][row].clone()).unwrap();
            assert_eq!(clip.tokenizer.ids(row, "", text).unwrap(), ids, "{name}: {text}");
        }
        let of_texts = clip.embed_texts(&texts).unwrap();
        for row in 0..texts.len() {
            let difference = difference(of_texts.row(row), &floats(&model["text_vectors"][row]));
            assert!(difference < 2e-6, "{name}, text {row}: {difference}");
        }
        let of_pictures = clip.embed_pictures(&pictures).unwrap();
        for row in 0..pictures.len() {
            let difference = difference(of_pictures.row(row), &floats(&model["picture_vectors"][row]));
            assert!(difference < 2e-6, "{name}, picture {row}: {difference}");
        }
        let pixels: Vec<f32> =
            pictures.iter().flat_map(|picture| planes(&picture.square(clip.side()))).collect();
        let (vectors, tape) = clip.record(&pixels).unwrap();
        assert!(difference(vectors.as_slice(), of_pictures.as_slice()) < 1e-6);
        let mut slopes = Array2::zeros((pictures.len(), vectors.dim()));
        slopes.row_mut(0).iter_mut().enumerate().for_each(|(at, slope)| *slope = (at as f32 + 1.0).sin());
        let gradient = tape.backward(slopes.view()).unwrap();
        let one = 3 * clip.side() * clip.side();
        let expected = floats(&model["gradient_of_first"]);
        let largest = expected.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        assert!(largest > 1e-4, "{largest}");
        assert!(difference(&gradient[..one], &expected) < 1e-4 * largest, "{name}");
        // The others' vectors do not depend on the first picture, nor does the first's on theirs.
        assert!(gradient[one..].iter().all(|value| *value == 0.0));
    }
}

/// candle-transformers computes the same where it can: without gradients, and with the activation that it has.
#[test]
fn vectors_are_those_of_candle_transformers() {
    let reference = reference();
    let folder = fixtures().join("quick");
    let clip = Clip::load(&folder).unwrap();
    let of = &clip.config;
    let config = CandleConfig {
        text_config: ClipTextConfig {
            vocab_size: of.vocabulary,
            embed_dim: of.text.hidden,
            activation: Activation::QuickGelu,
            intermediate_size: of.text.inner,
            max_position_embeddings: of.positions,
            pad_with: None,
            num_hidden_layers: of.text.layers,
            num_attention_heads: of.text.heads,
            projection_dim: of.dim,
        },
        vision_config: ClipVisionConfig {
            embed_dim: of.picture.hidden,
            activation: Activation::QuickGelu,
            intermediate_size: of.picture.inner,
            num_hidden_layers: of.picture.layers,
            num_attention_heads: of.picture.heads,
            projection_dim: of.dim,
            num_channels: 3,
            image_size: of.side,
            patch_size: of.patch,
        },
        logit_scale_init_value: 2.6592,
        image_size: of.side,
    };
    let weights = fs_err::read(folder.join("model.safetensors")).unwrap();
    let weights = VarBuilder::from_buffered_safetensors(weights, DType::F32, &Device::Cpu).unwrap();
    let model = ClipModel::new(weights, &config).unwrap();
    let unit = |vectors: &Tensor| clip.unit(vec![vectors.clone()]).unwrap();
    for text in strings(&reference["texts"]) {
        let ids = clip.tokenizer.ids(0, "", &text).unwrap();
        let ids = Tensor::from_slice(&ids, (1, ids.len()), &Device::Cpu).unwrap();
        let theirs = unit(&model.get_text_features(&ids).unwrap());
        assert!(
            difference(clip.embed_texts(&[&text]).unwrap().as_slice(), theirs.as_slice()) < 2e-6,
            "{text}"
        );
    }
    for picture in pictures(&reference) {
        let pixels = clip.pixels(&planes(&picture.square(of.side))).unwrap();
        let channels = |values: [f32; 3]| Tensor::from_slice(&values, (1, 3, 1, 1), &Device::Cpu).unwrap();
        let pixels = (pixels / 255.0).unwrap().broadcast_sub(&channels(of.mean)).unwrap();
        let theirs =
            unit(&model.get_image_features(&pixels.broadcast_div(&channels(of.deviation)).unwrap()).unwrap());
        assert!(difference(clip.embed_pictures(&[picture]).unwrap().as_slice(), theirs.as_slice()) < 2e-6);
    }
}

#[test]
fn pictures_are_resized_and_cut_as_pillow_does() {
    let reference = reference();
    for (picture, seen) in pictures(&reference).iter().zip(reference["seen"].as_array().unwrap()) {
        let seen: Vec<u8> = serde_json::from_value(seen.clone()).unwrap();
        let square = picture.square(34);
        assert_eq!(square.size(), (34, 34));
        assert_eq!(square.values(), seen, "{:?}", picture.size());
    }
}

/// A copy of a checkpoint with changed keys of a file.
fn changed(file: &str, changes: &Value) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs_err::read_dir(fixtures().join("quick")).unwrap() {
        let path = entry.unwrap().path();
        fs_err::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let path = folder.path().join(file);
    let mut whole: Value = serde_json::from_slice(&fs_err::read(&path).unwrap()).unwrap();
    merge(&mut whole, changes);
    fs_err::write(&path, whole.to_string()).unwrap();
    folder
}

fn merge(whole: &mut Value, changes: &Value) {
    for (key, value) in changes.as_object().unwrap() {
        if value.is_object() && whole[key].is_object() {
            merge(&mut whole[key], value);
        } else {
            whole[key] = value.clone();
        }
    }
}

#[test]
fn what_would_change_a_vector_is_honoured_or_refused_by_name() {
    let refusals = [
        ("config.json", r#"{"model_type": "siglip"}"#, "model_type"),
        ("config.json", r#"{"quantization_config": {"bits": 4}}"#, "quantization_config"),
        ("config.json", r#"{"vision_config": {"hidden_act": "gelu_new"}}"#, "hidden_act"),
        ("config.json", r#"{"vision_config": {"num_channels": 4}}"#, "num_channels"),
        ("config.json", r#"{"vision_config": {"num_attention_heads": 3}}"#, "num_attention_heads"),
        ("config.json", r#"{"text_config": {"num_hidden_layers": 1}}"#, "layers.1"),
        ("config.json", r#"{"text_config": {"num_hidden_layers": 3}}"#, "layers.2"),
        ("config.json", r#"{"text_config_dict": {"hidden_act": "gelu"}}"#, "hidden"),
        ("preprocessor_config.json", r#"{"do_center_crop": false}"#, "do_center_crop"),
        ("preprocessor_config.json", r#"{"resample": 2}"#, "resample"),
        ("preprocessor_config.json", r#"{"size": {"shortest_edge": 40}}"#, "size"),
        (
            "preprocessor_config.json",
            r#"{"size": {"shortest_edge": null, "height": 34, "width": 34}}"#,
            "size",
        ),
        ("preprocessor_config.json", r#"{"rescale_factor": 1.0}"#, "rescale_factor"),
        ("preprocessor_config.json", r#"{"do_pad": true}"#, "do_pad"),
        ("preprocessor_config.json", r#"{"default_to_square": true}"#, "default_to_square"),
        ("preprocessor_config.json", r#"{"image_processor_type": "ViTImageProcessor"}"#, "ViTImageProcessor"),
        ("preprocessor_config.json", r#"{"image_std": [0.5, 0.0, 0.5]}"#, "image_std"),
    ];
    for (file, changes, name) in refusals {
        let folder = changed(file, &serde_json::from_str(changes).unwrap());
        let error = Clip::load(folder.path()).unwrap_err().to_string();
        let is_named = error.contains(name) || (name == "hidden" && error.contains("has shape"));
        assert!(is_named, "{changes}: {error}");
    }
    let plain = Clip::load(&fixtures().join("quick")).unwrap();
    let pictures = pictures(&reference());
    let of = |clip: &Clip| {
        let vectors = [clip.embed_texts(&["the clock"]).unwrap(), clip.embed_pictures(&pictures).unwrap()];
        vectors.map(|vectors| vectors.as_slice().to_vec())
    };
    let changes = [
        // Its keys and their defaults take the place of text_config's: the activation is no longer gelu.
        (
            "config.json",
            r#"{"text_config": {"hidden_act": "gelu"}, "text_config_dict": {"hidden_size": 16, "num_attention_heads": 2,
                "intermediate_size": 40, "num_hidden_layers": 2, "vocab_size": 528, "max_position_embeddings": 24, "eos_token_id": 2}}"#,
            [false, false],
        ),
        ("config.json", r#"{"text_config": {"hidden_act": "gelu"}}"#, [true, false]),
        ("config.json", r#"{"vision_config": {"layer_norm_eps": 0.1}}"#, [false, true]),
        ("config.json", r#"{"dtype": "bfloat16"}"#, [true, true]),
        ("preprocessor_config.json", r#"{"image_mean": [0.5, 0.5, 0.5]}"#, [false, true]),
        ("preprocessor_config.json", r#"{"size": 34, "crop_size": 34}"#, [false, false]),
    ];
    for (file, changes, expected) in changes {
        let folder = changed(file, &serde_json::from_str(changes).unwrap());
        let clip = Clip::load(folder.path()).unwrap();
        let (own, theirs) = (of(&clip), of(&plain));
        assert_eq!([0, 1].map(|kind| own[kind] != theirs[kind]), expected, "{changes}");
        assert_eq!(clip.id() != plain.id(), expected != [false, false], "{changes}");
    }
}

#[test]
fn a_newer_file_of_how_pictures_are_prepared_comes_first_and_adapters_are_refused() {
    let folder = changed("config.json", &serde_json::json!({}));
    let mut own: Value =
        serde_json::from_slice(&fs_err::read(folder.path().join("preprocessor_config.json")).unwrap())
            .unwrap();
    own["image_mean"] = serde_json::json!([0.5, 0.5, 0.5]);
    fs_err::write(
        folder.path().join("processor_config.json"),
        serde_json::json!({ "image_processor": own }).to_string(),
    )
    .unwrap();
    assert_eq!(Clip::load(folder.path()).unwrap().config.mean, [0.5; 3]);
    fs_err::write(folder.path().join("processor_config.json"), "{}").unwrap();
    assert!(Clip::load(folder.path()).unwrap().config.mean[0] < 0.49);
    fs_err::write(folder.path().join("adapter_config.json"), "{}").unwrap();
    assert!(Clip::load(folder.path()).unwrap_err().to_string().contains("merge_and_unload"));
}

/// As transformers' CLIPTokenizer: of tokenizer.json only the vocabulary and the merges count, and two older files give the same.
#[test]
fn the_tokenizer_is_that_of_its_class_whatever_else_its_file_says() {
    let reference = reference();
    let texts = strings(&reference["texts"]);
    let ids = |folder: &Path| -> Vec<Vec<u32>> {
        let clip = Clip::load(folder).unwrap();
        texts.iter().map(|text| clip.tokenizer.ids(0, "", text).unwrap()).collect()
    };
    let expected: Vec<Vec<u32>> =
        serde_json::from_value(reference["models"]["quick"]["ids"].clone()).unwrap();
    let other = serde_json::json!({ "normalizer": null, "post_processor": null, "pre_tokenizer": { "type": "ByteLevel",
        "add_prefix_space": true, "trim_offsets": true, "use_regex": true } });
    let folder = changed("tokenizer.json", &other);
    assert_eq!(ids(folder.path()), expected);
    let path = folder.path().join("tokenizer.json");
    let whole: Value = serde_json::from_slice(&fs_err::read(&path).unwrap()).unwrap();
    fs_err::remove_file(&path).unwrap();
    let merges: Vec<String> = whole["model"]["merges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| {
            let pair: [String; 2] = serde_json::from_value(pair.clone()).unwrap();
            pair.join(" ")
        })
        .collect();
    fs_err::write(folder.path().join("vocab.json"), whole["model"]["vocab"].to_string()).unwrap();
    fs_err::write(folder.path().join("merges.txt"), format!("#version: 0.2\n{}\n", merges.join("\n")))
        .unwrap();
    assert_eq!(ids(folder.path()), expected);
}

#[test]
fn files_are_read_as_pillow_reads_them_or_refused() {
    let decoded: Value =
        serde_json::from_slice(&fs_err::read(fixtures().join("decoded.json")).unwrap()).unwrap();
    for (name, most) in [("grey.png", 0), ("palette.png", 0), ("photo.jpg", 12)] {
        let theirs: Vec<u8> = serde_json::from_value(decoded[name].clone()).unwrap();
        let own = Picture::read(&fixtures().join(name)).unwrap();
        assert_eq!(own.values().len(), theirs.len());
        let differences = own.values().iter().zip(&theirs).map(|(a, b)| a.abs_diff(*b));
        assert!(differences.clone().max() <= Some(most), "{name}: {:?}", differences.max());
        // Decoders round the waves of a JPEG file differently.
        let mean = differences.map(f64::from).sum::<f64>() / theirs.len() as f64;
        assert!(mean < 0.5, "{name}: {mean}");
    }
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs_err::write(&path, bytes).unwrap();
        let error = Picture::read(&path).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
        error
    };
    let whole = |name: &str| fs_err::read(fixtures().join(name)).unwrap();
    assert!(refused("deep.png", &whole("deep.png")).contains("16 bits"));
    assert!(refused("inks.jpg", &whole("inks.jpg")).contains("four inks"));
    assert!(refused("a.png", b"GIF89a nothing").contains("neither a PNG nor a JPEG"));
    for name in ["small.png", "photo.jpg"] {
        let bytes = whole(name);
        refused(name, &bytes[..bytes.len() * 2 / 3]);
    }
}

#[test]
fn a_long_strip_takes_no_more_memory_than_its_middle() {
    let strip =
        Picture::new(1, 16_384, (0..3 * 16_384_u32).map(|value| (value % 251) as u8).collect()).unwrap();
    assert_eq!(strip.square(224).size(), (224, 224));
}

#[test]
fn a_picture_on_its_side_is_turned() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    let whole = fs_err::read(fixtures().join("small.png")).unwrap();
    // Exif says that the first row is the right side.
    let mut turned = whole[..33].to_vec();
    let exif = b"eXIfMM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    turned.extend((exif.len() as u32 - 4).to_be_bytes());
    turned.extend(exif);
    turned.extend(crc32(exif).to_be_bytes());
    turned.extend(&whole[33..]);
    fs_err::write(&path, turned).unwrap();
    let (upright, plain) =
        (Picture::read(&path).unwrap(), Picture::read(&fixtures().join("small.png")).unwrap());
    assert_eq!((upright.size(), plain.size()), ((15, 20), (20, 15)));
    // The first row is now the last column, from the top.
    let pixel = |picture: &Picture, row: usize, column: usize| {
        let start = 3 * (row * picture.size().1 + column);
        picture.values()[start..start + 3].to_vec()
    };
    assert_eq!(pixel(&upright, 3, 19), pixel(&plain, 0, 3));
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 },
        )
    })
}
