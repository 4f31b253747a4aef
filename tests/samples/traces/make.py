"""Writes the sample traces beside it: made-up requests in the layouts of public traces."""

import json
import random
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    """Forty requests in each layout."""
    rng = random.Random(7)
    now, azure, burst, moon = 0.0, [], [], []
    for i in range(40):
        now += rng.expovariate(1.0)
        given, answer = 1 + int(rng.lognormvariate(6.5, 1.0)), 1 + int(rng.lognormvariate(4.0, 1.0))
        azure.append(f"2024-03-01 09:{int(now) // 60:02d}:{now % 60:010.7f},{given},{answer}")
        failed = i % 13 == 5
        burst.append(f"{round(now)},{'GPT-4' if i % 3 else 'ChatGPT'},{given},{0 if failed else answer},"
                     f"{given + (0 if failed else answer)},{'API log' if i % 2 else 'Conversation log'}")
        long = 512 * (1 + i % 5) + given
        ids = [0, *(range(1, 4) if i % 2 else ()), *range(100 * (i + 1), 100 * (i + 1) + 20)][:-(-long // 512)]
        moon.append(json.dumps({"timestamp": int(now) * 1000, "input_length": long, "output_length": answer,
                                "hash_ids": ids}))
    (HERE / "azure.csv").write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *azure]) + "\n")
    header = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type"
    (HERE / "burstgpt.csv").write_text("\n".join([header, *burst]) + "\n")
    (HERE / "mooncake.jsonl").write_text("\n".join(moon) + "\n")


if __name__ == "__main__":
    main()
