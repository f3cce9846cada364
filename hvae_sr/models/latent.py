"""What every VAE can do, derived once from what a paper is.

A paper writes two passes and a likelihood (`passes.py`):

    bottom_up(hr, lr) -> activations               what the encoder says of the images
    top_down(lr, activations or None, source)      one pass for posterior, prior and given latents
        -> features, [LatentSample]
    log_likelihood(features, hr, lr) -> nats       of everything observed

From these follow, for all papers alike: the ELBO, the importance-weighted bound and training
(`bounds.py`), samples, encoding and decoding (`draws.py`), and which latent units are active
(`activity.py`). All of it can be imported from here.
"""

from typing import Self

from hvae_sr.errors import ModelError
from hvae_sr.models.activity import ACTIVE, ACTIVITY_DRAWS, ActiveUnits, mean_shifts, summed
from hvae_sr.models.arguments import DegradationConfig, ModelConfig
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.models.bounds import ELBO, Bounded
from hvae_sr.models.draws import Drawing
from hvae_sr.models.passes import Activations, Features, Level, Start
from hvae_sr.models.registry import described
from hvae_sr.nn.resize import checked_enlargement

__all__ = [
    "ACTIVE",
    "ACTIVITY_DRAWS",
    "ELBO",
    "Activations",
    "ActiveUnits",
    "Features",
    "GenerativeModel",
    "Level",
    "Start",
    "mean_shifts",
    "summed",
]


class GenerativeModel(Bounded, Drawing, registered=False):
    """A latent variable model p(x | y), or p(x) when it starts from a constant.

    Subclasses set `start`, `likelihood`, `levels` and `reduction`, and write `bottom_up` and
    `top_down`.

    Args:
        scale, degradation: see `SuperResolutionModel`.
        lr_prior: config of the model p(y) that `sample` draws LR images from, or None. Since y is
            a function of x, log p(x) = log p(y) + log p(x | y) exactly.
        base_model: config of the deterministic network whose image the means are offsets from, or
            None for interpolation. The latents then describe what regression cannot know.
        enlargement: interpolation of the LR image, see `hvae_sr.nn.resize.enlarge`.

    Raises:
        ValueError: as `SuperResolutionModel` does, for an unknown interpolation, and for parts
            that do not fit.
    """

    def __init__(
        self,
        scale: int,
        degradation: DegradationConfig,
        lr_prior: ModelConfig | None,
        base_model: ModelConfig | None = None,
        enlargement: str = "bicubic",
    ):
        super().__init__(scale, degradation)
        self.enlargement = checked_enlargement(enlargement)
        self.lr_prior = _prior_of_lr(lr_prior) if lr_prior is not None else None
        self.base_model = self._checked_base(base_model) if base_model is not None else None

    def with_lr_prior(self, prior: "GenerativeModel") -> Self:
        """The same model with `prior` as its p(y); weights are shared, not copied.

        Raises:
            ModelError: when `prior` is not an unconditional model of the LR image itself, or this
                model has a p(y) of its own.
        """
        if "lr_prior" not in self.config:
            raise ModelError(f"a {type(self).__name__} has its own p(y)")
        if prior.is_conditional or prior.scale != 1:
            raise ModelError("a model of LR images has scale 1 and starts from a constant")
        joined = type(self)(**{**self.config, "lr_prior": prior.full_config})
        state = {k: v for k, v in self.state_dict().items() if not k.startswith("lr_prior.")}
        state |= {f"lr_prior.{key}": value for key, value in prior.state_dict().items()}
        joined.load_state_dict(state, assign=True)
        return joined.train(self.training)

    def _checked_base(self, config: ModelConfig) -> SuperResolutionModel:
        network = described(config, "base_model")
        if network.is_stochastic:
            raise ValueError("base_model: a deterministic model is needed")
        if (network.scale, network.degradation) != (self.scale, self.degradation):
            raise ValueError("base_model: a network of the same scale and degradation is needed")
        return network.requires_grad_(False)


def _prior_of_lr(config: ModelConfig) -> GenerativeModel:
    prior = described(config, "lr_prior")
    if not isinstance(prior, GenerativeModel):
        raise ValueError(f"lr_prior: a {type(prior).__name__} is not a generative model")
    return prior
