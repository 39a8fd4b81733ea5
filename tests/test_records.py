from dataclasses import replace

import pytest
import torch
from random_records import DEEP, PETS, random_records

from hbnlab.entropy import entropy
from hbnlab.hierarchy import Hierarchy
from hbnlab.records import Decisions, ExitRecords

SEM = [[True, False], [True, False], [False, True]]


def test_derived_tables_agree_with_the_logits_of_each_cell():
    records = random_records()
    for exit_index, level in records.cells:
        cell = records.cell(exit_index, level)
        assert torch.equal(cell.logits, records.logits[level][:, exit_index])
        assert torch.allclose(cell.prob.sum(1), torch.ones(len(records)))
        assert torch.equal(cell.entropy, entropy(cell.logits))
        assert torch.allclose(cell.confidence, cell.prob.amax(1))
        assert torch.equal(cell.prediction, cell.logits.argmax(1))
        assert torch.equal(cell.correct, cell.prediction == cell.labels)
        first, second = cell.prob.sort(descending=True).values[:, :2].unbind(1)
        assert torch.allclose(records.margin[:, exit_index, level], first - second)


def test_a_cell_without_a_head_is_marked_in_every_table():
    records = random_records(heads=SEM)
    assert records.cells == ((0, 0), (1, 0), (2, 1))
    assert records.head_mask == ((True, False), (True, False), (False, True))
    assert records.entropy[:, 0, 1].isnan().all()
    assert records.confidence[:, 0, 1].isnan().all()
    assert (records.prediction[:, 0, 1] == -1).all()
    assert not records.correct[:, 0, 1].any()


def test_asking_for_a_cell_that_is_not_there_names_those_that_are():
    with pytest.raises(ValueError, match="exit 1, level 'fine'; the cells are: exit 1 coarse, "):
        random_records(heads=SEM).cell(0, "fine")


def test_costs_to_an_exit_count_every_branch_on_the_way():
    records = random_records()
    assert [records.macs_to(n) for n in range(3)] == [110, 330, 660]
    with pytest.raises(ValueError, match=r"must be in 0\.\.2, got 3"):
        records.macs_to(3)


@pytest.mark.parametrize(
    "chosen", [torch.tensor([3, 1, 3]), torch.arange(40) % 3 == 0, torch.arange(40)]
)
def test_a_subset_is_the_same_whether_taken_before_or_after_deriving(chosen):
    fresh, derived = random_records().subset(chosen), random_records()
    tables = ("entropy", "confidence", "margin", "prediction", "correct")
    for name in tables:
        getattr(derived, name)
    derived = derived.subset(chosen)
    for name in tables:
        assert torch.equal(getattr(fresh, name), getattr(derived, name))
    assert torch.equal(derived.labels, random_records().labels[chosen])
    assert torch.equal(derived.attributes["difficulty"], fresh.attributes["difficulty"])


def test_marginalised_coarse_probabilities_are_sums_and_the_chain_rule_holds():
    records = random_records(200, hierarchy=DEEP).marginalised()
    for exit_index in range(3):
        fine = records.cell(exit_index, -1)
        for level in range(2):
            coarse = records.cell(exit_index, level)
            lifted = DEEP.lift_prob(fine.prob, level)
            assert torch.allclose(coarse.prob, lifted, atol=1e-6)
            within = torch.where(
                fine.prob > 0,
                fine.prob * (fine.prob / lifted[:, DEEP.ancestors(level)]).log(),
                torch.zeros(()),
            )
            assert torch.allclose(fine.entropy - coarse.entropy, -within.sum(1), atol=1e-5)


def test_marginalising_fills_missing_coarse_heads_and_needs_every_fine_one():
    fine_only = random_records(heads=[[False, True]] * 3)
    assert all(map(all, fine_only.marginalised().head_mask))
    with pytest.raises(ValueError, match=r"none at exit \[1, 2\]"):
        random_records(heads=SEM).marginalised()


def test_records_with_other_values_have_another_fingerprint_that_repeats():
    records = random_records()
    derived = [records.derived("halved"), records.derived("doubled"), records.marginalised()]
    assert len({records.fingerprint, *(other.fingerprint for other in derived)}) == 4
    assert records.marginalised().fingerprint == derived[-1].fingerprint
    assert random_records(seed=1).marginalised().fingerprint != derived[-1].fingerprint


def test_marginalising_survives_probabilities_that_underflow():
    records = random_records(5)
    sharp = replace(records, logits=tuple(1e4 * logits for logits in records.logits))
    assert sharp.marginalised().entropy.isfinite().all()


def test_a_table_has_a_row_for_each_image_and_cell():
    records = random_records(7, heads=SEM)
    table = records.to_dataframe()
    assert len(table) == 7 * 3
    assert set(table["exit"]) == {1, 2, 3}
    assert set(table[table["exit"] == 3]["level"]) == {"fine"}
    last = table[table["exit"] == 3].set_index("image")
    assert (last["correct"] == (last["label"] == last["prediction"])).all()
    assert last["label"][2] == PETS.class_names[1][int(records.labels[2, 1])]
    assert last["difficulty"][2] == pytest.approx(float(records.attributes["difficulty"][2]))


# ---------------------------------------------------------------------- files


@pytest.mark.parametrize("gate", [True, False])
def test_records_come_back_from_a_file_as_they_were(tmp_path, gate):
    records = random_records(heads=SEM, gate=gate)
    records.save(tmp_path / "a.safetensors")
    loaded = ExitRecords.load(tmp_path / "a.safetensors")
    for level in range(2):
        assert torch.equal(
            loaded.logits[level].nan_to_num(99), records.logits[level].nan_to_num(99)
        )
    for name in (
        "hierarchy",
        "head_mask",
        "stage_macs",
        "branch_macs",
        "split",
        "fingerprint",
        "has_gate",
    ):
        assert getattr(loaded, name) == getattr(records, name)
    for name in ("labels", "prediction"):
        assert torch.equal(getattr(loaded, name), getattr(records, name))
    assert torch.equal(loaded.attributes["difficulty"], records.attributes["difficulty"])
    loaded.save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_a_file_cut_short_or_altered_is_refused(tmp_path):
    path = tmp_path / "records.safetensors"
    random_records(5).save(path)
    whole = path.read_bytes()
    for size in (0, 7, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match="not a complete file"):
            ExitRecords.load(path)
    for place in range(len(whole) // 2, len(whole), 37):
        altered = bytearray(whole)
        altered[place] ^= 4
        path.write_bytes(altered)
        with pytest.raises(ValueError, match=r"damaged|not a complete file"):
            ExitRecords.load(path)


def test_a_file_of_something_else_is_refused(tmp_path):
    from hbnlab.storage import save_tensors

    save_tensors(tmp_path / "weights", {"w": torch.zeros(2)}, {"kind": "weights"})
    with pytest.raises(ValueError, match="must hold 'hbnlab exit records 1', got 'weights'"):
        ExitRecords.load(tmp_path / "weights")


# ---------------------------------------------------------------------- bad input


def _with_value(records, level, place, value):
    logits = [tensor.clone() for tensor in records.logits]
    logits[level][place] = value
    return {"logits": tuple(logits)}


BAD = {
    "one tensor per level": lambda r: {"logits": r.logits[:1]},
    "must be float32": lambda r: {"logits": tuple(x.double() for x in r.logits)},
    r"= \(40, 3, 3\), got torch.float32 \(39, 3, 3\)": lambda r: {
        "logits": (r.logits[0][1:], r.logits[1])
    },
    "at image 4, exit 2, level 'fine'": lambda r: _with_value(r, 1, (4, 1, 2), torch.nan),
    "at image 0, exit 1, level 'coarse'": lambda r: _with_value(r, 0, (0, 0), torch.inf),
    "at image 1, exit 3": lambda r: _with_value(r, 0, (1, 2), -torch.inf),
    "3 exits x 2 levels": lambda r: {"head_mask": [[True]] * 3},
    r"every exit needs at least one head, none at exit \[2\]": lambda r: {
        "head_mask": [[True, True], [False, False], [True, True]]
    },
    "must hold NaN logits": lambda r: {"head_mask": [[False, True], [True, True], [True, True]]},
    r"labels must have shape \(sample, 2\)": lambda r: {"labels": r.labels[:, :1]},
    "labels must be int64": lambda r: {"labels": r.labels.float()},
    r"level 'fine' must be in 0\.\.5, got 0\.\.6": lambda r: {
        "labels": torch.where(torch.arange(40)[:, None] == 3, torch.tensor([0, 6]), r.labels)
    },
    "labels must follow the tree, where .* is under .*, got .* for image 0": lambda r: {
        "labels": torch.tensor([[2, 0]]).expand(40, 2)
    },
    r"gate_logits must be float32 \(40, 2\)": lambda r: {"gate_logits": torch.zeros(40, 3)},
    "gate_logits must not be NaN": lambda r: {"gate_logits": torch.full((40, 2), torch.nan)},
    "'difficulty' must have one value per image": lambda r: {
        "attributes": {"difficulty": torch.zeros(39)}
    },
    r"stage_macs must be 3 counts.*\(1, 2\)": lambda r: {"stage_macs": (1, 2)},
    r"branch_macs must be 3 counts.*-1": lambda r: {"branch_macs": (1, -1, 1)},
    "3 exits x 3 levels": lambda r: {"hierarchy": DEEP},
    r"'fine' must be float32 \(sample, exit, class\) = \(40, 3, 4\)": lambda r: {
        "hierarchy": Hierarchy.from_dict({"a": ["x", "y"], "b": ["z"], "c": ["w"]})
    },
}


@pytest.mark.parametrize("message", BAD)
def test_records_that_do_not_fit_together_are_refused(message):
    records = random_records()
    with pytest.raises(ValueError, match=message):
        replace(records, **BAD[message](records))


def test_records_of_an_empty_split_are_refused():
    with pytest.raises(ValueError, match="at least one image, got none"):
        random_records().subset(torch.tensor([], dtype=torch.long))


def test_a_masked_class_is_no_error():
    records = random_records()
    masked = replace(records, **_with_value(records, 1, (4, 1, 2), -torch.inf))
    assert masked.entropy.isfinite().all()


def test_decisions_of_unequal_lengths_are_refused():
    column = torch.zeros(3, dtype=torch.long)
    with pytest.raises(ValueError, match="four columns of one length"):
        Decisions(column, column, column, column[:2])
