"""Optimisers and the learning-rate schedule, by name, over any model's parameters."""

import torch

from pipelines.system import ParameterGroup, TrainableModel, TrainConfig


class Muon(torch.optim.Optimizer):
    """Momentum whose updates are made near-orthogonal (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/).

    For filter banks (out, in, height, width), seen as matrices (out, rest). A batch norm after them undoes their
    scale, so each bank is kept at norm sqrt(out) and the learning rate alone says how fast it turns.
    """

    def __init__(self, params: list[torch.nn.Parameter], lr: float, momentum: float) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        del closure
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(weight)
                buffer = state["momentum"].mul_(group["momentum"]).add_(weight.grad)
                update = weight.grad.add(buffer, alpha=group["momentum"])  # Nesterov
                weight.mul_(len(weight) ** 0.5 / weight.norm())
                weight.add_(orthogonalise(update.flatten(1)).view_as(weight), alpha=-group["lr"])


def orthogonalise(matrix: torch.Tensor, steps: int = 3) -> torch.Tensor:
    """The nearest semi-orthogonal matrix, roughly: a quintic Newton-Schulz iteration in bf16.

    The coefficients push every singular value towards about [0.7, 1.2]; exactness is not needed for the update.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.bfloat16()
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.T if tall else x).to(matrix.dtype)


class Optimizers:
    """The optimisers of a model's parameter groups, stepped together on one schedule."""

    def __init__(self, model: TrainableModel, config: TrainConfig, total_steps: int) -> None:
        self._config, self._total_steps = config, total_steps
        self._groups = model.groups(config)
        self._parts = [_build(group) for group in self._groups]

    def step(self, step: int) -> float:
        """Update the weights at the schedule's rate for this step; returns the first group's learning rate."""
        for group, part in zip(self._groups, self._parts, strict=True):
            part.param_groups[0]["lr"] = self._rate(group, step)
            part.step()
            part.zero_grad(set_to_none=True)
        return self.learning_rate(step)

    def learning_rate(self, step: int) -> float:
        """The first group's rate at this step."""
        return self._rate(self._groups[0], step)

    def state_dict(self) -> list[dict[str, object]]:
        return [part.state_dict() for part in self._parts]

    def load_state_dict(self, state: list[dict[str, object]]) -> None:
        for part, saved in zip(self._parts, state, strict=True):
            part.load_state_dict(saved)

    def _rate(self, group: ParameterGroup, step: int) -> float:
        progress = step / self._total_steps
        return group.learning_rate * one_cycle(progress, self._config.warmup, self._config.final_learning_rate)


def one_cycle(progress: float, warmup: float, final: float) -> float:
    """Share of the peak learning rate: a straight rise over `warmup`, then a straight fall to `final`."""
    if progress < warmup:
        return 0.2 + 0.8 * progress / warmup
    return final + (1 - final) * (1 - progress) / (1 - warmup)


def _build(group: ParameterGroup) -> torch.optim.Optimizer:
    rate, decay = group.learning_rate, group.weight_decay
    if group.optimizer == "adamw":
        return torch.optim.AdamW(group.parameters, lr=rate, weight_decay=decay)
    if group.optimizer == "muon":
        return Muon(group.parameters, lr=rate, momentum=group.momentum)
    return torch.optim.SGD(group.parameters, lr=rate, momentum=group.momentum, weight_decay=decay, nesterov=True)
