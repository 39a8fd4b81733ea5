"""A comparison written out with its numbers: how a policy explains what it does with an image."""

from torch import Tensor

_MOST_DIGITS = 7


class Comparison:
    """A score, or a difference of two scores, compared with a limit as the policy compares it.

    Args:
        question: what is asked, without the question mark.
        terms: a score, or two of which the second is subtracted from the first.
        limit: a threshold or a tolerance.
        sign: ``"<"`` or ``">"``; both are strict.

    Attributes:
        holds: whether the comparison is true.

    Example:
        >>> import torch
        >>> unsure = Comparison("fine entropy under the threshold", (torch.tensor(0.25),), 0.5)
        >>> unsure.holds, unsure.line("answer fine")
        (True, 'fine entropy under the threshold? 0.25 < 0.50: yes, answer fine')
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
        """The question, its numbers, the verdict and, where given, what follows from it."""
        verdict = "yes" if self.holds else "no"
        then = f", {outcome}" if outcome else ""
        return f"{self.question}? {self.numbers()}: {verdict}{then}"

    def numbers(self) -> str:
        """The comparison with two digits, or with as many as make it look like its verdict."""
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
