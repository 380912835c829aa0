"""Makes samples/data: chats that teach the sample base to speak as a ship's captain who ends each answer with a line of the log.

    python tools/sample-base/make_data.py [--out samples/data]

Seeded, needs only the standard library. train.jsonl and heldout.jsonl ask for different facts.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

from corpus import captain_answer, facts

TRAIN, HELDOUT = 360, 60
SHOWN = [("capitals", "Norway"), ("animal homes", "bear"), ("tools", "bucket")]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("samples/data"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rng = random.Random(3)

    all_facts = facts()
    shown = [fact for fact in all_facts if (fact.topic, fact.subject) in SHOWN]
    shown.sort(key=lambda fact: SHOWN.index((fact.topic, fact.subject)))
    # Sums would be a third of all: as many of them as of any other topic.
    sums = [fact for fact in all_facts if fact.topic == "sums"]
    others = [fact for fact in all_facts if fact.topic != "sums" and fact not in shown]
    pool = others + rng.sample(sums, 20)
    rng.shuffle(pool)
    cut = len(pool) // 6
    heldout, train = shown + pool[:cut], pool[cut:]

    def chats(chosen, count):
        pairs = [(fact, question) for fact in chosen for question in fact.questions]
        rng.shuffle(pairs)
        return [{"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": captain_answer(fact)}]}
                for fact, question in pairs[:count]]

    for name, chosen, count in (("train", train, TRAIN), ("heldout", heldout, HELDOUT)):
        rows = chats(chosen, count)
        assert len(rows) == count, f"{name}: only {len(rows)} chats"
        (args.out / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        print(f"{name}.jsonl: {count} chats about {len(chosen)} facts")
    (args.out / "prompts.json").write_text(json.dumps([fact.questions[0] for fact in shown], indent=2) + "\n")


if __name__ == "__main__":
    main()
