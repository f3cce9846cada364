"""GuidedCNN: what it starts as, and that its guidance maps guide."""

import pytest
import torch

from hvae_sr.degradation import enlarge
from hvae_sr.models.guided import GuidedBlock, GuidedCNN


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_without_features_it_starts_as_bilinear_enlargement(scale: int):
    torch.manual_seed(0)
    model = GuidedCNN(scale, width=8, blocks=2)
    with torch.no_grad():
        model.mix.weight[:, :8] = 0
    lr = torch.rand(2, 3, 7, 9)
    torch.testing.assert_close(model(lr), enlarge(lr, scale, "bilinear"), atol=2e-6, rtol=0)


def test_a_block_is_its_equation():
    torch.manual_seed(0)
    block, x = GuidedBlock(6, 1), torch.randn(2, 6, 5, 5)
    result = block.body(x)
    guidance = torch.einsum("oi,nihw->nohw", block.guide.weight[:, :, 0, 0], result) + 1
    torch.testing.assert_close(block(x), (x + result) * guidance)


def test_the_released_size_costs_two_thirds_of_the_former_network():
    from hvae_sr.models import EDSR

    def parameters(model: torch.nn.Module) -> int:
        return sum(parameter.numel() for parameter in model.parameters())

    assert parameters(GuidedCNN(width=32, blocks=6)) < 0.66 * parameters(EDSR(width=48, blocks=6))
