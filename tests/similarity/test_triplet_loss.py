"""The triplet loss: equal to the loss of the reference's matrix, mined in slices, ties, one pair."""

import pytest
import torch
from similarity_cases import Batch, all_rules, few_rules, poison

import loop_reference as reference
from scan_lightning.similarity import Attention, SumMax, similarity_matrix, triplet, triplet_loss
from scan_lightning.similarity.triplet import hardest_loss, merge_columns, mine_hardest

CLOSE = {"rtol": 1e-10, "atol": 1e-12}
RULE = Attention("t2i")


def pairs_batch(size=7, **kwargs):
    return Batch(images=size, captions=size, **kwargs)


def gradients(function, batch):
    regions, words = batch.leaves()
    loss = function(regions, words)
    return loss.detach(), *torch.autograd.grad(loss, (regions, words))


@all_rules
@pytest.mark.parametrize("negatives", ["hardest", "all"])
def test_loss_and_gradient_equal_the_reference(rule, negatives):
    batch = pairs_batch()
    found = gradients(
        lambda r, w: triplet_loss(
            r, w, rule, margin=0.3, negatives=negatives, memory_budget=5000, **batch.counts
        ),
        batch,
    )
    wanted = gradients(
        lambda r, w: reference.triplet_loss(
            reference.similarity_matrix(r, w, rule, **batch.counts), 0.3, negatives
        ),
        batch,
    )
    assert found[0] > 0
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, **CLOSE)


@few_rules
@pytest.mark.parametrize("negatives", ["hardest", "all"])
def test_gradcheck(rule, negatives):
    batch = pairs_batch(3, regions=3, words=3, dim=5)
    poison(batch.regions, batch.region_counts, 0.3)
    poison(batch.words, batch.word_counts, -0.4)
    assert torch.autograd.gradcheck(
        lambda r, w: triplet_loss(r, w, rule, negatives=negatives, **batch.counts), batch.leaves()
    )


@pytest.mark.parametrize("negatives", ["hardest", "all"])
def test_a_batch_of_one_pair_has_no_negatives(negatives):
    loss, *grads = gradients(lambda r, w: triplet_loss(r, w, RULE, negatives=negatives), Batch(1, 1, 1, 1))
    assert loss == 0
    assert all((grad == 0).all() for grad in grads)


def test_a_collapsed_batch_costs_two_margins_a_pair():
    same = torch.ones(8, 3, 4) / 2
    assert float(triplet_loss(same, same, RULE)) == pytest.approx(2 * 8 * 0.2)
    assert float(triplet_loss(same, same, RULE, negatives="all")) == pytest.approx(2 * 8 * 7 * 0.2, rel=1e-5)


def test_separated_pairs_cost_nothing():
    eye = torch.eye(4)[:, None, :]
    loss, *grads = gradients(
        lambda r, w: triplet_loss(r, w, SumMax("t2i")), type("Fixed", (), {"leaves": lambda self: (
            eye.clone().requires_grad_(), eye.clone().requires_grad_())})(),
    )  # fmt: skip
    assert loss == 0
    assert all((grad == 0).all() for grad in grads)


def test_mining_finds_the_best_wrong_item_and_the_lowest_index_of_equals():
    scores = torch.tensor(
        [[9.0, 5.0, 5.0, 1.0], [2.0, 0.0, 2.0, 2.0], [3.0, 5.0, 9.0, 1.0], [3.0, 4.0, 0.0, -9.0]]
    )
    # one region and one word an item: with Sum-Max the similarity is the dot product
    regions, words = scores[:, None, :], torch.eye(4)[:, None, :]
    mined = mine_hardest(regions, words, SumMax("t2i"))
    assert mined.row_caption.tolist() == [1, 0, 1, 1]
    assert mined.row_score.tolist() == [5, 2, 5, 4]
    assert mined.column_image.tolist() == [2, 0, 0, 1]
    assert mined.column_score.tolist() == [3, 5, 5, 2]


@few_rules
def test_slices_of_images_reduce_to_the_whole(rule):
    batch = pairs_batch(9)
    whole = mine_hardest(batch.regions, batch.words, rule, **batch.counts)
    parts = [
        mine_hardest(
            batch.regions[a:b],
            batch.words,
            rule,
            first_image=a,
            region_counts=batch.region_counts[a:b],
            word_counts=batch.word_counts,
        )
        for a, b in ((0, 4), (4, 5), (5, 9))
    ]
    assert torch.equal(torch.cat([part.row_caption for part in parts]), whole.row_caption)
    column_score, column_image = merge_columns(parts)
    assert torch.equal(column_image, whole.column_image)
    torch.testing.assert_close(column_score, whole.column_score, **CLOSE)


def test_equal_columns_in_different_slices_go_to_the_lower_image():
    regions = torch.ones(4, 1, 2)
    parts = [mine_hardest(regions[a : a + 2], regions, SumMax("t2i"), first_image=a) for a in (0, 2)]
    assert merge_columns(parts)[1].tolist() == [1, 0, 0, 0]


@few_rules
def test_shares_of_slices_add_up_to_loss_and_gradient(rule):
    batch = pairs_batch(9)
    mined = mine_hardest(batch.regions, batch.words, rule, **batch.counts)

    def in_shares(regions, words):
        return sum(
            hardest_loss(
                regions,
                words,
                rule,
                row_caption=mined.row_caption[a:b],
                column_image=mined.column_image[a:b],
                first=a,
                **batch.counts,
            )
            for a, b in ((0, 2), (2, 9))
        )

    whole = gradients(lambda r, w: triplet_loss(r, w, rule, **batch.counts), batch)
    for ours, theirs in zip(gradients(in_shares, batch), whole, strict=True):
        torch.testing.assert_close(ours, theirs, **CLOSE)


def test_one_slice_of_a_single_image_knows_no_wrong_image_for_its_own_caption():
    batch = pairs_batch(3)
    part = mine_hardest(
        batch.regions[1:2], batch.words, RULE, first_image=1,
        region_counts=batch.region_counts[1:2], word_counts=batch.word_counts,
    )  # fmt: skip
    assert part.column_score[1] == -torch.inf
    assert torch.isfinite(part.column_score[[0, 2]]).all()


def test_mining_keeps_no_graph():
    batch = pairs_batch()
    regions, words = batch.leaves()
    assert not mine_hardest(regions, words, RULE, **batch.counts).row_score.requires_grad


def test_only_the_mined_pairs_are_differentiated(monkeypatch):
    counted = []

    def counting(regions, words, images, captions, *args, **kwargs):
        counted.append(len(images))
        return similarity_matrix(regions, words, *args, **kwargs)[images, captions]

    monkeypatch.setattr(triplet, "similarity_pairs", counting)
    batch = pairs_batch(20)
    triplet_loss(batch.regions, batch.words, RULE, **batch.counts)
    assert counted == [60]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"negatives": "some"}, "negatives must be one of hardest, all, not 'some'"),
        ({"margin": -0.1}, "margin must be a finite number of at least 0, not -0.1"),
        ({"margin": float("nan")}, "margin must be a finite number"),
        ({"memory_budget": 0}, "memory_budget must be a positive number of bytes, not 0"),
    ],
)
def test_refuses_settings_that_do_not_fit(kwargs, message):
    batch = pairs_batch()
    with pytest.raises(ValueError, match=message):
        triplet_loss(batch.regions, batch.words, RULE, **batch.counts, **kwargs)


def test_refuses_unequal_numbers_and_slices_outside_the_batch():
    batch = Batch()
    with pytest.raises(ValueError, match="as many images as captions, not 5 and 7"):
        triplet_loss(batch.regions, batch.words, RULE, **batch.counts)
    with pytest.raises(ValueError, match="a slice of 5 images from 3 does not fit a batch of 7"):
        mine_hardest(batch.regions, batch.words, RULE, first_image=3, **batch.counts)
