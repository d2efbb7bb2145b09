"""Reference gradients of the forms of sharpness-aware minimisation, for crates/ragbias-tune/src/train/tests/sharpness.rs.

usage: sharpness.py
needs: torch==2.15.0

A head y = (I + M)·x over vectors of a formula, in float64 by autograd. For each form the norm of the step's gradient by M and its
inner product with cos(0), cos(1), … are written; so are, for two groups of the examples, the norms of what they contribute, and each
example's importance.
"""
import torch

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
DIM, TEXTS, SCALE, RADIUS = 384, 11, 20.0, 0.05
# A question's index, those of its positives and of its negatives.
EXAMPLES = [(0, [3, 4], [5]), (1, [5, 6], [7, 8]), (2, [9], [10, 3, 4])]

i, k = torch.arange(TEXTS).unsqueeze(1).double(), torch.arange(DIM).unsqueeze(0).double()
x = (torch.sin(1 + 0.37 * k) + 1.2 * torch.sin(0.5 + 1.7 * i + 0.011 * k * (i + 1))).float().double()
n = torch.arange(DIM * DIM).double()
M = (0.02 * torch.sin(0.3 + 0.0017 * n)).reshape(DIM, DIM).float().double()


def logits(M, example):
    y = torch.nn.functional.normalize(x + x @ M.T, dim=1)
    q, positives, negatives = example
    return SCALE * y[positives + negatives] @ y[q], len(positives)


def loss(M, example):
    f, positives = logits(M, example)
    return torch.logsumexp(f, 0) - torch.logsumexp(f[:positives], 0)


def weights(M, example):
    f, positives = logits(M, example)
    f = f.detach().requires_grad_()
    (torch.logsumexp(f, 0) - torch.logsumexp(f[:positives], 0)).backward()
    return f.grad


def gradient(objective, at):
    at = at.clone().requires_grad_()
    objective(at).backward()
    return at.grad


def tangent(M, example):
    """The norm of the gradient of Σ w·f by the unit vectors of question and documents, within the spheres, by autograd."""
    w = weights(M, example)
    y = torch.nn.functional.normalize(x + x @ M.T, dim=1)
    q, positives, negatives = example
    unit = y[[q] + positives + negatives]
    free = unit if unit.requires_grad else unit.requires_grad_()
    score = (w * (SCALE * torch.nn.functional.normalize(free[1:], dim=1) @ torch.nn.functional.normalize(free[0], dim=0))).sum()
    return torch.autograd.grad(score, free, create_graph=True)[0].norm()


mean_loss = lambda M: sum(loss(M, e) for e in EXAMPLES) / len(EXAMPLES)
g = gradient(mean_loss, M)
T = (M + torch.eye(DIM)).abs() + 0.01
sam = M + RADIUS * g / g.norm()
asam = M + RADIUS * T * T * g / (T * g).norm()


def own(example):
    g = gradient(lambda M: loss(M, example), M)
    return M + RADIUS * g / g.norm()


def weighted(example, w, at):
    return gradient(lambda M: (w * logits(M, example)[0]).sum(), at)


each = {
    "plain": lambda e: gradient(lambda M: loss(M, e), M),
    "sam": lambda e: gradient(lambda M: loss(M, e), sam),
    "asam": lambda e: gradient(lambda M: loss(M, e), asam),
    "one-sam": lambda e: gradient(lambda M: loss(M, e), own(e)),
    "one-sam-logits": lambda e: weighted(e, weights(own(e), e), M),
    "one-sam-jacobian": lambda e: weighted(e, weights(M, e), own(e)),
    "penalty": lambda e: gradient(lambda M: loss(M, e) + RADIUS * tangent(M, e), M),
}
points = {"sam": lambda e: sam, "asam": lambda e: asam, "one-sam": own, "one-sam-logits": own}
probe = torch.cos(torch.arange(DIM * DIM).double())
print("mean loss", float(mean_loss(M)))
for name, of in each.items():
    parts = [of(e) for e in EXAMPLES]
    whole = sum(parts) / len(parts)
    first, others = parts[0].norm(), sum(parts[1:]).norm()
    importance = []
    for e in EXAMPLES:
        f, positives = logits(points.get(name, lambda e: M)(e), e)
        importance.append(float(torch.softmax(f, 0)[positives:].sum()))
    print(f"{name:18} {float(whole.norm()):.9} {float(whole.flatten() @ probe):.9} share {float(first / (first + others)):.9} {importance}")

# What the penalty and the parts of 1-SAM change, at a radius of first order.
RADIUS = 1e-3
mean = lambda name: sum(each[name](e) for e in EXAMPLES) / len(EXAMPLES)
plain = mean("plain")
whole, logit, jacobian, penalty = (mean(name) - plain for name in ("one-sam", "one-sam-logits", "one-sam-jacobian", "penalty"))
print("parts", float((whole - logit - jacobian).norm() / whole.norm()), float(jacobian.norm() / whole.norm()))
print("penalty", float((penalty * jacobian).sum() / penalty.norm() / jacobian.norm()), float(penalty.norm() / jacobian.norm()))
