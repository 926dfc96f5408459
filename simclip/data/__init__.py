"""Image-caption pairs as training reads them: tables, token ids, pictures, the image store."""
