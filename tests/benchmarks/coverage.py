"""python -m tests.benchmarks.coverage: what an epoch shows of real captions, and how alike its clusters are, by method.

One caption of each of 31,014 rows, embedded by latent semantic analysis: TF-IDF of the words, in 128 dimensions.
It wants ../shared/captions.
"""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import svds

from simclip.clusters.coverage import Coverage
from simclip.clusters.methods import method_of
from simclip.clusters.neighbours import Neighbours
from simclip.clusters.plan import Recipe
from tests.benchmarks.data import real_captions

DIMENSIONS, BATCH = 128, 1024
#: Method, k, s, p and r.
ROWS = {
    "plain fine-tuning": ("clusters", 1, 1, 0.0, 0),
    "clusters, k = 4": ("clusters", 4, 1, 1.0, 0),
    "clusters, k = 16": ("clusters", 16, 1, 1.0, 0),
    "clusters, k = 16, p = 1/2": ("clusters", 16, 1, 0.5, 0),
    "clusters, k = 2, s = 3 (NegCLIP)": ("clusters", 2, 3, 1.0, 0),
    "partition, k = 16": ("partition", 16, 1, 1.0, 0),
    "partition, k = 16, p = 1/2": ("partition", 16, 1, 0.5, 0),
    "partition, k = 16, r = 30": ("partition", 16, 1, 1.0, 30),
    "graph, k = 16, s = 3": ("graph", 16, 3, 1.0, 0),
    "graph, k = 16, s = 3, r = 30": ("graph", 16, 3, 1.0, 30),
}


def embedded(captions: list[str]) -> np.ndarray:
    """float32 [captions, DIMENSIONS], L2-normalised."""
    texts = [Counter(re.findall(r"[a-z]+", caption.lower())) for caption in captions]
    documents = Counter(word for text in texts for word in text)
    words = {word: place for place, word in enumerate(sorted(word for word, n in documents.items() if n >= 3))}
    found = [(row, words[word], n, word) for row, text in enumerate(texts) for word, n in text.items() if word in words]
    values = [(1 + np.log(n)) * np.log(len(texts) / documents[word]) for _, _, n, word in found]
    places = ([each[0] for each in found], [each[1] for each in found])
    left, sizes, _ = svds(csr_matrix((values, places), shape=(len(texts), len(words))), k=DIMENSIONS, random_state=0)
    vectors = left * sizes
    return (vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)).astype(np.float32)


def alike(vectors: np.ndarray, recipe: Recipe, batches: list[np.ndarray]) -> float:
    """Mean cosine of two rows of a cluster."""
    size = recipe.cluster_size
    groups = [batch[: len(recipe.cluster_sizes) * size].reshape(-1, size) for batch in batches]
    inside = vectors[np.concatenate(groups)]
    return float(((inside.sum(axis=1) ** 2).sum(axis=-1).mean() - size) / (size * (size - 1)))


def main() -> None:
    """Print the table as Markdown."""
    vectors = embedded(real_captions())
    rows = len(vectors)
    print("| batches | rows never seen | largest count | effective rows | mean cosine in a cluster |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, (method, k, s, p, skip) in ROWS.items():
        recipe, coverage = Recipe(BATCH, p, k, s), Coverage(rows)
        similar = Neighbours(vectors, skip_nearest=skip)
        batches = list(coverage.counted(method_of(method).plan(recipe, similar, rows, rows // BATCH, 1, 0)))
        mean = f"{alike(vectors, recipe, batches):.2f}" if recipe.cluster_sizes else ""
        print(f"| {name} | {1 - coverage.seen:.1%} | {coverage.largest} | {coverage.effective:,.0f} | {mean} |")


if __name__ == "__main__":
    main()
