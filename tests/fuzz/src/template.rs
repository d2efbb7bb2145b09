//! A model with a given chat template. The tests of `ragbias-generate` include this file.

/// A model with its own template.
const MODEL: &[u8] = include_bytes!("../seeds/gguf/llama-byte-level");
const KEY: &[u8] = b"tokenizer.chat_template";
/// A key without effect.
const OTHER: &[u8] = b"general.description";
const ALIGNMENT: usize = 32;

fn text(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text].concat()
}

/// A model with this template, and with a key that keeps the weights aligned.
pub fn with_template(template: &[u8]) -> Vec<u8> {
    let number = |at: usize| u64::from_le_bytes(MODEL[at..at + 8].try_into().expect("8 bytes"));
    // After the key its type, a u32, then the template's length.
    let at = MODEL.windows(KEY.len()).position(|bytes| bytes == KEY).expect("a template") + KEY.len() + 4;
    let (head, rest) = MODEL.split_at(at);
    let rest = &rest[8 + number(at) as usize..];
    let mut key = [text(OTHER), 8_u32.to_le_bytes().into(), 0_u64.to_le_bytes().into()].concat();
    let length = head.len() + 8 + template.len() + key.len() + rest.len();
    let padding = (ALIGNMENT + MODEL.len() % ALIGNMENT - length % ALIGNMENT) % ALIGNMENT;
    let length = key.len() - 8;
    key[length..].copy_from_slice(&(padding as u64).to_le_bytes());
    key.resize(key.len() + padding, b' ');
    let mut model = [head, &text(template), &key, rest].concat();
    model[16..24].copy_from_slice(&(number(16) + 1).to_le_bytes());
    model
}
