"""``hbnlab reproduce``: the study's figures and tables for any data set, written as a folder.

| module | what it holds |
| --- | --- |
| plan | what is asked for |
| protocol | our way to test, and the published one |
| source | networks and their records, computed once |
| numbers, spread | the numbers of one network; the same over several seeds |
| figures | which figures there are |
| tables, differences, writing | the page |
| published | the study's own numbers |
"""

from hbnlab.report.plan import Plan
from hbnlab.report.published import published_results
from hbnlab.report.run import reproduce

__all__ = ["Plan", "published_results", "reproduce"]
