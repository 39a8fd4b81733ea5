# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 01 · Labels have levels
#
# *A picture of a boot is also a picture of a shoe. How many right answers does one image have?*
#
# **Goal** You can describe a label tree, build one for your own classes, lift labels and
# probabilities to a coarser level, and say in bits how much an answer tells.
#
# **You need** Python and a little `torch`. [Notebook 00](00_lab_in_ten_minutes.ipynb) helps, but is
# not required.
#
# **Runs in** 5 s on 2 cores, downloads 0 MB.
#
# To run it, type `pip install -e ".[all]"` and `hbnlab lab` in a clone of the repository.
# <!-- badges -->
#
# [← 00 · The lab in ten minutes](00_lab_in_ten_minutes.ipynb) ·
# [02 · Building a branchy net →](02_building_a_branchy_net.ipynb)

# %% tags=["nbval-ignore-output"]
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from PIL import Image

import hbnlab
from hbnlab import data, plots
from hbnlab.data import glyphs
from hbnlab.exercises import check, check_function
from hbnlab.hierarchy import Hierarchy
from hbnlab.trees import CIFAR100, CIFAR100_THREE, FASHION_MNIST, FASHION_MNIST_THREE, GLYPHS

print(hbnlab.environment())

# %% [markdown]
# ## One picture, several right answers
#
# Let us begin with pictures. Fashion-MNIST has 10,000 test images of ten kinds of clothes and bags.
# We look for its files on this machine; nothing is downloaded. If they are not here, the glyphs,
# which hbnlab draws itself, take their place, and everything below still works. (To have the
# pictures, here and in all later notebooks, run `data.load("fashion_mnist", download=True)` once.)

# %% tags=["fashion-mnist"]
try:
    pictures = data.load("fashion_mnist").test
except FileNotFoundError:
    print("Fashion-MNIST is not on this machine: going on with the glyphs.")
    pictures = data.load("glyphs", train_size=100, val_size=100, test_size=1_000).test

# %% [markdown]
# Here is the first image of every class. They are laid out in groups, and each group has a name of
# its own in bold. So the small print and the bold print are both true: the boot is an *Ankle boot*,
# and it is one of the *shoes*. Neither answer is wrong. They differ in how much they tell you.

# %% tags=["fashion-mnist"]
sheet = plots.class_sheet(pictures.images, pictures.labels, pictures.hierarchy)
plots.to_html(sheet, dpi=130)

# %% [markdown]
# ## The tree
#
# Put every class under the group that holds it, and you have a tree. A `Hierarchy` is such a tree
# with its levels named, **coarsest first**. Level 0 is always the coarsest, and the last level is
# always the finest: there lie the classes that the data set came with.

# %%
tree = FASHION_MNIST
print(tree.level_names, tree.num_classes)
plots.to_html(plots.hierarchy_tree(tree))

# %% [markdown]
# Inside, classes are numbers, as in every classifier. `parents[1]` says for each fine class which
# coarse class holds it. Note that siblings need not stand side by side: class 5 (Sandal), 7
# (Sneaker) and 9 (Ankle boot) share a parent. `leaves` collects them again.

# %%
print("coarse:", dict(enumerate(tree.class_names[0])))
print("parents of the 10 fine classes:", tree.parents[1])
shoes = tree.class_names[0].index("shoes")
below = tree.leaves(0, shoes)
print("under shoes:", below, [tree.class_names[1][n] for n in below])
assert below == (5, 7, 9)

# %% [markdown]
# ## Labels lift
#
# One label is enough to know them all. *Lifting* walks from a fine class up to the coarser class
# that holds it, so a data set that was labelled once, finely, has labels at every level for free.
# `label_table` makes one column a level; that is the form in which every split keeps its labels.

# %%
fine_labels = torch.tensor([9, 3, 0, 2])
print([tree.class_names[1][n] for n in fine_labels])
table = tree.label_table(fine_labels)
print(table)
assert table[:, 1].equal(fine_labels)
assert table[:, 0].equal(tree.lift_labels(fine_labels, "coarse"))

# %% [markdown]
# The way back does not exist. *tops* may be a T-shirt, a Pullover or a Shirt: a coarse label leaves
# open which. This whole lab lives on that: a network that hesitates between a Pullover and a Shirt
# can walk **up** the tree, say *tops*, and be right. It tells you less, but nothing false.

# %% [markdown]
# ## Probabilities lift too
#
# A classifier gives probabilities, not labels. Lifting a probability means **adding up**: *dog* is
# as likely as poodle and collie together. Let us build a tree of three pets and imagine what a fine
# classifier said about one picture.

# %%
pets = Hierarchy.from_dict({"dog": ["poodle", "collie"], "cat": ["siamese"]})
prob = torch.tensor([0.30, 0.28, 0.42])
print(pets.to_text())
for name, value in zip(pets.class_names[1], prob.tolist(), strict=True):
    print(f"{name:8s} {value:.2f}")

# %% [markdown]
# **Before you run the next cell: what do you expect?** The likeliest fine class is *siamese*, with
# 0.42. Which coarse class is the likeliest, and how sure is it?

# %%
lifted = pets.lift_prob(prob, "coarse")
print("fine answer:  ", pets.class_names[1][prob.argmax()], round(float(prob.max()), 2))
print("coarse answer:", pets.class_names[0][lifted.argmax()], round(float(lifted.max()), 2))
assert pets.class_names[0][lifted.argmax()] == "dog"
assert lifted.max() >= prob.max()
assert pets.parents[1][prob.argmax()] == pets.class_names[0].index("cat")

# %% [markdown]
# The fine answer is a cat and the coarse answer is a *dog*. Two dogs share the dog's probability
# between them, so neither wins alone, and together they do. Remember this: **the best coarse answer
# is not always the parent of the best fine one.** It is also never less sure than its best child,
# because adding up cannot make a probability smaller.

# %% [markdown]
# ### Exercise 1 · Lift by hand
#
# Write the function that lifts one vector of fine probabilities. `parents[c]` is the coarse class
# of fine class `c`, and there are `num_coarse` coarse classes. Return a tensor of that length.

# %% tags=["exercise"]
def lift(prob, parents, num_coarse):
    ...


# %%
check_function(
    lift,
    [
        ((torch.tensor([0.30, 0.28, 0.42]), (0, 0, 1), 2), torch.tensor([0.58, 0.42])),
        ((torch.tensor([0.1, 0.2, 0.3, 0.4]), (1, 0, 1, 2), 3), torch.tensor([0.2, 0.4, 0.4])),
        ((torch.tensor([1.0]), (0,), 1), torch.tensor([1.0])),
    ],
    hint="each fine class adds its probability to the place of its parent",
)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Start from `torch.zeros(num_coarse)` and go through the fine classes in turn. Which entry grows?
#
# </details>

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def lift(prob, parents, num_coarse):
#     lifted = torch.zeros(num_coarse)
#     for fine, coarse in enumerate(parents):
#         lifted[coarse] += prob[fine]
#     return lifted
# ```
#
# </details>

# %% [markdown]
# ## Building your own
#
# Nested dicts are one way to write a tree; a table is the other, with one row for each finest class
# and as many columns as you have levels. Classes are numbered in the order in which they appear.
# That matters: list the rows in the order of your labels, or pass `sort=True` where your labels are
# numbered alphabetically.

# %%
rows = [("cat", "siamese"), ("dog", "poodle"), ("dog", "collie")]
from_rows = Hierarchy.from_table(rows)
print(from_rows.class_names)
same_but_sorted = Hierarchy.from_table(rows, sort=True)
print(same_but_sorted.class_names)
assert from_rows != pets  # the same animals under other numbers are another tree

# %% [markdown]
# A tree with a mistake in it would quietly spoil every number that follows, so a `Hierarchy` is
# checked when it is made. Here are three mistakes that are easy to make. Read what it says: each
# message names the rule and what you wrote.

# %%
mistakes = [
    {"dog": ["poodle"], "cat": ["siamese", "poodle"]},  # one class, two parents
    {"dog": ["poodle", "collie"], "cat": []},  # nothing below
    {"dog": {"small": ["poodle"]}, "cat": ["siamese"]},  # not equally deep
]
for mistake in mistakes:
    try:
        Hierarchy.from_dict(mistake)
        raise AssertionError("a mistake went through")
    except ValueError as error:
        print("-", error)

# %% [markdown]
# ## How much does an answer tell?
#
# Among 100 equally likely classes, a fine answer rules out 99 others; a coarse answer that holds 5
# of them rules out 95. Information counts this in bits: log2(all classes / classes under the
# answer). A fine answer carries log2(100/1) = 6.64 bits.
#
# **Before you run the next cell: what do you expect?** The literature on such networks counts a
# coarse answer as *unspecific*: worth 0, where a fine one is worth 1. What share of the 6.64 bits
# does a coarse answer on CIFAR-100 (20 coarse classes of 5) really carry?

# %%
coarse_bits, fine_bits = (float(CIFAR100.information(level)[0]) for level in (0, 1))
share = coarse_bits / fine_bits
print(f"coarse {coarse_bits:.2f} bits, fine {fine_bits:.2f} bits: {100 * share:.0f} %")
assert round(100 * share) == 65

# %% [markdown]
# Two thirds, near enough. "It is a reptile" throws away a good deal less than it seems to. Keep
# both numbers in mind later on: *specificity* counts only fine answers, *information* gives coarse
# ones their due. In an uneven tree specificity is less fair still:

# %%
bits = FASHION_MNIST.information(0).tolist()
for name, held, value in zip(tree.class_names[0], tree.leaf_counts(0), bits, strict=True):
    print(f"{name:12s} holds {held} fine: {value:.2f} bits")
full = float(FASHION_MNIST.information(1)[0])
print(f"any fine answer: {full:.2f} bits")
assert sum(abs(value - full) < 1e-5 for value in bits) == 4

# %% [markdown]
# Four of the six coarse classes of this tree hold a single fine class. Whoever says *bottoms* has
# said *Trouser*. There a coarse answer costs nothing at all, and specificity still counts it as 0.
# Small trees like this one are good for learning, but do not read too much into them.

# %% [markdown]
# ### Exercise 2 · Bits
#
# How many bits does the answer *shoes* carry in the tree of Fashion-MNIST? Work it out from the
# formula, with `math.log2` or by hand, to two decimals or better.

# %% tags=["exercise"]
answer = ...

# %%
check(answer, 1.737, tolerance=0.01, hint="three of ten classes are shoes")

# %% [markdown]
# <details><summary>Hint</summary>
#
# *shoes* holds Sandal, Sneaker and Ankle boot: 3 of the 10 fine classes.
#
# </details>

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# import math
#
# answer = math.log2(10 / 3)
# ```
#
# </details>

# %% [markdown]
# ## The tree of CIFAR-100
#
# The study that this lab rebuilds works on CIFAR-100: 100 fine classes in 20 coarse classes of five
# each. hbnlab carries the tree, so you can look at it without the 169 MB of images. Some groups are
# groups for the eye (trees), others only for the mind: a *crab* and a *worm* look nothing alike.

# %%
assert CIFAR100.num_classes == (20, 100)
assert set(CIFAR100.leaf_counts(0).tolist()) == {5}
plots.to_html(plots.hierarchy_tree(CIFAR100))

# %% [markdown]
# A trap: the files number the fine classes alphabetically, so siblings are scattered. The five
# *people* have the numbers below. Dividing a fine number by five does **not** give the coarse one;
# only the tree knows.

# %%
people = CIFAR100.class_names[0].index("people")
print("people:", CIFAR100.leaves(0, people))
by_division = torch.arange(100) // 5
right = int((by_division == CIFAR100.ancestors(0)).sum())
print("fine // 5 finds the coarse class of", right, "of 100 classes")
assert right < 20

# %% [markdown]
# ## Three levels, and more
#
# Nothing stops at two. `with_coarser_level` puts another level on top of a tree, and everything
# that you have seen works between any two levels. Both data sets come with a three-level tree from
# the literature on such networks.

# %%
print("Fashion-MNIST:", FASHION_MNIST_THREE.level_names, FASHION_MNIST_THREE.num_classes)
print("CIFAR-100:    ", CIFAR100_THREE.level_names, CIFAR100_THREE.num_classes)
sneaker = FASHION_MNIST_THREE.class_names[-1].index("Sneaker")
path = FASHION_MNIST_THREE.label_table(torch.tensor([sneaker]))[0].tolist()
print(" > ".join(FASHION_MNIST_THREE.class_names[level][n] for level, n in enumerate(path)))
plots.to_html(plots.hierarchy_tree(FASHION_MNIST_THREE))

# %% [markdown]
# ### Exercise 3 · Where do they part?
#
# A network that takes a Sneaker for a Sandal is wrong, but not as wrong as one that takes it for a
# Dress. Write `last_shared(tree, a, b)`: the finest level (its number) at which the finest classes
# `a` and `b` are still the same class, or -1 if they share none.

# %% tags=["exercise"]
def last_shared(tree, a, b):
    ...


# %%
check_function(
    last_shared,
    [
        ((FASHION_MNIST_THREE, 5, 7), 1),  # Sandal and Sneaker are both shoes
        ((FASHION_MNIST_THREE, 5, 8), 0),  # Sandal and Bag are both goods
        ((FASHION_MNIST_THREE, 5, 3), -1),  # Sandal and Dress
        ((FASHION_MNIST_THREE, 5, 5), 2),
        ((CIFAR100, 2, 98), 0),
    ],
    hint="label_table gives the path of each class, coarsest first",
)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `tree.label_table(torch.tensor([a, b]))` has two rows. In how many columns do they agree? Once two
# classes have parted, they never meet again further down.
#
# </details>

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def last_shared(tree, a, b):
#     first, second = tree.label_table(torch.tensor([a, b]))
#     return int((first == second).sum()) - 1
# ```
#
# </details>

# %% [markdown]
# ## Glyphs: a data set with a knob
#
# The third data set is drawn, not photographed: 100 characters in 20 families of five, so the tree
# has the shape of CIFAR-100's. The members of a family look alike on purpose. It needs no file, it
# is the same to the byte everywhere, and every image knows how hard it was made.

# %%
drawn = data.load("glyphs", train_size=100, val_size=100, test_size=1_000)
assert GLYPHS.num_classes == CIFAR100.num_classes
sheet = plots.class_sheet(drawn.test.images, drawn.test.labels, GLYPHS)
plots.to_html(sheet)

# %% [markdown]
# The little function below draws any row of pictures with words for those who cannot see them.
# Then we ask for the same character, an eighth note, at rising difficulty: more rotation, blur and
# noise, less contrast, and clutter around it.

# %%
def strip(images, words):
    """Draw images side by side, with a description."""
    _, ax = plt.subplots(figsize=(1.1 * len(images), 1.2), layout="constrained")
    framed = [torch.nn.functional.pad(image, (1, 1, 1, 1), value=255) for image in images]
    ax.imshow(torch.cat(framed, dim=2).permute(1, 2, 0))
    ax.axis("off")
    plots.set_description(ax, words)
    return plots.to_html(ax)


# %%
note = GLYPHS.class_names[1].index("eighth_note")
hardness = torch.linspace(0, 1, 8)
rising, _ = glyphs.render(torch.full((8,), note), hardness, torch.Generator().manual_seed(3))
strip(rising, "Eight drawings of an eighth note, from easy on the left to hard on the right.")

# %% [markdown]
# ## Which changes keep a label?
#
# Training often flips images at random, to have more of them. **Before you run the next cell: what
# do you expect?** A boot that points the other way is a boot. What about an arrow? We draw a left
# arrow, mirror it, and put a right arrow beside it.

# %%
left, right = (GLYPHS.class_names[1].index(name) for name in ("left_arrow", "right_arrow"))
arrows, _ = glyphs.render(
    torch.tensor([left, right]), torch.zeros(2), torch.Generator().manual_seed(1)
)
strip(
    [arrows[0], arrows[0].flip(-1), arrows[1]],
    "A left arrow, its mirror image, and a right arrow: the mirror image is a right arrow too.",
)

# %% [markdown]
# The mirror image is a right arrow, with the label of a left one. Every such image would teach the
# network something false. So each split says which augmentations keep its labels, and training does
# no others, whatever you ask for. Test images are never augmented.

# %%
assert drawn.train.augmentations == ()
if pictures.name == "fashion_mnist":
    assert pictures.augmentations == ("crop", "flip")
print("Glyphs keep their labels under:", drawn.train.augmentations or "no augmentation at all")

# %% [markdown]
# ## Your own pictures
#
# If your images lie in nested folders, you have already drawn the tree: the nesting **is** the
# hierarchy. To try it, we save some glyphs as PNG files in folders `music/flat`, `chess/king` and
# so on, and read them back as if they were yours.

# %%
folder = tempfile.TemporaryDirectory()  # gone when the kernel stops
root = Path(folder.name)
for family, name in [("chess", "king"), ("chess", "rook"), ("music", "flat")]:
    (root / family / name).mkdir(parents=True)
    wanted = torch.full((10,), GLYPHS.class_names[1].index(name))
    images, _ = glyphs.render(wanted, torch.zeros(10), torch.Generator().manual_seed(0))
    for number, image in enumerate(images):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(root / family / name / f"{number}.png")

# %%
mine = data.load("folder", root=root, level_names=("family", "piece"))
print(mine.hierarchy.to_text())
print(len(mine.train), "to learn from,", len(mine.val), "to choose on,", len(mine.test), "to test")
assert mine.hierarchy.num_classes == (2, 3)
assert len(mine.train) + len(mine.val) + len(mine.test) == 30
for part in (mine.train, mine.val, mine.test):
    assert len(set(part.labels[:, 1].bincount().tolist())) == 1  # as many of each class

# %% [markdown]
# Validation and test images were taken from every class alike, and no image is in two parts. What
# you got has the same form as every other data set here, so each network and each figure of the
# following notebooks works on it: `hbnlab train --dataset folder --root DIR` is all it takes.

# %% [markdown]
# ## What you learned
#
# - One image has a right answer at every level; coarse labels follow from fine ones, not back.
# - Probabilities lift by adding up, and the best coarse answer need not be the parent of the best
#   fine answer.
# - A coarse answer on CIFAR-100 carries 65 % of the bits of a fine one, though specificity counts
#   it as 0.
# - A tree is checked when it is made, and siblings need not be neighbours in number.
# - Not every augmentation keeps every label.
#
# ## References
#
# - Krizhevsky, *Learning multiple layers of features from tiny images*, 2009 (CIFAR-100).
# - Xiao, Rasul and Vollgraf, *Fashion-MNIST*, arXiv 1708.07747, 2017.
# - Deng, Krause, Berg and Fei-Fei, *Hedging your bets*, CVPR 2012 (information of an answer).
# - Zhu and Bain, *B-CNN*, 2017, and Seo and Shin, *Hierarchical convolutional neural networks for
#   fashion image classification*, 2019 (the three-level trees).
#
# **Next:** [02 · Building a branchy net](02_building_a_branchy_net.ipynb)
