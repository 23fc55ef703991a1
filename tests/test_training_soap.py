import torch

from tests.torch_soap import SOAP


def loss_after(optimizer_class: type, steps: int, **settings: float) -> float:
    """A badly scaled, rotated least-squares problem in matrix form."""
    generator = torch.Generator().manual_seed(0)
    mixing = torch.linalg.qr(torch.randn(8, 8, generator=generator))[0] * torch.logspace(0, -2, 8)
    target = torch.randn(8, 5, generator=generator)
    weight = torch.nn.Parameter(torch.zeros(8, 5))
    bias = torch.nn.Parameter(torch.zeros(5))
    optimizer = optimizer_class([weight, bias], **settings)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = settings["lr"] * (1 - step / steps)
        loss = (mixing @ weight + bias - mixing @ target - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


def test_solves_what_adam_leaves_unsolved():
    """On a badly scaled, rotated problem SOAP ends far below Adam at the same rate and steps."""
    assert loss_after(SOAP, 400, lr=0.05) < 0.1 * loss_after(torch.optim.Adam, 400, lr=0.05)


def test_state_survives_saving():
    """Going on from a saved state takes the very same steps."""

    def run(stop: int | None) -> torch.Tensor:
        generator = torch.Generator().manual_seed(1)
        weight = torch.nn.Parameter(torch.ones(3, 4))
        optimizer = SOAP([weight])
        for step in range(25):
            if step == stop:
                saved = optimizer.state_dict()
                optimizer = SOAP([weight])
                optimizer.load_state_dict(saved)
            weight.grad = torch.randn(3, 4, generator=generator)
            optimizer.step()
        return weight.detach()

    assert torch.equal(run(None), run(12))
