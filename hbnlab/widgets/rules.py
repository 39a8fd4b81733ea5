"""A policy's rule written out for one image: what is compared with what, and the verdict."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any

import torch
from torch import Tensor

from hbnlab.formatting import spoken
from hbnlab.hierarchy import Hierarchy
from hbnlab.policies import (
    ConfidenceThreshold,
    EntropyThreshold,
    ExitView,
    FineTolerance,
    ForcedExit,
    MarginThreshold,
    Patience,
    Policy,
    SemanticGate,
)
from hbnlab.records import ExitRecords

_MOST_DIGITS = 7


@dataclass(frozen=True)
class BranchVerdict:
    """What a rule says about one image at one exit.

    Attributes:
        exit_index: from 0.
        lines: the comparisons in the order in which they are made, each with its verdict.
        level_index: level of the answer; -1 = the image goes on.
    """

    exit_index: int
    lines: tuple[str, ...]
    level_index: int


def verdicts(policy: Policy, records: ExitRecords, index: int) -> tuple[BranchVerdict, ...]:
    """Write the rule out for every exit that the policy looks at, up to where the image leaves.

    The answer is what ``policy.step`` says about the image or, by batch, about its whole batch.

    Args:
        policy: one that fits the records.
        records: what it decides about.
        index: of the image.
    """
    batch = policy.view_batch_size
    first = index if batch is None else index - index % batch
    last = first + 1 if batch is None else min(first + batch, len(records))
    together = records.subset(torch.arange(first, last, device=records.labels.device))
    found = []
    for exit_index in policy.consulted_exits(records.num_exits):
        view = ExitView.from_records(together, exit_index, batch)
        level = int(policy.step(exit_index, view)[index - first])
        at = _At(view, index - first, records.hierarchy, level)
        found.append(BranchVerdict(exit_index, tuple(_explained(policy, at)), level))
        if level >= 0:
            break
    return tuple(found)


def python_line(policy: Policy) -> str:
    """The policy as a line of Python that makes it again, without what it was fitted for."""
    needed, chosen = [], []
    for one in fields(policy):
        value = getattr(policy, one.name)
        if one.default is MISSING:
            needed.append(_written(value))
        elif one.name != "hierarchy" and value != one.default:
            chosen.append(f"{one.name}={_written(value)}")
    return f"{type(policy).__name__}({', '.join([*needed, *chosen])})"


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_written(item) for item in value)}]"
    if isinstance(value, float) and math.isinf(value):
        return f'float("{value}")'
    return repr(value)


# ---------------------------------------------------------------------- one rule, one function


@dataclass(frozen=True)
class _At:
    """One image at one exit, as the policy sees it.

    Attributes:
        view: of the image, or of its whole batch.
        row: of the image within the view.
        hierarchy: names levels and classes.
        level: of the policy's answer, -1 = it goes on.
    """

    view: ExitView
    row: int
    hierarchy: Hierarchy
    level: int

    def entropy(self, level: int) -> Tensor:
        """Entropy that the rule looks at: of the image or, by batch, the mean over the batch."""
        return self.view.entropy(self.view.exit_index, level)[self.row]

    def name(self, level: int) -> str:
        """Name of a level."""
        return self.hierarchy.level_names[level]

    @property
    def outcome(self) -> str:
        """What the policy does with the image here."""
        if self.level < 0:
            return f"go on to exit {self.view.exit_index + 2}"
        return f"answer {self.name(self.level)}"

    @property
    def last(self) -> str:
        """Words that say that there is no going on."""
        return "last exit: " if self.view.is_last else ""


def _explained(policy: Policy, at: _At) -> list[str]:
    for kind in type(policy).__mro__:
        if kind in _EXPLAINERS:
            return _EXPLAINERS[kind](policy, at)
    return [f"{at.last}{type(policy).__name__} says: {at.outcome}"]


def _fine_tolerance(policy: FineTolerance, at: _At) -> list[str]:
    fine_level, coarse_level = at.hierarchy.finest, policy.coarse_level
    fine, coarse = at.entropy(fine_level), at.entropy(coarse_level)
    gap = f"{at.name(fine_level)} less {at.name(coarse_level)} entropy"
    tolerable = _Comparison(f"{gap} under the tolerance", (fine, coarse), policy.fine_tolerance)
    if at.view.is_last:
        return [at.last + tolerable.line(at.outcome)]
    threshold = policy.thresholds[at.view.exit_index]
    sure = _Comparison(f"{at.name(fine_level)} entropy under the threshold", (fine,), threshold)
    if sure.holds and tolerable.holds:
        return [sure.line(), tolerable.line(at.outcome)]
    lines = [sure.line(), tolerable.line()] if sure.holds else [sure.line()]
    sure = _Comparison(f"{at.name(coarse_level)} entropy under the threshold", (coarse,), threshold)
    if sure.holds and policy.rule == "published-code":
        over = _Comparison(f"{gap} over the tolerance", (fine, coarse), policy.fine_tolerance, ">")
        return [*lines, sure.line(), over.line(at.outcome)]
    return [*lines, sure.line(at.outcome)]


def _entropy_threshold(policy: EntropyThreshold, at: _At) -> list[str]:
    return _one_score(policy.level, policy.thresholds, at, "entropy", "entropy under")


def _confidence_threshold(policy: ConfidenceThreshold, at: _At) -> list[str]:
    words = "largest probability above"
    return _one_score(policy.level, policy.thresholds, at, "confidence", words, ">")


def _margin_threshold(policy: MarginThreshold, at: _At) -> list[str]:
    words = "first probability less the second above"
    return _one_score(policy.level, policy.thresholds, at, "margin", words, ">")


def _one_score(
    level: int | None,
    thresholds: Sequence[float],
    at: _At,
    score: str,
    words: str,
    sign: str = "<",
) -> list[str]:
    """A rule that compares one score of one head with the threshold of the exit."""
    exit_index = at.view.exit_index
    if at.view.is_last:
        return [f"{at.last}{at.outcome}"]
    level = at.view.finest_level(exit_index) if level is None else level
    value = getattr(at.view, score)(exit_index, level)[at.row]
    words = f"{at.name(level)} {words} the threshold"
    return [_Comparison(words, (value,), thresholds[exit_index], sign).line(at.outcome)]


def _semantic_gate(policy: SemanticGate, at: _At) -> list[str]:
    is_fine = bool(at.view.gate_is_fine()[at.row])
    level = at.hierarchy.finest if is_fine else policy.coarse_level
    share = "at least half" if is_fine else "more than half"
    whose = "" if policy.batch_size is None else f", for {share} of the batch,"
    asks = f"the gate{whose} asks for a {at.name(level)} answer"
    if at.view.is_last:
        return [f"{at.last}{asks}: {at.outcome}"]
    threshold = policy.thresholds[at.view.exit_index]
    words = f"{at.name(level)} entropy under the threshold"
    return [asks, _Comparison(words, (at.entropy(level),), threshold).line(at.outcome)]


def _patience(policy: Patience, at: _At) -> list[str]:
    if at.view.is_last:
        return [f"{at.last}{at.outcome}"]
    level = at.hierarchy.finest if policy.level is None else policy.level
    said = [int(at.view.prediction(e, level)[at.row]) for e in range(at.view.exit_index + 1)]
    names = ", ".join(spoken(at.hierarchy.class_names[level][cls]) for cls in said)
    verdict = "no" if at.level < 0 else "yes"
    return [
        f"the last {policy.agreeing} of the classes so far the same? {names}: {verdict}, "
        f"{at.outcome}"
    ]


def _forced_exit(policy: ForcedExit, at: _At) -> list[str]:
    return [f"every image leaves at exit {policy.exit_index + 1}: {at.outcome}"]


_EXPLAINERS: Mapping[type[Policy], Callable[[Any, _At], list[str]]] = {
    FineTolerance: _fine_tolerance,
    EntropyThreshold: _entropy_threshold,
    MarginThreshold: _margin_threshold,
    ConfidenceThreshold: _confidence_threshold,
    SemanticGate: _semantic_gate,
    Patience: _patience,
    ForcedExit: _forced_exit,
}


# ---------------------------------------------------------------------- numbers


class _Comparison:
    """A difference of scores held against a limit, as the policy does it.

    Args:
        question: what is asked.
        terms: a score, or two of which the second is taken from the first.
        limit: threshold or tolerance.
        sign: ``"<"`` or ``">"``.
    """

    def __init__(
        self, question: str, terms: tuple[Tensor, ...], limit: float, sign: str = "<"
    ) -> None:
        self.question = question
        self._terms, self._limit, self._sign = terms, limit, sign
        value = terms[0] if len(terms) == 1 else terms[0] - terms[1]
        self.holds = bool(value < limit if sign == "<" else value > limit)
        self._is_equal = bool(value == limit)

    def line(self, outcome: str = "") -> str:
        """Question, numbers, verdict and, where given, what follows from it."""
        verdict = "yes" if self.holds else "no"
        then = f", {outcome}" if outcome else ""
        return f"{self.question}? {self.numbers()}: {verdict}{then}"

    def numbers(self) -> str:
        """The comparison with two digits, or as many as it takes to look like what it says."""
        digits = 2
        while digits < _MOST_DIGITS and not self._looks_right(digits):
            digits += 1
        terms = " - ".join(f"{float(term):.{digits}f}" for term in self._terms)
        limit = f"{self._limit:.{digits}f}".replace("inf", "∞")
        return f"{terms} {self._sign} {limit}"

    def _looks_right(self, digits: int) -> bool:
        first, *others = (round(float(term), digits) for term in self._terms)
        value, limit = round(first - sum(others), digits), round(self._limit, digits)
        if value == limit:
            return self._is_equal
        return (value < limit if self._sign == "<" else value > limit) == self.holds
