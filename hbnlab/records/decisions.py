"""What a policy decided about every image."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Decisions:
    """Where each image left and what was answered: four columns of integers, one value per image.

    Attributes:
        exit_index: exit taken, from 0.
        level_index: level of the answer, 0 = coarsest.
        prediction: class answered, numbered within that level.
        macs: multiply-accumulates that ran for the image: the stages up to its exit and the
            branches that the policy consulted on the way.

    Example:
        >>> import torch
        >>> zero = torch.zeros(3, dtype=torch.long)
        >>> len(Decisions(zero, zero, zero, zero))
        3
    """

    exit_index: Tensor
    level_index: Tensor
    prediction: Tensor
    macs: Tensor

    def __post_init__(self) -> None:
        columns = (self.exit_index, self.level_index, self.prediction, self.macs)
        first, *others = shapes = [column.shape for column in columns]
        if len(first) != 1 or others != [first] * 3:
            sizes = [tuple(shape) for shape in shapes]
            raise ValueError(f"decisions must be four columns of one length, got shapes {sizes}")

    def __len__(self) -> int:
        return len(self.exit_index)
