"""hbnlab.history: what training recorded, asked and written."""

import json

import pytest

from hbnlab.history import CellScore, Epoch, History


def _epoch(number: int, phase: str = "train", val: bool = True, seconds: float = 1.5) -> Epoch:
    def scores(offset: float) -> tuple[CellScore, ...]:
        return tuple(
            CellScore(exit_index, level, loss=number + offset, top1=0.1 * number, top5=0.2 * number)
            for exit_index in (1, 0)
            for level in (1, 0)
        )

    cells = {"train": scores(0.5), "val": scores(0.25) if val else ()}
    return Epoch(number, phase, 2.0 / number, 1e-3, cells, (0.5, 0.25), (0.75, 0.5), seconds)


@pytest.fixture
def history() -> History:
    return History([_epoch(1), _epoch(2), _epoch(1, "post-train", seconds=3.0)])


def test_a_curve_has_one_number_an_epoch(history):
    assert history.curve("loss", 0, 1) == [1.25, 2.25, 1.25]
    assert history.curve("loss", 0, 1, "train") == [1.5, 2.5, 1.5]
    assert history.curve("top1", 1, 0) == [0.1, 0.2, 0.1]
    assert history.curve("top5", 1, 0) == [0.2, 0.4, 0.2]


def test_a_curve_of_what_was_not_scored_is_empty(history):
    assert history.curve("loss", 7, 0) == []
    assert History([_epoch(1, val=False)]).curve("loss", 0, 0) == []
    assert History().curve("loss", 0, 0) == []


def test_an_unknown_quantity_is_refused_with_those_there_are(history):
    with pytest.raises(ValueError, match="'loss', 'top1' or 'top5', got 'seconds'"):
        history.curve("seconds", 0, 0)


def test_the_cells_that_have_scores_come_in_order(history):
    assert history.cell_indices == ((0, 0), (0, 1), (1, 0), (1, 1))
    assert History().cell_indices == ()


def test_a_phase_keeps_its_epochs_in_order(history):
    assert [epoch.number for epoch in history.of_phase("train").epochs] == [1, 2]
    assert history.of_phase("post-train").epochs == history.epochs[2:]
    assert len(history.epochs) == 3


def test_seconds_add_up(history):
    assert history.seconds == 6.0
    assert History().seconds == 0


def test_a_history_comes_back_from_json(history):
    rows = json.loads(json.dumps(history.to_spec()))
    assert History.from_spec(rows) == history


def test_without_times_two_runs_that_differ_in_speed_alone_write_the_same():
    quick, slow = History([_epoch(1, seconds=1.0)]), History([_epoch(1, seconds=9.0)])
    assert quick.to_spec() != slow.to_spec()
    assert quick.to_spec(with_times=False) == slow.to_spec(with_times=False)
    assert History.from_spec(quick.to_spec(with_times=False)).seconds == 0.0
