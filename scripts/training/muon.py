"""Muon (Jordan 2024) for the matrices of the transformers, beside AdamW for everything else.

A matrix's momentum is replaced by the nearest orthogonal matrix (five Newton-Schulz steps), scaled by
0.2 sqrt(longer side) so that its root mean square is AdamW's and one learning rate serves both (Liu
et al. 2025, arXiv 2502.16982). torch.optim.Muon takes one matrix after the other: the 80 small ones
here would be 1,500 launches a step, so matrices of one shape go through in one batched product.
"""

import torch


@torch.no_grad()
def orthogonalise(g, steps=5):
    """g [n, rows, columns] -> bfloat16, each with singular values near 1."""
    x = g.bfloat16()
    wide = x.shape[1] > x.shape[2]
    x = x.mT if wide else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
    return x.mT if wide else x


class Muon:
    def __init__(self, matrices, lr, momentum=0.95, weight_decay=0.01):
        """lr: a tensor, read at every step."""
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay
        by_shape = {}
        for m in matrices:
            by_shape.setdefault(tuple(m.shape), []).append(m)
        self.groups = [(ms, torch.zeros(len(ms), *ms[0].shape, device=ms[0].device))
                       for ms in by_shape.values()]

    @torch.no_grad()
    def step(self):
        for matrices, buffer in self.groups:
            g = torch.stack([m.grad for m in matrices])
            buffer.lerp_(g, 1 - self.momentum)
            update = orthogonalise(g.lerp(buffer, self.momentum)).float()
            update = update * (0.2 * max(buffer.shape[1:]) ** 0.5) * self.lr
            torch._foreach_mul_(matrices, 1 - self.lr * self.weight_decay)
            torch._foreach_sub_(matrices, list(update.unbind()))

    def state_dict(self):
        return [b.to(torch.bfloat16) for _, b in self.groups]

    def load_state_dict(self, state):
        for (_, b), saved in zip(self.groups, state):
            b.copy_(saved)
