"""The tables of a report, each a list of columns: our numbers, and the study's beside them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hbnlab.models import STUDY_TRUNK
from hbnlab.report.published import PublishedRow, published_counterpart, published_results
from hbnlab.report.results import MIDDLE, OVERLAP_BATCHES, REGION_BATCHES
from hbnlab.report.seeds import mean_interval

NOTHING = "-"


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        results: what results.json holds.
        network: name of the network.
        seeds: the numbers of the line, once per seed.
    """

    results: Mapping[str, Any]
    network: str
    seeds: Sequence[Mapping[str, Any]]

    def __getitem__(self, key: str) -> Any:
        return self.seeds[0][key]


Text = Callable[[Row], str]
"""The text of a column for a row."""


@dataclass(frozen=True)
class Table:
    """A section of the page with a table.

    Attributes:
        title: the heading of the section; tables.md says how to read the table.
        rows: finds its rows in the results; a table without rows is left out.
        columns: the text of each column, by its title; the name of the network precedes them.
            Those of the study stand beside its own trunk only.
    """

    title: str
    rows: Callable[[Mapping[str, Any]], Sequence[Row]]
    columns: Mapping[str, Text]

    def markdown(self, results: Mapping[str, Any], note: str) -> str | None:
        """The section with a note above the table, or None without rows."""
        rows = self.rows(results)
        if not rows:
            return None
        columns = self.columns
        if results["trunk"] != STUDY_TRUNK:
            columns = {k: text for k, text in columns.items() if not k.startswith("study")}
        cells = [[row.network, *(text(row) for text in columns.values())] for row in rows]
        above = f"{note}\n\n" if note else ""
        return f"## {self.title}\n\n{above}{markdown_table(['network', *columns], cells)}"


def number(key: str, *, factor: float | int = 1, digits: int = 3) -> Text:
    """A column of numbers with intervals: over seeds if there are several, else over images.

    Args:
        key: of the number in a row; dots lead into rows within the row.
        factor: what it is multiplied by.
        digits: decimals.
    """

    def text(row: Row) -> str:
        *path, last = key.split(".")
        owners = row.seeds
        for step in path:
            owners = [owner[step] for owner in owners]
        return with_interval(owners, last, factor=factor, digits=digits)

    return text


def percent_of(key: str) -> Text:
    """A column of shares in per cent, with intervals."""
    return number(key, factor=100, digits=1)


def _mflops(key: str) -> Text:
    """A column of FLOPs in millions, with intervals."""
    return number(key, factor=1e-6, digits=2)


def with_interval(
    seeds: Sequence[Mapping[str, Any]], key: str, *, factor: float | int = 1, digits: int = 3
) -> str:
    """A number as text, with its interval: over seeds if there are several, else over images."""
    values = [one[key] for one in seeds]
    if any(value is None for value in values):
        return NOTHING
    if len(values) > 1:
        found = mean_interval(values)
        middle, ends = found["mean"], [found["low"], found["high"]]
    else:
        middle, ends = values[0], seeds[0].get("intervals", {}).get(key, [])
    text, *limits = [_decimal(factor * value, digits) for value in (middle, *ends)]
    return text if set(limits) <= {text} else f"{text} ({limits[0]} to {limits[1]})"


def markdown_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; columns that hold only numbers are aligned to the right."""
    numeric = [
        all(cell[:1] in "0123456789-" for cell in column) for column in zip(*rows, strict=True)
    ]
    lines = [titles, ["---:" if right else "---" for right in numeric], *rows]
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped) + "\n"


# ---------------------------------------------------------------------- rows


def _rows(
    *sections: str, by: Sequence[str] = (), over: Sequence[str] = ()
) -> Callable[[Mapping[str, Any]], list[Row]]:
    """The rows of sections of the results, network by network.

    Args:
        sections: keys of the results of a network.
        by: keys; rows of a network that agree on them are merged into one. Empty = none are merged.
        over: keys; a merged row holds each of its rows under that row's values of these.
    """
    return lambda results: [
        Row(results, network, same)
        for network, seeds in results["networks"].items()
        for section in sections
        for same in zip(*(_merged(one.get(section, []), by, over) for one in seeds), strict=True)
    ]


def _merged(
    rows: Sequence[Mapping[str, Any]], by: Sequence[str], over: Sequence[str]
) -> Sequence[Mapping[str, Any]]:
    if not by:
        return rows
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        common = {key: row[key] for key in by}
        group = groups.setdefault(tuple(common.values()), common)
        group[" ".join(str(row[key]) for key in over)] = row
    return list(groups.values())


def _whole_networks(results: Mapping[str, Any]) -> list[Row]:
    return [Row(results, network, seeds) for network, seeds in results["networks"].items()]


def _on_trunks(results: Mapping[str, Any]) -> list[Row]:
    """Gran-HBN on each trunk."""
    depth = results.get("depth", {})
    return [Row(results, f"gran-hbn, {trunk}", seeds) for trunk, seeds in depth.items()]


def _losses(results: Mapping[str, Any]) -> list[Row]:
    """For each trunk, how much of its last exit's accuracy may be lost."""
    return [
        Row(results, row.network, same)
        for row in _on_trunks(results)
        for same in zip(*(one["losses"] for one in row.seeds), strict=True)
    ]


def _timed(results: Mapping[str, Any]) -> list[Row]:
    """For each trunk, what was timed."""
    seconds = results.get("seconds", {})
    return [
        Row(results, f"gran-hbn, {trunk}", [row])
        for trunk, measured in seconds.items()
        for row in measured["rows"]
    ]


def _mistaken(results: Mapping[str, Any]) -> list[Row]:
    """Exits, then policies, of each network."""
    return [row for row in _rows("exits", "policies")(results) if "severity" in row.seeds[0]]


# ---------------------------------------------------------------------- columns


def _exit(row: Row) -> str:
    """The number of an exit, or "final" for the exit of a network with a single one."""
    single = len(row.results["networks"][row.network][0]["exits"]) == 1
    return "final" if single else str(row["exit"])


def _label(key: str) -> Text:
    return lambda row: str(row[key])


def _leaving(row: Row) -> str:
    exits = range(len(row["shares"]))
    shares = [
        [{"share": sum(one["shares"][exit_index])} for one in row.seeds] for exit_index in exits
    ]
    return " / ".join(with_interval(share, "share", factor=100, digits=1) for share in shares)


def _at_exits(key: str, factor: float | int, digits: int) -> Text:
    """A column with a number per exit, the mean over seeds."""

    def text(row: Row) -> str:
        columns = zip(*([one[key] for one in seed["exits"]] for seed in row.seeds), strict=True)
        means = [sum(values) / len(values) for values in columns]
        return " / ".join(_decimal(factor * value, digits) for value in means)

    return text


def _answered(row: Row) -> str:
    return row["name"] if "name" in row.seeds[0] else f"exit {_exit(row)}, {row['answers']}"


def _range(key: str, low: str = "low", high: str = "high") -> Text:
    """A column of ranges, from a lower to an upper end, both means over seeds."""

    def text(row: Row) -> str:
        ends = [[one[key][end] for one in row.seeds] for end in (low, high)]
        return _two_ends([sum(values) / len(values) for values in ends])

    return text


def _bound(row: Row) -> str:
    return _two_ends(row["sums 1"]["bound"])


def _published_region(row: Row) -> str:
    found = published_results()["operating_region"].get(str(row["exit"]))
    comparable = row.network == "gran-hbn" and len(row.results["dataset"]["level_names"]) == 2
    return _two_ends(found) if found and comparable else NOTHING


def _published_size(row: Row) -> str:
    exits = published_results()["results"].get(row.network, {})
    return f"{next(iter(exits.values()))['memory_mb']:.2f}" if exits else NOTHING


def _published(text: Callable[[PublishedRow], str]) -> Text:
    """A column of the study's numbers, where it has a row to compare with ours."""

    def cell(row: Row) -> str:
        levels = tuple(row.results["dataset"]["level_names"])
        found = published_counterpart(row.network, row["exit"] - 1, row["answers"], levels)
        return NOTHING if found is None else text(found)

    return cell


def _published_hierarchical(row: Row) -> str:
    """Of two levels only: in a deeper tree ours maps to a coarser level than the study's does."""
    if len(row.results["dataset"]["level_names"]) != 2:
        return NOTHING
    return _published(lambda found: f"{100 * found.hierarchical_accuracy:.2f}")(row)


def _two_ends(ends: Sequence[float]) -> str:
    return f"{_decimal(ends[0], 2)} to {_decimal(ends[1], 2)}"


def _decimal(value: float | int, digits: int) -> str:
    """A number with so many decimals, and no minus sign before what rounds to 0."""
    return f"{round(value, digits) + 0.0:.{digits}f}"


def _batches(size: int) -> str:
    return "single images" if size == 1 else f"batches of {size}"


_SCORES: Mapping[str, Text] = {
    "accuracy %": percent_of("accuracy"),
    "hierarchical accuracy %": percent_of("hierarchical_accuracy"),
    "specificity": number("specificity"),
}
_MEANS = max(OVERLAP_BATCHES)

TABLES = (
    Table(
        "Networks",
        _whole_networks,
        {
            "width": lambda row: f"{row['width']:g}",
            "parameters": lambda row: f"{row['parameters']:,}",
            "MB": lambda row: f"{row['size_mb']:.2f}",
            "study: MB": _published_size,
        },
    ),
    Table(
        "Does depth pay?",
        _on_trunks,
        {
            "width": lambda row: f"{row['width']:g}",
            "accuracy % at exits 1, 2, ...": _at_exits("accuracy", 100, 1),
            "MFLOPs at exits 1, 2, ...": _at_exits("flops", 1e-6, 2),
            "rule": lambda row: " or ".join(sorted({one["rule"] for one in row.seeds})),
            "mean gain of the rule, points": number("gain", factor=100, digits=2),
        },
    ),
    Table(
        "What the last exit's accuracy costs",
        _losses,
        {
            "lost at most, points": lambda row: f"{100 * row['loss']:g}",
            "MFLOPs": _mflops("flops"),
            "share of the last exit %": percent_of("share"),
            "MFLOPs without a rule": _mflops("trivial_flops"),
            "chosen: accuracy %": percent_of("chosen_accuracy"),
            "chosen: lost, points": number("chosen_loss", factor=100, digits=2),
            "chosen: MFLOPs": _mflops("chosen_flops"),
            "chosen: share %": percent_of("chosen_share"),
            "without a rule for as much: accuracy %": percent_of("trivial_accuracy"),
        },
    ),
    Table(
        "FLOPs saved and seconds saved",
        _timed,
        {
            "answers": _label("answers"),
            "share of the FLOPs %": percent_of("flops_share"),
            "share of the seconds %": percent_of("seconds_share"),
            "saved seconds over saved FLOPs": number("saved_of_promise", digits=2),
        },
    ),
    Table(
        "All images at one exit",
        _rows("exits"),
        {
            "exit": _exit,
            "answers": _label("answers"),
            **_SCORES,
            "MFLOPs": _mflops("flops"),
            "MFLOPs that run": _mflops("run_flops"),
            "study: accuracy %": _published(lambda row: f"{100 * row.accuracy:.2f}"),
            "study: hierarchical %": _published_hierarchical,
            "study: specificity": _published(lambda row: f"{row.specificity:.3f}"),
            "study: MFLOPs": _published(lambda row: f"{row.flops / 1e6:.2f}"),
        },
    ),
    Table(
        "Leaving early",
        _rows("policies"),
        {
            "policy": _label("name"),
            **_SCORES,
            "bits per answer": number("information", digits=2),
            "MFLOPs": _mflops("run_flops"),
            "leave at exits 1, 2, ... %": _leaving,
        },
    ),
    Table(
        "Operating region of the tolerance",
        _rows("regions", by=["exit"], over=["heads", "batch_size"]),
        {
            "exit": _label("exit"),
            "study, batches of 512": _published_region,
            **{_batches(size): _range(f"own {size}") for size in reversed(REGION_BATCHES)},
            f"single images, middle {100 * MIDDLE:.0f} %": _range(
                "own 1", "middle_low", "middle_high"
            ),
            "sums of fine, single images": _range("sums 1"),
            "bound for sums": _bound,
        },
    ),
    Table(
        "Overlap of fine and coarse uncertainty",
        _rows("overlap", by=["exit", "normalised"], over=["batch_size"]),
        {
            "exit": _label("exit"),
            "entropies": lambda row: "over ln(classes)" if row["normalised"] else "in nats",
            "overlap of single images": number("1.coefficient"),
            "AUROC": number("1.auroc"),
            "fine under coarse median %": percent_of("1.share_under_quantile"),
            f"overlap of means of {_MEANS}": number(f"{_MEANS}.coefficient"),
            "AUROC of means": number(f"{_MEANS}.auroc"),
        },
    ),
    Table(
        "Two heads or one",
        _rows("curves"),
        {
            "exit": _label("exit"),
            "own heads": number("own_heads", digits=4),
            "sums of the fine head": number("sums_of_fine", digits=4),
        },
    ),
    Table(
        "Severity of mistakes",
        _mistaken,
        {
            "answers": _answered,
            "mistakes %": percent_of("severity.mistake_rate"),
            "height per mistake": number("severity.height_of_mistakes"),
            "height per image": number("severity.height_over_all"),
            "distance, bits per image": number("severity.distance_over_all"),
            "F1": number("severity.f1"),
        },
    ),
    Table(
        "Calibration",
        _rows("calibration"),
        {
            "exit": _label("exit"),
            "level": _label("level"),
            "ECE %": percent_of("expected_error"),
            "temperature": number("temperature", digits=2),
            "ECE % after it": percent_of("expected_error_scaled"),
            "AUROC": number("failure_auroc"),
        },
    ),
)
"""All tables, in the order of the page."""
