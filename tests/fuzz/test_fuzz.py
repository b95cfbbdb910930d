"""Every seed of every target, and some inputs made of each, within seconds.

``scripts/fuzz`` goes on from there for as long as one likes.
"""

import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.mutation import mutated
from tests.fuzz.target import CORPUS, TARGETS, TOKENS, Run, opened, seeds

ROOT = Path(__file__).parents[2]

#: How long one input may take, in seconds: it is a hang then, however busy the machine is.
HANG = 20

#: So many inputs are made of the seeds of a target; the same ones each time.
MADE = 60


def test_every_target_has_its_seeds_and_they_are_small() -> None:
    assert {one.name for one in CORPUS.iterdir()} == set(TARGETS)
    for name, (_, longest) in TARGETS.items():
        assert all(one.stat().st_size <= longest for one in seeds(name)), name


@contextmanager
def no_hang() -> Iterator[None]:
    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError("this input is a hang")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.alarm(HANG)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module", params=list(TARGETS))
def target(request: pytest.FixtureRequest) -> Iterator[tuple[str, Run]]:
    with tempfile.TemporaryDirectory() as folder, opened(request.param, Path(folder)) as run:
        yield request.param, run


def test_no_seed_does_harm(target: tuple[str, Run]) -> None:
    name, run = target
    for seed in seeds(name):
        with no_hang():
            try:
                run(seed.read_bytes())
            except BaseException as error:
                error.add_note(f"with the seed {seed.name}: scripts/fuzz {name} {seed}")
                raise


def test_nothing_made_of_the_seeds_does_harm(target: tuple[str, Run]) -> None:
    name, run = target
    contents = [one.read_bytes() for one in seeds(name)]

    @settings(
        max_examples=MADE,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(made_of(name, contents))
    def search(data: bytes) -> None:
        with no_hang():
            run(data)

    search()


@st.composite
def made_of(draw: st.DrawFn, name: str, contents: list[bytes]) -> bytes:
    """Draw a seed with other values, cuts, repeats, and strange parts put in."""
    data = draw(st.sampled_from(contents))
    random = draw(st.randoms(use_true_random=False))
    for _ in range(draw(st.integers(0, 4))):
        data = mutated(name, data, random) or data
    for _ in range(draw(st.integers(0, 3))):
        begin = draw(st.integers(0, len(data)))
        end = min(len(data), begin + draw(st.sampled_from([0, 0, 1, 4, 40])))
        other = draw(st.sampled_from(contents))
        part = draw(
            st.one_of(
                st.sampled_from(TOKENS),
                st.binary(max_size=8),
                st.just(data[begin:end] * 3),
                st.integers(0, len(other)).map(lambda at, other=other: other[at : at + 40]),  # type: ignore[misc] # a default of a lambda
            )
        )
        data = data[:begin] + part + data[end:]
    return data[: TARGETS[name][1]]


def fuzz(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.fuzz", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def test_a_file_is_run_again_by_its_name(tmp_path: Path) -> None:
    seed = CORPUS / "config" / "dates"
    done = fuzz(tmp_path, "config", str(seed))
    assert (done.returncode, done.stdout) == (
        0,
        f"config: {seed}\nconfig: 1 inputs did no harm\n",
    )


def test_a_search_goes_on_from_the_seeds_and_keeps_what_it_learns(tmp_path: Path) -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris is not installed; run: scripts/environment test fuzz")
    done = fuzz(tmp_path, "config", "--seconds=1")
    assert done.returncode == 0, done.stdout
    assert f"{len(seeds('config'))} files found in {CORPUS / 'config'}" in done.stdout
    assert list((tmp_path / "build/fuzz/config/corpus").iterdir())
