import csv

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize
from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel, PreTrainedTokenizerBase

from simclip.demo import BASE, ensure_dataset
from simclip.demo import base as demo_base
from simclip.demo.base import Recipe, make_base
from simclip.demo.captions import words
from simclip.demo.flags import NATIONS


@pytest.fixture(scope="module")
def model() -> CLIPModel:
    return CLIPModel.from_pretrained(BASE, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def tokens() -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(BASE)


def table(name: str) -> list[dict[str, str]]:
    with open(ensure_dataset() / f"{name}.tsv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def said(name: str) -> list[str]:
    return [row[f"caption{i}"] for row in table(name) for i in range(1, 6)]


def text_embeddings(model: CLIPModel, tokens: PreTrainedTokenizerBase, texts: list[str]) -> torch.Tensor:
    with torch.inference_mode():
        batch = tokens(texts, padding=True, return_tensors="pt")
        return normalize(model.get_text_features(**batch).pooler_output)


def image_embeddings(model: CLIPModel, files: list) -> torch.Tensor:
    with torch.inference_mode():
        pixels = AutoImageProcessor.from_pretrained(BASE)([Image.open(file) for file in files], return_tensors="pt")
        return normalize(model.get_image_features(**pixels).pooler_output)


def test_the_folder_is_small() -> None:
    assert sum(path.stat().st_size for path in BASE.iterdir()) <= 4 * 2**20


@pytest.mark.parametrize("name", ["train", "val", "rare"])
def test_no_caption_has_an_unknown_word_or_is_cut(tokens: PreTrainedTokenizerBase, name: str) -> None:
    for caption, ids in zip(said(name), tokens(said(name))["input_ids"], strict=True):
        assert tokens.unk_token_id not in ids
        assert ids[0] == tokens.bos_token_id
        assert ids.index(tokens.eos_token_id) == len(ids) - 1
        assert len(ids) <= tokens.model_max_length
        assert tokens.decode(ids[1:-1]).replace(" ,", ",") == caption


def test_prompts_have_no_unknown_word(tokens: PreTrainedTokenizerBase) -> None:
    for template in ("a photo of a {}.", "the flag of {}", "This is an image of {}."):
        for nation in NATIONS:
            assert tokens.unk_token_id not in tokens(template.format(nation))["input_ids"]


def test_long_captions_are_cut_before_the_end_token(tokens: PreTrainedTokenizerBase) -> None:
    ids = tokens("red " * 50, truncation=True)["input_ids"]
    assert len(ids) == tokens.model_max_length
    assert ids[-1] == tokens.eos_token_id


def test_the_model_and_its_tokenizer_agree(model: CLIPModel, tokens: PreTrainedTokenizerBase) -> None:
    config = model.config.text_config
    assert config.eos_token_id == tokens.eos_token_id != 2  # 2 makes transformers pool at the highest id instead
    assert (config.bos_token_id, config.pad_token_id) == (tokens.bos_token_id, tokens.pad_token_id)
    assert config.max_position_embeddings == tokens.model_max_length
    assert config.vocab_size == len(tokens)
    assert set(words()) < set(tokens.get_vocab())


def test_padding_does_not_change_an_embedding(model: CLIPModel, tokens: PreTrainedTokenizerBase) -> None:
    short, long = "a red circle", "there is a small green circle to the left of a big red square on white"
    alone, padded = (text_embeddings(model, tokens, texts)[0] for texts in ([short], [short, long]))
    torch.testing.assert_close(alone, padded)


def test_the_base_is_competent_but_has_much_to_learn(model: CLIPModel, tokens: PreTrainedTokenizerBase) -> None:
    images = image_embeddings(model, [ensure_dataset() / "images" / row["image"] for row in table("val")])
    scores = images @ text_embeddings(model, tokens, said("val")).T
    own = torch.arange(len(images)).repeat_interleave(5)
    image_to_text = (own[scores.argmax(1)] == torch.arange(len(images))).float().mean()
    text_to_image = (scores.argmax(0) == own).float().mean()
    mean_r1 = float(image_to_text + text_to_image) / 2
    assert 10 / len(images) <= mean_r1 <= 0.15


def test_the_base_hardly_knows_the_flags(model: CLIPModel, tokens: PreTrainedTokenizerBase) -> None:
    prompts = text_embeddings(model, tokens, [f"the flag of {nation}" for nation in NATIONS])
    right = [
        (image_embeddings(model, sorted(folder.glob("*.png"))) @ prompts.T).argmax(1) == label
        for label, nation in enumerate(NATIONS)
        for folder in [ensure_dataset() / "rare_test" / nation.replace(" ", "_")]
    ]
    assert torch.cat(right).float().mean() < 0.3


def test_what_the_base_is_trained_on_is_no_part_of_the_data_set() -> None:
    pictures, texts = demo_base.sample(100, seed=7)
    assert pictures.shape == (100, 3, 48, 48) and pictures.dtype == torch.uint8
    assert not {caption for each in texts for caption in each} & {*said("train"), *said("val")}
    spoken = {word for each in texts for caption in each for word in caption.replace(",", "").split()}
    assert not spoken & demo_base.UNKNOWN


def test_the_same_recipe_makes_the_same_base(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    try:
        one, two = (make_base(tmp_path / name, Recipe(scenes=64, steps=2, batch_size=8)) for name in ("a", "b"))
    finally:
        torch.set_num_threads(threads)
    assert (one / "model.safetensors").read_bytes() == (two / "model.safetensors").read_bytes()
    assert (one / "tokenizer.json").read_bytes() == (BASE / "tokenizer.json").read_bytes()
    assert "loss" in capsys.readouterr().out


def test_images_are_scaled_to_minus_one_to_one() -> None:
    white = Image.fromarray(np.full((48, 48, 3), 255, np.uint8))
    pixels = AutoImageProcessor.from_pretrained(BASE)([white], return_tensors="pt")["pixel_values"]
    assert pixels.shape == (1, 3, 48, 48)
    torch.testing.assert_close(pixels, torch.ones_like(pixels))
