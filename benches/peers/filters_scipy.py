"""Generates tests/golden/filters.json: impulse and frequency responses of twelve filters, by SciPy in f64.

Filters are specified in plusminus's syntax (design, order and cut-off as a period in steps; poles; b and a). Low-pass filters have
unit DC gain. `bessel` has `norm="mag"`, so that its gain at the cut-off is -3 dB as for the other designs. SciPy has no
critically damped filter: n equal analog poles at -1 / sqrt(2^(1/n) - 1), with -3 dB at 1 rad/s.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import scipy
from scipy import signal

STEPS, FREQUENCIES = 240, np.concatenate([[0.0], np.geomspace(1e-5, 0.499, 40)])


def critical(order: int, cutoff: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Bilinear transform of n equal poles, pre-warped at the cut-off; sampling rate 1."""
    pole = -2 * np.tan(np.pi / cutoff) / np.sqrt(2 ** (1 / order) - 1)
    return signal.bilinear_zpk([], np.full(order, pole), (-pole) ** order, fs=1)


def designed(design: str, order: int, cutoff: float) -> tuple[np.ndarray, np.ndarray, float]:
    if design == "butterworth":
        return signal.butter(order, 1 / cutoff, output="zpk", fs=1)
    if design == "bessel":
        return signal.bessel(order, 1 / cutoff, norm="mag", output="zpk", fs=1)
    return critical(order, cutoff)


def all_pole(poles: list[complex]) -> tuple[np.ndarray, np.ndarray, float]:
    poles = np.array(poles + [p.conjugate() for p in poles if p.imag])
    return np.zeros(len(poles)), poles, np.prod(1 - poles).real


def responses(z: np.ndarray, p: np.ndarray, k: float) -> dict[str, list]:
    impulse = signal.sosfilt(signal.zpk2sos(z, p, k), np.eye(1, STEPS)[0])
    _, h = signal.freqz_zpk(z, p, k, worN=FREQUENCIES, fs=1)
    return {"impulse": impulse.tolist(), "response": np.stack([h.real, h.imag], 1).tolist()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    filters = []
    for design, order, cutoff in [
        ("butterworth", 1, 50), ("butterworth", 2, 500), ("butterworth", 5, 20), ("butterworth", 8, 100),
        ("bessel", 2, 500), ("bessel", 4, 100), ("bessel", 7, 30), ("critical", 2, 1000), ("critical", 3, 10),
    ]:  # fmt: skip
        spec = {"design": design, "order": order}
        filters.append({"filter": spec, "cutoff": cutoff, **responses(*designed(design, order, cutoff))})
    for poles in ["0.999,0.9", "0.95+0.1i,0.8"]:
        values = [complex(p.replace("i", "j")) for p in poles.split(",")]
        filters.append({"filter": {"poles": poles}, **responses(*all_pole(values))})
    b, a = signal.ellip(5, 0.5, 60, 0.1)
    filters.append({"filter": {"b": b.tolist(), "a": a.tolist()}, **responses(*signal.tf2zpk(b, a))})
    versions = {"scipy": scipy.__version__, "numpy": np.__version__}
    whole = {"made_with": versions, "frequencies": FREQUENCIES.tolist(), "filters": filters}
    out.write_text(json.dumps(whole, separators=(",", ":")).replace('{"filter"', '\n{"filter"') + "\n")


if __name__ == "__main__":
    main()
