"""Similarity-cluster fine-tuning of CLIP and the studies that judge it.

Three layers, imports pointing one way only:

* core: this package's own modules and `data`, `clusters`, `evaluation`, `demo`
  (plain PyTorch and transformers, usable without Ray);
* `simclip.study`: trials under Ray Train and Ray Tune, records, results;
* `simclip.face`: what a person sees, used by `tune.py` and `python -m simclip`.
"""
