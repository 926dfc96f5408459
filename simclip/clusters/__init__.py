"""Similarity clusters: which rows share a batch (paper, Algorithm 1)."""
