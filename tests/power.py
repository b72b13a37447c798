"""How often the samplers' checks see each wrong sampler, and refuse a right one: `python -m tests.power [RUNS]`."""

import sys

from banks import all_banks

SAMPLERS = (
    *("ancestral_sample", "nade_sample", "orderless_complete", "made_sample", "sample_mixture", "complete"),
    "sample_codes",
)


def main(runs: int) -> None:
    for bank, name in ((found, name) for found in all_banks() for name in found.checks if name in SAMPLERS):
        for entry in bank.of(name):
            reports = [bank.checks[name].run(entry.function, seed=f"power {run}") for run in range(runs)]
            refused = sum(bool(report.lost) for report in reports)
            exact = sum(report.lost == entry.loses for report in reports)
            kind = "right" if entry.is_right else "wrong"
            print(f"{kind}  {entry.name:<36} refused {refused / runs:8.4%}   as stated {exact / runs:8.4%}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
