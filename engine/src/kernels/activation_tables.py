#!/usr/bin/env python3
"""Makes the constants of activation.rs: two tables of segments, and one polynomial.

    python3 activation_tables.py        (needs numpy; takes ten seconds; prints Rust, and what it measured)

The integer activations cut |x| into eight segments and evaluate in each a polynomial of degree 4 of t, the place inside
the segment, in 16-bit fixed point:

    P = ((c4*t + c3)*t + c2)*t + c1)*t + r      every product as (a*b + 2^14) >> 15
    D = b + (P >> shift)                        the distance of the function from its centre, Q0.15

A segment is fitted in three steps: a minimax polynomial in real numbers (Lawson's reweighted least squares), rounding,
and a search among the neighbouring integers that judges each candidate by the integer arithmetic itself, on every input
of the segment: first by the largest error, then by the number of steps down. The search is seeded: two runs print the
same tables.
"""

import numpy as np

TRIES = 6000  # candidates judged for a segment


def mulhrs(a, b):
    """(a*b + 2^14) >> 15, the rounding high multiply of AVX2, NEON and Helium."""
    return (a * b + (1 << 14)) >> 15


def minimax(t, y, degree, weight=None):
    """Coefficients, lowest first, of the polynomial whose largest weighted error over the points is least."""
    weight = np.ones_like(y) if weight is None else weight
    basis = np.polynomial.chebyshev.chebvander(t / np.abs(t).max(), degree) * weight[:, None]
    target = y * weight
    lawson = np.ones_like(y)
    for _ in range(400):
        root = np.sqrt(lawson)
        fit = np.linalg.lstsq(basis * root[:, None], target * root, rcond=None)[0]
        error = np.abs(basis @ fit - target)
        lawson *= error + 1e-3 * error.max()
        lawson /= lawson.sum()
    power = np.polynomial.chebyshev.cheb2poly(fit)
    return power / np.abs(t).max() ** np.arange(degree + 1)


def horner(c, t):
    """P of the equation above, and whether every intermediate stays inside 16 bits and off -32768."""
    c4, c3, c2, c1, r, _ = c
    p = np.full_like(t, c4)
    fits = True
    for add in (c3, c2, c1, r):
        p = mulhrs(p, t) + add
        fits &= np.abs(p).max() <= 32767
    return p, fits


def judge(c, t, y, shift, pin):
    """(overflows, largest error in LSB, steps down, mean square error) of a candidate; less is better."""
    p, fits = horner(c, t)
    d = np.minimum(c[5] + (p >> shift), 32767)
    fits = fits and all(d[at] == value for at, value in pin) and d.min() >= 0
    error = d - y
    return (not fits, np.abs(error).max(), int((np.diff(d) < 0).sum()), (error**2).mean()), d


def fit(t, y, shift, rng, pin, limit):
    """The six integers (c4, c3, c2, c1, r, b) of one segment."""
    scale = float(1 << shift)
    real = minimax(t / 32768.0, y, 4)
    b = int(round((y.min() + y.max()) / 2))
    start = np.array(
        [*(np.round(real[k] * scale) for k in (4, 3, 2, 1)), np.round((real[0] - b + 0.5) * scale), b], dtype=np.int64
    )

    def key(score):
        # Below `limit` a smaller error matters less than a step down.
        overflow, error, down, square = score
        return (overflow, max(error, limit), down, error, square)

    best, best_score = start, judge(start, t, y, shift, pin)[0]
    for _ in range(TRIES):
        step = rng.integers(-2, 3, size=6)
        step[5] = 0
        step *= rng.random(6) < 0.5
        candidate = best + step
        score = judge(candidate, t, y, shift, pin)[0]
        if key(score) <= key(best_score):
            best, best_score = candidate, score
    return best, best_score


def sigmoid_inputs():
    """For u = |x| in Q3.12: segment and t, and the distance of the sigmoid from 1/2 in Q0.15."""
    u = np.arange(32768)
    return u, u >> 12, ((u << 4) & 0xFFFF) - 32768, 32768 / (1 + np.exp(-u / 4096)) - 16384


def tanh_inputs():
    """The same for tanh. [3,4) is squeezed by 2 and [4,6) by 4, so that eight segments of 0.5 reach to 6."""
    u = np.arange(32768)
    warped = u - (np.maximum(u - 3 * 4096, 0) >> 1) - (np.maximum(u - 4 * 4096, 0) >> 2)
    warped = np.minimum(warped, 4 * 4096 - 1)
    return u, warped >> 11, ((warped << 5) & 0xFFFF) - 32768, 32768 * np.tanh(u / 4096)


def table(name, inputs, shift, end, limit, seed):
    """Fits all segments, prints the table, and measures it over every input below and above `end`."""
    rng = np.random.default_rng(seed)
    u, segment, t, y = inputs
    rows, all_d = [], np.zeros_like(u)
    for s in range(8):
        here = (segment == s) & (u < end)
        pin = [(0, 0)] if s == 0 else []
        row, score = fit(t[here], y[here], shift, rng, pin, limit)
        assert not score[0], f"{name}: segment {s} overflows"
        rows.append(row)
        whole = segment == s
        all_d[whole] = judge(row, t[whole], y[whole], shift, [])[1]
        print(f"//   segment {s}: error {score[1]:.4f} LSB, {score[2]} steps down")
    error = np.abs(all_d - y)
    down = np.diff(all_d)
    print(f"// {name}: largest error {error[u < end].max():.4f} LSB below {end / 4096}, {error.max():.4f} in all;")
    print(f"//   {(down < 0).sum()} steps down, the deepest {down.min()}; largest value {all_d.max()}")
    for label, column in zip(("c4", "c3", "c2", "c1", "r ", "b "), zip(*rows)):
        print(f"        [{', '.join(str(int(v)) for v in column)}], // {label}")


def expm1_tail():
    """q of e^r = 1 + r + r^2 q(r) for |r| <= ln2/2 (and a little more), least error relative to r."""
    r = np.cos(np.linspace(0, np.pi, 4001)) * 0.3475
    r = r[np.abs(r) > 1e-3]
    y = (np.expm1(r) - r) / (r * r)
    q = minimax(r, y, 4, weight=np.abs(r))
    q32 = q.astype(np.float32)
    value = r + r * r * np.polyval(q32[::-1].astype(np.float64), r)
    print(f"// expm1: largest error relative to r {np.abs(value / np.expm1(r) - 1).max() / 2**-24:.3f} * 2^-24")
    print("    [" + ", ".join(f"{float(v):.9e}" for v in q32) + "]")


if __name__ == "__main__":
    table("sigmoid", sigmoid_inputs(), 3, 32768, 0.70, 1)
    table("tanh", tanh_inputs(), 2, 6 * 4096, 0.80, 2)
    expm1_tail()
