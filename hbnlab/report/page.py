"""The report as a page of Markdown: what was run, tables, figures, differences, files."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hbnlab.formatting import millions, percent, plural
from hbnlab.report.plan import Plan
from hbnlab.report.prose import prose_rows, prose_text
from hbnlab.report.report_tables import TABLES

if TYPE_CHECKING:
    from hbnlab.report.figures import FigureFile

CIFAR100_COMMAND = (
    "hbnlab reproduce --dataset cifar100 --download --weights train --preset paper --paper-protocol"
)


def write_page(plan: Plan, results: Mapping[str, Any], figures: Sequence["FigureFile"]) -> str:
    """All of report.md; it links the figures from the folder ``figures`` beside it."""
    notes = {row["title"]: row["note"] for row in prose_rows("tables")}
    tables = (table.markdown(results, notes[table.title]) for table in TABLES)
    parts = [
        *_opening(plan, results),
        *_findings(results),
        *(section for section in tables if section is not None),
        *_same_heads(results),
        "## Figures\n",
        *(_figure(figure) for figure in figures),
        *_without_history(results, figures),
        *_differences(plan),
        *_files(plan),
    ]
    return "\n".join(parts)


def differences() -> list[dict[str, str]]:
    """Where the study's paper and code disagree, and what each protocol does there.

    Each has ``difference`` (its name), ``study``, ``ours`` and ``--paper-protocol``.
    """
    return prose_rows("differences")


def _opening(plan: Plan, results: Mapping[str, Any]) -> Iterator[str]:
    data, seeds = results["dataset"], results["seeds"]
    tree = " > ".join(
        f"{count} {name}"
        for count, name in zip(data["num_classes"], data["level_names"], strict=True)
    )
    protocol = "the study's published protocol" if plan.paper_protocol else "our protocol"
    yield f"# Early exits on {data['name']}, {protocol}\n"
    yield (
        f"The networks of Sanati et al., *Exploiting Class-Granular Classifications to Improve "
        f"Inference Efficiency with Dynamic DNNs*, on the data set **{data['name']}** ({tree} "
        f"classes): {_which_images(plan, data['images'])}. {_whose_weights(plan, seeds)} This "
        "command makes the report:\n"
    )
    yield f"    {plan.command}\n"
    if data["name"] != "cifar100":
        yield (
            "**CIFAR-100, the data set of the study, was not run here.** The columns of the study "
            "hold its numbers on CIFAR-100 at full width after 120 epochs: compare patterns with "
            "them, not values. This command downloads CIFAR-100 and trains and tests as the study "
            "did:\n"
        )
        yield f"    {CIFAR100_COMMAND}\n"
    elif plan.weights == "train" and plan.preset != "paper":
        yield (
            "These networks were trained with other settings than the study's; `--preset paper` "
            "takes those of its table I.\n"
        )
    if plan.paper_protocol:
        yield _augmentation_note(plan, results)
    yield _how_to_read(len(seeds))


def _which_images(plan: Plan, images: Mapping[str, int]) -> str:
    tested = f"numbers from {plural(images['test'], 'test image')}"
    if plan.paper_protocol:
        return f"{tested}, all forced to leave at one exit"
    return f"thresholds from {plural(images['val'], 'validation image')}, {tested}"


def _whose_weights(plan: Plan, seeds: Sequence[int]) -> str:
    if plan.weights == "bundled":
        return "The weights are those bundled with hbnlab."
    noun = "seed" if len(seeds) == 1 else "seeds"
    numbers = ", ".join(str(seed) for seed in seeds)
    return f"The weights were trained with the preset {plan.training_preset}, {noun} {numbers}."


def _how_to_read(num_seeds: int) -> str:
    intervals = (
        f"Numbers are means over {num_seeds} trainings with 95 % intervals (Student's t)."
        if num_seeds > 1
        else "Numbers have 95 % intervals over test images (bootstrap) where these were computed."
    )
    figures = " Figures show the first seed." if num_seeds > 1 else ""
    return (
        f"{intervals} Accuracy counts an answer as right at the level of the answer; hierarchical "
        "accuracy maps every answer to its coarsest class first; specificity is the share of "
        f"answers at the finest level. FLOPs are 2 x multiply-accumulates per image.{figures}\n"
    )


def _findings(results: Mapping[str, Any]) -> Iterator[str]:
    """What the tables show, in a sentence each."""
    found = [*_region_findings(results), *_overlap_findings(results), *_policy_findings(results)]
    if found:
        yield "## In short\n"
        yield "\n".join(f"- {sentence}" for sentence in found) + "\n"


def _region_findings(results: Mapping[str, Any]) -> Iterator[str]:
    rows = _first_seed(results).get("regions", [])
    own = {row["batch_size"]: row for row in rows if row["exit"] == 1 and row["heads"] == "own"}
    if len(own) > 1 and results["dataset"]["images"]["test"] >= 4 * max(own):
        single, most = own[1], own[max(own)]
        yield (
            f"The operating region of exit 1 is {single['high'] - single['low']:.2f} nats wide "
            f"when every image decides for itself and {most['high'] - most['low']:.2f} nats wide "
            f"when {most['batch_size']} images decide together: what the study calls the operating "
            "region is the range of batch means."
        )


def _overlap_findings(results: Mapping[str, Any]) -> Iterator[str]:
    rows = _first_seed(results).get("overlap", [])
    raw = {row["batch_size"]: row for row in rows if row["exit"] == 1 and not row["normalised"]}
    if len(raw) > 1:
        yield (
            f"Fine and coarse entropies of exit 1 overlap by {raw[1]['coefficient']:.2f} for "
            f"single images and by {raw[64]['coefficient']:.2f} for means of 64."
        )


def _policy_findings(results: Mapping[str, Any]) -> Iterator[str]:
    """For each network the policy that answers most finely, against its last exit."""
    finest = results["dataset"]["level_names"][-1]
    for name, seeds in results["networks"].items():
        last, policies = seeds[0]["exits"][-1], seeds[0].get("policies", [])
        if policies and last["answers"] in (finest, "gate"):
            best = max(policies, key=lambda row: row["specificity"])
            yield (
                f'{name}, leaving early by the policy "{best["name"]}": {_scores(best)}; all '
                f"images at its last exit, {last['answers']}: {_scores(last)}."
            )


def _scores(row: Mapping[str, Any]) -> str:
    return (
        f"{percent(row['accuracy'])} right at a specificity of {row['specificity']:.2f} for "
        f"{millions(row['flops'], decimals=2)} MFLOPs per image"
    )


def _first_seed(results: Mapping[str, Any]) -> Mapping[str, Any]:
    """The numbers of Gran-HBN, or of the first network there is."""
    networks = results["networks"]
    return networks.get("gran-hbn", next(iter(networks.values())))[0]


def _same_heads(results: Mapping[str, Any]) -> Iterator[str]:
    """Say so where two networks differ only in their gate, lest equal rows look like a mistake."""
    gran, ag = (results["networks"].get(name, [{}])[0] for name in ("gran-hbn", "ag-hbn"))
    if ag.get("calibration") and gran.get("calibration") == ag["calibration"]:
        yield (
            "The rows of ag-hbn equal those of gran-hbn because both were trained with the same "
            "seed and settings; the gate of ag-hbn was trained afterwards, with everything else "
            "frozen.\n"
        )


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
        yield (
            f"Training curves of {', '.join(silent)} are missing, because the weights came without "
            "the history of their training. `--weights train` draws them.\n"
        )


def _differences(plan: Plan) -> Iterator[str]:
    this = "the study's protocol" if plan.paper_protocol else "our protocol"
    yield (
        f"## Where the protocols differ\n\nThis report follows **{this}**. The table says what the "
        "study's paper and code do, and what either report does:\n"
    )
    yield prose_text("differences")


def _augmentation_note(plan: Plan, results: Mapping[str, Any]) -> str:
    """What random crops and flips of the test images mean for these networks."""
    if not results["dataset"]["augmentations"]:
        return (
            f"No crop or flip keeps the labels of {plan.choice.name}, so these test images are not "
            "augmented under the published protocol either.\n"
        )
    saw = {name: [one["saw_augmented"] for one in s] for name, s in results["networks"].items()}
    without = [name for name, seeds in saw.items() if False in seeds]
    if without:
        return (
            f"Unlike the study's networks, {', '.join(without)} were trained without augmentation: "
            "crops and flips are new to them, and their accuracy under this protocol is lower than "
            "on the test images as they are.\n"
        )
    if any(None in seeds for seeds in saw.values()):
        return "Whether the networks were trained on augmented images is not known.\n"
    return "The networks were trained on augmented images too, as in the study.\n"


def _files(plan: Plan) -> Iterator[str]:
    yield (
        "## Files\n\n- [results.json](results.json): all numbers, with what their keys mean; the "
        "same weights give the same bytes on one machine.\n- [times.json](times.json): the seconds "
        "of each piece of work; work that was found done is left out.\n- `runs/`: checkpoints and "
        "records, from which a second start continues; not part of the report.\n"
    )
    if plan.paper_protocol:
        yield "The report by our protocol is one folder up, if it was made.\n"
