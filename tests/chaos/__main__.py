"""`python -m tests.chaos`: storms of any length; the first that breaks something ends it and shows its timeline."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys

from tests.chaos.plan import plan
from tests.chaos.storm import storm


def main() -> int:
    """Run storms and return the exit code: 0 when everything held, 1 when not."""
    parser = argparse.ArgumentParser("python -m tests.chaos", description="Break the stack and see what holds.")
    parser.add_argument("--seed", type=int, help="what decides everything (default: a new one)")
    parser.add_argument("--runs", type=int, default=3000, help="runs in a storm (default: %(default)s)")
    parser.add_argument("--rounds", type=int, help="rounds of seven faults (default: one for every 250 runs)")
    parser.add_argument("--storms", type=int, default=1, help="storms, each of the next seed (default: %(default)s)")
    parser.add_argument("--calm", action="store_true", help="let nothing go wrong")
    parser.add_argument("--verbose", "-v", action="store_true", help="show the whole timeline also when all is well")
    options = parser.parse_args()
    first = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    for seed in range(first, first + options.storms):
        rounds = options.rounds or max(1, options.runs // 250)
        print(f"seed {seed}: {options.runs} runs, {rounds} round(s) of faults", flush=True)
        try:
            timeline = asyncio.run(storm(plan(seed, options.runs, rounds), stop_faults=options.calm))
        except AssertionError as broken:
            print(broken.__context__ or "", broken, sep="\n", file=sys.stderr)
            return 1
        print("\n".join(line for line in timeline.lines if options.verbose or "is accepted" not in line))
    return 0


if __name__ == "__main__":
    sys.exit(main())
