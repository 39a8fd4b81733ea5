"""The figures of a report: which there are, when they apply and how they are drawn."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from hbnlab import plots
from hbnlab.data import Split, TensorSplit
from hbnlab.head_mask import has_two_heads
from hbnlab.metrics import CostCurve, Evaluation, PublishedResults, sweep
from hbnlab.models import STUDY_TRUNK
from hbnlab.policies import Policy, budget_policies
from hbnlab.progress import progress_bar
from hbnlab.report.depth import BUDGETS
from hbnlab.report.measured import Measured
from hbnlab.report.prose import prose_rows
from hbnlab.report.protocol import STUDY_TOLERANCES, Protocol
from hbnlab.report.published import published_results
from hbnlab.run_folder import TOLERANCES, report_policies, report_templates

SHEET_IMAGES = 2000
STUDY_MEANS = 64
_MIDDLE_TOLERANCE = f"fine tolerance {TOLERANCES[len(TOLERANCES) // 2]:.2f}"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What the figures of a report are drawn from.

    Attributes:
        networks: the first seed of each, by name.
        test: the images of the records.
        protocol: how the networks are tested.
        depth_curves: by trunk, one exit for all images, and leaving early.
    """

    networks: Mapping[str, Measured]
    test: Split
    protocol: Protocol
    depth_curves: Mapping[str, tuple[CostCurve, CostCurve]] = field(default_factory=dict)

    @cached_property
    def main(self) -> Measured:
        """For figures of one network: Gran-HBN, else one with two heads per exit, else the last."""
        if "gran-hbn" in self.networks:
            return self.networks["gran-hbn"]
        last = list(self.networks.values())[-1]
        return next(
            (one for one in self.networks.values() if has_two_heads(one.test.head_mask)), last
        )

    @cached_property
    def records(self) -> dict[str, Any]:
        """Records of the test images, by network."""
        return {name: measured.test for name, measured in self.networks.items()}

    @cached_property
    def policies(self) -> dict[str, Policy]:
        """The policies of the main network, fitted on validation images."""
        return report_policies(self.main.val)

    @property
    def policy_name(self) -> str:
        """The policy whose decisions are drawn."""
        return (
            _MIDDLE_TOLERANCE if _MIDDLE_TOLERANCE in self.policies else next(iter(self.policies))
        )

    @property
    def published(self) -> PublishedResults | None:
        """The study's results, where ours are of the same data set and trunk."""
        is_same = self.test.name == "cifar100" and self.main.trunk == STUDY_TRUNK
        return published_results() if is_same else None

    @property
    def batch_size(self) -> int:
        """How many images decide together."""
        return self.protocol.batch_size or 1

    def by_ours(self) -> bool:
        """Whether the report follows our protocol."""
        return not self.protocol.is_published

    def has_two_heads(self) -> bool:
        """Whether the main network has a finest and a coarsest head at every exit."""
        return has_two_heads(self.main.test.head_mask)

    def by_ours_with_two_heads(self) -> bool:
        """Whether the report follows our protocol and the main network has both heads."""
        return self.by_ours() and self.has_two_heads()

    def by_ours_with_early_exits(self) -> bool:
        """Whether the report follows our protocol and the main network has an early exit."""
        return self.by_ours() and self.main.test.num_exits > 1

    @property
    def first_images(self) -> int:
        """How many images the sheet of images is made from."""
        return min(SHEET_IMAGES, len(self.test))

    def words(self) -> dict[str, str]:
        """The values that are filled into titles and notes."""
        size = self.batch_size
        return {
            "network": self.main.name,
            "policy": self.policy_name,
            "first": f"{self.first_images:,}",
            "by": "single images" if size == 1 else f"batches of {size} images",
        }


@dataclass(frozen=True)
class Figure:
    """One figure of a report.

    Attributes:
        name: of its files; figures.md has its title, and a note on how to read it.
        draw: makes it.
        applies: whether the subject has what it shows.
        network: name of the network, where every network has a figure of its own; else None.
    """

    name: str
    draw: Callable[[Subject], Any]
    applies: Callable[[Subject], bool] = lambda subject: True
    network: str | None = None


@dataclass(frozen=True)
class FigureFile:
    """A figure as files.

    Attributes:
        name: of the files, in the folder ``figures``.
        title: above it in the report.
        note: how to read it.
        files: SVG, PNG and a description for people who cannot see them.
    """

    name: str
    title: str
    note: str
    files: plots.FigureFiles

    def path(self, kind: str) -> str:
        """Path of a file beside the report."""
        return f"figures/{self.name}.{kind}"


def draw_figures(subject: Subject, *, progress: bool = True) -> list[FigureFile]:
    """Draw all figures that apply; an error in one of them stops the report."""
    wanted = [figure for figure in FIGURES if figure.applies(subject)]
    wanted += _of_training(subject.networks)
    prose = {row["name"]: row for row in prose_rows("figures")}
    drawn = []
    with progress_bar(len(wanted), "figures", "figure", visible=progress) as bar:
        for figure in wanted:
            bar.set_postfix_str(figure.name)
            words = subject.words() | ({"network": figure.network} if figure.network else {})
            texts = prose[figure.name]
            title, note = (texts[key].format(**words) for key in ("title", "note"))
            files = plots.to_files(figure.draw(subject))
            name = f"{figure.name}-{figure.network}" if figure.network else figure.name
            drawn.append(FigureFile(name, title, note, files))
            bar.update()
    return drawn


def _of_training(networks: Mapping[str, Measured]) -> Iterator[Figure]:
    """How the networks were trained, where that is known."""
    for name, measured in networks.items():
        history, hierarchy = measured.history, measured.test.hierarchy
        if history is None:
            continue
        if history.of_phase("train").epochs:
            yield Figure(
                "training",
                # Bound here, because the loop moves on before the figure is drawn.
                lambda _, h=history, tree=hierarchy: plots.training_curves(h, tree),
                network=name,
            )
        if history.of_phase("post-train").epochs:
            yield Figure(
                "post-training",
                lambda _, h=history: plots.post_training_curve(h),
                network=name,
            )


def _network(subject: Subject) -> Any:
    decisions = subject.policies[subject.policy_name].decide(subject.main.test)
    return plots.network_diagram(decisions, subject.main.test)


def _leaving_images(subject: Subject) -> Any:
    chosen = torch.arange(subject.first_images)
    images, records = _pictures(subject.test.subset(chosen)), subject.main.test.subset(chosen)
    decisions = subject.policies[subject.policy_name].decide(records)
    return plots.leaving_sheet(images, decisions, records.labels, records.hierarchy)


def _pictures(split: Split) -> UInt8[Tensor, "image channel height width"]:
    """The images of a split in bytes, wherever they are kept."""
    if isinstance(split, TensorSplit):
        return split.images.cpu()
    mean, std = torch.tensor([split.mean, split.std])[:, :, None, None]
    batches = [images.cpu() * std + mean for images, _ in split.batches(256)]
    return (255 * torch.cat(batches)).round().clamp(0, 255).to(torch.uint8)


def _tolerance(subject: Subject) -> Any:
    return plots.accuracy_against_tolerance(
        subject.main.test,
        tolerances=None if subject.by_ours() else STUDY_TOLERANCES,
        batch_size=subject.batch_size,
        published=subject.published,
    )


def _policies(subject: Subject) -> Any:
    """All policies except that of the gate, which replaces the tolerance."""
    without_gate = [policy for policy in subject.policies.values() if not policy.needs_gate]
    return plots.exits_and_policies(subject.main.test, without_gate)


def _pareto_fronts(subject: Subject) -> Any:
    several = {name: one for name, one in subject.networks.items() if one.test.num_exits > 1}
    return plots.pareto_fronts({name: _budgets(one) for name, one in several.items()})


def _budgets(measured: Measured) -> list[Evaluation]:
    """Operating points of one network, from cheap to expensive."""
    templates = list(report_templates(measured.val).values())
    # The gate replaces the tolerances, of which every other one will do.
    templates = [policy for policy in templates if policy.needs_gate] or templates[::2]
    found = [budget_policies(policy, measured.val, BUDGETS) for policy in templates]
    return sweep([policy for policies in found for policy in policies], measured.test)


FIGURES = (
    Figure(
        "does-depth-pay",
        lambda s: plots.does_depth_pay(s.depth_curves),
        lambda s: bool(s.depth_curves),
    ),
    Figure("network", _network, Subject.by_ours_with_early_exits),
    Figure("leaving", _leaving_images, Subject.by_ours_with_early_exits),
    Figure("figure-3-tolerance", _tolerance, Subject.has_two_heads),
    Figure(
        "figure-4-specificity",
        lambda s: plots.accuracy_against_specificity(
            s.records, batch_size=s.batch_size, published=s.published
        ),
    ),
    Figure(
        "figure-5-entropies",
        lambda s: plots.entropies(s.main.test, batch_size=STUDY_MEANS),
        Subject.has_two_heads,
    ),
    Figure("flops", lambda s: plots.accuracy_against_flops(s.records, published=s.published)),
    Figure("confusion", lambda s: plots.confusion_matrix(s.main.test)),
    Figure(
        "entropies-per-image",
        lambda s: plots.entropies(s.main.test),
        Subject.by_ours_with_two_heads,
    ),
    Figure(
        "densities",
        lambda s: plots.entropy_densities(s.main.test),
        Subject.by_ours_with_two_heads,
    ),
    Figure(
        "densities-normalised",
        lambda s: plots.entropy_densities(s.main.test, normalised=True),
        Subject.by_ours_with_two_heads,
    ),
    Figure(
        "regions",
        lambda s: plots.operating_regions(s.main.test, published=s.published),
        Subject.by_ours_with_two_heads,
    ),
    Figure("policies", _policies, Subject.by_ours_with_early_exits),
    Figure(
        "pareto-fronts",
        _pareto_fronts,
        lambda s: s.by_ours() and any(one.test.num_exits > 1 for one in s.networks.values()),
    ),
    Figure("reliability", lambda s: plots.reliability_diagrams(s.main.test), Subject.by_ours),
)
"""All figures except those of the training, in the order of the page."""
