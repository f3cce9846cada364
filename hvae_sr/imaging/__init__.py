"""Image and movie files, decoded and written; what an image holds beside its pixels."""
