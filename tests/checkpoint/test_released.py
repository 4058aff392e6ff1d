import argparse
import json
import os
import re
import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import scan_lightning
from checkpoint import python2
from checkpoint.released_model import score
from scan_lightning.cli import main
from scan_lightning.model.released import read_vocabulary
from scan_lightning.similarity import Attention

WORDS = ["<pad>", "<start>", "<end>", "<unk>", "a", "dog", "n't", "does", "red-hot", "``", "st.", "."]
SENTENCES = {
    "A dog doesn't run.": [1, 4, 5, 7, 6, 3, 11, 2],
    'a "dog" on St. Ann street': [1, 4, 9, 5, 3, 3, 10, 3, 3, 2],
    "A red-hot DÉJÀ": [1, 4, 8, 3, 2],
    "": [1, 2],
}


def states(opt: argparse.Namespace, seed: int = 0) -> list[OrderedDict[str, torch.Tensor]]:
    draw = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=draw)

    image = {"fc.bias": random(8)}
    if opt.precomp_enc_type == "weight_norm":
        image |= {"fc.weight_g": random(1).abs() + 3, "fc.weight_v": random(8, 6)}
    else:
        image |= {"fc.weight": random(8, 6)}
    text = {"embed.weight": random(len(WORDS), 5)}
    for direction in ["", "_reverse"] if opt.bi_gru else [""]:
        text |= {f"rnn.weight_ih_l0{direction}": random(24, 5), f"rnn.weight_hh_l0{direction}": random(24, 8)}
        text |= {f"rnn.bias_ih_l0{direction}": random(24), f"rnn.bias_hh_l0{direction}": random(24)}
    return [OrderedDict(image), OrderedDict(text)]


def content(opt: argparse.Namespace) -> dict[str, Any]:
    return {"epoch": 17, "model": states(opt), "best_rsum": 451.4, "opt": opt, "Eiters": 19261}


@pytest.fixture
def vocab(tmp_path: Path) -> Path:
    path = tmp_path / "f30k_precomp_vocab.json"
    word2idx = {word: index for index, word in reversed(list(enumerate(WORDS)))}  # in no order
    idx2word = {str(index): word for index, word in enumerate(WORDS)}
    path.write_text(json.dumps({"word2idx": word2idx, "idx2word": idx2word, "idx": len(WORDS)}))
    return path


def convert(released: Path, vocab: Path, out: Path) -> int:
    return main(["import-checkpoint", str(released), "--vocab", str(vocab), "--out", str(out)])


WRITERS: dict[str, Callable[[Any, Path], None]] = {
    "python2": python2.save,
    "python2-cuda": lambda content, path: python2.save(content, path, cuda=True),
    "python3-stream": lambda content, path: torch.save(content, path, _use_new_zipfile_serialization=False),
    "python3-zip": torch.save,
}
OPTIONS = [
    {},
    {"cross_attn": "t2i", "agg_func": "Mean", "lambda_softmax": 9.0, "bi_gru": False},
    {"precomp_enc_type": "weight_norm", "agg_func": "Max", "raw_feature_norm": "softmax"},
    {
        "no_imgnorm": True,
        "no_txtnorm": True,
        "agg_func": "Sum",
        "cross_attn": "t2i",
        "raw_feature_norm": "no_norm",
    },
]


@pytest.mark.parametrize("changes", OPTIONS, ids=str)
@pytest.mark.parametrize("writer", WRITERS)
def test_scores_are_those_of_the_released_model(
    writer: str, changes: dict[str, Any], vocab: Path, tmp_path: Path
) -> None:
    opt = python2.options(**changes)
    released = tmp_path / "model_best.pth.tar"
    WRITERS[writer](content(opt), released)
    assert convert(released, vocab, tmp_path / "model.ckpt") == 0
    model = scan_lightning.load(tmp_path / "model.ckpt")
    features = torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(1))
    got = model.similarity(features, list(SENTENCES))
    image, text = states(opt)
    expected = [
        [score(image, text, opt, picture.double().numpy(), ids) for ids in SENTENCES.values()]
        for picture in features
    ]
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-5)


def test_settings_and_words_are_kept(vocab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    released = tmp_path / "model_best.pth.tar"
    python2.save(content(python2.options()), released)
    assert convert(released, vocab, tmp_path / "model.ckpt") == 0
    shown = capsys.readouterr().out
    assert "direction='i2t', smoothing=4.0" in shown
    assert "12 words" in shown
    model = scan_lightning.load(tmp_path / "model.ckpt")
    vocabulary = model.network.text_encoder.vocabulary
    assert (vocabulary.words, vocabulary.tokenizer) == (WORDS, "nltk-treebank-lower")
    assert model.rule == Attention("i2t", smoothing=4.0, aggregation="lse", lse_scale=5.0)
    kept = torch.load(tmp_path / "model.ckpt", weights_only=True)
    assert kept["epoch"] == 17


class Evil:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.trace}",)


@pytest.mark.parametrize("writer", WRITERS)
def test_code_in_a_file_is_never_run(
    writer: str, vocab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace, released = tmp_path / "trace", tmp_path / "model_best.pth.tar"
    for opt in (python2.options(resume=Evil(trace)), Evil(trace)):
        WRITERS[writer]({**content(python2.options()), "opt": opt}, released)
        assert convert(released, vocab, tmp_path / "model.ckpt") == 2
        told = capsys.readouterr().err
        assert "holds more than tensors and plain values (" in told
        assert "weights_only" not in told  # torch's advice to switch the safety off
    assert not trace.exists()
    assert not (tmp_path / "model.ckpt").exists()


def without(name: str) -> argparse.Namespace:
    opt = python2.options()
    delattr(opt, name)
    return opt


def with_weight(part: int, name: str, tensor: Any) -> dict[str, Any]:
    found = content(python2.options())
    found["model"][part][name] = tensor
    return found


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"state_dict": {}}, "is no checkpoint of the released SCAN code"),
        ([1, 2], "is no checkpoint of the released SCAN code"),
        ({**content(python2.options()), "opt": {"margin": 0.2}}, "is no checkpoint of the released"),
        (content(without("cross_attn")), "its options lack 'cross_attn'"),
        (content(python2.options(agg_func="Median")), "aggregation must be one of .*, not 'Median'"),
        (content(python2.options(lambda_softmax=-1)), "smoothing must be a number, above 0, not -1"),
        (with_weight(1, "rnn.weight_ih_l1", torch.zeros(24, 8)), "several layers"),
        (with_weight(1, "embed.weight", torch.zeros(11, 5)), "holds 12 words, .* has 11 rows"),
        (
            with_weight(1, "rnn.bias_hh_l0", torch.zeros(23)),
            r"bias_hh_l0 float32 \(23,\) instead of float32 \(24,\)",
        ),
        (with_weight(0, "cnn.weight", torch.zeros(2)), "Only the released encoders"),
        (with_weight(0, "fc.weight", "no"), "image_encoder.fc.weight is no tensor"),
        (with_weight(0, "fc.weight", torch.zeros(8)), "has no matrix image_encoder.fc.weight"),
    ],
)
def test_other_content_is_named(
    found: Any, message: str, vocab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(found, tmp_path / "model_best.pth.tar")
    assert convert(tmp_path / "model_best.pth.tar", vocab, tmp_path / "model.ckpt") == 2
    err = capsys.readouterr().err
    assert re.search(message, err), err
    assert not (tmp_path / "model.ckpt").exists()


def test_files_that_are_no_checkpoints_are_named(
    vocab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    released = tmp_path / "model_best.pth.tar"
    python2.save(content(python2.options()), released)
    whole = released.read_bytes()
    for data, wrong in (
        (b"", "is empty"),
        (b"words", "is no checkpoint"),
        (whole[:100], "is damaged or cut short"),
        (whole[:-40], "is damaged or cut short"),
    ):
        released.write_bytes(data)
        assert convert(released, vocab, tmp_path / "model.ckpt") == 2
        assert f"{released}: {wrong}" in capsys.readouterr().err
    assert convert(tmp_path / "missing", vocab, tmp_path / "model.ckpt") == 2
    assert "there is no such file" in capsys.readouterr().err
    released.write_bytes(whole)
    words = vocab.read_bytes()
    for out in (released, vocab):
        assert convert(released, vocab, out) == 2
        assert f"--out: {out} is what is read" in capsys.readouterr().err
    assert released.read_bytes() == whole
    assert vocab.read_bytes() == words


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"word2idx": {"a": 0}}', '{"word2idx": {"<pad>": 0, "<start>": 1, "<end>": 2, "<unk>": 4}}'],
)
def test_other_vocabularies_are_named(
    text: str, vocab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    released = tmp_path / "model_best.pth.tar"
    python2.save(content(python2.options()), released)
    vocab.write_text(text)
    assert convert(released, vocab, tmp_path / "model.ckpt") == 2
    assert "is no vocabulary of the released code" in capsys.readouterr().err
    vocab.unlink()
    assert convert(released, vocab, tmp_path / "model.ckpt") == 2
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "size"), [("f30k", 8481), ("coco", 11353)])
def test_the_published_vocabularies_are_read(name: str, size: int, real_data_dir: Path) -> None:
    words = read_vocabulary(real_data_dir / "released" / f"{name}_precomp_vocab.json")
    assert len(words) == size
    assert words.id("dog") > 3


def test_reading_warns_of_nothing(vocab: Path, tmp_path: Path) -> None:
    released = tmp_path / "model_best.pth.tar"
    python2.save(content(python2.options()), released)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert convert(released, vocab, tmp_path / "model.ckpt") == 0
