"""The report of a study, and the comparison of several studies, as HTML pages."""

from simclip.report.comparison import write_comparison
from simclip.report.page import write_report

__all__ = ["write_comparison", "write_report"]
