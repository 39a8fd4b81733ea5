"""The report as a page of Markdown: what was run, tables, figures, differences, files."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hbnlab.formatting import millions, percent, plural
from hbnlab.models import STUDY_TRUNK, TRUNKS
from hbnlab.report.plan import Plan
from hbnlab.report.prose import prose_rows, prose_text
from hbnlab.report.report_tables import TABLES

if TYPE_CHECKING:
    from hbnlab.report.figures import FigureFile

_DEPTH = "Does depth pay?"
CIFAR100_COMMAND = (
    "hbnlab reproduce --dataset cifar100 --download --weights train --preset paper --paper-protocol"
)


def write_page(plan: Plan, results: Mapping[str, Any], figures: Sequence["FigureFile"]) -> str:
    """All of report.md; it links the figures from the folder ``figures`` beside it."""
    notes = _notes(plan, results)
    tables = (table.markdown(results, notes[table.title]) for table in TABLES)
    seconds = ["seconds.json"] if results.get("seconds") else []
    this = "the study's protocol" if plan.paper_protocol else "our protocol"
    parts = [
        *_opening(plan, results),
        *_findings(results),
        *(section for section in tables if section is not None),
        *_same_heads(results),
        "## Figures\n",
        *(_figure(figure) for figure in figures),
        *_without_history(results, figures),
        "## Where the protocols differ\n",
        _paragraph("differences", protocol=this),
        prose_text("differences"),
        "## Files\n",
        *(f"- {_sentence(name)}" for name in ("results.json", *seconds, "times.json", "runs")),
        "",
        *([_paragraph("our report")] if plan.paper_protocol else []),
    ]
    return "\n".join(parts)


def differences() -> list[dict[str, str]]:
    """Where the study's paper and code disagree, and what each protocol does there.

    Each has ``difference`` (its name), ``study``, ``ours`` and ``--paper-protocol``.
    """
    return prose_rows("differences")


def _sentence(name: str, **values: Any) -> str:
    """A text of page.md, filled in."""
    return next(row["text"] for row in prose_rows("page") if row["name"] == name).format(**values)


def _paragraph(name: str, **values: Any) -> str:
    return _sentence(name, **values) + "\n"


def _notes(plan: Plan, results: Mapping[str, Any]) -> dict[str, str]:
    """What stands above each table, by its title."""
    of_study = plan.trunk == STUDY_TRUNK
    rows = prose_rows("tables")
    notes = {row["title"]: f"{row['note']} {row['study'] * of_study}".strip() for row in rows}
    missing = ", ".join(trunk for trunk in TRUNKS if trunk not in results.get("depth", {}))
    if missing:
        wanted = _sentence("missing trunk", trunks=missing, data=results["dataset"]["name"])
        notes[_DEPTH] = f"{notes[_DEPTH]} {wanted}"
    notes[_DEPTH] = f"{notes[_DEPTH]}\n\n{_sentence('others')}"
    return notes


def _opening(plan: Plan, results: Mapping[str, Any]) -> Iterator[str]:
    data, seeds, of_study = results["dataset"], results["seeds"], plan.trunk == STUDY_TRUNK
    counts = zip(data["num_classes"], data["level_names"], strict=True)
    tree = " > ".join(f"{count} {name}" for count, name in counts)
    protocol = "the study's published protocol" if plan.paper_protocol else "our protocol"
    yield f"# Early exits on {data['name']}, {protocol}\n"
    yield _paragraph(
        "networks",
        data=data["name"],
        trunk="" if of_study else f", on the trunk {plan.trunk}",
        tree=tree,
        images=_which_images(plan, data["images"]),
        weights=_whose_weights(plan, seeds),
    )
    yield f"    {plan.command}\n"
    if data["name"] != "cifar100" and of_study:
        yield _paragraph("other data")
        yield f"    {CIFAR100_COMMAND}\n"
    elif of_study and plan.weights == "train" and plan.preset != "paper":
        yield _paragraph("other settings")
    if plan.paper_protocol:
        yield _augmentation_note(plan, results)
    intervals = _sentence("several seeds" if len(seeds) > 1 else "one seed", seeds=len(seeds))
    figures = " Figures show the first seed." if len(seeds) > 1 else ""
    yield f"{_sentence('how to read', intervals=intervals)}{figures}\n"


def _which_images(plan: Plan, images: Mapping[str, int]) -> str:
    test = f"numbers from {plural(images['test'], 'test image')}"
    val = plural(images["val"], "validation image")
    return _sentence("forced" if plan.paper_protocol else "fitted", test=test, val=val)


def _whose_weights(plan: Plan, seeds: Sequence[int]) -> str:
    if plan.weights == "bundled":
        return _sentence("bundled")
    noun, numbers = "seed" if len(seeds) == 1 else "seeds", ", ".join(map(str, seeds))
    return _sentence("trained", preset=plan.training_preset, noun=noun, seeds=numbers)


def _findings(results: Mapping[str, Any]) -> Iterator[str]:
    """What the tables show, one sentence per finding."""
    found = [
        *_depth_findings(results),
        *_region_findings(results),
        *_overlap_findings(results),
        *_policy_findings(results),
    ]
    if found:
        yield "## In short\n"
        yield "\n".join(f"- {sentence}" for sentence in found) + "\n"


def _depth_findings(results: Mapping[str, Any]) -> Iterator[str]:
    """For each trunk, what its last exit is worth, and what half a point less costs."""
    for trunk, seeds in results.get("depth", {}).items():
        exits = seeds[0]["exits"]
        row = min(seeds[0]["losses"], key=lambda one: abs(one["loss"] - 0.005))
        yield _sentence(
            "depth",
            trunk=trunk,
            first=percent(exits[0]["accuracy"]),
            last=percent(exits[-1]["accuracy"]),
            loss=f"{100 * row['loss']:g}",
            share=percent(row["flops"] / exits[-1]["flops"]),
            trivial=percent(row["trivial_flops"] / exits[-1]["flops"]),
        )


def _region_findings(results: Mapping[str, Any]) -> Iterator[str]:
    rows = _first_seed(results).get("regions", [])
    own = [row for row in rows if row["exit"] == 1 and row["heads"] == "own"]
    widths = {row["batch_size"]: row["high"] - row["low"] for row in own}
    if len(widths) > 1 and results["dataset"]["images"]["test"] >= 4 * (size := max(widths)):
        yield _sentence("region", single=widths[1], most=widths[size], size=size)


def _overlap_findings(results: Mapping[str, Any]) -> Iterator[str]:
    rows = _first_seed(results).get("overlap", [])
    raw = [row for row in rows if row["exit"] == 1 and not row["normalised"]]
    found = {row["batch_size"]: row["coefficient"] for row in raw}
    if len(found) > 1:
        yield _sentence("overlap", single=found[1], means=found[64])


def _policy_findings(results: Mapping[str, Any]) -> Iterator[str]:
    """For each network, its most specific policy against its last exit."""
    finest = results["dataset"]["level_names"][-1]
    for name, seeds in results["networks"].items():
        last, policies = seeds[0]["exits"][-1], seeds[0].get("policies", [])
        if policies and last["answers"] in (finest, "gate"):
            best = max(policies, key=lambda row: row["specificity"])
            yield _sentence(
                "policy",
                network=name,
                policy=best["name"],
                early=_scores(best),
                answers=last["answers"],
                last=_scores(last),
            )


def _scores(row: Mapping[str, Any]) -> str:
    accuracy, flops = percent(row["accuracy"]), millions(row["flops"], decimals=2)
    return _sentence("scores", accuracy=accuracy, specificity=row["specificity"], flops=flops)


def _first_seed(results: Mapping[str, Any]) -> Mapping[str, Any]:
    """The numbers of Gran-HBN, or else of the first network."""
    networks = results["networks"]
    return networks.get("gran-hbn", next(iter(networks.values())))[0]


def _same_heads(results: Mapping[str, Any]) -> Iterator[str]:
    """Explain equal rows of two networks that differ only in their gate."""
    gran, ag = (results["networks"].get(name, [{}])[0] for name in ("gran-hbn", "ag-hbn"))
    if ag.get("calibration") and gran.get("calibration") == ag["calibration"]:
        yield _paragraph("same heads")


def _figure(figure: "FigureFile") -> str:
    alt = figure.files.alt.replace("[", "(").replace("]", ")")
    return (
        f"### {figure.title}\n\n![{alt}]({figure.path('png')})\n\n"
        f"{figure.note} {alt} [SVG]({figure.path('svg')})\n"
    )


def _without_history(results: Mapping[str, Any], figures: Sequence["FigureFile"]) -> Iterator[str]:
    names = {figure.name for figure in figures}
    silent = [name for name in results["networks"] if f"training-{name}" not in names]
    if silent:
        yield _paragraph("without history", networks=", ".join(silent))


def _augmentation_note(plan: Plan, results: Mapping[str, Any]) -> str:
    """What random crops and flips of the test images mean for these networks."""
    if not results["dataset"]["augmentations"]:
        return _paragraph("augmentation impossible", data=plan.choice.name)
    saw = {name: [one["saw_augmented"] for one in s] for name, s in results["networks"].items()}
    without = [name for name, seeds in saw.items() if False in seeds]
    if without:
        return _paragraph("augmentation new", networks=", ".join(without))
    known = all(None not in seeds for seeds in saw.values())
    return _paragraph("augmentation known" if known else "augmentation unknown")
