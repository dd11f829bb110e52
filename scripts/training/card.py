"""The texts: a card for each model, and the table that compares them. Every number in them comes from the run."""

import re
import textwrap

import numpy as np

import family
import files
import judge
from tables import CLIP, HORIZON, LOOKBACK, gap

BASE = "mlp_v1"  # what the others are compared with
HEAD = (
    "| rows of | rows | down / flat / up | most frequent class | accuracy | macro F1 | log loss of the shares | log loss "
    "| direction right |\n|---|---|---|---|---|---|---|---|---|"
)
MEASURES = (
    f'"Direction right" counts rows where the model says up or down with a probability of {judge.CONFIDENT:g} or more and the '
    'label is not flat: how often the direction was right, and what share of all rows these are. "Log loss of the shares" '
    "is what a constant answer with the very class shares of those rows would have, the best that can be had without "
    "looking. Rows of several markets are weighed so that each market counts the same."
)
NOT_FOR_TRADING = """
It shows that the whole path works, from frames to features to a model that learns. A generated market is not a venue. In
the control, order flow does not lead the price; what can be guessed there is the mechanics of a book alone, such as a queue
that is about to run out. The rows on recorded sessions, which it was never trained on, say how far it carries: compare its
accuracy with the most frequent class, and its log loss with that of the shares; above the latter, its confidence is worth
less than a constant's. Not for trading. Alpha and horizon belong to the pace of the data; for a venue of your own, record
it, write tables with the engine's own feature code, and train on those. An exchange's fees are many times the moves that
the label speaks of.
"""


def paragraph(text, first="", rest=""):
    """Text in lines of the length that the documentation has; what stands in backticks stays in one."""
    words = re.sub(r"`[^`]*`", lambda code: code[0].replace(" ", "\0"), " ".join(text.split()))
    lines = textwrap.fill(
        words, 120, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
    return lines.replace("\0", " ")


def bullet(text):
    return paragraph(text, "- ", "  ")


def line(name, m):
    shares = " / ".join(f"{share:.0%}" for share in m.shares)
    return (
        f"| {name} | {m.rows:,} | {shares} | {m.base_accuracy:.3f} | {m.accuracy:.3f} | {m.macro_f1:.3f} "
        f"| {m.base_log_loss:.3f} | {m.log_loss:.3f} | {m.direction_right:.3f} of {m.direction_share:.0%} |"
    )


def groups(run):
    """Instruments, each with the numbers of its tables."""
    found = {}
    for number, table in enumerate(run.stack.tables):
        found.setdefault(table.group, []).append(number)
    return found


def overall(run, name):
    return judge.Measures.of(run.answers[name], run.truth, run.test.weight)


def facts(run):
    """What all cards say alike: label, data, seed."""
    split, tables = run.split, run.stack.tables
    markets = "; ".join(
        f"{group} {sum(len(tables[number]) for number in numbers):,} rows, one per "
        f"{np.median([tables[number].interval_ms for number in numbers]):.3g} ms"
        for group, numbers in groups(run).items()
    )
    first = family.TEST_FROM - family.VALIDATION
    return [
        f"""Label: with `m` the mid price now and `M` its mean over the next {HORIZON} book updates, up where `M / m - 1` is
        above alpha = {split.alpha:.3g} ({split.alpha * 1e4:.3g} basis points), down where it is below -alpha, flat otherwise
        (the form of FI-2010, horizon {HORIZON}). The form that also averages the past (DeepLOB, TLOB) is not used: its label
        contains moves that have happened already, which makes every model look better than it is. Alpha leaves a third of
        the training weight flat.""",
        f"""Data: {len(tables)} generated markets of the simulator, {sum(map(len, tables)):,} rows: {markets}. Every market
        weighs the same, and rows are shown as they are and mirrored (bids as asks), so that a model does not learn which way
        the price happened to go.""",
        f"""Training rows are the first {first:.0%} of each table ({len(split.train):,}), the next {family.VALIDATION:.0%} choose
        epochs, rounds and weights ({len(split.validation):,}), the last {1.0 - family.TEST_FROM:.0%} are the test
        ({len(run.test):,}). At each border {gap(family.WINDOW_MAX)} rows are left out: the label's {HORIZON}, the {LOOKBACK} that
        features over updates reach back, and the longest window's {family.WINDOW_MAX}. Features over seconds may reach further
        back, into a past that is known by then.""",
        f"Seed {run.seed}. The same tables and the same libraries on the same machine give the same file.",
    ]


def of(run, name, digest, size, check):
    """The card of one model."""
    fitted = run.fitted[name]
    predictor, count = fitted.predictor, len(run.split.features)
    window = "one row" if predictor.window == 1 else f"{predictor.window} consecutive rows, oldest first"
    unit = "rounds" if family.FAMILY[name] is None else "epochs"
    learnt = f" It learnt for {fitted.length} {unit}." if fitted.length else ""
    leaves = (
        f""" LightGBM's thresholds are rounded down to f32; of {check.decisions:,} decisions of trees on these rows none
        changes."""
        if check.decisions
        else ""
    )
    text = family.describe(predictor, count)
    opening = f"""{text[0].upper() + text[1:]}; {family.parameters(predictor):,} parameters, f32. It looks at {count} features
    of the engine and says where the mid price goes next: down, flat or up. Made by `scripts/train`; this card is written by
    the same run as the model, and no number in it was typed. [README.md](README.md) compares it with the others."""
    bullets = [
        f"File: `{name}.onnx`, version {files.VERSION}, {size:,} bytes, SHA-1 `{digest}` (the engine's model hash is its first 16 digits).",
        f"One prediction from nothing takes {cost(predictor, count)}.{learnt}",
        f"""onnxruntime answers as the training framework did: on {check.rows:,} test rows no probability differs by more than
        {check.difference:.1e}.{leaves}""",
        f"""Input: the engine's features, version by version as in the contract, normalised by mean and scale of the training
        rows and kept within ±{CLIP:g}; window of {window}.""",
        *facts(run),
    ]
    lines = [line(group, judged(run, name, numbers)) for group, numbers in groups(run).items()]
    lines.append(line("**all of them**", overall(run, name)))
    folds = [line(title, measures[name]) for title, measures in run.folds]
    elsewhere = [line(title, measures[name]) for title, measures in run.elsewhere]
    return f"""# {name}

{paragraph(opening)}

{chr(10).join(map(bullet, bullets))}

{paragraph(MEASURES)}

## On time that comes after the training rows

{HEAD}
{chr(10).join(lines)}

{paragraph(compared(run, name))}

## Walk-forward folds

With the same number of epochs or rounds and the same weights of votes.

{HEAD}
{chr(10).join(folds)}

## Elsewhere

{HEAD}
{chr(10).join(elsewhere)}

## What it is good for

{paragraph(NOT_FOR_TRADING)}
"""


def judged(run, name, numbers):
    """Measures on the test rows of some tables."""
    rows = np.isin(run.test.table, numbers)
    return judge.Measures.of(run.answers[name][rows], run.truth[rows], run.test.weight[rows])


def compared(run, name):
    """Against the trivial rule and the softmax regression, on all test rows."""
    rule = judge.Measures.of(run.rule(run.stack.x[run.test.places]), run.truth, run.test.weight)
    linear = overall(run, "logistic_v1")
    text = (
        f"Baselines on all of them: the side with the longer queue wins (threshold from the training rows): accuracy "
        f"{rule.accuracy:.3f}, macro F1 {rule.macro_f1:.3f}; softmax regression on the same features (`logistic_v1`): accuracy "
        f"{linear.accuracy:.3f}, macro F1 {linear.macro_f1:.3f}, log loss {linear.log_loss:.3f}."
    )
    if name == "logistic_v1":
        return text
    return text + f" Against the latter: {difference(run, name, 'logistic_v1')}."


def difference(run, name, other):
    """The difference of two models in words."""
    d = judge.Difference.between(run.answers[name], run.answers[other], run.truth, run.test.table)
    word = "less" if d.gain > 0.0 else "more"
    verdict = {"better": "better", "worse": "worse", "no difference": "a difference that these rows cannot tell from none"}
    return (
        f"{abs(d.gain):.4f} {word} log loss (standard error over {d.tables} markets {d.error:.4f}), less in {d.better_in} of "
        f"{d.tables}: {verdict[d.verdict]}"
    )


def own_session(table, split, m):
    return (
        f"What the features carry there: a softmax regression trained on the first {family.OWN_TEST_FROM:.0%} of "
        f"{table.group} (alpha "
        f"{split.alpha:.3g}) has accuracy {m.accuracy:.3f} on the last {1.0 - family.OWN_TEST_FROM:.0%}, against {m.base_accuracy:.3f} for the "
        f"most frequent class, and log loss {m.log_loss:.3f} against {m.base_log_loss:.3f}."
    )


def cost(predictor, count):
    """The work of a prediction in words."""
    multiplies, comparisons = family.work(predictor, count)
    parts = [f"{number:,} {what}" for number, what in ((multiplies, "multiply-adds"), (comparisons, "comparisons")) if number]
    return " and ".join(parts)


def overview(run, sizes):
    """The table of the family, which is what a reader wants to see first."""
    count = len(run.split.features)
    base = overall(run, "mlp_v1")
    rows = []
    for name, size in sizes.items():
        predictor, m = run.fitted[name].predictor, overall(run, name)
        multiplies, comparisons = family.work(predictor, count)
        rows.append(
            f"| [{name}]({name}.md) | {predictor.window} | {family.parameters(predictor):,} | {multiplies:,} | {comparisons:,} "
            f"| {size:,} | {m.accuracy:.3f} | {m.macro_f1:.3f} | **{m.log_loss:.3f}** | {m.direction_right:.3f} of {m.direction_share:.0%} |"
        )
    far = [
        f"| {title} | {next(iter(measures.values())).base_log_loss:.3f} | {' | '.join(mark(measures[name]) for name in sizes)} |"
        for title, measures in run.folds + run.elsewhere
    ]
    best = min(sizes, key=lambda name: overall(run, name).log_loss)
    against_base = [
        bullet(f"`{name}` has {difference(run, name, BASE)}.{carried(run, name)} {worth(run, name)}")
        for name in sizes
        if name != BASE
    ]
    against_best = [bullet(f"`{name}` has {difference(run, name, best)}.") for name in sizes if name != best]
    opening = f"""Six models for the same question, compiled into the command (`builtin:mlp_v1` and so on). Each is judged on the
    same {len(run.test):,} rows, which come after its training rows in time; markets are generated, each counts the same.
    Written by `scripts/train` with the models; no number was typed. Not for trading: the cards say why."""
    reading = f"""A constant that knows the class shares of these rows has accuracy {base.base_accuracy:.3f} and log loss
    {base.base_log_loss:.3f}. {MEASURES} Multiply-adds and comparisons are those of one prediction from nothing; an engine that
    keeps what it computed for earlier rows needs fewer for a window."""
    elsewhere = """Log loss; under "shares" that of a constant with the class shares of those very rows. Struck through is what
    is not better than that: there, a model's confidence is worth less than a constant's.""" + sessions(run, sizes)
    return f"""# Models

{paragraph(opening)}

| model | window | parameters | multiply-adds | comparisons | bytes | accuracy | macro F1 | log loss | direction right |
|---|---|---|---|---|---|---|---|---|---|
{chr(10).join(rows)}

{paragraph(reading)}

## Are they worth their cost?

Against `{BASE}`, on the test rows:

{chr(10).join(against_base)}

Against the one with the least log loss, `{best}`:

{chr(10).join(against_best)}

## At other times and elsewhere

{paragraph(elsewhere)}

| rows of | shares | {" | ".join(sizes)} |
|---|---|{"---|" * len(sizes)}
{chr(10).join(far)}
{f"{chr(10)}{paragraph(run.own)}{chr(10)}" if run.own else ""}"""


def mark(m):
    text = f"{m.log_loss:.3f}"
    return text if m.log_loss < m.base_log_loss else f"~~{text}~~"


def sessions(run, names):
    """Plainly: whether any of this is of use on recorded sessions."""
    recorded = [measures for title, measures in run.elsewhere if title.startswith("recorded")]
    if not recorded:
        return ""
    better = sum(measures[name].log_loss < measures[name].base_log_loss for measures in recorded for name in names)
    return f" On recorded sessions {better} of {len(recorded) * len(names)} are better than the constant."


def carried(run, name):
    """Whether what is better on the test rows is better on markets of other seeds."""
    unseen = [measures for title, measures in run.elsewhere if title.startswith("another seed")]
    better = sum(measures[name].log_loss < measures[BASE].log_loss for measures in unseen)
    return f" On other seeds it has less in {better} of {len(unseen)} markets." if unseen else ""


def worth(run, name):
    """What a model takes, and whether what it gives is worth that. Comparisons and multiply-adds are not added up: the
    ones wait for loads, the others come by the dozen."""
    count = len(run.split.features)
    own, other = (family.work(run.fitted[each].predictor, count) for each in (name, BASE))
    verdict = judge.Difference.between(run.answers[name], run.answers[BASE], run.truth, run.test.table).verdict
    is_cheaper = own[0] < other[0] and not own[1]
    takes = f"It takes {cost(run.fitted[name].predictor, count)}, {BASE} {cost(run.fitted[BASE].predictor, count)}."
    if verdict == "better":
        return f"{takes} Worth it where the budget allows that."
    return f"{takes} {'For its cost alone.' if is_cheaper else 'Not worth it on these markets.'}"
