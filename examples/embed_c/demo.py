"""Train nothing, save an LSTM, and run it over a second of a tone: python demo.py."""

import sys
import tempfile
import wave
from pathlib import Path

import numpy as np
import wavfilter

import rnncore as rc

RATE = 16_000


def write(path, samples):
    """Write 16-bit samples of one channel."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.astype("<i2").tobytes())


def read(path):
    """The samples of a file."""
    with wave.open(str(path), "rb") as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def main(folder):
    """Compare what the extension writes with what Python computes."""
    model = rc.Model([rc.LSTM(1, 16), rc.Linear(16, 1)], seed=0)
    model.save(folder / "effect.safetensors")
    tone = np.round(20_000 * np.sin(2 * np.pi * 440 / RATE * np.arange(RATE)))
    write(folder / "in.wav", tone)
    y, _ = model.infer((tone / 32768).astype(np.float32)[:, None])
    expected = np.clip(y[:, 0] * 32768, -32768, 32767).astype("<i2")
    for block in (1, 64, 1000):
        wavfilter.run(*(str(folder / name) for name in ("effect.safetensors", "in.wav",
                                                        "out.wav")), block=block)
        if not np.array_equal(read(folder / "out.wav"), expected):
            sys.exit(f"blocks of {block} differ from Python's")
    (folder / "bad.wav").write_bytes(b"RIFF")
    for names in (("missing", "in.wav"), ("effect.safetensors", "bad.wav")):
        try:
            wavfilter.run(*(str(folder / name) for name in names), str(folder / "out.wav"))
        except ValueError as error:
            print(f"refused: {error}")
        else:
            sys.exit(f"{names} were accepted")
    print(f"{len(expected)} samples, the same bits as Python's")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(temporary))
