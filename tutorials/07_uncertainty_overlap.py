# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 07 · Uncertainty overlap
#
# *Is an exit surer of the family than of the member, and by how much do the two doubts overlap?*
#
# **Goal** You redraw the study's figure 5, find three things that it hides (averages, scales,
# pairs), and put numbers with intervals in the place of "the bands hardly overlap".
#
# **You need** [Notebook 05](05_gran_hbn.ipynb) for the two heads of Gran-HBN, [notebook
# 06](06_accuracy_against_specificity.ipynb) for the gap between their entropies.
#
# **Runs in** 10 s on 2 cores, downloads 0 MB.
#
# To run it, type `pip install -e ".[all]"` and `hbnlab lab` in a clone of the repository.
# <!-- badges -->
#
# [← 06 · Accuracy against specificity](06_accuracy_against_specificity.ipynb) ·
# [08 · Deriving AG-HBN →](08_deriving_ag_hbn.ipynb)

# %% tags=["nbval-ignore-output"]
import math

import pandas as pd
import torch

import hbnlab
from hbnlab import data, metrics, models, plots
from hbnlab.collect import collect_records
from hbnlab.exercises import check, check_function

print(hbnlab.environment())

# %% [markdown]
# The images are Fashion-MNIST. If they are not on your machine, the notebook says so and goes on
# with glyphs, the characters that come with the package.

# %% tags=["fashion-mnist"]
try:
    splits = data.load("fashion_mnist")
except FileNotFoundError:
    splits = data.load("glyphs", train_size=100)
    print("Fashion-MNIST is not on this machine: going on with the glyphs.")
network = models.create("gran-hbn", weights=splits.name)
gran = collect_records(network, splits.test)
print(f"{gran.split}: {len(gran):,} images")

# %% [markdown]
# ## Two heads, two doubts
#
# Every exit of Gran-HBN answers twice: which family, and which member. Each answer has an entropy.
# The study asks how the two compare, for that decides how much room there is to choose a level at
# run time: if the fine head were always far less sure, coarse would always win; if the two were
# mixed, an image could go either way.

# %% [markdown]
# Figure 5 of the study shows both entropies at every exit: each marker is a *batch of 64 images*,
# and the bars below go from the lowest to the highest.
#
# **Before you run the next cell:** two clouds, fine and coarse. Will they overlap a lot, a little
# or not at all?

# %%
plots.to_html(plots.entropies(gran, batch_size=64))

# %%
by_64 = [metrics.uncertainty_overlap(gran, e, batch_size=64, bins=20) for e in range(3)]
assert all(overlap.coefficient < 0.2 for overlap in by_64)
assert all(overlap.auroc > 0.97 for overlap in by_64)
print("Batches of 64: hardly any overlap at any exit.")

# %% [markdown]
# Two tidy bands. One would conclude that fine uncertainty lies *above* coarse uncertainty, full
# stop, and that a tolerance of the right size separates two worlds. This is the picture that a
# published figure leaves in your memory. Now let us undo one single thing, the averaging.
#
# ## What the figure hides, 1: averages
#
# **Before you run the next cell:** the same exits, the same heads, but a marker is one image. What
# becomes of the bands?

# %%
plots.to_html(plots.entropies(gran))

# %%
by_image = [metrics.uncertainty_overlap(gran, e, bins=20) for e in range(3)]
assert all(overlap.coefficient > 0.6 for overlap in by_image)
assert all(overlap.auroc < 0.8 for overlap in by_image)
print("Single images: an overlap of more than 0.6 at every exit.")

# %% [markdown]
# The bands were never there. Most images are sure of both, some are sure of neither, and the two
# clouds cover each other. A mean over 64 mixes them all and moves every marker towards the middle.
#
# Let us put it in numbers. The **overlap coefficient** is the area under the lower of the two
# densities: 0 = apart, 1 = the same. **AUROC** is the chance that a fine entropy exceeds the coarse
# one of another image: 0.5 = mixed, 1 = always above.

# %% tags=["fashion-mnist"]
rows = {}
for size in (1, 8, 64, 512):
    found = metrics.uncertainty_overlap(gran, 0, batch_size=size, bins=20)
    fine, coarse = (metrics.uncertainties(gran, 0, k, batch_size=size) for k in (-1, 0))
    means, spreads = (fine.mean(), coarse.mean()), (fine.std(), coarse.std())
    rows[size] = [found.coefficient, found.auroc, *map(float, (*means, *spreads))]
head = ["overlap", "AUROC", "fine mean", "coarse mean", "fine spread", "coarse spread"]
table = pd.DataFrame.from_dict(rows, orient="index", columns=head)
table.rename_axis("batch size").round(3)

# %%
assert table["overlap"].is_monotonic_decreasing
assert table["AUROC"].is_monotonic_increasing
assert (table["fine mean"] - table["fine mean"].iloc[0]).abs().max() < 0.02
shrunk = table["fine spread"].loc[1] / table["fine spread"].loc[64]
assert 5.5 < shrunk < 11, "about the square root of 64"
print("The means stay, the spreads shrink like one over the square root: the overlap must go.")

# %% [markdown]
# Read the table downwards. The means do not move; the spreads shrink with the square root of the
# batch. So *any* two clouds with different means come apart, however alike they are, once the batch
# is large enough. Figure 5 does not measure an overlap of uncertainties. It measures a batch size.
#
# Here are the densities of single images, with the overlap shaded. (Their scale is the square root,
# for most entropies lie close to 0.) Do you see a bump near ln 2 = 0.69? Those images are torn
# between exactly two classes.

# %%
plots.to_html(plots.entropy_densities(gran))

# %% [markdown]
# ## How sure are we of these numbers?
#
# Ten thousand images are a sample. The **bootstrap** draws as many again, with replacement, works
# out the number anew, and repeats: the middle 95 % of the results are an interval. Let us ask
# whether the exits differ: is the AUROC at exit 3 truly another one than at exit 1?
#
# **Before you run the next cell:** about how wide, with 10,000 images, is such an interval: 0.1,
# 0.01 or 0.001?

# %% tags=["fashion-mnist"]
def auroc(chosen, exit_index):
    return metrics.uncertainty_overlap(gran.subset(chosen), exit_index).auroc


draws = {"generator": torch.Generator().manual_seed(0), "repeats": 100}
interval = metrics.bootstrap(lambda chosen: auroc(chosen, 0), len(gran), **draws)
change = metrics.bootstrap(lambda chosen: auroc(chosen, 2) - auroc(chosen, 0), len(gran), **draws)
for name, one in {"AUROC at exit 1": interval, "exit 3 less exit 1": change}.items():
    print(f"{name}: {one.estimate:+.3f} [{one.low:+.3f}, {one.high:+.3f}]")

# %%
assert 0.003 < interval.high - interval.low < 0.03
assert interval.high < 0.9 < by_64[0].auroc, "far from what batches of 64 show"
assert abs(change.estimate) < 0.1
print("The interval is about a hundredth wide; batches of 64 are far outside.")

# %% [markdown]
# Note that we resampled the *difference* between exits, with the same images for both. Two exits
# see the same hard images, so their errors go up and down together; comparing two separate
# intervals would waste that. If the interval of the difference holds 0, do not build a story on
# depth; if it does not, look at how small the difference is before you do.
#
# One more warning: the overlap coefficient comes from histograms and depends on their bins. AUROC
# does not. Always report the bins, or prefer AUROC.

# %%
found = [metrics.uncertainty_overlap(gran, 0, bins=bins) for bins in (5, 50, 5000)]
coefficients = [overlap.coefficient for overlap in found]
assert coefficients == sorted(coefficients, reverse=True)
print("More bins, less overlap: the same entropies.")

# %% [markdown]
# ## What the figure hides, 2: scales
#
# An entropy has a ceiling: ln(classes), reached when all classes are equally likely. The fine head
# has more classes, so its scale is longer. Raw entropies compare metres with feet.
#
# **Before you run the next cell:** we take a network that has *never been trained*. Both of its
# heads know nothing at all. What overlap and what AUROC do you expect?

# %% tags=["fashion-mnist"]
untrained = models.create("gran-hbn", splits.hierarchy, width=0.25, seed=1)
pictures = splits.test.subset(torch.arange(500))
newborn = collect_records(untrained, pictures)
raw = metrics.uncertainty_overlap(newborn, 0)
print(f"untrained: overlap {raw.coefficient:.2f}, AUROC {raw.auroc:.2f}")
ceilings = [math.log(classes) for classes in gran.hierarchy.num_classes]
print(f"ceilings: coarse {ceilings[0]:.2f}, fine {ceilings[-1]:.2f} nats")

# %%
assert raw.coefficient == 0
assert raw.auroc == 1
gap = metrics.entropy_gap(newborn, 0)
assert (gap - (ceilings[-1] - ceilings[0])).abs().max() < 0.05
print("Perfectly apart, and all of it is ln(fine classes) - ln(coarse classes).")

# %% [markdown]
# No overlap whatsoever, from a network that cannot tell a boot from a bag. The separation is pure
# bookkeeping. So part of what raw entropies show for a *trained* network may be bookkeeping as
# well: wherever both heads are lost, the fine one looks less sure by up to the difference of the
# ceilings.
#
# Dividing each entropy by its ceiling puts both on a scale from 0 to 1. **Before you run the next
# cell:** will the trained heads look more alike, or less?

# %%
plots.to_html(plots.entropy_densities(gran, normalised=True))

# %%
for e in range(3):
    fair = metrics.uncertainty_overlap(gran, e, normalised=True, bins=20)
    assert 0.5 < fair.auroc < by_image[e].auroc < fair.auroc + 0.05
    for scale in (1.0, ceilings[-1] / ceilings[0]):  # nats, and shares of the ceilings
        assert gran.entropy[:, e, -1].mean() > scale * gran.entropy[:, e, 0].mean()
print("Normalised, the fine head is still less sure, but by a little less, at every exit.")

# %% [markdown]
# Only a little more alike: AUROC falls by a point or two. For an untrained network bookkeeping was
# everything; for this trained one it is next to nothing, since few images leave both heads lost.
# And the fine head remains the less sure one, so that much of the study's message stands on its own
# feet. Which scale is right? For asking "how lost is this head, for its own task?" the normalised
# one. For the tolerance rule it is the raw one, because tau is defined in nats; just remember that
# an image about which both heads are lost has a gap of its own that means nothing.

# %% [markdown]
# ## What the figure hides, 3: pairs
#
# Clouds compare the fine entropy of one image with the coarse entropy of *another*. The rule never
# does that: it subtracts two entropies of the *same* image.
#
# Take the coarse answer as the sum of the fine probabilities (notebook 06). Then for every image
# the fine entropy is at least the coarse one, provably: no image ever crosses.
#
# **Before you run the next cell:** what happens to the overlap of the clouds?

# %%
summed = gran.marginalised()
for e in range(3):
    assert metrics.entropy_gap(summed, e).min() > -1e-5, "no image crosses"
    crowd = metrics.uncertainty_overlap(summed, e, bins=20)
    assert crowd.coefficient > 0.6
    assert abs(crowd.coefficient - by_image[e].coefficient) < 0.1
    assert crowd.auroc < 0.8
print("Image by image never the wrong way round, and yet the clouds overlap by more than 0.6.")

# %% [markdown]
# It hardly changes! The overlap of clouds does not tell how often an image is surer of the fine
# answer: here that never happens. The clouds overlap because images differ in difficulty, and a
# hard image's coarse doubt exceeds an easy image's fine doubt. What a rule needs is the
# distribution of the gap. Let us look at it, for heads of their own and for sums.

# %% tags=["fashion-mnist"]
rows = {}
for name, source in {"own heads": gran, "summed": summed}.items():
    gap = metrics.entropy_gap(source, 0)
    middle = gap.quantile(torch.tensor([0.05, 0.5, 0.95])).tolist()
    rows[name] = [float((gap < -0.01).double().mean()), *middle]
head = ["share under -0.01", "5 %", "median", "95 %"]
pd.DataFrame.from_dict(rows, orient="index", columns=head).rename_axis("gap at exit 1").round(3)

# %%
paired = float((metrics.entropy_gap(summed, 0) > 1e-6).double().mean())
crossed = metrics.uncertainty_overlap(summed, 0).auroc
assert rows["summed"][0] == 0 <= rows["own heads"][0]
assert paired > crossed + 0.1
print("Same image: fine doubt above coarse far more often than between two images.")

# %% [markdown]
# ## So what remains of figure 5?
#
# This: on average, the fine head is less sure, at every exit, on both scales. The rest of the
# picture (bands, gaps between bands, a narrow window for tau) is a batch of 64 looking at itself.
# For single images the levels are thoroughly mixed, so there *is* room to choose, image by image.
# That is a better argument for a learned gate than the figure itself; the next notebook derives
# one.

# %% [markdown]
# ### Exercise 1 · Overlap by hand
#
# Two histograms over the same bins, given as lists of shares that each add up to 1. Return their
# overlap coefficient.

# %% tags=["exercise"]
def overlap(first, second):
    ...

# %%
check_function(
    overlap,
    [
        (([0.5, 0.5, 0.0], [0.0, 0.5, 0.5]), 0.5),
        (([1.0, 0.0], [0.0, 1.0]), 0.0),
        (([0.2, 0.3, 0.5], [0.2, 0.3, 0.5]), 1.0),
    ],
    hint="in every bin the two share what the lower one has",
)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `min` of each pair of bars, added up.
#
# </details>

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def overlap(first, second):
#     return sum(min(one, other) for one, other in zip(first, second))
# ```
#
# </details>

# %% [markdown]
# ### Exercise 2 · AUROC by counting
#
# Return the share of pairs (one fine entropy, one coarse entropy) in which the fine one is larger;
# a tie counts half. The last case of the check is the first 100 test images at exit 1.

# %% tags=["exercise"]
def share_of_pairs(fine, coarse):
    ...

# %%
hundred = gran.subset(torch.arange(100))
doubts = tuple(hundred.cell(0, level).entropy.tolist() for level in (-1, 0))
check_function(
    share_of_pairs,
    [
        (([1.0, 2.0], [0.0, 0.5]), 1.0),
        (([1.0, 3.0], [2.0, 1.0]), 0.625),
        (doubts, metrics.uncertainty_overlap(hundred, 0).auroc),
    ],
    hint="two loops: every fine value meets every coarse value",
)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `(f > c) + 0.5 * (f == c)` is what one pair adds; divide by the number of pairs.
#
# </details>

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def share_of_pairs(fine, coarse):
#     won = sum((f > c) + 0.5 * (f == c) for f in fine for c in coarse)
#     return won / (len(fine) * len(coarse))
# ```
#
# </details>

# %% [markdown]
# ### Exercise 3 · The gap of knowing nothing
#
# On CIFAR-100 (100 fine, 20 coarse classes) an image leaves both heads completely lost. What is its
# gap H_fine - H_coarse in nats?

# %% tags=["exercise"]
lost = ...

# %%
check(lost, 1.6094, tolerance=0.001, hint="each entropy is at its ceiling")

# %% [markdown]
# <details><summary>Hint</summary>
#
# The difference of two logarithms is the logarithm of a ratio. Does the number remind you of the
# bound in notebook 06? With equal families it is the same.
#
# </details>

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# lost = math.log(100) - math.log(20)
# ```
#
# </details>

# %% [markdown]
# ## What you learned
#
# - Batch means keep the mean and lose the spread, so any two clouds come apart: the figure's bands
#   are a batch size. By image, fine and coarse doubt overlap by more than a half.
# - Heads with different numbers of classes have different ceilings, ln C; even an untrained network
#   looks perfectly separated on the raw scale.
# - Clouds compare different images, a rule compares one image with itself: look at the gap.
# - Numbers need intervals, differences need paired ones, and an overlap coefficient needs its bins.
#
# ## References
#
# - Sanati, Xun, Hu, Zhao, Hare and Merrett, *Exploiting class-granular classifications to improve
#   inference efficiency with dynamic DNNs* (figure 5), and its public code.
# - Efron and Tibshirani, *An introduction to the bootstrap*, 1993.
# - Hanley and McNeil, *The meaning and use of the area under a receiver operating characteristic
#   (ROC) curve*, Radiology, 1982.
#
# **Next:** [08 · Deriving AG-HBN](08_deriving_ag_hbn.ipynb)
