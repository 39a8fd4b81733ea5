# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 00 · The lab in ten minutes
#
# *Can a network stop half-way through, and say "some arrow" when it cannot yet tell which one?*
#
# **Goal** You train a network with three exits, look at what each exit knows, and turn the one knob
# that decides how specific its answers are. Everything later in the series explains what you see.
#
# **You need** Python. That a network turns an image into class probabilities is enough to know.
#
# **Runs in** 20 s on 2 cores, downloads 0 MB.
#
# To run it, type `pip install -e ".[all]"` and `hbnlab lab` in a clone of the repository.
# <!-- badges -->
#
# [01 · Labels have levels →](01_labels_have_levels.ipynb)

# %% tags=["nbval-ignore-output"]
import math
from dataclasses import replace

import matplotlib.pyplot as plt
import torch
from torchvision.utils import make_grid

import hbnlab
from hbnlab import costs, data, metrics, models, plots
from hbnlab.collect import collect_records
from hbnlab.exercises import check, check_function
from hbnlab.policies import FineTolerance, fit_thresholds
from hbnlab.training import TrainConfig, fit

print(hbnlab.environment())

# %% [markdown]
# ## A hundred characters in twenty families
#
# Our images are *glyphs*: small pictures of 100 characters, drawn here and now, so there is nothing
# to download. They come in 20 families of five, such as *arrows*, *chess* or *currency*. So every
# image has two right answers, a **fine** one (left arrow) and a **coarse** one (arrows).

# %%
splits = data.load("glyphs", train_size=12_000, val_size=1_000, test_size=2_000)
tree = splits.hierarchy
print(dict(zip(tree.level_names, tree.num_classes, strict=True)))
arrows = tree.class_names[0].index("arrows")
print("arrows:", [tree.class_names[1][leaf] for leaf in tree.leaves(0, arrows)])

# %% [markdown]
# Each image knows how hard it was made. The upper row shows the ten easiest test images, the lower
# row the ten hardest. You will not be able to read all of the lower row yourself: a good network
# ought to know when it is guessing.

# %%
order = splits.test.attributes["difficulty"].argsort()
picked = torch.cat([order[:10], order[-10:]])
_, ax = plt.subplots(figsize=(8, 1.8), layout="constrained")
ax.imshow(make_grid(splits.test.images[picked], nrow=10, padding=1, pad_value=255).permute(1, 2, 0))
ax.axis("off")
words = "Twenty glyphs: the ten easiest test images above, the ten hardest below."
plots.set_description(ax, words)
plots.to_html(ax)

# %% [markdown]
# ## A network with three exits
#
# Gran-HBN (the names of the networks are those of the study) is a small convolutional network, cut
# into three stages. Behind each stage hangs a branch with two classifiers, called heads: one
# coarse, one fine. So an image can leave at any of three **exits** with an answer at either of two
# **levels**: six *cells* in all. We take a quarter of the width used in the study, so that a laptop
# can train it.

# %%
network = models.create("gran-hbn", tree, width=0.25, seed=0)
flops = [2 * macs for macs in costs.macs_to_exits(network)]
print(f"{costs.num_parameters(network):,} parameters")
for number, value in enumerate(flops, start=1):
    print(f"exit {number}: {value / 1e6:.1f} million operations, {value / flops[-1]:.0%} of all")
assert flops[0] < 0.3 * flops[-1]

# %% [markdown]
# An image that leaves at exit 1 costs a quarter of one that goes all the way. If many images did so
# and were answered well, we would save most of the work. That is the whole idea of early exits.
#
# ## Training
#
# All six heads learn at the same time, from one loss that adds them up. `TrainConfig.quick` has the
# settings for a quick training; we shorten it further. This takes about a quarter of a minute.

# %% tags=["nbval-ignore-output"]
def say(step):
    """Print a line at the end of each epoch."""
    if step.number == step.steps:
        print(f"epoch {step.epoch} of {step.epochs}: loss of the last batch {step.loss:.2f}")


config = TrainConfig.quick("glyphs", epochs=5)
history = fit(network, splits, config, say, progress=False)

# %% [markdown]
# Colour and marker tell the exit; dashed lines are coarse, solid ones fine. A blind guess would
# reach 5 % coarse and 1 % fine.

# %%
assert history.epochs[-1].loss < 0.5 * history.epochs[0].loss
print("The loss has fallen to less than half of that of the first epoch.")
plots.to_html(plots.training_curves(history, tree))

# %% [markdown]
# ## What does each exit know?
#
# Now comes the step on which the whole lab is built. We run the network **once** over the test
# images and write down what every head said about every image. From here on no network is needed:
# every table, figure and rule below only reads these *records*. In words the exits count from 1, in
# code from 0.

# %%
records = collect_records(network, splits.test)
print(len(records), "images,", records.num_exits, "exits,", len(records.cells), "cells")
assert records.cells == ((0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1))

# %% [markdown]
# **Before you run the next cell: what do you expect?** Exit 3 looks through four times as much
# computation as exit 1. How much better are its answers? And how far is coarse above fine?

# %%
plots.to_html(plots.exits_and_policies(records))

# %%
accuracy = records.correct.float().mean(dim=0)  # (exit, level)
coarse, fine = accuracy[:, 0], accuracy[:, 1]
assert (coarse > fine + 0.05).all()
assert 0.5 < fine.max() < 0.95
assert fine.max() - fine.min() < 0.2
assert fine[2] < fine[0]
print("At every exit, coarse answers are right more often than fine ones,")
print("and fine answers of exit 3 less often than those of exit 1.")

# %% [markdown]
# The level matters a great deal; depth does not help. That may surprise you. It is not a bug: the
# first branch is a good network in its own right, and in so short a training the deeper exits, with
# more to learn, lag behind. In the study that we follow, exit 3 is below exit 2, too. An early exit
# is not a poor relation. What tells good answers from bad ones is something else:

# %%
difficulty = records.attributes["difficulty"]
easy, hard = difficulty < 0.25, difficulty > 0.75
first = records.correct[:, 0].float()  # what exit 1 got right: (image, level)
assert first[easy, 0].mean() > 0.9
assert first[easy, 1].mean() > first[hard, 1].mean() + 0.2
print("Exit 1 names the family of more than 9 in 10 easy images,")
print("and the hard ones cost its fine answers more than 20 points.")

# %% [markdown]
# ## One image
#
# So the images differ far more than the exits do. Let us look for one where the levels disagree:
# exit 1 has the family right with great confidence, and the character wrong.

# %%
family, character = records.cell(0, "coarse"), records.cell(0, "fine")
split_mind = family.correct & ~character.correct
index = int((family.confidence * split_mind).argmax())
assert family.confidence[index] > 0.8
plots.to_html(plots.example(splits.test.images[index], records, index))

# %% [markdown]
# The true character has siblings that look like it. The fine head spreads its probability over
# them; the coarse head does not mind which of them it is. Saying the family here is right, useful,
# and honest. What we need is a rule that notices.
#
# ## The knob
#
# *Entropy* measures how spread out probabilities are: 0 when one class has everything, and large
# when many share. The rule of the study compares the two heads of an exit:
#
# > answer finely if **H(fine) - H(coarse) < tau**, otherwise coarsely.
#
# The *fine tolerance* tau says how much more unsure the fine answer may be.

# %% [markdown]
# ### Exercise 1 · Write the rule
#
# Write a function that says whether the answer is fine (`True`) or coarse (`False`), given the two
# entropies and the tolerance. The comparison is strict.

# %% tags=["exercise"]
def answers_fine(fine_entropy, coarse_entropy, tau):
    ...


# %%
check_function(
    answers_fine,
    [
        ((1.2, 0.9, 0.5), True),
        ((1.2, 0.6, 0.5), False),
        ((0.5, 0.25, 0.25), False),  # equal is not less
        ((0.1, 0.4, -0.2), True),
        ((3.0, 0.0, math.inf), True),
    ],
    hint="take the difference of the entropies and compare it with tau",
)

# %% [markdown]
# <details><summary>Hint</summary>
#
# One line is enough: the difference on the left, `<`, and tau on the right.
#
# </details>

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def answers_fine(fine_entropy, coarse_entropy, tau):
#     return fine_entropy - coarse_entropy < tau
# ```
#
# </details>

# %% [markdown]
# ## Move tau
#
# *Specificity* is the share of images that are answered finely. **Before you run the next two
# cells: what do you expect?** As tau rises, more answers are fine. What happens to the accuracy, if
# an answer counts as right when it is right at the level at which it was given?

# %%
def at_first_exit(tau):
    """Let all images leave at exit 1, with this tolerance."""
    policy = FineTolerance.at_exit(0, records.num_exits, tau)
    return metrics.evaluate(policy.decide(records), records)


taus = [-math.inf, -0.5, 0.0, 0.5, 1.0, math.inf]
results = [at_first_exit(tau) for tau in taus]
specificity = [result.specificity for result in results]
assert specificity == sorted(specificity)
assert (specificity[0], specificity[-1]) == (0.0, 1.0)
print("From no fine answers to none but fine ones, never back.")

# %%
plots.to_html(plots.accuracy_against_tolerance(records))

# %% [markdown]
# Tau buys accuracy with specificity: on the left all answers are coarse and mostly right, on the
# right all are fine and often wrong. But look at the curve in between. The first fine answers cost
# nothing, or even help, because the rule gives them to the images that can bear them. The shaded
# band, in which tau does anything at all, is called the *operating region*. (The dashed line takes
# every answer back up to its family before it is judged; notebook 06 has more on it.)

# %%
middle = at_first_exit(0.5)
all_coarse, all_fine = results[0], results[-1]
assert 0.2 < middle.specificity < 0.9
straight = all_coarse.accuracy + middle.specificity * (all_fine.accuracy - all_coarse.accuracy)
assert middle.accuracy > straight + 0.01
print("With tau = 0.5 the answers are better than a random mix of the same specificity.")

# %% [markdown]
# ### Exercise 2 · Half and half
#
# Find the tolerance at which exit 1 answers half of the test images finely. You could try
# `at_first_exit(tau).specificity` for some values, or think about `gap`, which the next cell makes:
# which number splits it into halves?

# %%
gap = metrics.entropy_gap(records, 0)  # H(fine) - H(coarse) of exit 1, for each image
print(tuple(gap.shape))

# %% tags=["exercise"]
answer = ...

# %%
check(answer, float(gap.median()), tolerance=0.05, hint="half of the gaps must lie below tau")

# %% [markdown]
# <details><summary>Hint</summary>
#
# An image is answered finely when its gap is below tau. Half of the images must have a smaller gap:
# there is a name for such a number.
#
# </details>

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# answer = gap.median()
# ```
#
# </details>

# %% [markdown]
# ## Leave early
#
# Last step: let each image choose its exit, too. An exit answers only if the entropy of its answer
# is under a *threshold*; else the image goes on. We ask for thresholds with which half of the
# images leave at exit 1 and a quarter at exit 2. They are fitted on validation images: never choose
# anything on the images that you report on.

# %%
val_records = collect_records(network, splits.val)
policy = fit_thresholds(FineTolerance([0.0, 0.0], 0.5), val_records, [0.5, 0.25, 0.25])
decisions = policy.decide(records)
plots.to_html(plots.network_diagram(decisions, records))

# %% [markdown]
# The grey bands are the images, on their way from left to right; the discs are the answers. Compare
# that with sending every image all the way to exit 3, with the same tolerance.

# %%
early = metrics.evaluate(decisions, records)
# Strictly under 0 is no entropy, so nobody leaves before exit 3.
to_the_end = replace(policy, thresholds=[0.0, 0.0]).decide(records)
late = metrics.evaluate(to_the_end, records)
assert early.mean_flops < 0.65 * flops[-1]
assert early.accuracy > late.accuracy - 0.02
print("Leaving early takes less than two thirds of the operations to exit 3,")
print("and loses less than two points of accuracy, if any.")

# %% [markdown]
# And who leaves where? These are the first images of each exit, in the order of the test set. You
# will find clean ones in the upper row and murky ones in the lower: nobody told the network how
# hard they were, entropy found out.

# %%
sheet = plots.leaving_sheet(splits.test.images, decisions, splits.test.labels, tree)
assert difficulty[decisions.exit_index == 0].mean() < difficulty[decisions.exit_index == 2].mean()
plots.to_html(sheet)

# %% [markdown]
# ## What you learned
#
# - A branchy network has an answer at every exit and every level: cells. Records hold them all.
# - Coarse answers are right more often. Depth gives nothing here; the images differ far more than
#   the exits do.
# - The fine tolerance tau trades accuracy for specificity, image by image, without new training.
# - A threshold on the entropy lets easy images leave early, and much of the work is saved.
#
# For the long form of this run, type `make demo` in a terminal; `make demo DATASET=fashion_mnist`
# does the same on real images.
#
# ## References
#
# - Teerapittayanon, McDanel and Kung, *BranchyNet: fast inference via early exiting from deep
#   neural networks*, ICPR 2016.
# - Sanati, Xun, Hu, Zhao, Hare and Merrett, *Exploiting class-granular classifications to improve
#   inference efficiency with dynamic DNNs*: the study that this lab rebuilds.
#
# **Next:** [01 · Labels have levels](01_labels_have_levels.ipynb)
