"""From a model to images of any size: one upscaler, its options, tiles and noise."""

from hvae_sr.upscaling.options import UpscaleKeywords, UpscaleOptions
from hvae_sr.upscaling.upscaler import UpscaleOutput, Upscaler

__all__ = ["UpscaleKeywords", "UpscaleOptions", "UpscaleOutput", "Upscaler"]
