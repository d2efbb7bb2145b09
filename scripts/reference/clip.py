"""Two small CLIP checkpoints with random weights, and what transformers computes with them, for crates/ragbias-embed and the lab's tests.

usage: clip.py [FOLDER]
needs: torch==2.15.0 transformers==5.24.0 pillow==13.0.0

Writes tests/fixtures/clip: the folders `quick` and `gelu` (which differ in weights, activation, and in how their end of a text is
given), pictures, decoded.json with the values that Pillow reads from some, and vectors.json: for each folder the token ids and unit vectors of texts, the unit vectors of the pictures, and the
gradients of a sum of one's values by its pixels, from 0 to 255; and the pictures as the encoders see them.
"""
import json
import pathlib
import sys

import numpy as np
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

OUT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[2] / "tests/fixtures/clip")
SIDE, PATCH = 34, 8
TEXTS = [
    "Who mended the harbour clock?", "who mended the harbour clock", "", "  A  baker's   oven, 1903! ", "Élan & Café 中文 🙂",
    "the baker and the harbour clock " * 20,
]
MERGES = ["t h", "th e</w>", "a n", "an d</w>", "c l", "o c", "cl oc", "cloc k</w>", "b a", "k e", "ba ke", "bake r</w>", "w h", "wh o</w>"]


def letters():
    """The characters that stand for bytes, as in GPT-2."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return [chr(byte) for byte in plain] + [chr(256 + place) for place in range(len(others))]


def tokenizer():
    tokens = letters()
    tokens += [letter + "</w>" for letter in tokens] + [merge.replace(" ", "") for merge in MERGES] + ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: place for place, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=[tuple(merge.split()) for merge in MERGES], model_max_length=24)


def model(activation, end, seed):
    torch.manual_seed(seed)
    tower = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 40, "num_hidden_layers": 2, "hidden_act": activation}
    config = CLIPConfig(
        projection_dim=12,
        text_config={**tower, "vocab_size": len(tokenizer()), "max_position_embeddings": 24, "eos_token_id": end, "bos_token_id": end - 1},
        vision_config={**tower, "image_size": SIDE, "patch_size": PATCH},
    )
    made = CLIPModel(config).eval()
    with torch.no_grad():
        # Larger than a start of training, so that attention is far from even and norms from 1.
        for name, weight in made.named_parameters():
            if name != "logit_scale":
                weight.copy_(torch.randn_like(weight) * 0.25 + (1.0 if "norm" in name and name.endswith("weight") else 0.0))
                # A number of few bits is short in a file.
                weight.copy_(weight.half().float())
    return made


def pictures():
    draw = np.random.default_rng(7)
    rows, columns = np.mgrid[0:61, 0:83]
    waves = [127 + 120 * np.sin(rows / a + columns / b) for a, b in [(5, 9), (3, 40), (11, 4)]]
    smooth = np.stack(waves, 2) + draw.normal(0, 12, (61, 83, 3))
    small = draw.integers(0, 256, (20, 15, 3))
    exact = draw.integers(0, 256, (SIDE, SIDE, 3))
    return {name: Image.fromarray(np.clip(values, 0, 255).astype(np.uint8)) for name, values in [("wide", smooth), ("small", small), ("square", exact)]}


def others(wide):
    """The same picture in files of other kinds, and what Pillow reads from some."""
    wide.save(OUT / "photo.jpg", quality=90)
    wide.convert("CMYK").save(OUT / "inks.jpg")
    wide.convert("L").save(OUT / "grey.png")
    wide.quantize(16).save(OUT / "palette.png", transparency=3)
    Image.fromarray(np.asarray(wide.convert("L")).astype(np.uint16) * 200).save(OUT / "deep.png")
    read = {name: np.asarray(Image.open(OUT / name).convert("RGB")).reshape(-1).tolist() for name in ["grey.png", "palette.png", "photo.jpg"]}
    (OUT / "decoded.json").write_text(json.dumps(read))


def unit(vectors):
    return vectors / vectors.norm(dim=-1, keepdim=True)


def rounded(values):
    return [float(f"{value:.7g}") for value in np.asarray(values, np.float64).reshape(-1)]


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    tokens = tokenizer()
    processor = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    shown = pictures()
    for name, picture in shown.items():
        picture.save(OUT / f"{name}.png")
    others(shown["wide"])
    for number in range(16):
        values = np.random.default_rng(number).integers(0, 256, (12, 12, 3))
        Image.fromarray(values.astype(np.uint8)).save(OUT / f"page-{number}.png")
    seen = processor(list(shown.values()), return_tensors="pt")["pixel_values"]
    mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in (processor.image_mean, processor.image_std))
    values = ((seen * deviation + mean) * 255).round().int()
    result = {"texts": TEXTS, "pictures": list(shown), "seen": [one.permute(1, 2, 0).reshape(-1).tolist() for one in values], "models": {}}
    last = len(tokens) - 1
    for name, activation, end, seed in [("quick", "quick_gelu", 2, 1), ("gelu", "gelu", last, 2)]:
        made = model(activation, end, seed)
        folder = OUT / name
        made.save_pretrained(folder)
        tokens.save_pretrained(folder)
        processor.save_pretrained(folder)
        ids = [tokens(text, truncation=True)["input_ids"] for text in TEXTS]
        texts = [unit(made.get_text_features(torch.tensor([row])).pooler_output)[0].detach() for row in ids]
        pixels = values.float().requires_grad_()
        vectors = unit(made.get_image_features(((pixels / 255) - mean) / deviation).pooler_output)
        weights = torch.sin(torch.arange(vectors.shape[1]) + 1.0)
        (vectors[0] * weights).sum().backward()
        result["models"][name] = {
            "ids": ids,
            "text_vectors": [rounded(row) for row in texts],
            "picture_vectors": [rounded(row.detach()) for row in vectors],
            "gradient_of_first": rounded(pixels.grad[0]),
        }
    (OUT / "vectors.json").write_text(json.dumps(result))


main()
