"""How sure a head is, beside its entropy: pure functions of logits, along the last axis."""

from jaxtyping import Float
from torch import Tensor


def confidence(logits: Float[Tensor, "*batch cls"]) -> Float[Tensor, " *batch"]:
    """Largest probability of softmax(logits), in [1 / cls, 1]."""
    return logits.softmax(dim=-1).amax(dim=-1)


def margin(logits: Float[Tensor, "*batch cls"]) -> Float[Tensor, " *batch"]:
    """Largest probability minus the second largest, in [0, 1]; 1 where there is a single class."""
    if logits.shape[-1] == 1:
        return confidence(logits)
    first, second = logits.softmax(dim=-1).topk(2, dim=-1).values.unbind(dim=-1)
    return first - second
