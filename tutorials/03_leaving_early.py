# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 03 · Leaving early
#
# *When may a network stop thinking, and what does stopping save?*
#
# **Goal** You write down four exit rules, fit their thresholds without peeking at the test images,
# count what they save in FLOPs and in seconds, and see why a rule must not average over a batch.
#
# **You need** [Notebook 02](02_building_a_branchy_net.ipynb), or just the idea that a branchy
# network has an answer ready at several places.
#
# **Runs in** 10 s on 2 cores, downloads 0 MB.
#
# To run it, type `pip install -e ".[all]"` and `hbnlab lab` in a clone of the repository.
# <!-- badges -->
#
# [← 02 · Building a branchy net](02_building_a_branchy_net.ipynb) ·
# [04 · Coarse early, fine late →](04_coarse_early_fine_late.ipynb)

# %% tags=["nbval-ignore-output"]
import statistics
from dataclasses import replace

import matplotlib.pyplot as plt
import pandas as pd
import torch

import hbnlab
from hbnlab import data, inference, models, plots
from hbnlab import policies as p
from hbnlab.collect import collect_records
from hbnlab.exercises import check_function
from hbnlab.metrics import evaluate, sweep

print(hbnlab.environment())

# %% [markdown]
# ## Ask every exit once
#
# The notebook works on real images, Fashion-MNIST. If they are not on your machine it says so and
# goes on with glyphs, the characters that come with the package; every claim below is checked and
# holds for both. The network is a Gran-HBN with bundled weights: three exits, each with a coarse
# and a fine head. Today only the fine heads speak.

# %% tags=["fashion-mnist"]
try:
    splits = data.load("fashion_mnist")
except FileNotFoundError:
    splits = data.load("glyphs", train_size=100)
    print("Fashion-MNIST is not on this machine: going on with the glyphs.")
network = models.create("gran-hbn", weights=splits.name)
val = collect_records(network, splits.val)
test = collect_records(network, splits.test)
print(f"{test.split}: {len(test):,} images, {test.num_exits} exits")

# %% [markdown]
# `val` and `test` now hold what *every* exit says about *every* image. From here on a rule is only
# arithmetic on these tables: trying one takes milliseconds, not another pass. **Rules are fitted on
# `val` and reported on `test`**; this notebook never chooses anything on a test image.
#
# **Before you run the next cell:** exit 3 costs about four times as much as exit 1. How many points
# more accurate do you expect it to be? (The cost is counted twice: with every branch on the way,
# and going straight past the earlier ones.)

# %% tags=["fashion-mnist"]
exits = range(test.num_exits)
fine_right = test.correct[:, :, -1].double()  # (image, exit), 1 = right
table = pd.DataFrame({"fine accuracy": fine_right.mean(dim=0).tolist()}, index=[1, 2, 3])
table["MFLOPs, straight there"] = [
    evaluate(p.ForcedExit(e).decide(test), test).mean_flops / 1e6 for e in exits
]
table["MFLOPs, all branches"] = [2 * test.macs_to(e) / 1e6 for e in exits]
table.rename_axis("exit").round(3)

# %% tags=["fashion-mnist"]
accuracy = fine_right.mean(dim=0)
anyone = fine_right.amax(dim=1).mean()
assert accuracy.max() - accuracy.min() < 0.04, "depth gives little here"
assert test.macs_to(2) > 3.5 * test.macs_to(0), "and it costs a lot"
assert anyone > accuracy.max() + 0.012, "but not all errors are common to all exits"
print(f"best exit {accuracy.max():.1%}, some exit right {anyone:.1%}")

# %% [markdown]
# Surprised? Depth gives little on these sets, and the study saw the same on CIFAR-100, where exit 3
# came out *below* exit 2. So the honest question is not "how much accuracy does thinking longer
# buy?" but "who can stop at once without harm?". There is a little room. Most errors are common to
# all exits, but not all of them: if an oracle picked the right exit for each image, it would beat
# every single one.

# %% [markdown]
# ## Is a sure exit a right exit?
#
# We have no oracle, but we have the exit's own doubt: the **entropy** of its probabilities, 0 when
# it bets everything on one class, ln(classes) when it has no idea. With natural logarithms it is
# measured in *nats*; a bit is 0.69 nats. Let us sort the test images by the entropy at exit 1 and
# cut them into fifths.
#
# **Before you run the next cell:** how accurate is exit 1 on its surest fifth, and on its least
# sure one? And will exit 3 rescue that last fifth?

# %% tags=["fashion-mnist"]
surest_first = test.entropy[:, 0, -1].argsort()
fifths = surest_first.chunk(5)
names = ["surest", "second", "third", "fourth", "least sure"]
rows = [fine_right[fifth].mean(dim=0).tolist() for fifth in fifths]
by_doubt = pd.DataFrame(rows, index=names, columns=["exit 1", "exit 2", "exit 3"])
by_doubt.rename_axis("fifth").round(3)

# %%
first, last = by_doubt.iloc[0], by_doubt.iloc[-1]
assert first.min() > 0.98, "where exit 1 is sure, every exit is right"
assert last.max() < 0.75, "where exit 1 is unsure, every exit has a hard time"
assert abs(last["exit 3"] - last["exit 1"]) < 0.06
print("Doubt at exit 1 tells hard images from easy ones, for all exits.")

# %% [markdown]
# Entropy at exit 1 sorts images superbly, but it sorts them by *how hard they are*, for every exit.
# The sure ones gain nothing from going on: that is where the saving comes from. The unsure ones
# gain little either, so do not expect late exits to work wonders.
#
# ## Rule 1: leave when the entropy is low
#
# BranchyNet's rule: leave at exit *n* if the entropy there is strictly under a threshold T_n. The
# last exit always answers. But which thresholds?

# %% [markdown]
# Guessing thresholds is no fun: 0.3 nats says little to anybody. Say instead *what share of the
# images shall leave at each exit*, and read the thresholds off the validation records. Here 60 %
# leave at exit 1, 25 % at exit 2 and the rest stays to the end. Then the thresholds go to the test
# images, as they are.

# %% tags=["fashion-mnist"]
shares = [0.60, 0.25, 0.15]
rule = p.fit_thresholds(p.EntropyThreshold([0, 0]), val, shares)
early = evaluate(rule.decide(test), test)
print("thresholds in nats:", [round(threshold, 2) for threshold in rule.thresholds])
print("leave on validation:", evaluate(rule.decide(val), val).exit_shares)
print("leave on test:      ", tuple(round(share, 3) for share in early.exit_shares))

# %%
for wished, got in zip(shares, early.exit_shares, strict=True):
    assert abs(wished - got) < 0.03
print("Shares fitted on validation hold on test, to within 3 points.")

# %% [markdown]
# Who leaves? The sheet shows the first images of the test set that leave at each exit, not chosen.
# Look for what makes an image stay: an unusual cut, a loud texture, two classes that really do look
# alike. The wrong answers gather in the last row. A confident mistake in the first row would be
# worse, for no rule that reads only the exit's own doubt can ever catch one; such mistakes are
# rare.

# %%
decisions = rule.decide(test)
sheet = plots.leaving_sheet(splits.test.images, decisions, test.labels, test.hierarchy)
plots.to_html(sheet)

# %% [markdown]
# ## Rules 2, 3 and 4: confidence, margin, patience
#
# Entropy is not the only measure of doubt. **Confidence** is the largest probability (leave when
# *above* T). **Margin** is how far the first class leads the second. **Patience** needs no
# threshold: leave when *k* exits in a row agree.
#
# **Before you run the next cell:** at the same shares, which of the first three do you expect to be
# the most accurate, and by how much?

# %% tags=["fashion-mnist"]
starts = {"entropy": p.EntropyThreshold([0, 0]), "confidence": p.ConfidenceThreshold([0, 0])}
starts["margin"] = p.MarginThreshold([0, 0])
rules = {name: p.fit_thresholds(start, val, shares) for name, start in starts.items()}
rules["patience 2"] = p.Patience(2)
head = ["accuracy", "MFLOPs", "exit 1", "exit 2", "exit 3"]
results = dict(zip(rules, sweep(list(rules.values()), test), strict=True))
rows = {name: [r.accuracy, r.mean_flops / 1e6, *r.exit_shares] for name, r in results.items()}
pd.DataFrame.from_dict(rows, orient="index", columns=head).round(3)

# %%
*scores, patient = results.values()
spread = max(r.accuracy for r in scores) - min(r.accuracy for r in scores)
assert spread < 0.015, "the three scores rank images nearly alike"
assert patient.exit_shares[0] == 0, "two exits cannot agree before there are two"
assert patient.exit_shares[1] > 0.75, "but then they mostly do"
print("Entropy, confidence and margin differ by less than 1.5 points.")

# %% [markdown]
# Which score you take hardly matters: they rank the images nearly alike. *Where you put the
# threshold* matters. Patience pays for exit 2 before anybody may leave, so with three exits it is
# an expensive rule; it was made for networks with twelve.
#
# Now all budgets at once: MSDNet's recipe gives a family of shares from eager to patient, fitted on
# validation, and we draw each rule's cost and accuracy on test. **Before you run the next two
# cells:** think of the curves; which way do they go, from left (eager) to right (patient)?

# %%
curves = {name: sweep(p.budget_policies(start, val), test) for name, start in starts.items()}
alone = sweep([p.ForcedExit(e) for e in exits], test)


def points_of(results):
    """What is drawn: cost in MFLOPs and accuracy in per cent."""
    return [r.mean_flops / 1e6 for r in results], [100 * r.accuracy for r in results]


# %%
axes = plt.subplots(figsize=(7, 3.8), layout="constrained")[1]
for number, (name, curve) in enumerate(curves.items()):
    look = plots.series_style(number).line
    axes.plot(*points_of(curve), **look, markevery=4, markersize=5, label=name)
axes.plot(*points_of(alone), "kX", markersize=9, label="all images straight to one exit")
axes.set(xlabel="FLOPs an image (millions)", ylabel="fine accuracy (%)")
axes.set_ylim(98 * float(accuracy.max()), 102 * float(accuracy.max()))
axes.legend(handlelength=4)
words = "Accuracy against FLOPs: three rules at 39 budgets, and the three exits."
plots.set_description(axes, words)
plots.to_html(axes)

# %%
points = [result.accuracy for curve in curves.values() for result in curve]
assert max(points) - min(points) < 0.04
print("Over all budgets and rules, accuracy stays within 4 points.")

# %% [markdown]
# Mind the narrow axis: from bottom to top it is less than four points. On a set where depth helps,
# the curves would climb from left to right. Here they are nearly flat and lie on top of each other.
# This is what "depth gives little" means for early exit: leaving costs next to nothing.
#
# ## What it saves in FLOPs
#
# Be careful what you compare with. "The whole network" can mean running every branch though nobody
# leaves there (that is how the study counts), or going *straight* to exit 3, past branches that
# nobody asks. The second is the fair opponent. `Patience(4)` gives us the first: with three exits,
# four in a row can never agree, so every branch is run and nobody leaves early.

# %% tags=["fashion-mnist"]
opponents = {"every branch, none leaves": p.Patience(4), "straight to exit 3": p.ForcedExit(2)}
opponents |= {"leaving early": rule, "straight to exit 1": p.ForcedExit(0)}
worth = {name: evaluate(policy.decide(test), test) for name, policy in opponents.items()}
rows = {name: [r.accuracy, r.mean_flops / 1e6] for name, r in worth.items()}
pd.DataFrame.from_dict(rows, orient="index", columns=["accuracy", "MFLOPs"]).round(3)

# %%
everything, straight, leaving, shortest = worth.values()
assert leaving.mean_flops < 0.5 * everything.mean_flops
assert leaving.mean_flops < 0.7 * straight.mean_flops
assert leaving.accuracy > straight.accuracy - 0.01
print("Under half the FLOPs of the whole network, under 0.7 of the straight path,")
print("and at most a point of accuracy below exit 3.")

# %% [markdown]
# The last row keeps you honest. When depth gives so little, *everybody leaves at exit 1* is cheaper
# still and about as good: a table with only the first three rows would sell you a rule that you do
# not need. Early exit earns its keep where late exits know more; always print the trivial rules
# beside the clever one.
#
# ## What it saves in seconds
#
# FLOPs are a promise. `inference.predict` keeps it: stage by stage, those who leave are taken out
# of the batch, those who stay are pooled into full batches for the next stage. Here is a race: it
# runs three rules in turn, several times, and compares medians, for one run on a busy machine says
# nothing.

# %%
def race(network, images, records, early, rounds):
    """Let leaving early race its two opponents: median seconds, and FLOPs an image."""
    contest = {"every branch": p.Patience(4), "straight": p.ForcedExit(2), "early": early}
    results = zip(contest, sweep(list(contest.values()), records), strict=True)
    flops, times = {name: r.mean_flops for name, r in results}, {name: [] for name in contest}
    for _ in range(rounds):
        for name, policy in contest.items():
            times[name].append(inference.predict(network, images, policy).seconds)
    return {name: statistics.median(values) for name, values in times.items()}, flops


# %%
def tell(seconds, flops):
    """Say how much faster leaving early is, on the clock and by FLOPs."""
    for name in ("every branch", "straight"):
        clock, ideal = seconds[name] / seconds["early"], flops[name] / flops["early"]
        print(f"against {name}: {clock:.1f}x faster, FLOPs say {ideal:.1f}x")


# %% [markdown]
# **Before you run the next cell:** against the network that runs every branch, will the seconds
# fall by more or by less than the FLOPs?

# %% tags=["nbval-ignore-output"]
images = splits.test.normalise(splits.test.images[:2000])
some = test.subset(torch.arange(2000))
seconds, flops = race(network, images, some, rule, rounds=5)
tell(seconds, flops)

# %% tags=["nbval-ignore-output"]
# A busy machine upsets any stopwatch, so this is a look and no check.
print("faster on the clock too:", seconds["every branch"] > seconds["early"])

# %% [markdown]
# Small layers, copying survivors and looking at entropies take time that FLOPs do not count, so a
# narrow network like this one, a quarter of the study's width, gets only part of the promise, and
# against the straight path hardly any. At full width arithmetic weighs more. Let us time that too,
# with random weights: the answers are rubbish, the seconds are genuine. Thresholds are set on these
# very images, so that the shares are ours; no accuracy is claimed here.

# %% tags=["nbval-ignore-output"]
wide = models.create("gran-hbn", splits.hierarchy, width=1.0)
batch = images[:384]
babble = collect_records(wide, (batch, test.labels[:384]))
rubbish = p.fit_thresholds(p.EntropyThreshold([0, 0]), babble, shares)
tell(*race(wide, batch, babble, rubbish, rounds=3))

# %% [markdown]
# Are these the same decisions as those read off the records? They must be, image by image, except
# where a score lies within rounding of its threshold. `predict` also counts how many images each
# stage has seen: everybody at stage 1, then fewer and fewer.

# %%
run = inference.predict(network, images, rule)
same = run.exit_index == rule.decide(some).exit_index
doubt = test.entropy[:2000, :2, -1] - torch.tensor(rule.thresholds)
close_call = (doubt.abs() <= 1e-5).any(dim=1)
assert bool((same | close_call).all())
assert run.images_per_stage[0] == 2000 > run.images_per_stage[1] > run.images_per_stage[2]
print("Leaving for real and reading the records decide alike.")

# %% [markdown]
# One image at a time is the simplest way to leave early, and how much published code does it: a
# loop with an `if`. The FLOPs are exactly the same. The seconds are not.

# %% tags=["nbval-ignore-output"]
few = images[:300]
loop = statistics.median(
    inference.predict(network, few, rule, batch_size=1).seconds for _ in range(3)
)
batched = statistics.median(inference.predict(network, few, rule).seconds for _ in range(3))
print(f"the loop takes {loop / batched:.0f} times as long for the same FLOPs")

# %% [markdown]
# ## The trap: deciding by the mean of a batch
#
# So batches are good. It is tempting to *decide* by batch too: average the entropy over the batch,
# compare the mean with the threshold, and let the whole batch leave together. No sorting, no
# pooling; the study's code does it with batches of 512. In hbnlab that is `per="batch"`.
#
# **Before you run the next cell:** same network, same thresholds, batches of 512. What happens to
# the 60 / 25 / 15 shares?

# %% tags=["fashion-mnist"]
by_batch = {1: rule} | {
    size: replace(rule, per="batch", batch_size=size) for size in (8, 64, 512)
}
results = {size: evaluate(policy.decide(test), test) for size, policy in by_batch.items()}
rows = {size: [r.accuracy, r.mean_flops / 1e6, *r.exit_shares] for size, r in results.items()}
table = pd.DataFrame.from_dict(rows, orient="index", columns=head)
table.rename_axis("images that decide together").round(3)

# %%
assert max(results[1].exit_shares) < 0.65
assert max(results[512].exit_shares) > 0.75
assert results[512].mean_flops > 1.1 * results[1].mean_flops
print("With batches of 512 nearly everybody leaves at one exit, and it costs a tenth more.")

# %% [markdown]
# The mean of 512 entropies is nearly the mean of the whole data set, so all batches decide alike:
# easy and hard images are thrown into one pot and the rule has nothing left to choose. Accuracy
# hardly shows it, since here every exit is about as good as the next. What is lost is the choice,
# and more FLOPs are spent on top. You may object that the thresholds were fitted for single images.
# Fair: let us fit them anew for batches of 64, for the same shares, and ask how often *those who
# left at exit 1* were right.

# %% tags=["fashion-mnist"]
together = p.EntropyThreshold([0, 0], per="batch", batch_size=64)
refitted = p.fit_thresholds(together, val, shares)
right_at_exit_1 = {}
for name, policy in {"by image": rule, "by batch of 64": refitted}.items():
    left = policy.decide(test).exit_index == 0
    right_at_exit_1[name] = float(fine_right[left, 0].mean())
    print(f"{name}: {left.double().mean():.0%} leave at exit 1, {right_at_exit_1[name]:.1%} right")

# %%
assert right_at_exit_1["by image"] > 0.95
assert right_at_exit_1["by batch of 64"] < accuracy[0] + 0.04
print("By image the early leavers are the easy ones; by batch they are anybody.")

# %% [markdown]
# By image, those who leave are right almost always. By batch, they are about as often right as exit
# 1 is on *everybody*: the rule no longer picks images, it draws lots. There is a second problem. An
# answer now depends on the company: shuffle the test set and images change their exit, though not a
# pixel has changed. A rule that decides by image cannot care.

# %%
order = torch.randperm(len(test), generator=torch.Generator().manual_seed(0))
shuffled = test.subset(order)
moved = {}
for size in (1, 8):
    before = by_batch[size].decide(test).exit_index[order]
    after = by_batch[size].decide(shuffled).exit_index
    moved[size] = float((before != after).double().mean())
assert moved[1] == 0
assert moved[8] > 0.15
print("By image nothing moves; in batches of 8 more than 15 % of the images change exit.")

# %% [markdown]
# ### Exercise 1 · Write the rule
#
# Given the entropies of one image at every exit and a threshold for each exit but the last, return
# the exit that it takes, counted from 1. Remember: strictly under.

# %% tags=["exercise"]
def exit_taken(entropies, thresholds):
    ...

# %%
check_function(
    exit_taken,
    [
        (([0.1, 0.5, 0.9], [0.3, 0.7]), 1),
        (([0.4, 0.5, 0.9], [0.3, 0.7]), 2),
        (([0.3, 0.7, 0.9], [0.3, 0.7]), 3),
        (([0.0, 0.0, 2.0], [0.0, float("inf")]), 2),
    ],
    hint="an entropy equal to its threshold goes on; the last exit takes whoever is left",
)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `zip(entropies, thresholds)` stops at the shorter of the two, so it never reaches the last exit.
#
# </details>

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def exit_taken(entropies, thresholds):
#     for number, (entropy, threshold) in enumerate(zip(entropies, thresholds), start=1):
#         if entropy < threshold:
#             return number
#     return len(entropies)
# ```
#
# </details>

# %% [markdown]
# ### Exercise 2 · Count the cost
#
# `leaving[n]`, `stages[n]` and `branches[n]` belong to exit *n* + 1: the share of the images that
# leaves there, what its stage costs, and what its branch costs. Every branch on the way is run.
# What does an image cost on average? The last case of the check is our own rule, in MFLOPs.

# %% tags=["exercise"]
def mean_cost(leaving, stages, branches):
    ...

# %%
megas = [[2 * macs / 1e6 for macs in part] for part in (test.stage_macs, test.branch_macs)]
check_function(
    mean_cost,
    [
        (([1.0, 0.0], [2, 3], [1, 1]), 3.0),
        (([0.5, 0.5], [2, 3], [1, 1]), 5.0),
        ((list(early.exit_shares), *megas), early.mean_flops / 1e6),
    ],
    hint="who leaves at exit 2 has paid for two stages and two branches",
)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Keep a running sum of stage and branch costs: that is what an exit costs. Then weigh it with the
# share that leaves there.
#
# </details>

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def mean_cost(leaving, stages, branches):
#     cost, total = 0.0, 0.0
#     for share, stage, branch in zip(leaving, stages, branches):
#         cost += stage + branch
#         total += share * cost
#     return total
# ```
#
# </details>

# %% [markdown]
# ### Exercise 3 · Fit a threshold
#
# Return a threshold under which the given share of these images leaves (strictly under it!). The
# check lets your threshold loose on made-up entropies and on those of exit 1 on the validation
# images, and counts who leaves.

# %% tags=["exercise"]
def threshold_for(entropies, share):
    ...

# %%
def share_leaving(entropies, share):
    threshold = threshold_for(entropies, share)
    return threshold if threshold is None else float((entropies < threshold).double().mean())


cases = [((torch.arange(10) / 10, 0.3), 0.3), ((val.entropy[:, 0, -1], 0.6), 0.6)]
hint = "sort them; how many must lie strictly below?"
check_function(share_leaving, cases, tolerance=0.002, hint=hint)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Sort the entropies. If 3 of 10 shall leave, the fourth smallest must not: it is the threshold.
#
# </details>

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def threshold_for(entropies, share):
#     leaving = round(share * len(entropies))
#     return entropies.sort().values[leaving]
# ```
#
# </details>

# %% [markdown]
# ## What you learned
#
# - An exit's doubt sorts images into easy and hard; the easy ones lose nothing by leaving.
# - Say the shares, fit the thresholds on validation, report on test. Entropy, confidence and margin
#   are near equivalent; patience needs many exits.
# - Compare FLOPs with the fair opponent, and with the trivial rule "all leave at exit 1".
# - Seconds follow FLOPs only in part, and only if the leavers really leave the batch and the rest
#   is pooled.
# - A rule by batch mean does not choose images: its leavers are anybody, and its answers depend on
#   the company.
#
# ## References
#
# - Teerapittayanon, McDanel and Kung, *BranchyNet: fast inference via early exiting from deep
#   neural networks*, ICPR 2016.
# - Huang, Chen, Li, Wu, van der Maaten and Weinberger, *Multi-scale dense networks for resource
#   efficient image classification*, ICLR 2018 (MSDNet, budgeted batches).
# - Zhou, Xu, Ge, McAuley, Xu and Wei, *BERT loses patience*, NeurIPS 2020 (patience).
# - Sanati, Xun, Hu, Zhao, Hare and Merrett, *Exploiting class-granular classifications to improve
#   inference efficiency with dynamic DNNs*, and its public code.
#
# **Next:** [04 · Coarse early, fine late](04_coarse_early_fine_late.ipynb)
