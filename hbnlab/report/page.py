"""The report as a page of Markdown: what was run, tables, figures, differences, files."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hbnlab.report import report_tables
from hbnlab.report.differences import DIFFERENCES
from hbnlab.report.figures import Drawn
from hbnlab.report.plan import Plan

CIFAR100_COMMAND = (
    "hbnlab reproduce --dataset cifar100 --download --weights train --preset paper --paper-protocol"
)


def write_report(plan: Plan, results: Mapping[str, Any], drawn: Sequence[Drawn]) -> str:
    """All of report.md; figures are linked from the folder ``figures`` beside it."""
    parts = [
        *_opening(plan, results),
        *_findings(results),
        *_table_sections(results),
        "## Figures\n",
        *(_figure(one) for one in drawn),
        *_without_history(results, drawn),
        *_differences(plan),
        *_files(plan),
    ]
    return "\n".join(parts)


def figure_path(drawn: Drawn, kind: str) -> str:
    """Path of a figure's file beside the report."""
    return f"figures/{drawn.sketch.name}.{kind}"


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
        f"classes): {_which_images(plan, data['images'])}. {_whose_weights(plan, seeds)} Made by\n"
    )
    yield f"    {plan.command}\n"
    if data["name"] != "cifar100":
        yield (
            "**CIFAR-100, the data set of the study, was not run here.** The columns of the study "
            "show its numbers on CIFAR-100 at full width after 120 epochs, for the pattern, not "
            "for the level. This fetches it, trains and tests as the study did:\n"
        )
        yield f"    {CIFAR100_COMMAND}\n"
    elif plan.weights == "train" and plan.preset != "paper":
        yield (
            "These networks were trained with other settings than the study's, those of its table "
            "I come with `--preset paper`.\n"
        )
    if plan.paper_protocol:
        yield _augmentation_note(plan, results)
    yield _how_to_read(len(seeds))


def _which_images(plan: Plan, images: Mapping[str, int]) -> str:
    tested = f"numbers from {images['test']:,} test images"
    if plan.paper_protocol:
        return f"{tested}, all forced to leave at one exit"
    return f"thresholds from {images['val']:,} validation images, {tested}"


def _whose_weights(plan: Plan, seeds: Sequence[int]) -> str:
    if plan.weights == "bundled":
        return "Weights: those bundled with hbnlab."
    noun = "seed" if len(seeds) == 1 else "seeds"
    numbers = ", ".join(str(seed) for seed in seeds)
    return f"Weights: trained with the preset {plan.preset}, {noun} {numbers}."


def _how_to_read(num_seeds: int) -> str:
    intervals = (
        f"are means over {num_seeds} trainings with 95 % intervals (Student's t)"
        if num_seeds > 1
        else "stand with 95 % intervals over test images (bootstrap) where these were computed"
    )
    figures = " Figures show the first seed." if num_seeds > 1 else ""
    return (
        f"Numbers {intervals}. Accuracy counts an answer right at the level it was given; "
        "hierarchical accuracy maps every answer up to its coarsest class; specificity is the "
        "share of answers at the finest level. FLOPs are 2 x multiply-accumulates of one image."
        f"{figures}\n"
    )


def _findings(results: Mapping[str, Any]) -> Iterator[str]:
    """What the tables come down to, where they have it."""
    found = [*_region_findings(results), *_overlap_findings(results), *_rule_findings(results)]
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
            f"when every image decides for itself and {most['high'] - most['low']:.2f} when "
            f"{most['batch_size']} decide together: what the study calls the operating region is "
            "the spread of batch means."
        )


def _overlap_findings(results: Mapping[str, Any]) -> Iterator[str]:
    rows = _first_seed(results).get("overlap", [])
    raw = {row["batch_size"]: row for row in rows if row["exit"] == 1 and not row["normalised"]}
    if len(raw) > 1:
        yield (
            f"Fine and coarse entropies of exit 1 overlap by {raw[1]['coefficient']:.2f} for "
            f"single images and by {raw[64]['coefficient']:.2f} for means of 64."
        )


def _rule_findings(results: Mapping[str, Any]) -> Iterator[str]:
    """For each network the rule that answers most finely, against its last exit."""
    finest = results["dataset"]["level_names"][-1]
    for name, seeds in results["networks"].items():
        last, rules = seeds[0]["exits"][-1], seeds[0].get("rules", [])
        if rules and last["answers"] in (finest, "gate"):
            rule = max(rules, key=lambda row: row["specificity"])
            yield (
                f'{name} leaving early by the rule "{rule["name"]}": {_worth(rule)}; all images '
                f"at its last exit, {last['answers']}: {_worth(last)}."
            )


def _worth(row: Mapping[str, Any]) -> str:
    return (
        f"{100 * row['accuracy']:.1f} % right at specificity {row['specificity']:.2f} for "
        f"{row['flops'] / 1e6:.2f} MFLOPs"
    )


def _first_seed(results: Mapping[str, Any]) -> Mapping[str, Any]:
    """The numbers of Gran-HBN, or of the first network there is."""
    networks = results["networks"]
    return networks.get("gran-hbn", next(iter(networks.values())))[0]


def _table_sections(results: Mapping[str, Any]) -> Iterator[str]:
    """Every table for which there are numbers, with what to know about it."""
    sections = {key for seeds in results["networks"].values() for one in seeds for key in one}
    yield f"## Networks\n\n{report_tables.networks_table(results)}"
    yield (
        "## All images at one exit\n\nThe study's table. For Gran-HBN its columns hold the means "
        "over all tolerances at which every answer was coarse or fine, or the value at the "
        f"tolerance named.\n\n{report_tables.exits_table(results)}"
    )
    if "rules" in sections:
        yield (
            "## Leaving early\n\nHalf of the images that reach an early exit shall leave there: "
            "thresholds fitted so on validation images, numbers on test images. FLOPs are those "
            f"that run. The study publishes no such table.\n\n{report_tables.rules_table(results)}"
        )
    if "regions" in sections:
        yield (
            "## Operating region of the tolerance\n\nFrom which fine tolerance to which the share "
            "of fine answers goes from 0 to 1, in nats. With coarse probabilities summed from the "
            "fine ones, the region of single images lies within provable bounds."
            f"\n\n{report_tables.regions_table(results)}"
        )
    if "overlap" in sections:
        yield (
            "## Overlap of fine and coarse uncertainty\n\nOverlap coefficient: area under the "
            "lower of the two densities. AUROC: chance that a fine entropy exceeds a coarse one of "
            f"another image. The study shows means of 64.\n\n{report_tables.overlap_table(results)}"
        )
    if "curves" in sections:
        yield (
            "## Two heads or one\n\nArea under precision over recall when every image is answered "
            "by the most informative class of enough probability (Valmadre, 2022): with the "
            "exit's own heads, and with its fine head summed."
            f"\n\n{report_tables.curves_table(results)}"
        )
    if "rules" in sections:
        yield (
            "## Severity of mistakes\n\nHeight of the lowest common ancestor of answer and truth, "
            "in levels: over the mistakes, and over all images, for the first alone rewards many "
            f"harmless mistakes.\n\n{report_tables.severity_table(results)}"
        )
    if "calibration" in sections:
        yield (
            "## Calibration\n\nExpected calibration error before and after a temperature fitted "
            "on validation images, and how well low entropy tells right from wrong (AUROC)."
            f"\n\n{report_tables.calibration_table(results)}"
        )
        yield from _same_heads(results)


def _same_heads(results: Mapping[str, Any]) -> Iterator[str]:
    """Say so where two networks differ in their gate only, lest equal rows look like a mistake."""
    gran, ag = (results["networks"].get(name, [{}])[0] for name in ("gran-hbn", "ag-hbn"))
    if gran and ag and gran["calibration"] == ag["calibration"]:
        yield (
            "The rows of ag-hbn equal those of gran-hbn, for it was trained with the same seed and "
            "settings; its gate was trained afterwards, with everything else frozen.\n"
        )


def _figure(drawn: Drawn) -> str:
    png, svg = figure_path(drawn, "png"), figure_path(drawn, "svg")
    alt = drawn.files.alt.replace("[", "(").replace("]", ")")
    return (
        f"### {drawn.sketch.title}\n\n![{alt}]({png})\n\n{drawn.sketch.note} {alt} [SVG]({svg})\n"
    )


def _without_history(results: Mapping[str, Any], drawn: Sequence[Drawn]) -> Iterator[str]:
    names = {one.sketch.name for one in drawn}
    silent = [name for name in results["networks"] if f"training-{name}" not in names]
    if silent:
        yield (
            f"Training curves of {', '.join(silent)} are not shown: the weights came without the "
            "history of their training. `--weights train` draws them.\n"
        )


def _differences(plan: Plan) -> Iterator[str]:
    this = "the study's protocol" if plan.paper_protocol else "our protocol"
    yield (
        f"## Where the protocols differ\n\nThis report follows **{this}**. What the paper says, "
        "what its code does, and what either report does:\n"
    )
    titles = ["", "", "study", "ours", "`--paper-protocol`"]
    rows = [
        [str(number), one.what, one.study, one.ours, one.published]
        for number, one in enumerate(DIFFERENCES, start=1)
    ]
    yield report_tables.markdown_table(titles, rows)


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
            f"Unlike the study's, the networks {', '.join(without)} were trained without "
            "augmentation: crops and flips are new to them, and accuracy under this protocol falls "
            "below that of the same weights on the test images as they are.\n"
        )
    if any(None in seeds for seeds in saw.values()):
        return "Whether the networks were trained on augmented images is not known.\n"
    return "The networks were trained on augmented images too, as in the study.\n"


def _files(plan: Plan) -> Iterator[str]:
    yield (
        "## Files\n\n- [results.json](results.json): all numbers, with what their keys mean; the "
        "same weights give the same bytes on one machine.\n- [times.json](times.json): seconds of "
        "what was done, not of what was found done.\n- `runs/`: checkpoints and records, from "
        "which a second start goes on; not part of the report.\n"
    )
    if plan.paper_protocol:
        yield "The report by our protocol lies one folder up, if it was made.\n"
