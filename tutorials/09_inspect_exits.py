# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 09 · Inspect exits
#
# *Why did this very image leave here, and with this very answer?*
#
# **Goal** You take three widgets into your hands: one looks at single images, one at whole
# policies, one at training. With them you go hunting for images that surprise you, and put numbers
# to what you catch.
#
# **You need** [Notebook 05](05_gran_hbn.ipynb), and [notebook 03](03_leaving_early.ipynb) for the
# thresholds.
#
# **Runs in** 9 s on 2 cores, downloads 0 MB.
#
# To run it, type `pip install -e ".[all]"` and `hbnlab lab` in a clone of the repository.
# <!-- badges -->
#
# [← 08 · Deriving AG-HBN](08_deriving_ag_hbn.ipynb) ·
# [10 · Reproduce the study →](10_reproduce_the_study.ipynb)

# %% tags=["nbval-ignore-output"]
import math
import textwrap
from dataclasses import replace

import matplotlib.pyplot as plt
import torch
from IPython.display import display

import hbnlab
from hbnlab import data, metrics, models, plots
from hbnlab.collect import collect_records
from hbnlab.exercises import check, check_function
from hbnlab.losses import branch_weights_for
from hbnlab.policies import FineTolerance
from hbnlab.training import TrainConfig, fit
from hbnlab.widgets import ExitInspector, PolicyExplorer, TrainingMonitor

print(hbnlab.environment())

# %% [markdown]
# ## One image, the whole story
#
# A widget here is a plain object over records. It computes nothing of its own: what it shows is
# what `policies` and `metrics` say. So everything you can do with the mouse you can do from Python,
# and this notebook does both.

# %% tags=["fashion-mnist"]
try:
    splits = data.load("fashion_mnist")
except FileNotFoundError:
    print("Fashion-MNIST is not on this machine: going on with the glyphs.")
    splits = data.load("glyphs")
network = models.create("gran-hbn", weights=splits.name)
val, test = (collect_records(network, part) for part in (splits.val, splits.test))
policy = FineTolerance(thresholds=[0.5, 0.5], fine_tolerance=0.25)
print(f"{test.split}: {len(test):,} images")

# %% [markdown]
# The rule is Gran-HBN's with round numbers, half a nat for both thresholds and a quarter for the
# tolerance. Among the images that leave at exit 1 with a *coarse* answer we note two: one whose
# fine head is sure enough for the threshold, and one whose fine head is not.

# %%
decisions = policy.decide(test)
coarse_here = (decisions.exit_index == 0) & (decisions.level_index == 0)
fine_is_sure = test.cell(0, -1).entropy < policy.thresholds[0]
held_back = int((coarse_here & fine_is_sure).nonzero()[0])
unsure = int((coarse_here & ~fine_is_sure).nonzero()[0])

# %% [markdown]
# Below is the inspector, open at the first of the two. The thick frame says: the image left here.
# Above, the network is drawn with the path taken; below, each exit lists what its heads think, and
# the rule with the numbers of this image put in. Move the tolerance with the slider or type into
# its box, and go through the images with the buttons. (On a web page you see the inspector's static
# twin: the same content, but it does not move.)

# %% tags=["fashion-mnist"]
inspector = ExitInspector(test, splits.test.images, policy)
inspector.image_index = held_back
inspector

# %% [markdown]
# That one is yours. For the text we drive a second one from Python, so that we do not get in each
# other's way. It need not be on the page at all.

# %% tags=["fashion-mnist"]
guide = ExitInspector(test, splits.test.images, policy)
for index in (held_back, unsure):
    guide.image_index = index
    print(guide.verdict.replace("; ", ";\n    "), end="\n\n")

# %% [markdown]
# Read the verdicts line by line: each comparison is there with its numbers and its yes or no.
#
# **Before you run the next cells:** we raise the fine tolerance to 3 nats, above any gap there is.
# What becomes of the first image, and what of the second? Could it go on to exit 2?

# %% tags=["fashion-mnist"]
guide.fine_tolerance = 3.0
for index in (held_back, unsure):
    guide.image_index = index
    print(guide.verdict.replace("; ", ";\n    "), end="\n\n")

# %%
guide.image_index = held_back
assert (guide.decision.exit_index, guide.decision.level) == (0, "fine")
guide.image_index = unsure
assert (guide.decision.exit_index, guide.decision.level) == (0, "coarse")
print("The first turns fine. The second stays coarse, and stays at exit 1.")

# %% [markdown]
# A tolerance chooses between the levels; the threshold decides whether a level may answer at all.
# The second image's fine head is not sure enough at any tolerance, and since its coarse head is, it
# leaves all the same. So at an early exit a large tolerance does not make everything fine.
#
# ### Exercise 1 · The image's own tolerance
#
# At the last exit no threshold is asked: only the tolerance decides. Write a function that returns
# the tolerance above which the last exit answers image `index` finely.


# %% tags=["exercise"]
def turning_point(records, index):
    ...


# %%
gaps = metrics.entropy_gap(test, 2)
check_function(turning_point, [((test, n), float(gaps[n])) for n in (0, 7, 300)], tolerance=1e-4,
               hint="the rule at the last exit: fine if H_fine - tau < H_coarse")

# %% [markdown]
# <details><summary>Hint</summary>
#
# `records.entropy` has the axes image, exit, level; solve the rule's inequality for tau.
#
# </details>

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def turning_point(records, index):
#     fine, coarse = records.entropy[index, -1, -1], records.entropy[index, -1, 0]
#     return float(fine - coarse)
# ```
#
# </details>

# %% [markdown]
# ## The hunt
#
# Averages hide individuals. We go after four species of them, and for each you make a guess first.
# A small gallery helps to look at many at once.

# %%
def gallery(indices, captions, words):
    fig, axes = plt.subplots(1, 6, figsize=(9, 2.1), layout="constrained", squeeze=False)
    for ax, index, caption in zip(axes.flat, indices, captions, strict=False):
        ax.imshow(splits.test.images[index].permute(1, 2, 0))
        ax.set_title(caption, fontsize=8)
    for ax in axes.flat:
        ax.axis("off")
    plots.set_description(axes, words)
    return plots.to_html(fig)


names = test.hierarchy.class_names

# %% [markdown]
# ### Species 1: sure and wrong
#
# Exit 1 answers with the smallest of entropies, and is wrong. **Before you run the next cells:**
# whose mistake is it, do you think?

# %%
fine_one = test.cell(0, "fine")
wrong = (~fine_one.correct).nonzero()[:, 0]
surest = wrong[fine_one.entropy[wrong].argsort()][:6].tolist()
captions = [f"says {names[-1][fine_one.prediction[n]]}\nlabel {names[-1][fine_one.labels[n]]}"
            for n in surest]
gallery(surest, captions, "Six images on which exit 1 is surest and wrong, with answer and label.")

# %%
assert (fine_one.confidence[surest] > 0.8).all()
assert (fine_one.entropy[surest] < fine_one.entropy.mean()).all()
print("In all six, exit 1 gives its wrong answer more than 80 %.")

# %% [markdown]
# Look closely. Some are honest confusions between neighbours, and on Fashion-MNIST you may side
# with the network against a label or two. No threshold catches this species: entropy measures how
# undecided a head is, not whether it is right. Let the inspector show you the first one in full.

# %% tags=["fashion-mnist"]
guide.policy = policy
guide.image_index = surest[0]
guide.static()

# %% [markdown]
# The kinds of images that are asked for most are in the inspector's menu, and in its attribute
# `kind`. `matches` lists all that fit, `next()` steps to the next one.

# %%
guide.kind = "wrong"
assert not guide.decision.is_right
assert guide.image_index in guide.matches
right = metrics.evaluate(guide.decisions, test).accuracy
assert len(guide.matches) == round((1 - right) * len(test))
guide.next()
assert not guide.decision.is_right
guide.kind = "any"
print("The inspector's 'wrong' images are those that the accuracy counts as wrong.")

# %% [markdown]
# ### Species 2: spoiled by thinking
#
# Exit 1 is right and exit 3, after four times the computation, is wrong. This has a name:
# *overthinking*. **Before you run the next cells:** how many such images are there for each image
# that thinking *saves* (exit 1 wrong, exit 3 right)?
#
# ### Exercise 2 · Overthinking
#
# Return two shares of all images: spoiled (right at the first exit, wrong at the last) and saved
# (the reverse), for the fine heads.


# %% tags=["exercise"]
def overthinking(records):
    ...


# %%
early, late = test.correct[:, 0, -1], test.correct[:, -1, -1]
shares = [float((early & ~late).double().mean()), float((~early & late).double().mean())]
check_function(overthinking, [((test,), shares)], tolerance=1e-4,
               hint="records.correct has the axes image, exit, level")

# %% [markdown]
# <details><summary>Hint</summary>
#
# `records.correct[:, 0, -1]` is a column of True and False, one an image. Combine with `&` and `~`,
# then `.double().mean()`.
#
# </details>

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def overthinking(records):
#     first, last = records.correct[:, 0, -1], records.correct[:, -1, -1]
#     spoiled, saved = first & ~last, ~first & last
#     return float(spoiled.double().mean()), float(saved.double().mean())
# ```
#
# </details>

# %% tags=["fashion-mnist"]
print(f"spoiled {shares[0]:.1%}, saved {shares[1]:.1%}")

# %%
spoiled = (early & ~late).nonzero()[:, 0].tolist()
answers = test.prediction[:, :, -1]
captions = [f"exit 1 {names[-1][answers[n, 0]]}\nexit 3 {names[-1][answers[n, 2]]}"
            for n in spoiled]
assert 0.4 < shares[0] / shares[1] < 2.5
gallery(spoiled, captions, "Six images that exit 1 answers right and exit 3 wrong.")

# %% [markdown]
# The two groups are of the same size, roughly: going deeper mends some images and spoils nearly as
# many. That is why depth "gives little" in the averages of earlier notebooks. Mostly exit 3 is
# right and wrong where exit 1 is; where they differ, the differences cancel out. A rule that knew
# when to stop would beat every exit.

# %%
any_exit = test.correct[:, :, -1].any(dim=1).double().mean()
best_exit = test.correct[:, :, -1].double().mean(dim=0).max()
assert any_exit - best_exit > 0.01
print("Right at one exit at least: over a point more of the images than the best exit alone.")

# %% [markdown]
# ### Species 3: heads that contradict each other
#
# At one exit the coarse head says one coarse class, and the fine head names a class that belongs to
# *another*. **Before you run the next cell:** can that happen? Both heads read the same features.

# %%
parents = test.hierarchy.lift_labels(answers[:, 0], 0)
contradict = (parents != test.prediction[:, 0, 0]).nonzero()[:, 0].tolist()
captions = [f"coarse: {names[0][test.prediction[n, 0, 0]]}\nfine: {names[-1][answers[n, 0]]}"
            for n in contradict]
assert 0.001 < len(contradict) / len(test) < 0.2
gallery(contradict, captions, "Six images whose coarse and fine head at exit 1 contradict.")

# %%
fine_right = test.correct[:, 0, -1].double()
assert fine_right[contradict].mean() < fine_right.mean() - 0.1
sums = test.marginalised()
agree = test.hierarchy.lift_labels(sums.prediction[:, 0, -1], 0) == sums.prediction[:, 0, 0]
assert not agree.all()
print("Where heads contradict each other, the fine head is right far less often than usual.")

# %% [markdown]
# It can: they are two classifiers, and nothing ties them together. Such a contradiction is a
# warning light that no policy of this package reads. And mind the last assertion: even coarse
# probabilities *summed* from the fine ones can favour another coarse class than the parent of the
# top fine class, when many siblings share the mass. Arg-max and sum do not commute.
#
# ### Species 4: surer of the fine answer
#
# The fine head is *surer* than the coarse one, although its question is harder. With probabilities
# that are summed this is impossible (the chain rule of notebook 06). With separate heads?
#
# **Before you run the next cell:** when the fine head is the surer one, is it right more often or
# less often than on average?

# %%
guide.kind = "fine answer at coarse confidence"
found = torch.tensor(guide.matches)
assert metrics.entropy_gap(sums, 0).min() > -1e-4
assert metrics.entropy_gap(test, 0).min() < -1e-3
usual = metrics.answer_values(guide.decisions, test)["accuracy"]
assert usual[found].mean() > usual.mean()
assert (metrics.entropy_gap(test, 0)[found] > -0.02).double().mean() > 0.5
print("Possible with separate heads, impossible with sums; and its answers are right more often.")

# %% tags=["fashion-mnist"]
print(f"{len(found):,} images; right {usual[found].mean():.1%}, all images {usual.mean():.1%}")
guide.static()

# %% [markdown]
# Most of them are easy images on which both entropies are close to nothing and the order of the two
# is noise. So the tolerance rule reads noise exactly where it cannot hurt.
#
# ### One more: dragged along
#
# In the study's code a whole batch leaves together, by its mean entropies. The inspector can show
# that too. **Before you run the next cell:** for how many images does the decision change when
# batches of 64 decide?

# %% tags=["fashion-mnist"]
guide.kind = "any"
guide.policy = replace(policy, per="batch", batch_size=64)
by_batch = guide.decisions
changed = (by_batch.exit_index != decisions.exit_index) | (
    by_batch.level_index != decisions.level_index
)
guide.image_index = int(changed.nonzero()[0])
print(f"{changed.double().mean():.0%} of the images are answered at another exit or level")
print(guide.verdict.replace("; ", ";\n    "))

# %%
assert changed.double().mean() > 0.2
print("More than a fifth of the decisions depend on the company that an image happens to keep.")

# %% [markdown]
# ## A whole policy at once
#
# The second widget steps back: one point for one policy, in the plane of accuracy and specificity
# and in that of accuracy and FLOPs, amid the cloud of all policies of the same rule. We give it the
# *validation* records. Whoever searches must not search on the test images.

# %% tags=["fashion-mnist"]
explorer = PolicyExplorer(val, policy)
explorer

# %% [markdown]
# Move the fine tolerance and watch the diamond. This one is yours again; ours is called `search`.
#
# **Before you run the next cell:** we go from a tolerance of 0 to one of 1.5, thresholds untouched.
# Specificity will rise and accuracy fall. What happens to the FLOPs?

# %%
search, seen = PolicyExplorer(val, policy), {}
for tolerance in (0.0, 1.5):
    search.fine_tolerance = tolerance
    seen[tolerance] = search.evaluation
assert seen[1.5].specificity > seen[0.0].specificity
assert seen[1.5].accuracy < seen[0.0].accuracy
assert seen[1.5].mean_flops == seen[0.0].mean_flops
print("More specific, less accurate, and the FLOPs are the same to the last digit.")

# %% [markdown]
# Do it with the diamond: on the left it moves along a line, on the right straight down. That is no
# accident. Take an image that leaves *finely* at some tolerance from 0 up: its fine entropy is
# under the threshold. If its coarse entropy is under the threshold too, it would have left anyway,
# coarsely. If not, the coarse entropy is the larger one, the gap is negative, and every tolerance
# from 0 up lets it leave finely. So from 0 up, under the printed rule, the tolerance never decides
# *where*, only *how specifically*. (Under the published code of notebook 05 it does.)
#
# The buttons search the cloud: the cheapest policy for an accuracy, the most accurate one for a
# budget. From Python they are methods, and the winner is a line of code to copy.

# %% tags=["fashion-mnist"]
search.best_for_accuracy(seen[1.5].accuracy, specificity=0.5)
print(textwrap.fill(search.message, 90))
print(search.python_line)
search.static()

# %%
assert search.evaluation.accuracy >= seen[1.5].accuracy
assert search.evaluation.specificity >= 0.5
assert "report it on other records" in search.message
assert search.evaluation.exit_shares[0] == 1.0
print("It lets everybody leave at exit 1.")

# %% [markdown]
# The cheapest way to that accuracy is never to go deeper than exit 1. You have met the reason
# before: on these sets depth gives only little. An honest search finds that out. And the message
# reminds you of something: what was chosen on validation images is to be reported on others.

# %% [markdown]
# ### Exercise 3 · Choose here, report there
#
# Your budget is the mean of what exit 1 and exit 3 cost; at least 80 % of the answers shall be
# fine. Let the explorer find the most accurate policy of its cloud for that, then give its accuracy
# on the *test* images, as a share between 0 and 1.

# %%
budget = test.macs_to(0) + test.macs_to(2)  # the mean of the two, and a MAC is two FLOPs

# %% tags=["exercise"]
accuracy_on_test = ...

# %%
best = PolicyExplorer(val, policy).best_for_budget(budget, specificity=0.8)
expected = metrics.evaluate(best.decide(test), test).accuracy
check(accuracy_on_test, expected, tolerance=1e-5, hint="the explorer's own numbers are of val")

# %% [markdown]
# <details><summary>Hint</summary>
#
# `search.best_for_budget(flops, specificity=...)` returns a policy. A policy decides about any
# records of the same tree: `policy.decide(test)`; then `metrics.evaluate`.
#
# </details>

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# chosen = search.best_for_budget(budget, specificity=0.8)
# accuracy_on_test = metrics.evaluate(chosen.decide(test), test).accuracy
# ```
#
# </details>

# %% [markdown]
# ## Watch it learn, and stop it
#
# The third widget watches a training. You hand it to `fit` as `on_step`; it draws the loss, the
# accuracy of every head, the time left, and a button that stops. Here we train a fresh network for
# three epochs, and an impatient function presses the button for you after a hundred steps.
#
# **Before you run the next cell:** what will you have after the stop? Nothing, an error, or a
# network?

# %% tags=["nbval-ignore-output"]
few = replace(splits, train=splits.train.subset(range(12_000)), val=splits.val.subset(range(1_000)))
pupil = models.create("gran-hbn", splits.hierarchy, width=0.25)
monitor = TrainingMonitor(splits.hierarchy)
display(monitor)


def impatient(step):
    if step.number == 100:
        monitor.stop()
    return monitor(step)


config = TrainConfig.quick(splits.name, epochs=3, batch_size=64, schedule="constant")
history = fit(pupil, few, config, on_step=impatient, progress=False)

# %%
guessing = sum(branch_weights_for(3)) * sum(math.log(n) for n in splits.hierarchy.num_classes)
assert len(history.epochs) == 1
assert len(history.epochs[0].cells["val"]) == 6
assert monitor.loss < 0.95 * guessing
print("One epoch in the history, cut short, with all six heads measured; better than guessing.")

# %% [markdown]
# You have a network: what was learned is kept and measured on the validation images. Stopping early
# is not a failure of a run, it is a decision, like leaving early. This is what the monitor shows
# where widgets do not run:

# %% tags=["nbval-ignore-output"]
monitor.static()

# %% [markdown]
# ## What you learned
#
# - The inspector writes the rule out with one image's numbers: the tolerance, from 0 up, chooses
#   the level, and the thresholds choose the exit.
# - Entropy says how undecided a head is, not whether it is right: some mistakes are made with great
#   confidence.
# - Depth mends some images and spoils nearly as many; the errors of the exits overlap, but not
#   fully.
# - Separate heads can contradict each other, and the fine one can be surer than the coarse one.
# - Search on validation records, report on test records. Widgets make it easy to forget that.
#
# ## References
#
# - Kaya, Hong and Dumitras, *Shallow-deep networks: understanding and mitigating network
#   overthinking*, ICML 2019.
# - Sanati, Xun, Hu, Zhao, Hare and Merrett, *Exploiting class-granular classifications to improve
#   inference efficiency with dynamic DNNs* (Algorithm 1).
# - `hbnlab.widgets`: each class says in its docstring how to drive it.
#
# **Next:** [10 · Reproduce the study](10_reproduce_the_study.ipynb)
