"""The least that there can be: what a case would cost if nothing but its core had to be done."""

import msgspec

from benchmarks.agent import page_body, samples
from benchmarks.fleet import BROKER, BenchFleet
from benchmarks.measuring import Job, Measured, main, measure
from otel_emqx_monitor.columns import Block
from otel_emqx_monitor.emqx.rows import Page
from otel_emqx_monitor.instruments import register
from otel_emqx_monitor.meter import BulkMeterProvider, Sort
from otel_emqx_monitor.readers.exposition import label_text

#: Begin and end of the lines of one block, and what stands between: texts of clients, and values.
Lines = tuple[str, str, list[str], list[float]]


def scrape(job: Job) -> Measured:
    """Label texts of clients and lists of values to an exposition without HELP and TYPE.

    One f-string for each sample; the texts are made already, and no value is looked up or checked.
    """
    fleet = BenchFleet(job)
    provider = BulkMeterProvider()
    register(provider.get_meter(BROKER), fleet)

    def blocks(turn: int) -> list[Lines]:
        fleet.snapshot_of(turn)
        return [
            _lines(reading.instrument.name, reading.instrument.sort, block)
            for reading in provider.collect()
            if reading.column.time is not None
            for block in reading.column.blocks
        ]

    return measure(job, blocks, _render, lambda made: samples([made]))


def _lines(name: str, sort: Sort, block: Block) -> Lines:
    texts = [label_text(labels) for labels in block.group.members]
    head = f"{name}_total{{" if sort is Sort.SUM else f"{name}{{"
    extra = label_text(block.extra)
    return head, f",{extra}}} " if extra else "} ", texts, list(block.values)


def _render(blocks: list[Lines]) -> bytes:
    return b"".join(
        [
            "".join(
                [f"{head}{text}{tail}{value}\n" for text, value in zip(texts, values, strict=True)]
            ).encode()
            for head, tail, texts, values in blocks
        ]
    )


def decode(job: Job) -> Measured:
    """The body of a page to typed rows, by msgspec alone."""
    body = page_body(job)
    decoder = msgspec.json.Decoder(Page)
    return measure(job, lambda _: body, decoder.decode, lambda page: len(page.data))


if __name__ == "__main__":
    main({"scrape": scrape, "decode": decode})
