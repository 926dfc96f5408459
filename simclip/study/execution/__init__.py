"""Trials under Ray Train and Ray Tune, on one machine or on a cluster."""
