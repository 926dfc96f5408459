"""CLIP and its relatives: loading, saving, encoding, exporting. A new model family touches only this package."""
