"""The training loop on accelerate, its recipes and presets."""
