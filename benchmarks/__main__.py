"""`python -m benchmarks` runs every benchmark and prints one table."""

import torch

from benchmarks import (
    capture,
    checks,
    fvbn,
    gan,
    grading,
    latents,
    made,
    mixtures,
    nade,
    pixelcnn,
    pixelrnn,
    samples,
    wavenet,
)
from course_lib import device

MEASURED = (fvbn, nade, made, mixtures, pixelcnn, pixelrnn, wavenet, capture, latents, gan, samples, grading)


def main() -> None:
    print(f"torch {torch.__version__}, {device()}, {torch.get_num_threads()} threads")
    for lesson, answers, seconds, slowest, longest in checks.measure():
        print(f"checks of {lesson}: {answers} right answers in {seconds:.2f} s, {slowest} alone in {longest:.2f} s")
    spent = grading.processor_time()
    print(
        f"class run of {grading.LESSON}: {spent.overhead:.2f} s of CPU time per submission, plus "
        f"{spent.alone:.2f} s for its answers and checks; {spent.start:.0f} s for the start"
    )
    line = "{:62}{:18}{:>10}  {:20}{:>10}{:>8}".format
    print(line("", "", "ms", "", "ms", "ratio"))
    for measured in MEASURED:
        for c in measured.measure():
            fast, slow = 1e3 * c.fast_seconds, 1e3 * c.slow_seconds
            print(line(c.what, c.fast, f"{fast:.2f}", c.slow, f"{slow:.2f}", f"{slow / fast:.2f}"))


if __name__ == "__main__":
    main()
