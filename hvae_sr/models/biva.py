"""BIVA, given an LR picture: latents on the way up as well as on the way down.

Lars Maaløe, Marco Fraccaro, Valentin Liévin, Ole Winther, "BIVA: A Very Deep Hierarchy of Latent
Variables for Generative Modeling", NeurIPS 2019 (arXiv:1902.02102).

    z_i = (z_i^BU, z_i^TD)
    p(z_i | z_>i) = p(z_i^BU | z_>i) p(z_i^TD | z_>i)
    q(z_i^BU | x, z_<i^BU)                             on the way up
    q(z_i^TD | x, z^BU, z_>i^TD)                       on the way down

The bottom-up variables are drawn by a chain that rises from x, each seeing those below it, so that
stochastic features, not only deterministic ones, travel upwards. The top-down pass then asks its
own prior for each of them, and adds a top-down variable of its own. Its skip connections, which
bring every latent to all below it, are here the state itself (`links="state"`).
"""

from typing import Any

from torch import Tensor, nn

from hvae_sr.models.hierarchy import (
    Choices,
    Encoder,
    Evidence,
    HierarchicalVAE,
    LatentGroup,
)
from hvae_sr.models.latent import Activations, Level
from hvae_sr.nn import distributions
from hvae_sr.nn.latents import DiagonalGaussian, LatentSource
from hvae_sr.nn.layers import CellKind, conv1x1, start_narrow


class StochasticEncoder(Encoder):
    """q(z_i^BU | x, z_<i^BU): at every level with latents one is drawn, and passed on upwards."""

    def __init__(self, levels: list[Level], inputs: int, stem: int, kind: str, choices: Choices):
        super().__init__(levels, inputs, stem, kind, choices.activation)
        self.posteriors = nn.ModuleDict()
        self.projects = nn.ModuleDict()
        for index, level in enumerate(levels):
            if not level.groups:
                continue
            network = CellKind(kind, choices.activation)(
                level.width, level.width, 2 * choices.latent
            )
            start_narrow(network.last, choices.latent)
            self.posteriors[str(index)] = network
            if index > self.top:
                self.projects[str(index)] = conv1x1(choices.latent, level.width)

    def forward(self, image: Tensor) -> dict[int, Tensor]:
        """(N, inputs, H, W) -> features of the finest level; `rise` draws on the way up."""
        finest = len(self.levels) - 1
        return {finest: self.levels[finest](self.stem(image))}

    def rise(self, features: Tensor, source: LatentSource) -> dict[int, Evidence]:
        """Features of the finest level -> evidence by the index of the level, drawn upwards."""
        evidence = {}
        for index in reversed(range(self.top, len(self.levels))):
            if index < len(self.levels) - 1:
                features = self.levels[index](self.coarser[index](features))
            name = str(index)
            if name not in self.posteriors:
                continue
            q = DiagonalGaussian.from_raw(self.posteriors[name](features))
            z = q.sample(source.noise, source.temperature_at(index))
            evidence[index] = Evidence(features, (q, z))
            if name in self.projects:  # the coarsest has nothing above it
                features = features + self.projects[name](z.to(features.dtype))
        return evidence


class BottomUpGroup(LatentGroup):
    """z_i^BU on the way down: its prior is asked here, its posterior was on the way up."""

    def _posterior_network(self, width: int, choices: Choices) -> None:
        return None

    def _posterior(
        self, h: Tensor, evidence: Evidence, prior: DiagonalGaussian
    ) -> DiagonalGaussian:
        assert evidence.drawn is not None
        return evidence.drawn[0]

    def _drawn(self, evidence: Evidence | None) -> Tensor | None:
        return evidence.drawn[1] if evidence is not None and evidence.drawn is not None else None


class BIVA(HierarchicalVAE):
    """p(x | y) with bottom-up and top-down latents.

    Args:
        scale: 2, 3 or 4.
        widths: channels of each level, coarse to fine, from LR resolution on.
        groups: latents of each level: one bottom-up variable, the others top-down ones.
        blocks: residual cells of the bottom-up pass at each level.
        latent: channels of each latent.
        start_blocks: residual cells of the LR encoder.
        cell: see `hvae_sr.nn.layers.cell`.
        mixtures: logistics per pixel of the likelihood.
        degradation: name of the degradation the weights are for.
        lr_prior: config of p(y), see `GenerativeModel`.
        enlargement: interpolation of the LR image, see `hvae_sr.nn.resize.enlarge`.
    """

    def __init__(
        self,
        scale: int = 4,
        widths: list[int] = [96, 64],  # noqa: B006
        groups: list[int] = [2, 3],  # noqa: B006
        blocks: list[int] = [1, 2],  # noqa: B006
        latent: int = 8,
        start_blocks: int = 3,
        cell: str = "bottleneck",
        mixtures: int = 5,
        degradation: str = "gaussian",
        lr_prior: dict[str, Any] | None = None,
        enlargement: str = "bicubic",
    ):
        super().__init__(scale, degradation, lr_prior, enlargement=enlargement)
        self.assemble(
            widths=widths,
            groups=groups,
            blocks=blocks,
            choices=Choices(latent, cell=cell),
            start="lr",
            start_blocks=start_blocks,
            likelihood=distributions.MixtureOfLogistics(mixtures),
        )

    def _encoder(self, inputs: int, stem: int, cell: str, choices: Choices) -> Encoder:
        return StochasticEncoder(self.levels, inputs, stem, cell, choices)

    def _evidence(self, activations: Activations, source: LatentSource) -> dict[int, Evidence]:
        """Every draw takes another way up."""
        assert isinstance(self.encoder, StochasticEncoder)
        (features,) = activations.levels.values()
        return self.encoder.rise(source.repeat(features), source)

    def _groups(self, level: Level, depth: int, choices: Choices) -> list[LatentGroup]:
        if not level.groups:
            return []
        first = BottomUpGroup(level.width, depth, choices)
        return [first, *super()._groups(level, depth, choices)[1:]]
