"""The figures of a report: which there are, what each is for, and how they are drawn."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hbnlab.data import Split, TensorSplit
from hbnlab.metrics import Evaluation, sweep
from hbnlab.policies import EntropyThreshold, FineTolerance, Policy, SemanticGate, budget_policies
from hbnlab.progress import progress_bar
from hbnlab.records import ExitRecords
from hbnlab.report.measured import Measured
from hbnlab.report.protocol import STUDY_TOLERANCES, Protocol, has_two_heads
from hbnlab.report.published import published_results
from hbnlab.run_folder import TOLERANCES, report_policies

if TYPE_CHECKING:
    from hbnlab.plots import FigureFiles

SHEET_IMAGES = 2000
STUDY_MEANS = 64
BUDGETS = 39
_MIDDLE_TOLERANCE = f"fine tolerance {TOLERANCES[len(TOLERANCES) // 2]:.2f}"


@dataclass(frozen=True)
class Sketch:
    """A figure to be drawn.

    Attributes:
        name: of its files.
        title: over it in the report.
        note: how to read it, below it.
        draw: makes it.
    """

    name: str
    title: str
    note: str
    draw: Callable[[], Any]


@dataclass(frozen=True)
class Drawn:
    """A figure as files.

    Attributes:
        sketch: what was drawn.
        files: SVG, PNG and the words for those who see neither.
    """

    sketch: Sketch
    files: "FigureFiles"


def draw_figures(
    networks: Mapping[str, Measured], test: Split, protocol: Protocol, *, progress: bool = True
) -> list[Drawn]:
    """Draw all figures that these networks allow; one that fails fails the report.

    Args:
        networks: the first seed of each, by name.
        test: the images that the records are of.
        protocol: the published one has the study's figures only.
        progress: show a bar.
    """
    # Loading matplotlib takes seconds, which those who draw nothing need not wait for.
    from hbnlab.plots import to_files

    sketches = list(_sketches(networks, test, protocol))
    drawn = []
    with progress_bar(len(sketches), "figures", "figure", shown=progress) as bar:
        for sketch in sketches:
            bar.set_postfix_str(sketch.name)
            drawn.append(Drawn(sketch, to_files(sketch.draw())))
            bar.update()
    return drawn


def _sketches(
    networks: Mapping[str, Measured], test: Split, protocol: Protocol
) -> Iterator[Sketch]:
    records = {name: measured.test for name, measured in networks.items()}
    shown = _showcase(networks)
    study = published_results() if test.name == "cifar100" else None
    two_heads = has_two_heads(shown.test)
    if not protocol.is_published and shown.test.num_exits > 1:
        yield from _leaving(shown, test)
    yield from _of_the_study(records, shown, protocol, study)
    if two_heads and not protocol.is_published:
        yield from _uncertainty(shown.test, study)
    if not protocol.is_published:
        yield from _worth(networks, shown)
    yield from _training(networks)


def _leaving(shown: Measured, test: Split) -> Iterator[Sketch]:
    """Where the images go under one rule."""
    from hbnlab import plots

    rules = report_policies(shown.val)
    name = _MIDDLE_TOLERANCE if _MIDDLE_TOLERANCE in rules else next(iter(rules))
    decisions = rules[name].decide(shown.test)
    yield Sketch(
        "network",
        f"{shown.name}: where the images leave",
        f"Rule: {name}, thresholds fitted on validation images. Bands are as wide as the share of "
        "the images that goes that way.",
        lambda: plots.network_diagram(decisions, shown.test),
    )
    first = min(SHEET_IMAGES, len(test))
    yield Sketch(
        "leaving",
        f"{shown.name}: images that leave early and late",
        f"The first images of each exit, out of {first:,}, as they come; same rule as above.",
        lambda: _leaving_sheet(rules[name], shown.test, test, first),
    )


def _leaving_sheet(policy: Policy, records: ExitRecords, test: Split, first: int):
    import torch

    from hbnlab import plots

    chosen = torch.arange(first)
    images, some = _pictures(test.subset(chosen)), records.subset(chosen)
    return plots.leaving_sheet(images, policy.decide(some), some.labels, some.hierarchy)


def _pictures(split: Split):
    """The images of a split in bytes, wherever they are kept."""
    import torch

    if isinstance(split, TensorSplit):
        return split.images.cpu()
    mean, std = torch.tensor([split.mean, split.std])[:, :, None, None]
    batches = [images.cpu() * std + mean for images, _ in split.batches(256)]
    return (255 * torch.cat(batches)).round().clamp(0, 255).to(torch.uint8)


def _of_the_study(
    records: Mapping[str, ExitRecords],
    shown: Measured,
    protocol: Protocol,
    study: Mapping[str, Any] | None,
) -> Iterator[Sketch]:
    """Figures 3, 4 and 5 of the paper, and two of the notebooks beside its code."""
    from hbnlab import plots

    size = protocol.batch_size or 1
    by = "single images" if size == 1 else f"batches of {size} images"
    if has_two_heads(shown.test):
        taus = STUDY_TOLERANCES if protocol.is_published else None
        yield Sketch(
            "figure-3-tolerance",
            f"The study's figure 3: accuracy and specificity against the tolerance ({shown.name})",
            f"Decided by {by}; all images leave at the exit of the column.",
            lambda: plots.accuracy_against_tolerance(
                shown.test, tolerances=taus, batch_size=size, published=study
            ),
        )
    yield Sketch(
        "figure-4-specificity",
        "The study's figure 4: accuracy against specificity",
        f"Decided by {by}, with a gate by single images; all leave at the exit of the panel.",
        lambda: plots.accuracy_against_specificity(records, batch_size=size, published=study),
    )
    if has_two_heads(shown.test):
        yield Sketch(
            "figure-5-entropies",
            f"The study's figure 5: fine and coarse entropies ({shown.name})",
            f"Means of batches of {STUDY_MEANS} images, as in the study.",
            lambda: plots.entropies(shown.test, batch_size=STUDY_MEANS),
        )
    yield Sketch(
        "flops",
        "Accuracy against FLOPs",
        "FLOPs as the study counts them, every branch on the way included.",
        lambda: plots.accuracy_against_flops(records, published=study),
    )
    yield Sketch(
        "confusion",
        f"{shown.name}: what the last exit takes for what",
        "Mistakes inside a box would have been right answers at the coarse level.",
        lambda: plots.confusion_matrix(shown.test),
    )


def _uncertainty(records: ExitRecords, study: Mapping[str, Any] | None) -> Iterator[Sketch]:
    """What batch means hide, and what two scales hide."""
    from hbnlab import plots

    yield Sketch(
        "entropies-per-image",
        "Figure 5 image by image",
        "The same as figure 5 of the study without taking means: here policies decide.",
        lambda: plots.entropies(records),
    )
    yield Sketch(
        "densities",
        "Overlap of fine and coarse entropy",
        "Single images, in nats.",
        lambda: plots.entropy_densities(records),
    )
    yield Sketch(
        "densities-normalised",
        "The same over the ceilings of the two heads",
        "Each entropy divided by ln(classes of its head).",
        lambda: plots.entropy_densities(records, normalised=True),
    )
    yield Sketch(
        "regions",
        "Operating region against batch size",
        "The more images decide together, the narrower the range of tolerances that matters.",
        lambda: plots.operating_regions(records, published=study),
    )


def _worth(networks: Mapping[str, Measured], shown: Measured) -> Iterator[Sketch]:
    """What accuracy, information and FLOPs can be had for each other."""
    from hbnlab import plots

    if shown.test.num_exits > 1:
        rules = report_policies(shown.val)
        policies = [rule for rule in rules.values() if isinstance(rule, FineTolerance)]
        yield Sketch(
            "rules",
            f"{shown.name}: exits and rules",
            "Diamonds: rules that leave early, thresholds fitted on validation images.",
            lambda: plots.exits_and_policies(shown.test, policies or list(rules.values())),
        )
    budgets = {name: _budgets(one) for name, one in networks.items() if one.test.num_exits > 1}
    if budgets:
        yield Sketch(
            "frontier",
            "Accuracy, information and FLOPs",
            f"Thresholds fitted on validation images to {BUDGETS} budgets, after MSDNet (Huang et "
            "al., 2018); Gran-HBN at several tolerances.",
            lambda: plots.pareto_fronts(budgets),
        )
    yield Sketch(
        "reliability",
        f"{shown.name}: is the confidence to be believed?",
        "On the diagonal, a confidence of 80 % is right in 80 % of the cases.",
        lambda: plots.reliability_diagrams(shown.test),
    )


def _budgets(measured: Measured) -> list[Evaluation]:
    """Operating points of one network, from eager to patient."""
    zeros = [0.0] * (measured.test.num_exits - 1)
    rules: list[Any] = [EntropyThreshold(zeros)]
    if has_two_heads(measured.test):
        rules = [FineTolerance(zeros, tolerance) for tolerance in TOLERANCES[::2]]
        if measured.test.has_gate:
            rules = [SemanticGate(zeros)]
    found = [budget_policies(rule, measured.val, BUDGETS) for rule in rules]
    return sweep([policy for policies in found for policy in policies], measured.test)


def _training(networks: Mapping[str, Measured]) -> Iterator[Sketch]:
    """How the networks were trained, where that is known."""
    from hbnlab import plots

    for name, measured in networks.items():
        history, hierarchy = measured.history, measured.test.hierarchy
        if history is None:
            continue
        if history.of_phase("train").epochs:
            yield Sketch(
                f"training-{name}",
                f"{name}: training",
                "Validation images; dashed coarse, solid fine.",
                # Bound here, for the loop moves on before the figure is drawn.
                lambda h=history, tree=hierarchy: plots.training_curves(h, tree),
            )
        if history.of_phase("post-train").epochs:
            yield Sketch(
                f"post-training-{name}",
                f"{name}: post-training of the gate",
                "The product is high where the gate asks for fine answers that are right.",
                lambda h=history: plots.post_training_curve(h),
            )


def _showcase(networks: Mapping[str, Measured]) -> Measured:
    """The network for figures of one: Gran-HBN, else one with two heads an exit, else the last."""
    if "gran-hbn" in networks:
        return networks["gran-hbn"]
    last = list(networks.values())[-1]
    return next((one for one in networks.values() if has_two_heads(one.test)), last)
