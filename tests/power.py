"""How often the sampler's check sees each wrong sampler, and refuses a right one: `python -m tests.power [RUNS]`."""

import sys

from tests.submissions.likelihood import bank


def main(runs: int) -> None:
    check = bank.checks["ancestral_sample"]
    for entry in bank.of(check.name):
        reports = [check.run(entry.function, seed=f"power {run}") for run in range(runs)]
        refused = sum(bool(report.lost) for report in reports)
        exact = sum(report.lost == entry.loses for report in reports)
        kind = "right" if entry.is_right else "wrong"
        print(f"{kind}  {entry.name:<36} refused {refused / runs:8.4%}   as stated {exact / runs:8.4%}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
