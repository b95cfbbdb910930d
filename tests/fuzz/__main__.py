"""Runs targets with atheris, guided by coverage: ``scripts/fuzz --help``.

Each target runs in a process of its own (``--in-process``). What it finds is in
``build/fuzz/TARGET``: ``crash-…`` (an exception), ``timeout-…`` and ``oom-…``; what reached new
code is in ``build/fuzz/TARGET/corpus`` and is gone on from the next time.
"""

import argparse
import logging
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from random import Random
from typing import cast

from tests.fuzz.mutation import mutated
from tests.fuzz.target import CORPUS, TARGETS, TOKENS, opened

BUILD = Path("build/fuzz")

#: The share of inputs in which values are changed rather than bytes.
_SHARE = 0.6

#: Limits of one input, and of the process: seconds and MB.
HANG_SECONDS, MOST_MB = 10, 1024


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/fuzz",
        description="Looks for inputs that do harm.",
        epilog="targets: " + "; ".join(f"{name}: {what}" for name, (what, _) in TARGETS.items()),
    )
    parser.add_argument("target", nargs="?", choices=TARGETS, help="default: all, one by one")
    parser.add_argument("inputs", nargs="*", type=Path, help="files to run again, as crash-…")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: 60)")
    parser.add_argument("--in-process", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def replay(name: str, inputs: list[Path]) -> None:
    """Run the target with these inputs alone; the traceback of the first finding ends it."""
    with tempfile.TemporaryDirectory() as folder, opened(name, Path(folder)) as run:
        for one in inputs:
            print(f"{name}: {one}", flush=True)
            run(one.read_bytes())
    print(f"{name}: {len(inputs)} inputs did no harm")


def search(name: str, seconds: int) -> None:
    """Look for findings; libFuzzer ends the process, with 0 when there are none."""
    atheris = import_module("atheris")  # only the extra `fuzz` has it, and it has no types
    place = BUILD / name
    (place / "corpus").mkdir(parents=True, exist_ok=True)
    tokens = place / "tokens"
    escaped = ("".join(f"\\x{byte:02x}" for byte in token) for token in TOKENS)
    tokens.write_text("".join(f'"{token}"\n' for token in escaped))
    arguments = [
        *(sys.argv[0], f"-max_total_time={seconds}", f"-max_len={TARGETS[name][1]}"),
        *(f"-timeout={HANG_SECONDS}", f"-rss_limit_mb={MOST_MB}", f"-artifact_prefix={place}/"),
        *(f"-dict={tokens}", "-len_control=20", "-print_final_stats=1", "-verbosity=0"),
        *(str(place / "corpus"), str(CORPUS / name)),
    ]
    logging.getLogger("otel_emqx_monitor").propagate = True
    with tempfile.TemporaryDirectory() as folder:
        with atheris.instrument_imports(include=["otel_emqx_monitor", "h11", "yaml"]):
            target = opened(name, Path(folder))
            run = target.__enter__()  # libFuzzer never comes back to leave it

        def mutate(data: bytes, longest: int, seed: int) -> bytes:
            random = Random(seed)  # noqa: S311 (it chooses inputs)
            changed = mutated(name, data, random) if random.random() < _SHARE else None
            if changed is None or len(changed) > longest:
                return cast("bytes", atheris.Mutate(data, longest))
            return changed

        atheris.Setup(arguments, run, custom_mutator=mutate)
        atheris.Fuzz()


def main() -> int:
    chosen = options()
    if chosen.inputs:
        replay(chosen.target, chosen.inputs)
        return 0
    if chosen.in_process:
        search(chosen.target, chosen.seconds)
    failed = []
    for name in [chosen.target] if chosen.target else TARGETS:
        print(f"{name}: {chosen.seconds} s", flush=True)
        command = [sys.executable, "-m", "tests.fuzz", name, "--in-process"]
        if subprocess.run([*command, f"--seconds={chosen.seconds}"], check=False).returncode:
            failed.append(name)
    for name in failed:
        print(f"{name}: found something, see {BUILD / name}; again: scripts/fuzz {name} FILE")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
