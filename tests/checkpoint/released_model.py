"""The released model written out plainly for one image and one caption, in float64: no code of the project.

Follows the method's description: linear layer (or g v / |v|), embedding, GRU by its equations, mean of both
directions, L2 norms with 1e-8, LeakyReLU 0.1 scores, softmax, attended vectors, cosine, pooling.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

State = dict[str, Any]


def score(image: State, text: State, opt: argparse.Namespace, features: np.ndarray, ids: list[int]) -> float:
    """The similarity of features (k, F) and a caption's ids, start and end included."""
    image = {name: tensor.double().numpy() for name, tensor in image.items()}
    text = {name: tensor.double().numpy() for name, tensor in text.items()}
    if opt.precomp_enc_type == "weight_norm":
        weight = (
            image["fc.weight_g"].reshape(())
            * image["fc.weight_v"]
            / np.sqrt((image["fc.weight_v"] ** 2).sum())
        )
    else:
        weight = image["fc.weight"]
    regions = features @ weight.T + image["fc.bias"]
    embedded = text["embed.weight"][ids]
    words = gru(text, embedded, "")
    if opt.bi_gru:
        words = (words + gru(text, embedded[::-1], "_reverse")[::-1]) / 2
    if not opt.no_imgnorm:
        regions = regions / (norm(regions, 1) + 1e-8)
    if not opt.no_txtnorm:
        words = words / (norm(words, 1) + 1e-8)
    query, context = (words, regions) if opt.cross_attn == "t2i" else (regions, words)
    raw = context @ query.T  # (context, queries)
    if opt.raw_feature_norm == "clipped_l2norm":
        raw = np.where(raw > 0, raw, 0.1 * raw)
        raw = raw / (norm(raw, 1) + 1e-8)
    elif opt.raw_feature_norm == "softmax":
        raw = np.exp(raw) / np.exp(raw).sum(1, keepdims=True)
    attention = np.exp(opt.lambda_softmax * raw.T)
    attention = attention / attention.sum(1, keepdims=True)  # (queries, context)
    attended = attention @ context
    relevance = (query * attended).sum(1) / np.maximum(norm(query, 1) * norm(attended, 1), 1e-8)[:, 0]
    if opt.agg_func == "LogSumExp":
        return float(np.log(np.exp(opt.lambda_lse * relevance).sum()) / opt.lambda_lse)
    return float({"Mean": np.mean, "Max": np.max, "Sum": np.sum}[opt.agg_func](relevance))


def gru(state: State, inputs: np.ndarray, direction: str) -> np.ndarray:
    """One direction of a GRU: reset, update and new gates in torch's order."""
    w_in, w_hid, b_in, b_hid = (
        state[f"rnn.{name}_l0{direction}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    hidden = np.zeros(w_hid.shape[1])
    outputs = []
    for word in inputs:
        of_in, of_hid = np.split(w_in @ word + b_in, 3), np.split(w_hid @ hidden + b_hid, 3)
        reset, update = sigmoid(of_in[0] + of_hid[0]), sigmoid(of_in[1] + of_hid[1])
        hidden = (1 - update) * np.tanh(of_in[2] + reset * of_hid[2]) + update * hidden
        outputs.append(hidden)
    return np.array(outputs)


def norm(rows: np.ndarray, axis: int) -> np.ndarray:
    return np.sqrt((rows**2).sum(axis, keepdims=True))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
