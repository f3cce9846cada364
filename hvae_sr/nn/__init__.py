"""Mathematics that every model is built from: tensors in, tensors out; no files, no images."""
