"""The nets of the family in JAX, and how they are fitted.

A net is a dictionary of arrays and a `forward` from windows to logits. Each has one idea of time: the softmax regression
and the perceptron look at the newest row alone, the LSTM carries a state over 20 rows, the TCN is a pyramid of causal
dilated convolutions over 31, read at the newest row. The LSTM's gates are kept in ONNX's order (input, output, forget,
cell), so that what is written is what was trained.

Everything is f32 and seeded: the same rows, libraries and machine give the same net.
"""

import dataclasses
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

from tables import windows

MLP_HIDDEN = (64, 32)
LSTM_HIDDEN = 32
TCN_CHANNELS = 32
TCN_DILATIONS = (1, 2, 4, 8)
TCN_WINDOW = 1 + 2 * sum(TCN_DILATIONS)  # its receptive field: no answer depends on what lies before the window
LSTM_WINDOW = 20
WEIGHT_DECAY = 0.1
GRADIENT_NORM_MAX = 1.0
EVALUATED_AT_ONCE = 4096


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How long and how fast a net learns. An epoch shows `share` of the training rows, others each time."""

    window: int
    epochs: int
    batch: int
    rate: float
    share: float


RECIPES = {
    "logistic": Recipe(window=1, epochs=8, batch=512, rate=1e-3, share=1.0),
    "mlp": Recipe(window=1, epochs=24, batch=256, rate=2e-3, share=1.0),
    "lstm": Recipe(window=LSTM_WINDOW, epochs=8, batch=256, rate=2e-3, share=0.4),
    "tcn": Recipe(window=TCN_WINDOW, epochs=12, batch=256, rate=2e-3, share=0.4),
}


def initial(kind, features, rng):
    """He's initialisation for layers with ReLU; the LSTM's uniform one, its forget gates open."""

    def dense(name, inputs, outputs):
        weight = rng.standard_normal((inputs, outputs)) * np.sqrt(2.0 / inputs)
        return {f"{name}.weight": weight, f"{name}.bias": np.zeros(outputs)}

    net = {}
    if kind == "logistic":
        net |= dense("dense0", features, 3)
    elif kind == "mlp":
        sizes = (features, *MLP_HIDDEN, 3)
        for layer, (inputs, outputs) in enumerate(zip(sizes, sizes[1:])):
            net |= dense(f"dense{layer}", inputs, outputs)
    elif kind == "lstm":
        bound = 1.0 / np.sqrt(LSTM_HIDDEN)
        net["lstm.weight"] = rng.uniform(-bound, bound, (features, 4 * LSTM_HIDDEN))
        net["lstm.recurrence"] = rng.uniform(-bound, bound, (LSTM_HIDDEN, 4 * LSTM_HIDDEN))
        net["lstm.bias"] = np.repeat([0.0, 0.0, 1.0, 0.0], LSTM_HIDDEN)
        net |= dense("dense0", LSTM_HIDDEN, 3)
    elif kind == "tcn":
        for layer in range(len(TCN_DILATIONS)):
            # The rows of a kernel of 3, oldest first, one below the other.
            net |= dense(f"conv{layer}", 3 * (TCN_CHANNELS if layer else features), TCN_CHANNELS)
        net |= dense("dense0", TCN_CHANNELS, 3)
    # The last layer begins near equal probabilities.
    last = max(name for name in net if name.startswith("dense") and name.endswith("weight"))
    net[last] = net[last] * 0.1
    return {name: value.astype(np.float32) for name, value in net.items()}


def forward(kind, net, x):
    """Logits of a batch of windows: `[n, features]`, or `[n, window, features]` for the nets that look back."""
    if kind == "lstm":
        x = lstm(net, x)
    elif kind == "tcn":
        for layer in range(len(TCN_DILATIONS)):
            x = jax.nn.relu(pairwise(x) @ net[f"conv{layer}.weight"] + net[f"conv{layer}.bias"])
        x = x[:, 0]
    layers = sum(name.startswith("dense") and name.endswith("weight") for name in net)
    for layer in range(layers):
        x = x @ net[f"dense{layer}.weight"] + net[f"dense{layer}.bias"]
        if layer + 1 < layers:
            x = jax.nn.relu(x)
    return x


def pairwise(x):
    """Three rows beside each other, every second time.

    A dilated convolution is computed here only where the newest row's answer needs it: with a kernel of 3 and dilations
    1, 2, 4, … that is every second row of the layer before, so that a stride of 2 does what the dilation does.
    """
    return jnp.concatenate([x[:, 0:-2:2], x[:, 1:-1:2], x[:, 2::2]], axis=-1)


def lstm(net, x):
    """The hidden state after the last row, from nothing."""
    projected = jnp.swapaxes(x @ net["lstm.weight"] + net["lstm.bias"], 0, 1)
    nothing = jnp.zeros((x.shape[0], LSTM_HIDDEN), x.dtype)

    def step(state, row):
        hidden, cell = state
        gates = row + hidden @ net["lstm.recurrence"]
        read, write, keep, new = jnp.split(gates, 4, axis=1)
        cell = jax.nn.sigmoid(keep) * cell + jax.nn.sigmoid(read) * jnp.tanh(new)
        return (jax.nn.sigmoid(write) * jnp.tanh(cell), cell), None

    (hidden, _), _ = jax.lax.scan(step, (nothing, nothing), projected)
    return hidden


class Predictor:
    """A fitted net: probabilities at places of a matrix of normalised rows."""

    def __init__(self, kind, net):
        self.kind, self.net, self.window = kind, net, RECIPES[kind].window
        self.answer = jax.jit(lambda net, x: jax.nn.softmax(forward(kind, net, x), axis=-1))

    def __call__(self, x, places):
        return self.of_windows(lambda chosen: windows(x, places[chosen], self.window), len(places))

    def of_windows(self, take, count):
        answers = []
        for at in range(0, count, EVALUATED_AT_ONCE):
            # The last batch is filled up with its last window: another size would be compiled anew.
            chosen = np.minimum(np.arange(at, at + EVALUATED_AT_ONCE), count - 1)
            answers.append(np.asarray(self.answer(self.net, take(chosen)))[: count - at])
        return np.concatenate(answers)


def fit(kind, x, rows, y, signs, seed, most=None, keep=None, judge=None, tell=None):
    """Fits a net to the labels `y` of `rows`, each as it is or mirrored by a coin. Returns the predictor and its epochs.

    With a `judge` (a loss of a predictor), the epoch that it likes best is kept; else it is the one of number `keep`. The
    rate falls along a half cosine over `most` epochs (the recipe's) either way.
    """
    recipe = RECIPES[kind]
    most = most or recipe.epochs
    rng = np.random.default_rng(seed)
    net = initial(kind, x.shape[1], rng)
    batch = min(recipe.batch, len(rows))
    steps = max(1, int(len(rows) * recipe.share) // batch)
    decayed = {name: not name.endswith("bias") for name in net}
    optimiser = optax.chain(
        optax.clip_by_global_norm(GRADIENT_NORM_MAX),
        optax.adamw(optax.cosine_decay_schedule(recipe.rate, steps * most), weight_decay=WEIGHT_DECAY, mask=decayed),
    )
    x, y, places, weight = map(jnp.asarray, (x, y, rows.places, rows.weight))
    back = jnp.arange(1 - recipe.window, 1)

    def loss(net, chosen, mirrored):
        window = x[places[chosen][:, None] + back]
        window = jnp.where(mirrored[:, None, None], window * signs, window)
        logits = forward(kind, net, window[:, 0] if recipe.window == 1 else window)
        target = jnp.where(mirrored, 2 - y[chosen], y[chosen])
        each = optax.softmax_cross_entropy_with_integer_labels(logits, target)
        return (each * weight[chosen]).sum() / weight[chosen].sum()

    def step(carry, batch):
        net, state = carry
        updates, state = optimiser.update(jax.grad(loss)(net, *batch), state, net)
        return (optax.apply_updates(net, updates), state), None

    epoch_of = jax.jit(lambda carry, batches: jax.lax.scan(step, carry, batches)[0])
    carry = (net, optimiser.init(net))
    best = (np.inf, None, 0)
    for epoch in range(1, (keep or most) + 1):
        started = time.monotonic()
        chosen = rng.permutation(len(rows))[: steps * batch].reshape(steps, batch)
        carry = epoch_of(carry, (chosen, rng.random(chosen.shape) < 0.5))
        value = judge(Predictor(kind, carry[0])) if judge else -epoch
        if judge and tell:
            tell(f"epoch {epoch:2} of {most}: validation log loss {value:.4f}, {time.monotonic() - started:.1f} s")
        if value < best[0]:
            best = (value, carry[0], epoch)
    return Predictor(kind, jax.tree.map(np.asarray, best[1])), best[2]
