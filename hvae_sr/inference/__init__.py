"""Real files in, real files out."""
