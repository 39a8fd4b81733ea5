# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 02 · Building a branchy net
#
# *Where do you cut a network so that it can answer early, and what does every extra answer cost?*
#
# **Goal** You can turn a plain network into one with exits: choose where to branch, count what each
# exit costs, write the loss that trains all exits at once, and build and train one of your own.
#
# **You need** Convolutions, a training loop in PyTorch, and [notebook
# 01](01_labels_have_levels.ipynb) for *coarse* and *fine*.
#
# **Runs in** 11 s on 2 cores, downloads 0 MB.
#
# To run it, type `pip install -e ".[all]"` and `hbnlab lab` in a clone of the repository.
# <!-- badges -->
#
# [← 01 · Labels have levels](01_labels_have_levels.ipynb) ·
# [03 · Leaving early →](03_leaving_early.ipynb)

# %% tags=["nbval-ignore-output"]
from dataclasses import replace

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import hbnlab
from hbnlab import costs, data, models, plots
from hbnlab.collect import collect_records
from hbnlab.exercises import check, check_function
from hbnlab.losses import joint_loss
from hbnlab.models import EarlyExitNetwork
from hbnlab.training import TrainConfig, fit
from hbnlab.trees import CIFAR100

print(hbnlab.environment())

# %% [markdown]
# ## The trunk
#
# We start from a network without any exit but its last: the small AlexNet for 32x32 images of the
# study that we follow, at full width, for the 100 classes of CIFAR-100. No images are needed yet,
# for what a network costs does not depend on what it sees.

# %%
alexnet = models.create("alexnet", CIFAR100)
print(f"{costs.num_parameters(alexnet):,} parameters")
print(f"{2 * costs.macs_to_exits(alexnet)[0]:,} FLOPs an image")

# %% [markdown]
# *FLOPs* are twice the *multiply-accumulates*, MACs: one for every weight, at every place where it
# is used. A 3x3 convolution uses each of its weights at each pixel of its **output**. Biases,
# pooling and ReLU are not counted; they are small change.
#
# ### Exercise 1 · Count a convolution
#
# How many MACs does a convolution take that turns `inputs` channels into `outputs` channels with a
# square kernel of side `kernel`, if its output is `height` x `width`?

# %% tags=["exercise"]
def conv_macs(inputs, outputs, kernel, height, width):
    ...


# %%
check_function(
    conv_macs,
    [
        ((3, 64, 3, 16, 16), 442_368),  # the first one of this network
        ((1, 1, 1, 1, 1), 1),
        ((384, 256, 3, 4, 4), 14_155_776),
    ],
    hint="weights of one output channel x output channels x output pixels",
)

# %% [markdown]
# <details><summary>Hint</summary>
#
# One number of the output needs `inputs * kernel * kernel` products. How many numbers has the
# output?
#
# </details>

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def conv_macs(inputs, outputs, kernel, height, width):
#     return inputs * kernel * kernel * outputs * height * width
# ```
#
# </details>

# %% [markdown]
# The same count for all five convolutions, by sending one empty image through. The pictures shrink
# from 32x32 to 2x2 while the channels grow from 3 to 384 and end at 256, and the cost is anything
# but even.

# %%
hidden, total = torch.zeros(1, 3, 32, 32), 0
for layer in alexnet.stages[0]:
    hidden = layer(hidden)
    if isinstance(layer, nn.Conv2d):
        flops = 2 * layer.weight[0].numel() * hidden[0].numel()
        total += flops
        shape = "x".join(map(str, hidden.shape[1:]))
        print(f"conv {layer.in_channels:3d} -> {shape:9s} {flops / 1e6:5.1f} million FLOPs")
assert total == 2 * costs.stage_macs(alexnet)[0]

# %% [markdown]
# ## Where to branch
#
# An exit hangs off the trunk at some depth. Too early, and the features are still raw; too late,
# and there is nothing left to save. B-AlexNet cuts the trunk after the first and the third
# convolution, and gives each of the three *stages* a *branch* that ends in a classifier, its
# *head*.

# %%
branchy = models.create("b-alexnet", CIFAR100)
stages = [2 * macs for macs in costs.stage_macs(branchy)]
for number, flops in enumerate(stages, start=1):
    share = flops / sum(stages)
    print(f"stage {number}: {flops / 1e6:5.1f} million FLOPs, {share:4.0%} of the trunk")
assert sum(stages) == 2 * costs.stage_macs(alexnet)[0]  # cut, not changed

# %% [markdown]
# Stage 1 takes 1 % of the trunk. **Before you run the next cell: what do you expect?** What share
# of the cost of the whole AlexNet does an image pay that leaves at exit 1?

# %%
to_exits = [2 * macs for macs in costs.macs_to_exits(branchy)]
whole = 2 * costs.macs_to_exits(alexnet)[0]
branches = [2 * macs for macs in costs.branch_macs(branchy)]
print(f"to exit 1: {to_exits[0] / whole:.0%} of AlexNet")
print(f"branch 1 costs {branches[0] / stages[0]:.0f} times as much as stage 1")
assert round(100 * to_exits[0] / whole) == 33
assert round(branches[0] / stages[0]) == 35

# %% [markdown]
# A third, not a hundredth! To classify from raw features, the first branch has to do what the rest
# of the trunk would have done: it brings two convolutions and a large linear layer of its own. In
# truth it is a small network that shares its first layer with a larger one. Here is the bill:

# %%
_, ax = plt.subplots(figsize=(7, 2.6), layout="constrained")
left = 0
for number, (stage, branch) in enumerate(zip(stages, branches, strict=True), start=1):
    for flops, name, color, hatch in ((stage, "S", "#0072B2", ""), (branch, "B", "#E69F00", "//")):
        ax.barh(0, flops / 1e6, left=left, color=color, hatch=hatch, edgecolor="white")
        ax.text(left + flops / 2e6, 0.5, f"{name}{number}", ha="center")
        left += flops / 1e6
ax.set(xlabel="million FLOPs an image", yticks=[], xlim=(-3, 140), ylim=(-0.5, 0.8))
parts = ", ".join(f"stage {n + 1} {stages[n]:,}, branch {n + 1} {branches[n]:,}" for n in range(3))
words = "A bar of the FLOPs to exit 3 of B-AlexNet, in the order in which they run"
plots.set_description(ax, f"{words}: {parts}.")
plots.to_html(ax)

# %% [markdown]
# S is a stage of the trunk (plain), B a branch (hatched). Read it from left to right: whoever
# leaves at exit 2 has paid for S1, **B1**, S2 and B2. The first branch had to be asked before one
# could know that the image must go on.
#
# ## The price of asking
#
# So an image that goes all the way pays for two branches that did not help it. **Before you run the
# next cell:** is it dearer or cheaper than in plain AlexNet, and by how much?

# %%
print(f"to exit 3: {to_exits[2] / whole - 1:+.0%} against AlexNet")
assert round(100 * (to_exits[2] / whole - 1)) == 41

# %% [markdown]
# ### Exercise 2 · Break even
#
# Exits pay only if enough images use them. Suppose that a share *s* of the images leaves at exit 1
# and all others at exit 3. From which share on is B-AlexNet cheaper than AlexNet on average? Give a
# number between 0 and 1, to three decimals. `to_exits` and `whole` hold what you need.

# %% tags=["exercise"]
answer = ...

# %%
check(answer, 0.378, tolerance=0.001, hint="s * to_exits[0] + (1 - s) * to_exits[2] = whole")

# %% [markdown]
# <details><summary>Hint</summary>
#
# Write down the mean cost with *s* in it, set it equal to `whole`, and solve for *s*.
#
# </details>

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# answer = (to_exits[2] - whole) / (to_exits[2] - to_exits[0])
# ```
#
# </details>

# %% [markdown]
# ## Five networks, one class
#
# The study has five networks. In hbnlab they are five settings of one class, `EarlyExitNetwork`:
# stages, branches, a grid that says which *cell* (exit, level) has a head, and perhaps a *gate*, a
# small extra head that chooses the level (notebook 08). At width 1.0 every parameter and every FLOP
# is that of the published tables; this cell makes sure.

# %%
published = {
    "alexnet": (8_752_036, [96_452_608]),
    "b-alexnet": (12_066_540, [31_703_040, 75_628_544, 135_806_976]),
    "sem-hbn": (11_738_700, [31_375_360, 74_973_184, 135_151_616]),
    "gran-hbn": (12_189_480, [31_784_960, 75_792_384, 136_052_736]),
    "ag-hbn": (12_193_578, [31_793_152, 75_800_576, 136_060_928]),
}
for name, (parameters, flops) in published.items():
    network = models.create(name, CIFAR100)
    assert costs.num_parameters(network) == parameters
    assert [2 * macs for macs in costs.macs_to_exits(network)] == flops

# %%
for name in models.STUDY_NAMES:
    network = models.create(name, CIFAR100, width=0.1)
    words = {(True, True): "coarse+fine", (True, False): "coarse", (False, True): "fine"}
    cells = " | ".join(words[row] for row in network.head_mask)
    print(f"{name:10s}", cells + " | and a gate at exit 1" * network.has_gate)

# %% [markdown]
# A second head at a branch is nearly free: both read the same 2048 features, so Gran-HBN costs
# 0.2 % more than B-AlexNet and has six cells instead of three. Hierarchy is cheap; depth is not.

# %%
extra = published["gran-hbn"][1][2] / published["b-alexnet"][1][2] - 1
assert round(100 * extra, 1) == 0.2

# %% [markdown]
# ## The joint loss
#
# How do you train six classifiers at once? Each head is held to the label of **its own** level by a
# plain cross-entropy, and the losses are added, weighted by branch with 1.0, 0.8 and 0.6. Nothing
# else is needed. Here it is once by hand, and once by the library, on four images of noise.

# %%
small = models.create("gran-hbn", CIFAR100, width=0.1).eval()
images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
labels = CIFAR100.label_table(torch.tensor([0, 9, 42, 98]))  # (image, level)
outputs, weights = small(images), (1.0, 0.8, 0.6)

by_hand = 0.0
for weight, heads in zip(weights, outputs.logits, strict=True):
    for level, logits in enumerate(heads):
        by_hand = by_hand + weight * cross_entropy(logits, labels[:, level])
assert torch.isclose(by_hand, joint_loss(outputs, labels, weights))
print(f"joint loss of an untrained network: {by_hand.item():.1f}")

# %% [markdown]
# That number is no accident: a network that knows nothing pays ln 20 = 3.0 at each coarse head and
# ln 100 = 4.6 at each fine one, times 2.4, the sum of the weights. That makes 18.2. A first loss
# far from that would be the sign of a mistake.
#
# **Before you run the next cell: what do you expect?** If we kept only the loss of exit 3, which
# parts of the network would learn? And if we kept only that of exit 1?

# %%
assert abs(by_hand.item() - 18.2) < 0.3


def learns(weights):
    """The parts that get a gradient when the branches are weighted like that."""
    small.zero_grad()
    joint_loss(small(images), labels, weights).backward()
    parts = {f"stage {n}": part for n, part in enumerate(small.stages, start=1)}
    parts |= {f"branch {n}": part for n, part in enumerate(small.branches, start=1)}
    return [name for name, part in parts.items() if any(p.grad.any() for p in part.parameters())]


# %%
for kept in ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
    print(kept, "->", ", ".join(learns(kept)))
assert learns((1, 0, 0)) == ["stage 1", "branch 1"]
assert learns((0, 1, 0)) == ["stage 1", "stage 2", "branch 2"]
assert learns((0, 0, 1)) == ["stage 1", "stage 2", "stage 3", "branch 3"]

# %% [markdown]
# A branch learns from its own exit alone. But stage 1 is pulled by all three, and the early exits
# pull with the larger weight: they want features that can be classified at once, the late ones want
# features that can be worked on. That quarrel may be one reason why late exits of branchy nets
# often disappoint. It is not the only one, as you are about to see.
#
# ## Your own, by hand
#
# Now build one. Three stages of a convolution each, and the cheapest branch one can think of:
# shrink the picture to 2x2, flatten it, and let the heads do the rest. The class wants to know how
# many features each branch delivers.

# %%
def block(before, after, shrink):
    """Convolve, then shrink the picture."""
    return nn.Sequential(nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(shrink))


def build(tree, first_branch=nn.Identity, first_features=64):
    """Three exits, a coarse and a fine head at each."""
    stages = [block(3, 16, 4), block(16, 32, 2), block(32, 64, 2)]
    ends = [nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten()) for _ in stages]
    ends[0] = nn.Sequential(first_branch(), ends[0])
    sizes = [first_features, 128, 256]
    return EarlyExitNetwork(stages, ends, sizes, tree, heads=[[True, True]] * 3, name="mine")


# %% [markdown]
# We train it on 15,000 images of Fashion-MNIST, or on as many glyphs where that is not at hand, and
# look at 3,000 test images. What it costs can be counted before anything is trained.

# %% tags=["fashion-mnist"]
try:
    splits = data.load("fashion_mnist")
except FileNotFoundError:
    print("Fashion-MNIST is not on this machine: going on with the glyphs.")
    splits = data.load("glyphs", train_size=15_000, test_size=3_000)
test = splits.test.subset(range(3_000))
splits = replace(splits, train=splits.train.subset(range(15_000)))

# %%
def train(**branch):
    """Build and train one; the weights start from the same seed each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build(splits.hierarchy, **branch)
    config = TrainConfig.quick("fashion_mnist", epochs=2, learning_rate=1e-2)
    history = fit(network, splits, config, progress=False)
    assert history.epochs[-1].loss < history.epochs[0].loss
    return collect_records(network, test)


# %%
records = train()
assert records.macs_to(0) < 0.5 * records.macs_to(2)

# %% [markdown]
# **Before you look at the figure: what do you expect?** In notebook 00, exit 3 of Gran-HBN was no
# better than exit 1. Will that be so here?

# %%
plots.to_html(plots.exits_and_policies(records))

# %%
fine = records.correct[:, :, 1].float().mean(dim=0)
assert fine[2] > fine[0] + 0.05
print("Here exit 3 is better than exit 1 by more than 5 points.")

# %% [markdown]
# Depth does pay after all! The difference lies in the branches. Here a head sees nothing but what
# its stage has made, and one convolution is not enough. In the study's networks the first branch is
# so large that it makes up for the missing stages. Look at Gran-HBN with weights that come with
# hbnlab, trained longer on the same data set:

# %%
gran = models.create("gran-hbn", weights=splits.name)
reference = collect_records(gran, test)
reference_fine = reference.correct[:, :, 1].float().mean(dim=0)
assert reference_fine.max() - reference_fine.min() < 0.05
print("Gran-HBN: the fine accuracies of the three exits lie within 5 points.")

# %% [markdown]
# Let us see whether that explanation holds. We give exit 1 of our own network a branch with a
# convolution in it, and leave everything else as it was. **Before you run the next cell:** will the
# answers of exit 1 get better, and what will it cost?

# %%
with_branch = train(first_branch=lambda: block(16, 32, 2), first_features=128)
better = with_branch.correct[:, :, 1].float().mean(dim=0)
assert better[0] > fine[0] + 0.03
assert better[2] - better[0] < fine[2] - fine[0]
dearer = with_branch.macs_to(0) / records.macs_to(0)
print(f"Exit 1 is better by more than 3 points, and costs {dearer:.2f} times as much.")

# %%
networks = {"plain branches": records, "convolution in branch 1": with_branch}
plots.to_html(plots.accuracy_against_flops(networks))

# %% [markdown]
# A heavy branch makes a good early answer, and adds to the bill of everyone who goes on: all later
# points have moved to the right by just what the branch costs. Now compare its exit 1 with exit 2
# of the plain network, straight above or below. Both cost about the same and know about the same.
# But work done in the trunk serves those who go on, and work done in a branch is thrown away.

# %%
added = with_branch.macs_to(0) - records.macs_to(0)
assert with_branch.macs_to(2) - records.macs_to(2) == added > 0
assert abs(with_branch.macs_to(0) / records.macs_to(1) - 1) < 0.1
assert abs(better[0] - fine[1]) < 0.05

# %% [markdown]
# So there is no best place for an exit; there is a bargain for each. What decides is how many
# images can leave there, and that is the subject of the next notebook.

# %% [markdown]
# ## What you learned
#
# - A branchy net is a trunk cut into stages, with a branch and heads behind each. Which cells have
#   heads is all that tells the five networks of the study apart, but for a gate.
# - An early exit costs its branch, not only its stages: 33 % of AlexNet, where the trunk up to
#   there takes 1 %. Whoever goes to the end has paid for two branches in vain: 41 % more at exit 3.
# - The joint loss is a weighted sum of cross-entropies; each branch learns from its own exit, the
#   first stage from all.
# - How much depth pays depends on how much the branches do themselves.
#
# ## References
#
# - Krizhevsky, Sutskever and Hinton, *ImageNet classification with deep convolutional neural
#   networks*, NeurIPS 2012 (AlexNet).
# - Teerapittayanon, McDanel and Kung, *BranchyNet: fast inference via early exiting from deep
#   neural networks*, ICPR 2016.
# - Sanati, Xun, Hu, Zhao, Hare and Merrett, *Exploiting class-granular classifications to improve
#   inference efficiency with dynamic DNNs* (the five networks and their costs).
#
# **Next:** [03 · Leaving early](03_leaving_early.ipynb)
