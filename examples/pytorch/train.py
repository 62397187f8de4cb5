"""Trains Embedding > LSTM > pooling > one logit on the ids that `latch tokens` wrote, and saves what `latch import` reads."""

import argparse
import json
import random

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

SIZES = ["rows", "embedding", "units", "layers", "pooling"]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class Net(nn.Module):
    """`embedding`, `lstm` and `head` are the names that Latch knows; what has no weights may be added as one likes."""

    def __init__(self, rows, embedding, units, layers, pooling, dropout=0.3):
        super().__init__()
        self.pooling = pooling
        self.embedding = nn.Embedding(rows, embedding)
        self.lstm = nn.LSTM(embedding, units, layers, batch_first=True)
        self.head = nn.Linear(units, 1)
        self.dropout = nn.Dropout(dropout)
        nn.init.uniform_(self.embedding.weight, -0.05, 0.05)

    def forward(self, ids, lengths):
        """Logits of padded ids (texts x tokens) with these lengths, which are on the CPU. Padding reaches no pooling: behind the end hidden is 0."""
        embedded = self.dropout(self.embedding(ids))
        packed, (final, _) = self.lstm(pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False))
        hidden, _ = pad_packed_sequence(packed, batch_first=True)
        lengths = lengths.to(hidden.device)[:, None]
        padding = (torch.arange(hidden.shape[1], device=hidden.device) >= lengths)[..., None]
        largest = hidden.masked_fill(padding, float("-inf")).amax(1)
        counts = torch.exp(4 * hidden[..., :1]).masked_fill(padding, 0.0)
        attended = (counts * hidden).sum(1) / counts.sum(1)
        seen = {"last": final[-1], "mean": hidden.sum(1) / lengths, "max": largest, "attention": attended}[self.pooling]
        return self.head(self.dropout(seen)).squeeze(1)


def read(path, tokens):
    """The texts with a word in them: the last ids of each, and its label."""
    rows = map(json.loads, open(path, encoding="utf-8"))
    return [(torch.tensor(row["ids"][-tokens:]), float(row["label"])) for row in rows if row["ids"]]


def batches(texts, size):
    """Batches of texts of like length, in random order."""
    texts = sorted(texts, key=lambda text: (len(text[0]), random.random()))
    for at in random.sample(range(0, len(texts), size), -(-len(texts) // size)):
        ids, labels = zip(*texts[at : at + size])
        lengths = torch.tensor([len(each) for each in ids])
        yield pad_sequence(ids, batch_first=True).to(DEVICE), lengths, torch.tensor(labels, device=DEVICE)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ["--train", "--valid", "--out"]:
        parser.add_argument(name, required=True)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--vocabulary", help="file of `latch tokens`, for a new network")
    source.add_argument("--start", help="file of `latch export --format safetensors`, to go on from")
    for name, default in [("embedding", 16), ("units", 32), ("layers", 1), ("epochs", 8), ("batch", 32), ("tokens", 400), ("lr", 3e-3)]:
        parser.add_argument(f"--{name}", type=type(default), default=default)
    parser.add_argument("--pooling", choices=["last", "mean", "max", "attention"], default="attention")
    args = parser.parse_args()
    random.seed(1), torch.manual_seed(1)
    training, validation = read(args.train, args.tokens), read(args.valid, args.tokens)
    if args.start:
        note = json.loads(safe_open(args.start, "pt").metadata()["latch"])
    else:
        words = open(args.vocabulary, encoding="utf-8").read().split("\n")[:-1]
        # One row more than words if an id says so: the row of unknown words.
        rows = max(len(words), 1 + max(int(ids.max()) for ids, _ in training + validation))
        note = {"rows": rows, "vocabulary": words} | {key: getattr(args, key) for key in SIZES[1:]}
    net = Net(*[note[key] for key in SIZES]).to(DEVICE)
    if args.start:
        net.load_state_dict(load_file(args.start))
    optimizer, loss, best = torch.optim.Adam(net.parameters(), lr=args.lr), nn.BCEWithLogitsLoss(), float("inf")
    for epoch in range(1, args.epochs + 1):
        net.train()
        for ids, lengths, labels in batches(training, args.batch):
            net.zero_grad()
            loss(net(ids, lengths), labels).backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
        net.eval()
        with torch.no_grad():
            logits, labels = map(torch.cat, zip(*[(net(*inputs), labels) for *inputs, labels in batches(validation, 256)]))
        valid, accuracy = loss(logits, labels).item(), ((logits >= 0) == (labels > 0.5)).float().mean().item()
        print(f"epoch {epoch}  validation loss {valid:.4f}, accuracy {100 * accuracy:.2f} %", flush=True)
        if valid < best:
            best = valid
            tensors = {name: tensor.cpu().clone() for name, tensor in net.state_dict().items()}
            save_file(tensors, args.out, metadata={"latch": json.dumps(note | {"layout": "pytorch", "gates": "i,f,g,o"})})


if __name__ == "__main__":
    main()
