"""Analysis of a study's trial records: StudyResults, and the figures, warnings and files that are derived from it."""
