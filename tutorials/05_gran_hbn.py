# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 05 · Gran-HBN
#
# *Can a branch hold two answers, a coarse and a fine one, and choose for each image which to give?*
#
# **Goal** You train a network with two heads at every branch, walk one image through Algorithm 1 by
# hand, and use the fine tolerance tau to say how specific the answers shall be.
#
# **You need** [Notebook 04](04_coarse_early_fine_late.ipynb): why coarse early, fine late gives the
# fine answers to the wrong images.
#
# **Runs in** 12 s on 2 cores, downloads 0 MB.
#
# To run it, type `pip install -e ".[all]"` and `hbnlab lab` in a clone of the repository.
# <!-- badges -->
#
# [← 04 · Coarse early, fine late](04_coarse_early_fine_late.ipynb) ·
# [06 · Accuracy against specificity →](06_accuracy_against_specificity.ipynb)

# %% tags=["nbval-ignore-output"]
from dataclasses import replace

import pandas as pd
import torch

import hbnlab
from hbnlab import costs, data, models, plots
from hbnlab.collect import collect_records
from hbnlab.exercises import check, check_function
from hbnlab.metrics import cell_table, evaluate
from hbnlab.policies import EntropyThreshold, FineTolerance, fit_thresholds
from hbnlab.training import TrainConfig, fit

print(hbnlab.environment())

# %% tags=["fashion-mnist"]
try:
    splits = data.load("fashion_mnist")
except FileNotFoundError:
    splits = data.load("glyphs")
    print("Fashion-MNIST is not on this machine: going on with the glyphs.")
hierarchy = splits.hierarchy
print(hierarchy.to_text(max_children=3))

# %% [markdown]
# ## One head more
#
# Notebook 04 ended with a complaint: exit 1 knew the fine class of most images, and had no head to
# say it. **Gran-HBN** gives every branch both. The two heads hang off the *same* features, the last
# thing that the branch computes; each is one linear layer.
#
# **Before you run the next cell:** B-AlexNet has one head at each of three branches, Gran-HBN two.
# By how many per cent do the FLOPs of the whole network grow?

# %% tags=["fashion-mnist"]
untrained = {
    name: models.create(name, hierarchy, width=0.25, seed=0) for name in ("b-alexnet", "gran-hbn")
}
macs = {name: costs.macs_to_exits(network)[-1] for name, network in untrained.items()}
growth = macs["gran-hbn"] / macs["b-alexnet"] - 1
one, two = (f"{2 * macs[name] / 1e6:.2f}" for name in ("b-alexnet", "gran-hbn"))
print(f"{one} -> {two} MFLOPs: +{growth:.2%}")

# %%
assert 0 < growth < 0.01
print("Less than one per cent.")

# %% [markdown]
# A second head is nearly free, for the work lies in the features. So flexibility is not a question
# of cost. It is a question of training both heads, and of choosing between them.
#
# ## Training both heads at once
#
# Each head is held to the label of its own level by cross-entropy. A branch's loss is the sum over
# its heads, and the network's is the sum over the branches, weighted 1.0, 0.8, 0.6: the early
# branches matter most, since most images shall leave there. One number, one backward pass.

# %% [markdown]
# ### Exercise 1 · The joint loss
#
# `losses[n]` holds the coarse and the fine cross-entropy of branch *n*, `weights[n]` its weight.
# Return the loss of the network.

# %% tags=["exercise"]
def joint_loss(losses, weights):
    ...

# %%
check_function(
    joint_loss,
    [
        (([(1.0, 2.0)], [1.0]), 3.0),
        (([(0.5, 1.5), (0.25, 1.0), (0.25, 0.75)], [1.0, 0.8, 0.6]), 3.6),
        (([(0.0, 0.0), (1.0, 1.0)], [1.0, 0.8]), 1.6),
    ],
    hint="first add the two losses of a branch, then weight the branch",
)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `zip(losses, weights)` gives you one branch at a time.
#
# </details>

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def joint_loss(losses, weights):
#     return sum(weight * (coarse + fine) for (coarse, fine), weight in zip(losses, weights))
# ```
#
# </details>

# %% [markdown]
# Now truly train it, on 12,000 images for two epochs: seconds, not hours. It will not be a good
# network, but all six heads learn.
#
# **Before you run the next cell:** which head will be ahead after so short a time, the coarse or
# the fine one? The one at exit 1 or the one at exit 3, which sits on top of more layers?

# %%
small = replace(
    splits,
    train=splits.train.subset(torch.arange(12_000)),
    val=splits.val.subset(torch.arange(1_000)),
)
pupil = untrained["gran-hbn"]
history = fit(pupil, small, TrainConfig.quick(splits.name, epochs=2), progress=False)
brief = pd.DataFrame(cell_table(collect_records(pupil, small.val, progress=False)))
print(f"{len(history.epochs)} epochs done")

# %% tags=["nbval-ignore-output"]
brief.pivot(index="exit", columns="level", values="accuracy").round(2)

# %%
accuracy = brief.set_index(["exit", "level"]).accuracy
for exit_number in (1, 2, 3):
    coarse, fine = accuracy[exit_number, "coarse"], accuracy[exit_number, "fine"]
    assert coarse > fine > 5 / hierarchy.num_classes[-1], "far better than guessing"
assert accuracy[3, "fine"] < accuracy[1, "fine"] + 0.05, "depth has not paid yet"
print("All six heads have learned, and at every exit the coarse one is ahead.")
print("Exit 3 is at most 5 points ahead of exit 1, if at all.")

# %% [markdown]
# The coarse question is the easier one, everywhere. And exit 3 gains nothing from its layers so
# soon: the first exit's path from image to loss is short, and its weight is the largest. Given more
# time the exits come together. From here on we use the weights that come with the package: the same
# network, trained longer and on all training images.

# %%
network = models.create("gran-hbn", weights=splits.name)
val = collect_records(network, splits.val, progress=False)
test = collect_records(network, splits.test, progress=False)
assert test.head_mask == ((True, True),) * 3

# %% tags=["fashion-mnist"]
cells = pd.DataFrame(cell_table(test))
cells.pivot(index="exit", columns="level", values=["accuracy", "entropy"]).round(3)

# %% [markdown]
# ## Two heads, two opinions
#
# Nothing forces the two heads of a branch to agree. The fine head may say "Sandal" while its
# neighbour says "tops".
#
# **Before you run the next cell:** on how many images in a hundred do the two heads of exit 1
# contradict each other? And when they do, how often is the fine answer right?

# %% tags=["fashion-mnist"]
fine, coarse = test.prediction[:, 0, 1], test.prediction[:, 0, 0]
contradict = hierarchy.ancestors(0)[fine] != coarse
right = test.correct[:, 0].double()
print(f"{contradict.double().mean():.1%} contradict")
print(f"fine head right: {right[~contradict, 1].mean():.1%} in peace, "
      f"{right[contradict, 1].mean():.1%} in conflict")

# %%
assert 0 < contradict.double().mean() < 0.3
assert right[contradict, 1].mean() < right[~contradict, 1].mean() - 0.2
print("They seldom contradict each other, and a contradiction is a warning.")

# %% [markdown]
# ## Algorithm 1, by hand
#
# Which of the two answers shall we give, and shall we give one here at all? The study's rule reads
# two entropies at each exit, H_fine and H_coarse, and has a threshold T for each exit but the last
# and one **fine tolerance** tau for all:
#
# 1. If H_fine < T and H_fine - H_coarse < tau: answer **finely**.
# 2. Else, if H_coarse < T: answer **coarsely**.
# 3. Else **go on**. The last exit has no threshold: finely if H_fine - H_coarse < tau, else
#    coarsely.

# %% [markdown]
# Let us say 0.3 nats for tau, and take thresholds under which 60 % of the *validation* images leave
# at exit 1 and 25 % at exit 2. We round them, so that you can calculate along.

# %%
shares, tau = [0.60, 0.25, 0.15], 0.3
fitted = fit_thresholds(FineTolerance([0, 0], tau), val, shares)
rule = FineTolerance([round(threshold, 3) for threshold in fitted.thresholds], tau)
decisions = rule.decide(test)

# %% tags=["fashion-mnist"]
print("thresholds:", rule.thresholds, "tau:", rule.fine_tolerance)
for number, share in enumerate(evaluate(decisions, test).exit_shares, start=1):
    print(f"leave at exit {number}: {share:.1%}")

# %% [markdown]
# Our image: of those that are answered coarsely at exit 2, the one whose fine head there has the
# most doubt. Here it is, with what the six heads say about it.

# %%
coarse_at_2 = (decisions.exit_index == 1) & (decisions.level_index == 0)
index = int(test.entropy[:, 1, 1].where(coarse_at_2, -1.0).argmax())
plots.to_html(plots.example(splits.test.images[index], test, index))

# %% [markdown]
# And here are its entropies. **Before you run the cell after this one, be the algorithm:** take a
# pencil, go through the three lines above for exit 1, then for exit 2. The rule should stop at
# exit 2 with a coarse answer. Which comparisons keep it from answering finely there?

# %% tags=["fashion-mnist"]
entropies = pd.DataFrame(test.entropy[index], columns=["H_coarse", "H_fine"], index=[1, 2, 3])
entropies["H_fine - H_coarse"] = entropies.H_fine - entropies.H_coarse
entropies["T"] = [*rule.thresholds, None]
entropies.rename_axis("exit").round(3)

# %% tags=["fashion-mnist"]
for exit_number in (1, 2):
    h_coarse, h_fine = entropies.H_coarse[exit_number], entropies.H_fine[exit_number]
    threshold, gap = rule.thresholds[exit_number - 1], h_fine - h_coarse
    print(f"exit {exit_number}")
    print(f"  fine:   {h_fine:.3f} < {threshold}? {h_fine < threshold}.   "
          f"{h_fine:.3f} - {h_coarse:.3f} = {gap:.3f} < {tau}? {gap < tau}.")
    print(f"  coarse: {h_coarse:.3f} < {threshold}? {h_coarse < threshold}.")

# %% [markdown]
# Did you get the same? Exit 1 was unsure of both and passed the image on to exit 2, which was sure
# of the family but not of the class, and said only what it was sure of. That is what Sem-HBN could
# never do: decide about the *level* by looking at the image.

# %%
first, second = test.entropy[index, 0], test.entropy[index, 1]
assert first.min() >= rule.thresholds[0], "exit 1 was unsure of both"
assert second[0] < rule.thresholds[1], "exit 2 was sure of the family"
assert second[1] >= rule.thresholds[1] or second[1] - second[0] >= tau, "but not of the class"
print("As the algorithm says.")

# %% [markdown]
# ### Exercise 2 · Write Algorithm 1
#
# For one image: `fine` and `coarse` are lists of entropies, one an exit; `thresholds` has one
# fewer. Return the exit, counted from 1, and `"fine"` or `"coarse"`. All comparisons are strict.

# %% tags=["exercise"]
def algorithm_1(fine, coarse, thresholds, tau):
    ...

# %%
levels = ("coarse", "fine")
rows = [
    ((test.entropy[i, :, 1].tolist(), test.entropy[i, :, 0].tolist(), rule.thresholds, tau),
     (int(decisions.exit_index[i]) + 1, levels[int(decisions.level_index[i])]))
    for i in range(500)
]
print(f"{len(rows)} test images to try it on")

# %%
by_hand = [
    (([0.3, 0.9], [0.1, 0.1], [0.5], 0.3), (1, "fine")),
    (([0.9, 0.2], [0.1, 0.1], [0.5], 0.3), (1, "coarse")),
    (([0.9, 0.2], [0.8, 0.1], [0.5], 0.3), (2, "fine")),
    (([0.9, 2.0], [0.8, 0.1], [0.5], 0.3), (2, "coarse")),
    (([0.5, 2.0], [0.5, 0.1], [0.5], 0.3), (2, "coarse")),
    (([0.375, 2.0], [0.125, 0.1], [0.5], 0.25), (1, "coarse")),
    (([0.9, 0.5], [0.8, 0.25], [0.5], 0.25), (2, "coarse")),
]
check_function(algorithm_1, by_hand + rows, hint="at the last exit only the gap counts")

# %% [markdown]
# <details><summary>Hint</summary>
#
# Loop over `zip(fine, coarse, thresholds)`: it ends before the last exit. Inside, two `if`s with a
# `return` each. After the loop, `fine[-1] - coarse[-1]` decides.
#
# </details>

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def algorithm_1(fine, coarse, thresholds, tau):
#     for number, (f, c, threshold) in enumerate(zip(fine, coarse, thresholds), start=1):
#         if f < threshold and f - c < tau:
#             return number, "fine"
#         if c < threshold:
#             return number, "coarse"
#     return len(fine), "fine" if fine[-1] - coarse[-1] < tau else "coarse"
# ```
#
# </details>

# %% [markdown]
# ## What tau does
#
# So far tau was 0.3 because we said so. To see what it does, let every image leave at one and the
# same exit, so that nothing but tau is left of the rule: fine if H_fine - H_coarse < tau.
#
# **Before you look at the figure:** does a larger tau give more fine answers or fewer? What happens
# to accuracy as specificity rises? (Think twice: the study's own text has both signs in it. Its
# algorithm has one.)

# %%
plots.to_html(plots.accuracy_against_tolerance(test))

# %%
by_tau = [
    evaluate(FineTolerance.at_exit(0, 3, value).decide(test), test) for value in (-9, 0.1, 0.6, 9)
]
specificity = [result.specificity for result in by_tau]
assert specificity == sorted(specificity)
assert (specificity[0], specificity[-1]) == (0, 1)
assert by_tau[0].accuracy > by_tau[-1].accuracy
print("A larger tau never gives fewer fine answers; being specific costs accuracy.")

# %% [markdown]
# Tau is the knob between *careful and vague* on the left and *bold and precise* on the right. The
# shaded **operating region** is where it does anything. The study saw regions less than 0.15 nats
# wide; ours, decided image by image, are far wider. Notebook 06 finds out why.

# %% [markdown]
# ### Exercise 3 · Where an answer flips
#
# The next cell shows an image that was answered coarsely at exit 3, the last one. From which tau on
# (in nats, to three decimals) would it have been answered finely there?

# %%
late = (decisions.exit_index == 2) & (decisions.level_index == 0)
stubborn = int(late.nonzero()[0])
h_coarse, h_fine = test.entropy[stubborn, 2].tolist()

# %% tags=["fashion-mnist"]
print(f"image {stubborn} at exit 3: H_coarse = {h_coarse:.3f}, H_fine = {h_fine:.3f}")

# %% tags=["exercise"]
flips_at = ...

# %%
check(flips_at, h_fine - h_coarse, tolerance=0.002, hint="which comparison is left at exit 3?")

# %% [markdown]
# <details><summary>Hint</summary>
#
# There is no threshold at the last exit. The answer is fine as soon as tau exceeds the gap.
#
# </details>

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# flips_at = round(h_fine - h_coarse, 3)
# ```
#
# </details>

# %% [markdown]
# ## Printed rule and published code
#
# Step 2 says: *else*, answer coarsely if H_coarse < T. The study's published code asks for more
# there: H_fine - H_coarse must also be *above* tau. Take an image whose coarse head is sure, whose
# fine head is not under T, though only a little less sure.
#
# **Before you run the next cell:** where does the printed rule send such an image, and where the
# code?

# %% tags=["fashion-mnist"]
code = replace(rule, rule="published-code")
both = {r.rule: evaluate(r.decide(test), test) for r in (rule, code)}
rows = {
    name: [e.accuracy, e.specificity, e.mean_flops / 1e6, *e.exit_shares]
    for name, e in both.items()
}
head = ["accuracy", "specificity", "MFLOPs", "exit 1", "exit 2", "exit 3"]
pd.DataFrame.from_dict(rows, orient="index", columns=head).round(3)

# %%
moved = code.decide(test).exit_index != decisions.exit_index
gap = test.entropy[..., 1] - test.entropy[..., 0]
assert both["published-code"].mean_macs > 1.02 * both["algorithm-1"].mean_macs
assert both["published-code"].specificity > both["algorithm-1"].specificity
assert both["published-code"].accuracy < both["algorithm-1"].accuracy
assert (gap[moved].min(dim=1).values < tau).all()
print("The printed rule answers coarsely; the code sends the image on, and pays for it.")

# %% [markdown]
# Those who go on may well end with a fine answer, so specificity rises and accuracy pays for it,
# too. Two rules with one name: neither is wrong, but their numbers differ. So hbnlab has a word for
# each, and you say which one you mean.
#
# ## What it was all for
#
# Back to the complaint. Sem-HBN, at the same shares, gave fine answers only at exit 3. Now Gran-HBN
# may choose.
#
# **Before you run the next cell:** at equal cost, by how much does specificity rise? And what will
# that cost in accuracy?

# %% tags=["fashion-mnist"]
sem_network = models.create("sem-hbn", weights=splits.name)
sem_val = collect_records(sem_network, splits.val, progress=False)
sem = collect_records(sem_network, splits.test, progress=False)
sem_rule = fit_thresholds(EntropyThreshold([0, 0]), sem_val, shares)
contest = {"sem-hbn": evaluate(sem_rule.decide(sem), sem), "gran-hbn": both["algorithm-1"]}
rows = {
    name: [e.accuracy, e.specificity, e.information, e.mean_flops / 1e6]
    for name, e in contest.items()
}
head = ["accuracy", "specificity", "information", "MFLOPs"]
pd.DataFrame.from_dict(rows, orient="index", columns=head).round(3)

# %%
before, after = contest.values()
assert after.specificity > before.specificity + 0.2
assert after.information > before.information + 0.2
assert after.accuracy > before.accuracy
assert abs(after.mean_flops / before.mean_flops - 1) < 0.1
print("Far more specific at the same cost, and more accurate, too.")

# %%
plots.to_html(plots.network_diagram(decisions, test))

# %% [markdown]
# Did you expect to pay? Fine answers now come from exit 1 as well, from images about which it is
# sure, and the hard ones at exit 3, which Sem-HBN had to answer finely, may stay coarse. Saying the
# right things about the right images wins on both counts.
#
# Two things remain to grumble about. One threshold serves two entropies that live on different
# scales: at exits 1 and 2 even tau = infinity answers finely only where H_fine < T. And comparing
# the raw entropies of many fine and of few coarse classes is comparing different rulers. Notebook
# 07 looks into the second, and notebook 09 meets the first again; in notebook 08 a learned gate
# chooses instead.

# %% [markdown]
# ## What you learned
#
# - A second head at a branch costs less than one per cent; Gran-HBN trains all heads with one sum
#   of weighted cross-entropies.
# - Two heads on the same features seldom contradict each other. When they do, distrust the fine
#   one.
# - Algorithm 1 reads two entropies at an exit: finely if sure enough *and* not much less sure than
#   coarsely; else coarsely if sure; else on.
# - A larger tau never gives fewer fine answers; the first of them cost next to nothing, the last
#   cost most.
# - The printed rule and the published code differ. Say which one you used.
#
# ## References
#
# - Sanati, Xun, Hu, Zhao, Hare and Merrett, *Exploiting class-granular classifications to improve
#   inference efficiency with dynamic DNNs* (Gran-HBN, Algorithm 1 and tau), and its public code,
#   ben-sanati/Class-Granular-Classifications.
# - Teerapittayanon, McDanel and Kung, *BranchyNet: fast inference via early exiting from deep
#   neural networks*, ICPR 2016 (the joint loss).
# - Zhu and Bain, *B-CNN: branch convolutional neural network for hierarchical classification*, 2017
#   (coarse and fine classifiers along one network).
#
# **Next:** [06 · Accuracy against specificity](06_accuracy_against_specificity.ipynb)
