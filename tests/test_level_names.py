"""The names of levels are for people: renaming them refuses no file and changes no answer."""

from dataclasses import replace

import pytest
import torch

from hbnlab import data, models
from hbnlab.collect import collect_records
from hbnlab.hierarchy import Hierarchy
from hbnlab.metrics import evaluate
from hbnlab.policies import FineTolerance
from hbnlab.records import ExitRecords
from hbnlab.training import TrainConfig, fit
from hbnlab.trees import GLYPHS

RENAMED = GLYPHS.with_level_names(("family", "character"))


@pytest.fixture(scope="module")
def splits():
    return data.load("glyphs", train_size=40, val_size=20, test_size=20)


def renamed(split):
    return replace(split, hierarchy=RENAMED)


def test_bundled_weights_serve_a_renamed_tree_and_speak_its_names(splits):
    network = models.create("gran-hbn", RENAMED, weights="glyphs")
    records = collect_records(network, renamed(splits.test))
    usual = collect_records(models.create("gran-hbn", GLYPHS, weights="glyphs"), splits.test)
    assert records.hierarchy.level_names == ("family", "character")
    assert torch.equal(records.cell(0, "family").logits, usual.cell(0, "coarse").logits)
    assert records.fingerprint == usual.fingerprint


def test_a_network_reads_splits_whose_levels_have_other_names(splits):
    network = models.create("gran-hbn", GLYPHS, weights="glyphs")
    assert renamed(splits.test).fingerprint == splits.test.fingerprint
    records = collect_records(network, renamed(splits.test))
    assert records.fingerprint == collect_records(network, splits.test).fingerprint


def test_policies_and_records_of_a_renamed_tree_go_together(splits, tmp_path):
    network = models.create("gran-hbn", GLYPHS, weights="glyphs")
    records = collect_records(network, splits.test)
    policy = FineTolerance((1.0, 1.0), 0.1, hierarchy=RENAMED)
    usual = FineTolerance((1.0, 1.0), 0.1, hierarchy=GLYPHS)
    replace(records, hierarchy=RENAMED).save(tmp_path / "records")
    read = ExitRecords.load(tmp_path / "records")
    assert read.hierarchy.level_names == ("family", "character")
    assert evaluate(policy.decide(records), records) == evaluate(usual.decide(read), read)


def test_a_run_resumes_from_a_checkpoint_after_its_levels_were_renamed(splits, tmp_path):
    config = TrainConfig.quick("glyphs", epochs=1, batch_size=20, device="cpu")
    path = tmp_path / "checkpoint"
    fit(
        models.create("gran-hbn", GLYPHS, width=0.05),
        splits,
        config,
        checkpoint=path,
        progress=False,
    )
    parts = {part: renamed(getattr(splits, part)) for part in ("train", "val", "test")}
    network = models.create("gran-hbn", RENAMED, width=0.05)
    history = fit(
        network,
        replace(splits, **parts, hierarchy=RENAMED),
        config,
        checkpoint=path,
        resume=True,
        progress=False,
    )
    assert len(history.epochs) == 1


def test_another_tree_is_still_another_tree():
    names = (GLYPHS.class_names[0], tuple(f"{name}!" for name in GLYPHS.class_names[1]))
    with pytest.raises(ValueError, match="under other names"):
        models.create(
            "gran-hbn", Hierarchy(GLYPHS.level_names, names, GLYPHS.parents), weights="glyphs"
        )
