"""Many scrapers that come to one agent at once."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measuring import Job, Measured, main, rss_bytes
from benchmarks.processes import ENVIRON, ROOT, end_of, simulator
from benchmarks.program import OPENMETRICS, running_agent, scrape, write_config


def crowd(job: Job) -> Measured:
    """So many scrapers as ``job.runs``: the CPU seconds and peak memory of the agent meanwhile."""
    with simulator(job.clients) as url, tempfile.TemporaryDirectory() as folder:
        config = write_config(Path(folder), url, job.clients, None, ttl=15.0)
        with running_agent(config) as (process, metrics):
            while scrape(metrics, OPENMETRICS).count(b',client_id="') < job.clients:
                pass  # the first poll takes as long as the broker does
            scrapers = subprocess.run(  # noqa: S603 (this project's own)
                [sys.executable, "-m", "benchmarks.scrapers", metrics, str(job.runs)],
                cwd=ROOT,
                env=ENVIRON,
                stdout=subprocess.PIPE,
                encoding="utf-8",
                check=True,
            )
            process.terminate()
            usage = end_of(process)
    found = json.loads(scrapers.stdout)
    if found["served"] < job.runs or found["clients"] != [job.clients]:
        return Measured(failure=f"not all were served: {found}")
    return Measured(
        runs=[usage.ru_utime + usage.ru_stime],
        amount=job.runs,
        peak_rss=rss_bytes(usage),
        figures={"scrapers": float(job.runs), "seconds": found["seconds"]},
    )


if __name__ == "__main__":
    main({"crowd": crowd})
