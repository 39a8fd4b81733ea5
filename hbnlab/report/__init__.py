"""``hbnlab reproduce``: the study's figures and tables for any data set, written as a folder.

| module | what it holds |
| --- | --- |
| plan | what is asked for |
| protocol | our way to test, and the published one |
| measured | networks and their records, computed once |
| results, seeds | the numbers of one network; the same over several seeds |
| figures | which figures there are |
| report_tables, differences, page | the page |
| published | the study's own numbers |
"""

from hbnlab.report.plan import Plan
from hbnlab.report.published import published_results
from hbnlab.report.reproduction import reproduce

__all__ = ["Plan", "published_results", "reproduce"]
