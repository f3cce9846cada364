"""VAEs for thumbnails with one latent: the study's, and the conditional one."""

from hvae_sr.training.recipes.recipe import Objective, Recipe

_VAE = Recipe(
    model="VAE",
    arguments={"scale": 4, "width": 64, "blocks": 3},
    steps=1_000,
    optimizer="adamw",
    learning_rate=1e-3,
    clip=2.0,
    objective=Objective(kl_warmup_start=0.05, prior_weight=2.0),
)
_STUDY_VAE = {"prior": "standard", "start": "constant", "activation": "relu", "blocks": 2}
_STUDY_LIKELIHOOD = {"likelihood": "fixed_gaussian", "sigma": 0.01, "squash": True}

PRESETS: dict[str, Recipe] = {
    "vae-cifar10-x4": _VAE,
    "vae-study": _VAE.but(
        {**_STUDY_VAE, **_STUDY_LIKELIHOOD},
        steps=400,
        learning_rate=3e-2,
        clip=1e9,
        objective=Objective(beta_start=1.0),
    ),
}
