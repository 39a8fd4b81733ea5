"""``hbnlab reproduce``: the study's figures and tables for any data set, written as a folder.

| module | what it holds |
| --- | --- |
| plan | what to reproduce |
| protocol | our way to test, and the published one |
| measured | networks and their records, computed once |
| results, seeds | the numbers of one network, and of several seeds; keys.md says what they are |
| figures | which figures there are |
| report_tables | which tables there are |
| page, prose | report.md, with the texts in page.md, tables.md, figures.md and differences.md |
| published | the study's own numbers |
| reproduction | all steps, from a plan to the folder |
"""

from hbnlab.report.page import differences
from hbnlab.report.plan import Plan
from hbnlab.report.published import published_results
from hbnlab.report.reproduction import reproduce

__all__ = ["Plan", "differences", "published_results", "reproduce"]
