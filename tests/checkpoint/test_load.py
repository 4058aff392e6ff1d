import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

import scan_lightning
from checkpoint.conftest import FEATURES, WORDS, small_model
from loop_reference import similarity_matrix as judge
from scan_lightning.errors import ScanError
from scan_lightning.similarity import Attention

SENTENCES = ["A dog runs.", "a red zeppelin", "", "Ball"]
IDS = [[1, 4, 5, 6, 9, 2], [1, 4, 7, 3, 2], [1, 2], [1, 8, 2]]


def features(n: int = 3, k: int = 4) -> torch.Tensor:
    return torch.randn(n, k, FEATURES, generator=torch.Generator().manual_seed(1))


def spoilt(image: int, region: int, value: float, n: int = 3) -> torch.Tensor:
    found = features(n)
    found[image, region, 3] = value
    return found


def plain_embeddings(ids: list[int], regions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """One caption and one image through the encoders, alone and without padding."""
    network = small_model()
    with torch.no_grad():
        image = network.image_encoder.fc(regions)
        hidden, _ = network.text_encoder.rnn(network.text_encoder.embed(torch.tensor([ids])))
        words = (hidden[0, :, :8] + hidden[0, :, 8:]) / 2
    return image / image.norm(dim=1, keepdim=True), words / words.norm(dim=1, keepdim=True)


def test_similarity_is_that_of_each_pair_alone(write: Callable[..., Path]) -> None:
    """Lower-cased, unknown words, an empty sentence; more sentences than a block."""
    model = scan_lightning.load(write())
    images = features()
    got = model.similarity(images, SENTENCES * 150)
    assert got.shape == (3, 600)
    rule = Attention("i2t", smoothing=4.0, aggregation="lse", lse_scale=5.0)
    for column, ids in enumerate(IDS):
        for row in range(3):
            image, words = plain_embeddings(ids, images[row])
            expected = judge(image[None], words[None], rule)[0, 0]
            assert got[row, column].item() == pytest.approx(expected.item(), abs=1e-6)
            assert got[row, column + 596].item() == pytest.approx(expected.item(), abs=1e-6)


def test_similarity_takes_padding_half_precision_and_numpy(write: Callable[..., Path]) -> None:
    model = scan_lightning.load(write())
    images = features().half()
    padded = torch.cat([images, torch.full((3, 2, FEATURES), torch.nan, dtype=torch.half)], 1)
    expected = model.similarity(images.float(), SENTENCES)
    got = model.similarity(padded.numpy(), SENTENCES, region_counts=np.array([4, 4, 4]))
    torch.testing.assert_close(got, expected)
    assert model.similarity(images, []).shape == (3, 0)


def test_attend_tells_the_weights_behind_the_score(write: Callable[..., Path]) -> None:
    model = scan_lightning.load(write())
    attended = model.attend(features()[0], "A red zeppelin.")
    tokens, weights, relevance = attended
    assert tokens == ["<start>", "a", "red", "zeppelin", ".", "<end>"]
    assert weights.shape == (4, 6)  # i2t: regions are the queries
    torch.testing.assert_close(weights.sum(1), torch.ones(4))
    score = torch.logsumexp(5 * relevance, 0) / 5
    torch.testing.assert_close(score, model.similarity(features()[:1], ["A red zeppelin."])[0, 0])
    with pytest.raises(AttributeError):
        attended.tokens = []  # type: ignore[misc]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: model.similarity(features()[0], SENTENCES), r"expected floats \(images, regions, F\)"),
        (lambda model: model.similarity(features().long(), SENTENCES), "int64"),
        (lambda model: model.similarity(features()[..., :5], SENTENCES), "5 wide, the model takes 6"),
        (lambda model: model.similarity(features(), "A dog"), "one string"),
        (
            lambda model: model.similarity(features(), ["a"], region_counts=torch.tensor([1, 5, 1])),
            "region_counts",
        ),
        (
            lambda model: model.similarity(features(), ["a"], region_counts=[4, 4]),
            r"shape \(2,\), expected \(3,\)",
        ),
        (lambda model: model.attend(features(), "A dog"), r"\(regions, F\)"),
        (
            lambda model: model.similarity(spoilt(2, 1, torch.nan), ["a"]),
            "NaN or infinity in image 2, region 1 ",
        ),
        (
            lambda model: model.similarity(spoilt(200, 3, torch.inf, n=300).half(), ["a"]),
            "NaN or infinity in image 200, region 3 ",
        ),
        (
            lambda model: model.attend(spoilt(0, 2, torch.nan)[0], "a"),
            "NaN or infinity in image 0, region 2 ",
        ),
    ],
)
def test_wrong_arguments_are_named(
    write: Callable[..., Path], call: Callable[[Any], Any], message: str
) -> None:
    model = scan_lightning.load(write())
    with pytest.raises(ValueError, match=message):
        call(model)


def drop(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda content: content.pop(name)


def setting(path: list[str], value: object) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        for name in path[:-1]:
            content = content[name]
        content[path[-1]] = value

    return change


STATE = ["state_dict", "model.text_encoder.embed.weight"]
PARTS = "hyper_parameters"
VOCABULARY = [PARTS, "model", "vocabulary"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop(PARTS), "not written by scan-lightning .*import-checkpoint"),
        (drop("state_dict"), "not written by scan-lightning"),
        (setting([PARTS, "version"], 1), "version 1, this scan-lightning reads version 2"),
        (setting([PARTS, "version"], True), "version True, this scan-lightning reads version 2"),
        (
            setting([*VOCABULARY, "words"], WORDS[:-1]),
            r"text_encoder.embed.weight float32 \(10, 5\) instead of float32 \(9, 5\)",
        ),
        (setting([*VOCABULARY, "words"], WORDS[1:]), "a vocabulary starts with"),
        (setting([*VOCABULARY, "words"], "words"), "words must be a list of strings"),
        (setting(VOCABULARY, dict.fromkeys(WORDS, 0)), "vocabulary must be"),
        (setting(VOCABULARY, None), "vocabulary is needed"),
        (setting([*VOCABULARY, "tokenizer"], "spacy-fr"), "unknown tokenizer 'spacy-fr'"),
        (setting([PARTS, "model", "embed_size"], 9), r"do not fit .*\(8, 6\) instead of float32 \(9, 6\)"),
        (setting([PARTS, "model", "embed_size"], -9), "embed_size must be an integer, at least 1, not -9"),
        (setting([PARTS, "model", "embed_size"], 10**30), "model: "),
        (setting([PARTS, "similarity", "lambda"], 9), "takes no argument 'lambda'"),
        (setting([PARTS, "similarity", "smoothing"], "hot"), "smoothing must be a number"),
        (setting([PARTS, "similarity"], None), "similarity: found None, expected a mapping with _target_"),
        (setting([PARTS, "model", "feature_dim"], 7), "do not fit"),
        (setting(STATE, "words"), "is no tensor"),
        (setting(["state_dict", 5], torch.zeros(1)), "5 in its state_dict is no tensor"),
        (lambda content: content["state_dict"].pop(STATE[1]), "no text_encoder.embed.weight"),
        (setting(STATE, torch.tensor(1.0)), r"embed.weight float32 \(\) instead of float32 \(10, 5\)"),
        (
            lambda content: content["state_dict"].pop("model.image_encoder.fc.bias"),
            "no image_encoder.fc.bias",
        ),
        (
            setting(["state_dict", "model.extra"], torch.zeros(1)),
            "holds extra, which the model does not have",
        ),
        (setting(["state_dict", "extra"], torch.zeros(1)), "holds extra, which the model does not have"),
        (setting(["optimizer_states"], argparse.Namespace(lr=1)), "more than tensors and plain values"),
    ],
)
def test_a_checkpoint_that_does_not_hold_together_is_refused(
    write: Callable[..., Path], change: Callable[[dict[str, Any]], None], message: str
) -> None:
    path = write(change)
    with pytest.raises(ScanError, match=message) as caught:
        scan_lightning.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).count(str(path)) == 1


def test_files_that_are_no_checkpoints_are_refused(write: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(ScanError, match="no such file"):
        scan_lightning.load(tmp_path / "missing.ckpt")
    with pytest.raises(ScanError, match="is a folder"):
        scan_lightning.load(tmp_path)
    path = write()
    whole = path.read_bytes()
    with h5py.File(tmp_path / "store.h5", "w", userblock_size=4096) as file:
        file["x"] = 1
    for content, wrong in (
        (b"", "is empty"),
        (b"words", "is no checkpoint"),
        (whole[: len(whole) // 2], "is damaged or cut short"),
        (whole[:-200], "is damaged or cut short"),
        (whole[1000:], "is no checkpoint"),
        (b"\x80\x04K\x01.", "is no checkpoint"),
        (bytes(3000), "is no checkpoint"),
        ((tmp_path / "store.h5").read_bytes(), "is an HDF5 file, as a store is"),
    ):
        path.write_bytes(content)
        with pytest.raises(ScanError) as caught:
            scan_lightning.load(path)
        # In words of ours, without what torch says of its own insides.
        assert str(caught.value).startswith(f"{path}: {wrong}")
        assert (
            str(caught.value)
            .partition("; ")[2]
            .startswith("expected a checkpoint of scan-lightning, such as")
        )
    torch.save([1, 2], path)
    with pytest.raises(ScanError, match="not written by scan-lightning"):
        scan_lightning.load(path)
