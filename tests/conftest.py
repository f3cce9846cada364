"""What the tests share: tiny models, made-up images, and folders that hold a saved model."""

import io
import json
import math
import signal
import socket
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from PIL import Image
from skimage import data
from torch import Tensor, nn

from hvae_sr.degradations import get_degradation
from hvae_sr.models import (
    BIVA,
    EDSR,
    HVAE,
    NVAE,
    SRCNN,
    SRGAN,
    SRVAE,
    VAE,
    FastCNN,
    GuidedCNN,
    LadderVAE,
    SRResNet,
    StudyCNN,
)
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.models.latent import GenerativeModel
from hvae_sr.models.registry import MODELS, MODULES
from hvae_sr.nn.latents import DiagonalGaussian, LatentSample, LatentSource
from hvae_sr.nn.noise import Noise
from hvae_sr.nn.resize import enlarge, quantise

if TYPE_CHECKING:
    from gradio_client import Client

# A shell that runs the tests in the background lets them ignore Ctrl-C, and what they start too.
signal.signal(signal.SIGINT, signal.default_int_handler)
torch.set_num_threads(1)  # tiny tensors: more threads only wait for each other


class Nearest(SuperResolutionModel):
    """Repeats pixels: what it gives back is known exactly."""

    def __init__(self, scale: int = 2, degradation: str = "area"):
        super().__init__(scale, degradation)
        self.anchor = nn.Parameter(torch.zeros(1))

    def forward(self, lr: Tensor) -> Tensor:
        return enlarge(lr, self.scale, "nearest")

    def loss(self, hr: Tensor, lr: Tensor) -> dict[str, Tensor]:
        return {"loss": (self(lr) - hr + self.anchor).square().mean()}


TINY_LEVELS: dict[str, Any] = {
    "widths": [8, 8],
    "groups": [1, 2],
    "blocks": [1, 1],
    "latent": 2,
    "start_blocks": 1,
    "mixtures": 2,
}


def tiny_hvae(scale: int = 4, **changes: Any) -> HVAE:
    return HVAE(scale=scale, **{**TINY_LEVELS, **changes})


def tiny_ladder(scale: int = 4, **changes: Any) -> LadderVAE:
    return LadderVAE(scale=scale, **{**TINY_LEVELS, **changes})


def tiny_nvae(scale: int = 4, **changes: Any) -> NVAE:
    settings = {"groups": [0, 3], "expansion": 2, "cell_scale": 0.5}
    return NVAE(scale=scale, **{**TINY_LEVELS, **settings, **changes})


def tiny_biva(scale: int = 4, **changes: Any) -> BIVA:
    return BIVA(scale=scale, **{**TINY_LEVELS, "groups": [1, 2], **changes})


def tiny_srvae(scale: int = 4, **changes: Any) -> SRVAE:
    of_u = {"u_widths": [8], "u_blocks": [1], "u_reduction": 1, "coupling_width": 4}
    of_z = {"widths": [8], "blocks": [1], "z_reduction": 3 if scale == 3 else 2}
    rest = {"start_width": 8, "start_blocks": 1, "latent": 2, "mixtures": 2}
    return SRVAE(scale=scale, **{**of_u, **of_z, **rest, **changes})


def tiny_vae(scale: int = 4, **changes: Any) -> VAE:
    return VAE(scale=scale, **{"width": 8, "blocks": 1, **changes})


def tiny_cnn(scale: int = 4, **changes: Any) -> StudyCNN:
    """The network that tests take when any deterministic one will do."""
    return StudyCNN(scale=scale, **{"widths": [8, 8], "blocks": [1, 1], **changes})


def tiny_srcnn(scale: int = 4, **changes: Any) -> SRCNN:
    settings = {"kernels": [5, 3, 3], "filters": [8, 6], "degradation": "gaussian"}
    return SRCNN(scale=scale, **{**settings, **changes})


def tiny_srresnet(scale: int = 4, **changes: Any) -> SRResNet:
    return SRResNet(scale=scale, **{"width": 8, "blocks": 1, **changes})


def tiny_srgan(scale: int = 4, **changes: Any) -> SRGAN:
    return SRGAN(scale=scale, **{"width": 8, "blocks": 1, "discriminator": 4, **changes})


def tiny_edsr(scale: int = 4, **changes: Any) -> EDSR:
    return EDSR(**{"scale": scale, "width": 6, "blocks": 1, "degradation": "gaussian", **changes})


def tiny_fast(scale: int = 4, **changes: Any) -> FastCNN:
    settings = {"scale": scale, "width": 6, "blocks": 1, "degradation": "gaussian"}
    return FastCNN(**{**settings, **changes})


def tiny_guided(scale: int = 4, **changes: Any) -> GuidedCNN:
    settings = {"scale": scale, "width": 6, "blocks": 1, "degradation": "gaussian"}
    return GuidedCNN(**{**settings, **changes})


def tiny_study_vae(**changes: Any) -> VAE:
    """The study's model: the decoder sees z alone."""
    settings = {"prior": "standard", "start": "constant", "activation": "relu"}
    likelihood = {"likelihood": "fixed_gaussian", "squash": True}
    return tiny_vae(**{**settings, **likelihood, **changes})


def tiny_lr_prior(**changes: Any) -> HVAE:
    """An unconditional model of LR images, p(y)."""
    return tiny_hvae(scale=1, **{"start": "constant", **changes})


# Small versions for the contract tests, which run over the registry: a class that is missing here
# is tested as its defaults make it.
SMALL: dict[str, Callable[..., Any]] = {
    "BIVA": tiny_biva,
    "EDSR": tiny_edsr,
    "FastCNN": tiny_fast,
    "GuidedCNN": tiny_guided,
    "HVAE": tiny_hvae,
    "LadderVAE": tiny_ladder,
    "NVAE": tiny_nvae,
    "SRCNN": tiny_srcnn,
    "SRGAN": tiny_srgan,
    "SRResNet": tiny_srresnet,
    "SRVAE": tiny_srvae,
    "StudyCNN": tiny_cnn,
    "VAE": tiny_vae,
}
TINY = {name: SMALL.get(name, MODELS.get(name)) for name in MODULES}
GENERATIVE = {
    name: make for name, make in TINY.items() if issubclass(MODELS.get(name), GenerativeModel)
}


def shaken(model: SuperResolutionModel, amount: float = 0.1) -> SuperResolutionModel:
    """The model with noise on every weight, so that nothing in it is zero or neutral."""
    random = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(amount * torch.randn(parameter.shape, generator=random))
    return model.eval()


def objective(model: SuperResolutionModel, hr: Tensor, lr: Tensor) -> Tensor:
    """What a training step sends back: the sum of what the model's players minimise."""
    terms = model.loss(hr, lr)
    return torch.stack([terms[term] for term in model.players()]).sum()


def never_trained(model: SuperResolutionModel, batches: list[tuple[Tensor, Tensor]]) -> list[str]:
    """Parameters with numbers whose gradient is exactly zero at every step, one a batch."""
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    trained = {name: torch.zeros_like(p, dtype=torch.bool) for name, p in model.named_parameters()}
    for hr, lr in batches:
        optimizer.zero_grad()
        objective(model, hr, lr).backward()
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                trained[name] |= parameter.grad != 0
        optimizer.step()
    return [
        f"{name}: {int((~moved).sum())} of {moved.numel()}"
        for name, moved in trained.items()
        if not moved.all()
    ]


def random_images(*shape: int, seed: int = 0) -> Tensor:
    """Noise in 256 values: the hardest image there is."""
    return quantise(torch.rand(shape, generator=torch.Generator().manual_seed(seed)))


def smooth_images(*shape: int, seed: int = 0) -> Tensor:
    """Soft blobs in 256 values, closer to a photograph."""
    n, c, height, width = shape
    coarse = random_images(n, c, -(-height // 4), -(-width // 4), seed=seed)
    return quantise(enlarge(coarse, 4)[..., :height, :width])


def pair(n: int = 2, height: int = 3, width: int = 4) -> tuple[Tensor, Tensor]:
    """Smooth HR images and their LR versions of height x width pixels, four times smaller."""
    hr = smooth_images(n, 3, 4 * height, 4 * width)
    return hr, get_degradation("gaussian", 4)(hr)


def gaussian(seed: int, shape: tuple[int, ...] = (2, 3, 4, 4)) -> DiagonalGaussian:
    """Some distribution of a latent, named by its seed."""
    random = torch.Generator().manual_seed(seed)
    mean, raw = (torch.randn(shape, generator=random) for _ in range(2))
    return DiagonalGaussian(mean, (0.5 * raw).exp())


@torch.no_grad()
def drawn(
    model: GenerativeModel, hr: Tensor, lr: Tensor | None, *given: Tensor
) -> list[LatentSample]:
    """What latents draw from posteriors, the first ones given."""
    source = LatentSource(Noise(0), given=given)
    return model.top_down(lr, model.bottom_up(hr, lr), source)[1]


@torch.no_grad()
def integrated(
    model: GenerativeModel, hr: Tensor, lr: Tensor, *, latents: int, axis: Tensor
) -> float:
    """log p of one image, by the trapezoidal rule, of a model with latents of one number each."""
    grids = torch.meshgrid(*[axis] * latents, indexing="ij")
    parts = []
    for z in zip(*(grid.reshape(-1, 1, 1, 1).split(2**15) for grid in grids), strict=True):
        rows = [image.expand(len(z[0]), -1, -1, -1) for image in (hr, lr)]
        features, found = model.top_down(rows[1], None, LatentSource(given=list(z)))
        joint = model.log_likelihood(features, *rows)
        for latent in found:
            joint = joint + latent.prior.log_prob(latent.z).sum(dim=(1, 2, 3))
        parts.append(joint.double())
    return float(torch.cat(parts).logsumexp(dim=0)) + latents * math.log(float(axis[1] - axis[0]))


@torch.no_grad()
def check_bounds_near(
    truth: float, model: GenerativeModel, hr: Tensor, lr: Tensor | None, *, seeds: int, few: int
) -> None:
    """Importance-weighted bounds of one image stay below its log-likelihood, and rise towards it.

    Args:
        seeds: bounds of each kind, which say how sure their mean is.
        few: draws of the second; the first has 1, the third 64.
    """
    rows = [image.expand(seeds, -1, -1, -1) if image is not None else None for image in (hr, lr)]
    means = []
    for draws in (1, few, 64):
        bound = model.importance_weighted(*rows, draws=draws, noise=Noise(0))
        assert float(bound.mean()) < truth + 3 * float(bound.std()) / math.sqrt(seeds)
        means.append(float(bound.mean()))
    assert means[0] < means[1] < means[2]
    assert means[2] > truth - 0.2 * (truth - means[0])


def save_as_format(model: SuperResolutionModel, folder: Path, version: int) -> None:
    """A folder as the first two formats had it."""
    model.save_pretrained(folder)
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), "format_version": version}
    del config["model_module"], config["enlargement"]
    if version == 1:
        del config["hvae_sr_version"]
    path.write_text(json.dumps(config))


def psnr(a: Tensor, b: Tensor) -> float:
    return float(-10 * (a - b).square().mean().clamp_min(1e-12).log10())


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def png_bytes(width: int, height: int, rows: bytes = b"") -> bytes:
    """A PNG file by hand: true header, and whatever pixel data is given."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        length = len(body).to_bytes(4, "big")
        return length + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    file = io.BytesIO(b"\x89PNG\r\n\x1a\n")
    file.seek(0, io.SEEK_END)
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    for kind, body in [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]:
        file.write(chunk(kind, body))
    return file.getvalue()


def refusal(call: Callable[[], Any]) -> str:
    """The message of a call that the demo refused: a sentence that tells nothing of the server."""
    from gradio_client.exceptions import AppError

    with pytest.raises(AppError) as caught:
        call()
    message = str(caught.value)
    assert 20 < len(message) < 250
    assert "\n" not in message and "Traceback" not in message and "/" not in message
    return message


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session", autouse=True)
def _tidy(tmp_path_factory: pytest.TempPathFactory) -> None:
    """gradio's client leaves an empty folder behind per download: where pytest clears up."""
    tempfile.tempdir = str(tmp_path_factory.mktemp("temporary"))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may reach a hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A folder with a tiny HVAE."""
    folder = tmp_path / "model"
    tiny_hvae().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def demo_port() -> int:
    return free_port()


@pytest.fixture(scope="session")
def client(demo_port: int, tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Client]":
    """A client of the demo, which serves all test files from one start on the bundled models."""
    from gradio_client import Client

    from hvae_sr.demo import launch

    blocks = launch(port=demo_port, block=False)
    yield Client(
        f"http://127.0.0.1:{demo_port}",
        verbose=False,
        analytics_enabled=False,
        download_files=tmp_path_factory.mktemp("downloads"),
    )
    blocks.close()


@pytest.fixture(scope="session")
def photograph() -> Image.Image:
    return Image.fromarray(data.astronaut()[:200, 150:350]).resize((24, 20))


@pytest.fixture
def small(photograph: Image.Image, tmp_path: Path) -> Path:
    """A file with `photograph`, 24 x 20 pixels."""
    photograph.save(tmp_path / "small.png")
    return tmp_path / "small.png"
