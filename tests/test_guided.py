"""GuidedCNN: what it starts as, and that its guidance maps guide."""

import pytest
import torch

from hvae_sr.models.guided import GuidedBlock, GuidedCNN


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_without_features_it_starts_as_quadratic_interpolation(scale: int):
    """Which gives parabolas back exactly, away from the border."""
    torch.manual_seed(0)
    model = GuidedCNN(scale, width=8, blocks=2)
    with torch.no_grad():
        model.mix.weight[:, :8] = 0

    def parabola(count: int, step: float) -> torch.Tensor:
        x = (torch.arange(count) + 0.5) * step
        return 0.1 + 0.002 * x**2 - 0.01 * x

    lr = (parabola(9, 1.0)[:, None] + parabola(7, 1.0)).expand(1, 3, -1, -1)
    hr = parabola(9 * scale, 1 / scale)[:, None] + parabola(7 * scale, 1 / scale)
    found = model(lr)[0, 0, scale:-scale, scale:-scale]
    torch.testing.assert_close(found, hr[scale:-scale, scale:-scale], atol=1e-6, rtol=0)


def test_a_block_is_its_equation():
    torch.manual_seed(0)
    block, x = GuidedBlock(6, 1), torch.randn(2, 6, 5, 5)
    result = block.body(x)
    guidance = torch.einsum("oi,nihw->nohw", block.guide.weight[:, :, 0, 0], result) + 1
    torch.testing.assert_close(block(x), (x + result) * guidance)


def test_the_released_size_costs_two_thirds_of_the_former_network():
    from hvae_sr.models import FastCNN

    def parameters(model: torch.nn.Module) -> int:
        return sum(parameter.numel() for parameter in model.parameters())

    assert parameters(GuidedCNN(width=32, blocks=6)) < 0.66 * parameters(
        FastCNN(width=48, blocks=6)
    )
