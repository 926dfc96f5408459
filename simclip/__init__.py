"""Fine-tuning of image-text models with batches of similar pairs, and the studies that judge it.

The packages from the bottom up; each imports only those before it:

* core, plain PyTorch without Ray: `config`, `runtime`, `data`, `models`, `prepare`, `clusters`, `evaluation`, `train`
  (and `demo`, which makes the demo's pictures);
* `study`, with Ray: `spec` (study files), `store` (results), `search`, `analysis` (statistics), `execution`;
* what people see: `cli`, `html`, `report`, `clusters_page`.
"""
