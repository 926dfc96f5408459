"""`tune.py clusters`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tyro

from simclip.cli.exits import DONE
from simclip.cli.output import say
from simclip.cli.terminal.safe_console import SafeConsole
from simclip.clusters_page.subject import load_subject
from simclip.errors import InputError
from simclip.models.model_folder import check_model_files
from simclip.runtime.gc import paused_gc

PAGE = "clusters.html"


def clusters(
    place: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RESULTS|STUDY|TABLE")],
    image_dir: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    model: Annotated[str | None, tyro.conf.arg(metavar="MODEL")] = None,
    k: Annotated[int | None, tyro.conf.arg(metavar="K")] = None,
    neighborhood: Annotated[int | None, tyro.conf.arg(metavar="S")] = None,
    max_similarity: Annotated[float | None, tyro.conf.arg(metavar="COSINE")] = None,
    similarity: Literal["text", "image"] | None = None,
    anchors: Annotated[int, tyro.conf.arg(metavar="N")] = 12,
    seed: Annotated[int, tyro.conf.arg(metavar="SEED")] = 1,
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> int:
    """Write a page of real clusters: what k, s and max_similarity mean on your data.

    Args:
        place: results folder of a study or its URI, a study file, or a table of pairs.
        image_dir: folder of a table's images; by default the table's own.
        model: hub name or folder of the model that measures similarity; by default the study's.
        k: rows in a cluster; by default the largest k of the study.
        neighborhood: s; by default the study's.
        max_similarity: rows with this similarity or more are not neighbours; by default the study's.
        similarity: embeddings to compare; by default the study's.
        anchors: number of clusters to show, from the tightest to the loosest.
        seed: seed that chooses the anchors.
        out: file of the page; by default clusters.html in the study's results, or in the working folder.
    """
    console = SafeConsole()
    fields = {"model": model, "cluster_size": k, "neighborhood": neighborhood, "similarity": similarity,
              "max_similarity": max_similarity}  # fmt: skip
    _check(anchors, seed, out)
    chosen = load_subject(place, image_dir, fields)
    if chosen.config.cluster_size < 2:
        raise InputError(f"k = {chosen.config.cluster_size}: a cluster has at least 2 rows; give another --k")
    check_model_files(chosen.config.model)
    say(console, f"Clusters of {chosen.name}: loading the model...")
    with paused_gc():
        from transformers.utils.logging import disable_progress_bar

        from simclip.clusters_page.measure import survey_clusters
        from simclip.clusters_page.page import headline, write_clusters_page
    disable_progress_bar()
    page = survey_clusters(chosen, anchors, seed, console)
    path = write_clusters_page(page, out or (chosen.folder.path / PAGE if chosen.folder else Path(PAGE)))
    shown = str(path)
    if out is None and chosen.folder:
        chosen.folder.push()
        shown = chosen.folder.place(PAGE)
    say(console, headline(page))
    say(console, f"Marked as likely duplicates: {page.rule}.")
    say(console, f"Clusters: {shown}")
    return DONE


def _check(anchors: int, seed: int, out: Path | None) -> None:
    if anchors < 1:
        raise InputError(f"--anchors {anchors}: expected at least 1")
    if seed < 0:
        raise InputError(f"--seed {seed}: expected at least 0")
    if out is not None and not out.absolute().parent.is_dir():
        raise InputError(f"--out {out}: no such folder: {out.absolute().parent}")
