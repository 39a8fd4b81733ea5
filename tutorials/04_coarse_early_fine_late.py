# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 04 · Coarse early, fine late
#
# *If early exits know less, should they simply say less?*
#
# **Goal** You read a grid of heads, weigh accuracy against specificity and bits, and find out for
# yourself which images get the fine answers when only the last exit may give them.
#
# **You need** [Notebook 03](03_leaving_early.ipynb): exits, entropy thresholds, and rules that are
# fitted on validation images.
#
# **Runs in** 7 s on 2 cores, downloads 0 MB.
#
# To run it, type `pip install -e ".[all]"` and `hbnlab lab` in a clone of the repository.
# <!-- badges -->
#
# [← 03 · Leaving early](03_leaving_early.ipynb) · [05 · Gran-HBN →](05_gran_hbn.ipynb)

# %% tags=["nbval-ignore-output"]
import math

import pandas as pd
import torch

import hbnlab
from hbnlab import data, models, plots
from hbnlab.collect import collect_records
from hbnlab.exercises import check, check_function
from hbnlab.metrics import evaluate
from hbnlab.policies import EntropyThreshold, ForcedExit, budget_policies, fit_thresholds

print(hbnlab.environment())

# %% [markdown]
# ## An idea that sounds right
#
# A branch early in the network has seen little of the image. So let it answer the easier question:
# not "which of ten?" but "which of six *families*?", as we call the coarse classes from here on.
# Only the last branch, with the whole network behind it, names the fine class. That network is
# called **Sem-HBN**. We compare it with **B-AlexNet**, whose three exits all answer finely.
#
# The images are Fashion-MNIST. If they are not on your machine, the notebook says so and goes on
# with glyphs, the characters that come with the package.

# %% tags=["fashion-mnist"]
try:
    splits = data.load("fashion_mnist")
except FileNotFoundError:
    splits = data.load("glyphs")
    print("Fashion-MNIST is not on this machine: going on with the glyphs.")
hierarchy = splits.hierarchy
networks = {
    name: models.create(name, weights=splits.name) for name in ("b-alexnet", "sem-hbn")
}

# %% [markdown]
# A network of ours is described by its **grid of heads**: a row for each exit, a column for each
# level of the tree. Everything else, trunk and branches, is the same in both.

# %%
for name, network in networks.items():
    print(name)
    for number, row in enumerate(network.head_mask, start=1):
        heads = [level for level, there in zip(hierarchy.level_names, row, strict=True) if there]
        print(f"  exit {number}: {', '.join(heads)}")

# %% [markdown]
# Now one pass over the images, as in notebook 03, and from then on tables only. Thresholds will be
# fitted on `val` and reported on `test`.

# %%
fine_everywhere = collect_records(networks["b-alexnet"], splits.test, progress=False)
sem = collect_records(networks["sem-hbn"], splits.test, progress=False)
sem_val = collect_records(networks["sem-hbn"], splits.val, progress=False)
assert sem.head_mask == ((True, False), (True, False), (False, True))
assert abs(sem.macs_to(0) / fine_everywhere.macs_to(0) - 1) < 0.06
print("The grids are as described, and exit 1 costs nearly the same in both.")

# %% [markdown]
# ## What the exits are worth
#
# Three numbers for each exit. **Accuracy**: is the answer right at its own level? **Hierarchical
# accuracy**: is it right once it is lifted to the coarse level, where all answers can be compared?
# **Specificity**: the share of answers that are fine.
#
# **Before you run the next cell:** which column of Sem-HBN will look best in an advertisement, and
# at which exit? And who will win in the column where answers can be compared?

# %% tags=["fashion-mnist"]
def forced(records, exit_index):
    return evaluate(ForcedExit(exit_index).decide(records), records)


every_exit = {
    (name, exit_index + 1): forced(records, exit_index)
    for name, records in {"b-alexnet": fine_everywhere, "sem-hbn": sem}.items()
    for exit_index in range(3)
}
columns = ["accuracy", "hierarchical_accuracy", "specificity", "information"]
rows = {place: [getattr(e, name) for name in columns] for place, e in every_exit.items()}
pd.DataFrame.from_dict(rows, orient="index", columns=columns).round(3)

# %%
early, late = every_exit["sem-hbn", 1], every_exit["sem-hbn", 3]
rival = every_exit["b-alexnet", 1]
assert early.accuracy > late.accuracy + 0.02, "the first exit looks better than the last"
assert (early.specificity, late.specificity) == (0, 1)
assert abs(early.hierarchical_accuracy - rival.hierarchical_accuracy) < 0.04
lifted = [e.hierarchical_accuracy for e in every_exit.values()]
assert max(lifted) - min(lifted) < 0.04
print("By accuracy exit 1 of Sem-HBN beats its own exit 3; lifted, all exits are level.")

# %% [markdown]
# By accuracy alone the *first* exit of Sem-HBN is better than its last. It is not: it was asked an
# easier question. Lifted to the coarse level, all exits of both networks come out within a few
# points of each other. A network that was only ever trained on fine classes answers the coarse
# question nearly as well, by lifting. Remember that; it will cost Sem-HBN dearly.
#
# ## Counting in bits
#
# Specificity calls every coarse answer worthless, which is unfair: "shoe" says less than "sandal",
# but it says something. How much? If an answer leaves *k* of *n* fine classes open, it tells
# log2(*n* / *k*) **bits**. That is the last column of the table above.

# %% tags=["fashion-mnist"]
num_fine, in_family = hierarchy.num_classes[-1], hierarchy.leaf_counts(0)
assert torch.allclose(hierarchy.information(0), (num_fine / in_family).log2())
print(f"A fine answer tells log2({num_fine}) = {math.log2(num_fine):.2f} bits.")

# %% tags=["fashion-mnist"]
families = pd.DataFrame({"family": hierarchy.class_names[0], "bits": hierarchy.information(0)})
families["fine classes"] = in_family
families.round(2)

# %% [markdown]
# In Fashion-MNIST some families hold a single fine class: whoever says "bottoms" has said
# "Trouser", all 3.3 bits of it. Specificity books such an answer as a zero all the same, bits do
# not. With the glyphs, as with CIFAR-100, every family holds five, and a coarse answer carries
# about two thirds of the bits.

# %% [markdown]
# ### Exercise 1 · Bits of a coarse answer
#
# Write `bits(num_fine, num_open)`: how many bits an answer carries that leaves `num_open` of
# `num_fine` equally likely fine classes open. `math.log2` is your friend.

# %% tags=["exercise"]
def bits(num_fine, num_open):
    ...

# %%
check_function(
    bits,
    [((100, 1), 6.643856), ((100, 5), 4.321928), ((10, 10), 0.0), ((10, 4), 1.321928)],
    tolerance=1e-4,
    hint="a fine answer leaves 1 class open and tells log2(num_fine) bits",
)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Before the answer there are `num_fine` possibilities, after it `num_open`. Every bit halves them.
#
# </details>

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def bits(num_fine, num_open):
#     return math.log2(num_fine / num_open)
# ```
#
# </details>

# %% [markdown]
# ## Leaving early with Sem-HBN
#
# Same recipe as before: 60 % of the images shall leave at exit 1, 25 % at exit 2, the rest at
# exit 3, and the entropy thresholds for that are read off the validation images.

# %%
shares = [0.60, 0.25, 0.15]
rule = fit_thresholds(EntropyThreshold([0, 0]), sem_val, shares)
decisions = rule.decide(sem)
result = evaluate(decisions, sem)
assert all(abs(got - want) < 0.03 for got, want in zip(result.exit_shares, shares, strict=True))
plots.to_html(plots.network_diagram(decisions, sem))

# %% [markdown]
# The picture looks sensible: most images leave early with a coarse answer, a few go all the way and
# get a fine one. At which level an image is answered depends on nothing but where it leaves.
#
# **Before you run the next cell:** the fine answers all come from exit 3. Which images arrive
# there, and how often will their fine answers be right? (Over all images you have seen it in the
# table above.)

# %% tags=["fashion-mnist"]
left_at = [decisions.exit_index == exit_index for exit_index in range(3)]
right_finely = sem.correct[:, 2, -1].double()  # what exit 3 would have said about everybody
table = pd.DataFrame(index=["exit 1", "exit 2", "exit 3"])
table["share of images"] = [float(left.double().mean()) for left in left_at]
table["answered"] = ["coarsely", "coarsely", "finely"]
table["exit 3 would be right finely"] = [float(right_finely[left].mean()) for left in left_at]
table.rename_axis("left at").round(3)

# %%
could_have, did = right_finely[left_at[0]].mean(), right_finely[left_at[2]].mean()
everybody = right_finely.mean()
assert did + 0.1 < everybody < could_have - 0.03
print("Fine answers go to exactly the images on which they are most often wrong.")

# %% [markdown]
# There it is. To be sure early means to be an *easy* image. So the easy ones, for which a fine
# answer would be right nearly always, are sent off with a coarse one; the hard ones, about which
# nobody is sure, are the only ones that get a fine answer. Sem-HBN is specific with precisely the
# wrong images. The first images of each row, not chosen:

# %%
sheet = plots.leaving_sheet(splits.test.images, decisions, sem.labels, hierarchy)
plots.to_html(sheet)

# %% [markdown]
# ## The waste
#
# "But", says Sem-HBN, "my exit 1 *could* not have known better, that early in the network." Let us
# ask somebody who sat in the same place: B-AlexNet's exit 1 has the same trunk and the same branch,
# costs nearly the same FLOPs, and has a fine head.
#
# **Before you run the next cell:** of the images that Sem-HBN answered coarsely at exit 1, on how
# many is B-AlexNet's exit 1 right *finely*?

# %% tags=["fashion-mnist"]
knew = fine_everywhere.correct[:, 0, -1].double()
for exit_index, left in enumerate(left_at[:2]):
    share, right = left.double().mean(), knew[left].mean()
    print(f"left at exit {exit_index + 1}: {share:.0%} of the images, fine head of exit 1 right on "
          f"{right:.1%}")
wasted = (knew.bool() & (decisions.level_index == 0)).double().mean()
print(f"of all images {wasted:.0%} could have had a right fine answer at exit 1, and did not")

# %%
assert knew[left_at[0]].mean() > 0.9
assert wasted > 0.6
print("More than 6 in 10 images: right fine answers, known at exit 1, that no head could give.")

# %% [markdown]
# The knowledge was there, at the first exit, for the same price. It was thrown away, not for want
# of depth but for want of a *head*. That is the waste: the level of an answer is fixed by the place
# where it is given, and not by what is known about the image.
#
# Is the count fair? Not quite: a coarse "bottoms" wastes nothing, for nothing is finer. So count
# once more, only answers that left more than one fine class open.

# %% tags=["fashion-mnist"]
coarse = decisions.level_index == 0
vague = torch.zeros_like(coarse)
vague[coarse] = hierarchy.leaf_counts(0)[decisions.prediction[coarse]] > 1
truly_wasted = (knew.bool() & vague).double().mean()
print(f"left more than one class open, and exit 1 knew which: {truly_wasted:.0%} of all images")

# %%
assert 0.35 < truly_wasted <= wasted
print("Over a third of all images, counted as strictly as that.")

# %% [markdown]
# ## Can thresholds mend it?
#
# You may object that we chose the shares badly. So take all budgets, from eager to patient, as in
# notebook 03: cost to the right, right answers upward, the colour is the specificity.
#
# **Before you run the next cell:** what must Sem-HBN pay for each fine answer, and what becomes of
# its accuracy as it gets more specific?

# %%
budgets = budget_policies(EntropyThreshold([0, 0]), sem_val, number=20)
plots.to_html(plots.exits_and_policies(sem, budgets))

# %%
found = [evaluate(policy.decide(sem), sem) for policy in budgets]
eager, patient = found[0], found[-1]
assert patient.specificity > eager.specificity
assert patient.mean_macs > 1.5 * eager.mean_macs
assert patient.accuracy < eager.accuracy
costs = [e.mean_macs for e in sorted(found, key=lambda e: e.specificity)]
assert costs == sorted(costs), "the more specific, the dearer"
print("Every fine answer is paid for with the whole network.")

# %% [markdown]
# More specific means more expensive, without exception: a fine answer costs the whole network even
# where exit 1 knew it. No threshold can mend that.
#
# ## The price list
#
# At the same shares, Sem-HBN tells less about each image than B-AlexNet, which answers everything
# finely and pays with accuracy. Neither can do the obvious: answer *finely where it is sure, and
# coarsely where it is not*.

# %% tags=["fashion-mnist"]
val = collect_records(networks["b-alexnet"], splits.val, progress=False)
fine_rule = fit_thresholds(EntropyThreshold([0, 0]), val, shares)
both = {
    "b-alexnet": evaluate(fine_rule.decide(fine_everywhere), fine_everywhere),
    "sem-hbn": result,
}
columns = [*columns, "mean_flops"]
rows = {name: [getattr(e, column) for column in columns] for name, e in both.items()}
table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
table.assign(mean_flops=table.mean_flops / 1e6).rename(columns={"mean_flops": "MFLOPs"}).round(3)

# %%
fine_result = both["b-alexnet"]
assert result.accuracy > fine_result.accuracy + 0.01, "coarse questions are easier"
assert abs(result.hierarchical_accuracy - fine_result.hierarchical_accuracy) < 0.04
assert result.information < fine_result.information - 0.5, "and their answers say less"
assert abs(result.mean_flops / fine_result.mean_flops - 1) < 0.15
print("For the same FLOPs: a few points more accuracy, over half a bit less said.")

# %% [markdown]
# ### Exercise 2 · The waste of any rule
#
# Write `waste(level_index, knew, finest)`: the share of *all* images that were answered above the
# `finest` level although a fine head that had already run knew the right fine class. `level_index`
# is a tensor of levels, `knew` a tensor of True and False.

# %% tags=["exercise"]
def waste(level_index, knew, finest):
    ...

# %%
levels, known = torch.tensor([0, 0, 1, 1]), torch.tensor([True, False, True, False])
check_function(
    waste,
    [
        ((levels, known, 1), 0.25),
        ((levels, ~known, 1), 0.25),
        ((torch.ones(4, dtype=torch.int64), known, 1), 0.0),
        ((torch.tensor([0, 1, 2]), torch.tensor([True, True, True]), 2), 2 / 3),
        ((decisions.level_index, knew.bool(), hierarchy.finest), float(wasted)),
    ],
    hint="two masks, an `&` between them, and a mean over all images",
)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `(level_index < finest)` marks the answers that were not fine. The mean of a mask needs
# `.double()` first.
#
# </details>

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def waste(level_index, knew, finest):
#     return ((level_index < finest) & knew).double().mean()
# ```
#
# </details>

# %% [markdown]
# ### Exercise 3 · Turn it round
#
# What if we swapped the heads: *fine early, coarse late*? Easy images leave early with a fine
# answer, hard ones get a coarse one at the end. Build that grid, a row an exit and `(coarse, fine)`
# in each row, as Sem-HBN turned upside down. (Such a network is one line:
# `models.create("gran-hbn", hierarchy, heads=grid)`.)

# %% tags=["exercise"]
grid = ...

# %%
check(grid, ((False, True), (False, True), (True, False)), hint="True where there is a head")

# %% [markdown]
# <details><summary>Hint</summary>
#
# Sem-HBN is `((True, False), (True, False), (False, True))`.
#
# </details>

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# grid = ((False, True), (False, True), (True, False))
# ```
#
# </details>

# %% [markdown]
# ## What you learned
#
# - A grid of heads says what each exit can answer; Sem-HBN is coarse, coarse, fine.
# - Accuracy at different levels does not compare. Lift the answers, or count bits.
# - A sure early exit means an easy image, so *coarse early, fine late* gives its fine answers to
#   the images on which they are most often wrong.
# - Exit 1 knew the fine class of most images. What was missing was a head to say it.
#
# ## References
#
# - Sanati, Xun, Hu, Zhao, Hare and Merrett, *Exploiting class-granular classifications to improve
#   inference efficiency with dynamic DNNs* (Sem-HBN, and specificity).
# - Teerapittayanon, McDanel and Kung, *BranchyNet: fast inference via early exiting from deep
#   neural networks*, ICPR 2016 (exits and entropy).
# - Deng, Krause, Berg and Fei-Fei, *Hedging your bets*, CVPR 2012 (accuracy against specificity, in
#   bits).
#
# **Next:** [05 · Gran-HBN](05_gran_hbn.ipynb), where every branch gets both heads and chooses.
