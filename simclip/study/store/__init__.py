"""The results of a study on disk or in a bucket: layout, trial records, and compatible changes of the study."""
