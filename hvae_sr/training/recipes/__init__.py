"""Recipes of training runs: what one is (`recipe.py`), and presets, family by family."""

from hvae_sr.training.recipes import hierarchies, networks, papers, photographs, vaes
from hvae_sr.training.recipes.recipe import Objective, Player, Recipe

__all__ = ["PRESETS", "Objective", "Player", "Recipe"]

PRESETS: dict[str, Recipe] = {
    **networks.PRESETS,
    **vaes.PRESETS,
    **hierarchies.PRESETS,
    **papers.PRESETS,
    **photographs.PRESETS,
}
