"""The tables of a report, in Markdown: ours, and the study's numbers beside them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hbnlab.report.published import PublishedRow, published_results, published_row
from hbnlab.report.results import REGION_BATCHES
from hbnlab.report.seeds import spread

Rows = Sequence[Mapping[str, Any]]
"""The same row of a table, once a seed."""

NOTHING = "-"


def networks_table(results: Mapping[str, Any]) -> str:
    """How large the networks are."""
    titles = ["network", "width", "parameters", "MB", "study: MB"]
    rows = []
    for name, seeds in results["networks"].items():
        study = next(iter(published_results()["results"][name].values()))["memory_mb"]
        one = seeds[0]
        cells = [f"{one['width']:g}", f"{one['parameters']:,}", f"{one['size_mb']:.2f}"]
        rows.append([name, *cells, f"{study:.2f}"])
    return markdown_table(titles, rows)


def exits_table(results: Mapping[str, Any]) -> str:
    """All images at one exit: the study's table, ours beside it."""
    titles = ["network", "exit", "answers", "accuracy %", "hierarchical accuracy %"]
    titles += ["specificity", "MFLOPs", "MFLOPs that run", "study: accuracy %"]
    titles += ["study: hierarchical %", "study: specificity", "study: MFLOPs"]
    rows = []
    for name, row in _sections(results, "exits"):
        study = _study_row(name, row[0], results["dataset"]["level_names"])
        rows.append(
            [
                name,
                _exit_name(results, name, row[0]),
                row[0]["answers"],
                shown(row, "accuracy"),
                shown(row, "hierarchical_accuracy"),
                shown(row, "specificity", factor=1, digits=3),
                shown(row, "flops", factor=1e-6, digits=2),
                shown(row, "run_flops", factor=1e-6, digits=2),
                *_study_cells(study),
            ]
        )
    return markdown_table(titles, rows)


def rules_table(results: Mapping[str, Any]) -> str:
    """Leaving early, image by image."""
    titles = ["network", "rule", "accuracy %", "hierarchical accuracy %", "specificity"]
    titles += ["bits an answer", "MFLOPs", "leave at exits 1, 2, ... %"]
    rows = []
    for name, row in _sections(results, "rules"):
        leaving = [
            shown([{"share": sum(one["shares"][place])} for one in row], "share")
            for place in range(len(row[0]["shares"]))
        ]
        rows.append(
            [
                name,
                row[0]["name"],
                shown(row, "accuracy"),
                shown(row, "hierarchical_accuracy"),
                shown(row, "specificity", factor=1, digits=3),
                shown(row, "information", factor=1, digits=2),
                shown(row, "run_flops", factor=1e-6, digits=2),
                " / ".join(leaving),
            ]
        )
    return markdown_table(titles, rows)


def regions_table(results: Mapping[str, Any]) -> str:
    """Operating regions of the tolerance by batch size, and what bounds those of sums."""
    titles = ["network", "exit", "study, batches of 512"]
    titles += [_batches(size) for size in reversed(REGION_BATCHES)]
    titles += ["single images, middle 98 %", "sums of fine, single images", "bound for sums"]
    rows = []
    for (name, number), found in _grouped(results, "regions", ("heads", "batch_size")).items():
        single, sums = found["own", 1], found["sums", 1]
        study = published_results()["operating_region"].get(str(number))
        if name != "gran-hbn":
            study = None
        rows.append(
            [
                name,
                str(number),
                f"{study[0]:.2f} to {study[1]:.2f}" if study else NOTHING,
                *(_range(found["own", size], "low", "high") for size in reversed(REGION_BATCHES)),
                _range(single, "middle_low", "middle_high"),
                _range(sums, "low", "high"),
                f"{sums[0]['bound'][0]:.2f} to {sums[0]['bound'][1]:.2f}",
            ]
        )
    return markdown_table(titles, rows)


def overlap_table(results: Mapping[str, Any]) -> str:
    """How far fine and coarse entropies overlap, of single images and of batch means."""
    titles = ["network", "exit", "entropies", "overlap of single images", "AUROC"]
    titles += ["fine under coarse median %", "overlap of means of 64", "AUROC of means"]
    rows = []
    for (name, number), found in _grouped(results, "overlap", ("normalised", "batch_size")).items():
        for normalised, scale in ((False, "in nats"), (True, "over ln(classes)")):
            single, means = found[normalised, 1], found[normalised, 64]
            numbers = [
                shown(single, "coefficient", factor=1, digits=3),
                shown(single, "auroc", factor=1, digits=3),
                shown(single, "share_under_quantile"),
                shown(means, "coefficient", factor=1, digits=3),
                shown(means, "auroc", factor=1, digits=3),
            ]
            rows.append([name, str(number), scale, *numbers])
    return markdown_table(titles, rows)


def curves_table(results: Mapping[str, Any]) -> str:
    """Two heads against sums of the fine one."""
    rows = [
        [
            name,
            str(row[0]["exit"]),
            shown(row, "own_heads", factor=1, digits=4),
            shown(row, "sums_of_fine", factor=1, digits=4),
        ]
        for name, row in _sections(results, "curves")
    ]
    return markdown_table(["network", "exit", "own heads", "sums of the fine head"], rows)


def severity_table(results: Mapping[str, Any]) -> str:
    """How bad the mistakes are, over mistakes and over all images."""
    titles = ["network", "answers", "mistakes %", "height of a mistake", "height over all images"]
    titles += ["distance, bits an image", "F1"]
    rows = []
    for section, label in (("exits", "answers"), ("rules", "name")):
        for name, row in _sections(results, section):
            of = [one["severity"] for one in row]
            place = f"exit {_exit_name(results, name, row[0])}, " if section == "exits" else ""
            numbers = [
                shown(of, "mistake_rate"),
                shown(of, "height_of_mistakes", factor=1, digits=3),
                shown(of, "height_over_all", factor=1, digits=3),
                shown(of, "distance_over_all", factor=1, digits=3),
                shown(of, "f1", factor=1, digits=3),
            ]
            rows.append([name, place + row[0][label], *numbers])
    order = list(results["networks"])
    return markdown_table(titles, sorted(rows, key=lambda row: order.index(row[0])))


def calibration_table(results: Mapping[str, Any]) -> str:
    """Whether heads know how often they are right."""
    titles = ["network", "exit", "level", "ECE %", "temperature", "ECE % after it", "AUROC"]
    rows = [
        [
            name,
            str(row[0]["exit"]),
            row[0]["level"],
            shown(row, "expected_error"),
            shown(row, "temperature", factor=1, digits=2),
            shown(row, "expected_error_scaled"),
            shown(row, "failure_auroc", factor=1, digits=3),
        ]
        for name, row in _sections(results, "calibration")
    ]
    return markdown_table(titles, rows)


def shown(rows: Rows, key: str, *, factor: float | int = 100, digits: int = 1) -> str:
    """A number as text, with its interval: over seeds if there are several, else over images."""
    values = [row[key] for row in rows]
    if any(value is None for value in values):
        return NOTHING
    if len(values) > 1:
        found = spread(values)
        middle, ends = found["mean"], [found["low"], found["high"]]
    else:
        middle, ends = values[0], rows[0].get("intervals", {}).get(key, [])
    text, *limits = [_decimal(factor * value, digits) for value in (middle, *ends)]
    if set(limits) <= {text}:
        return text
    return f"{text} ({limits[0]} to {limits[1]})"


def markdown_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; cells that hold a number alone stand to the right."""
    places = range(len(titles))
    numeric = [all(row[place][:1] in "0123456789-" for row in rows) for place in places]
    rule = ["---:" if right else "---" for right in numeric]
    lines = [titles, rule, *rows]
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped) + "\n"


def _sections(results: Mapping[str, Any], section: str) -> Iterator[tuple[str, Rows]]:
    """For each row of a section, the network and the row of every seed."""
    for name, seeds in results["networks"].items():
        for rows in zip(*(one.get(section, []) for one in seeds), strict=True):
            yield name, rows


def _grouped(
    results: Mapping[str, Any], section: str, keys: Sequence[str]
) -> dict[tuple[str, int], dict[tuple[Any, ...], Rows]]:
    """Rows by network and exit, and within by the values of some of their keys."""
    groups: dict[tuple[str, int], dict[tuple[Any, ...], Rows]] = {}
    for name, rows in _sections(results, section):
        group = groups.setdefault((name, rows[0]["exit"]), {})
        group[tuple(rows[0][key] for key in keys)] = rows
    return groups


def _exit_name(results: Mapping[str, Any], name: str, row: Mapping[str, Any]) -> str:
    """The number of an exit, or "final" of a network with a single one, as in the study."""
    single = len(results["networks"][name][0]["exits"]) == 1
    return "final" if single else str(row["exit"])


def _study_row(
    name: str, row: Mapping[str, Any], level_names: Sequence[str]
) -> PublishedRow | None:
    """What the study has in the place of one of our rows, if anything."""
    exit_index, answers = row["exit"] - 1, row["answers"]
    specificity = float(answers == level_names[-1])
    known = answers in (level_names[0], level_names[-1])
    if name != "gran-hbn":
        single = published_row(name, exit_index)
        same = known and single.specificity == specificity
        return single if same or answers == "gate" else None
    if answers.startswith("tolerance"):
        return published_row(name, exit_index, tolerance=float(answers.split()[1]))
    return published_row(name, exit_index, specificity=specificity) if known else None


def _study_cells(row: PublishedRow | None) -> list[str]:
    if row is None:
        return [NOTHING] * 4
    return [
        f"{100 * row.accuracy:.2f}",
        f"{100 * row.hierarchical_accuracy:.2f}",
        f"{row.specificity:.3f}",
        f"{row.flops / 1e6:.2f}",
    ]


def _range(rows: Rows, low: str, high: str) -> str:
    """From a lower to an upper end, means over seeds."""
    ends = [sum(row[key] for row in rows) / len(rows) for key in (low, high)]
    return f"{_decimal(ends[0], 2)} to {_decimal(ends[1], 2)}"


def _decimal(value: float | int, digits: int) -> str:
    """A number with so many digits, and no minus before what rounds to 0."""
    return f"{round(value, digits) + 0.0:.{digits}f}"


def _batches(size: int) -> str:
    return "single images" if size == 1 else f"batches of {size}"
