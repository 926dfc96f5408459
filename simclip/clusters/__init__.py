"""Similarity clusters: which rows stand together in a batch (paper, Algorithm 1)."""
