"""Where the study's paper and code disagree or mislead, and what each protocol does there."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """One thing that a reproduction has to decide.

    Attributes:
        what: in a word or two.
        study: what paper and code do.
        ours: what a report of ours does.
        published: what ``--paper-protocol`` does.
    """

    what: str
    study: str
    ours: str
    published: str


_THE_SAME = "the same as ours"

DIFFERENCES = (
    Difference(
        "sign of the tolerance",
        "two bullets say that no answers are fine as tau goes to -inf, the prose says the reverse; "
        "algorithm and code agree with the bullets",
        "a larger tau gives more fine answers",
        _THE_SAME,
    ),
    Difference(
        "who decides",
        "Algorithm 1 decides by image, the code by the mean entropies of a batch of 512, AG-HBN's "
        "by batches of 1; so the operating region shows the spread of batch means, and with 20 "
        "batches specificity takes steps of 0.05",
        "every image for itself; regions for batches are shown beside",
        "batches of 512 in the order of the test set, 1 for AG-HBN",
    ),
    Difference(
        "what figure 5 shows",
        "means of batches of 64 entropies, against tau, which enters no entropy",
        "the means, and the entropies of single images, whose overlap is far larger",
        "the means",
    ),
    Difference(
        "test images",
        "random crops and flips stayed on, drawn anew for each tolerance, so that accuracies "
        "wander by about a point where no decision changes",
        "test images as they are",
        "crops and flips as far as the data set keeps its labels, drawn once for all tolerances",
    ),
    Difference(
        "granular entropy in post-training",
        "added to the loss, but its exits are frozen: the gate gets no gradient from it",
        "added as well, with the same effect: none",
        _THE_SAME,
    ),
    Difference(
        "initialisation",
        "the paper names Kaiming's, the code never applies it",
        "PyTorch's defaults",
        _THE_SAME,
    ),
    Difference(
        "branch weights of Sem-HBN",
        "looked up by exit // 2: 1.0, 1.0, 0.8 instead of 1.0, 0.8, 0.6",
        "1.0, 0.8, 0.6",
        "1.0, 1.0, 0.8 when trained with --preset paper",
    ),
    Difference(
        "level weights of Gran-HBN",
        "the code weights its fine loss by 1.5 and its coarse one by 0.75; equation 6 does not",
        "1 and 1",
        "1.5 and 0.75 when trained with --preset paper",
    ),
    Difference(
        "cross-entropy",
        "equations 1 and 5 divide by the number of classes, the code does not",
        "not divided",
        _THE_SAME,
    ),
    Difference(
        "mean specificity",
        "over batches, the last of which may be short",
        "over images",
        "over batches",
    ),
    Difference(
        "when an exit answers coarsely",
        "Algorithm 1: when the fine test has failed and H_coarse < T; the code also asks for "
        "H_coarse < H_fine - tau, so that some images go on instead",
        "Algorithm 1",
        "the code's rule; where all are forced to leave, both decide alike",
    ),
    Difference(
        "scales of entropy",
        "fine and coarse heads are compared in nats, though their ceilings are ln 100 and ln 20",
        "compared in nats, as the rule does; overlap is also given over the ceilings",
        _THE_SAME,
    ),
    Difference(
        "worth of a coarse answer",
        "specificity counts it as 0, though a coarse class that holds 5 of 100 fine ones carries "
        "65 % of the information",
        "specificity as defined, and bits an answer beside it",
        "specificity as defined",
    ),
    Difference(
        "thresholds",
        "set so that every batch leaves at one exit: figures 3 and 4 show exits, not early exit",
        "fitted on validation images, reported on test images",
        "forced exits at tolerances 0 to 0.98 in steps of 0.02",
    ),
    Difference(
        "FLOPs",
        "2 x multiply-accumulates to the exit, earlier branches included even if never looked at",
        "counted so, and beside it what really runs",
        "counted so",
    ),
)
