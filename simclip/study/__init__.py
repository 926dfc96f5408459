"""Studies: arms and trials under Ray Train and Ray Tune, their records and results."""
