"""What makes this repository's own tables, figures and training targets; not part of the wheel."""
