"""Divides small public sets of texts into training and test parts, and runs two linear baselines on the same parts.

    python baselines.py TEXT SST2 OUT --seeds 1,2,3

TEXT holds `trec_train.label`, `trec_test.label` (Latin-1, `COARSE:fine text`) and `names/*.txt` (a class a file, a name a line); SST2 holds
`sst2_train.tsv.gz` and `sst2_dev.tsv.gz` (label, tab, text). OUT gets a folder a set and seed with `train.tsv` and `test.tsv`, and
`baselines.jsonl` with one line for each.

The baselines are TF-IDF of words 1-2 and of characters 1-4, each with logistic regression (scikit-learn's defaults, 1,000 iterations).
"""

import argparse
import gzip
import json
import pathlib
import random
import re

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline


def trec(path, fine):
    rows = []
    for line in path.read_text(encoding="latin-1").rstrip("\n").split("\n"):
        label, text = line.split(" ", 1)
        rows.append((label if fine else label.split(":")[0], text))
    return rows


def labelled(path):
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        return [tuple(line.rstrip("\n").split("\t", 1)) for line in file]


def names(folder):
    """All distinct pairs of class and name."""
    rows = set()
    for path in sorted(folder.glob("*.txt")):
        for name in path.read_text(encoding="utf-8").splitlines():
            name = re.sub(r"\s+", " ", name).strip()
            if name:
                rows.add((path.stem, name))
    return sorted(rows)


def held_out(rows, seed, share):
    """Divides by distinct names, so that no name is in both parts."""
    distinct = sorted({text for _, text in rows})
    random.Random(seed).shuffle(distinct)
    test = set(distinct[: round(len(distinct) * share)])
    return [row for row in rows if row[1] not in test], [row for row in rows if row[1] in test]


def first(rows, seed, count):
    rows = list(rows)
    random.Random(seed).shuffle(rows)
    return rows[:count]


def sets(text, sst2, seed):
    for name, fine in [("trec-6", False), ("trec-50", True)]:
        yield name, trec(text / "trec_train.label", fine), trec(text / "trec_test.label", fine)
    yield "names", *held_out(names(text / "names"), seed, 0.2)
    train, dev = labelled(sst2 / "sst2_train.tsv.gz"), labelled(sst2 / "sst2_dev.tsv.gz")
    for count in [500, 1000, 3000]:
        yield f"sst2-{count}", first(train, seed, count), dev


def write(path, rows):
    path.write_text("".join(f"{label}\t{text}\n" for label, text in rows), encoding="utf-8")


def judge(model, train, test):
    model.fit([text for _, text in train], [label for label, _ in train])
    right = [label for label, _ in test]
    said = model.predict([text for _, text in test])
    accuracy = sum(a == b for a, b in zip(right, said)) / len(right)
    return {"accuracy": accuracy, "macro_f1": f1_score(right, said, average="macro", zero_division=0)}


def main():
    parser = argparse.ArgumentParser()
    for name in ["text", "sst2", "out"]:
        parser.add_argument(name, type=pathlib.Path)
    parser.add_argument("--seeds", default="1,2,3")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with open(arguments.out / "baselines.jsonl", "w", encoding="utf-8") as file:
        for seed in map(int, arguments.seeds.split(",")):
            for name, train, test in sets(arguments.text, arguments.sst2, seed):
                folder = arguments.out / f"{name}-{seed}"
                folder.mkdir(exist_ok=True)
                write(folder / "train.tsv", train)
                write(folder / "test.tsv", test)
                logistic = dict(max_iter=1000)
                words = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(**logistic))
                characters = make_pipeline(
                    TfidfVectorizer(analyzer="char", ngram_range=(1, 4), lowercase=True), LogisticRegression(**logistic)
                )
                line = {
                    "set": name,
                    "seed": seed,
                    "train": len(train),
                    "test": len(test),
                    "words": judge(words, train, test),
                    "characters": judge(characters, train, test),
                }
                print(json.dumps(line), flush=True)
                file.write(json.dumps(line) + "\n")


main()
