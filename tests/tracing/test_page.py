"""The collector and the commands of docs/tracing.md show what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.ports import free_port
from tests.serving import Output, serve

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tracing.md").read_text()
SECONDS = 60


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def test_the_page_shows_a_publish_and_its_delivery(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    port = free_port()
    script = tmp_path / "traces.py"
    script.write_text(block("python").replace("4318", str(port)))
    collector = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert collector.stdout
    assert collector.stderr
    output = Output(collector.stdout, collector.stderr)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    try:
        with serve(tracing=True) as server:
            held = "curl -s 127.0.0.1:8080/metrics | grep -q '^pushhub_holds 1$'"
            assert "sleep 1;" in block("sh")
            commands = (
                block("sh")
                .replace("sleep 1;", f"until {held}; do :; done;")
                .replace("127.0.0.1:8080", f"127.0.0.1:{server.port}")
            )
            subprocess.run(
                ["bash", "-ec", commands], check=True, capture_output=True, timeout=SECONDS
            )
            trace = "4bf92f3577b34da6a3ce929d0e0e4736"
            ids = r"([0-9a-f]{16}|-) ([0-9a-f]{16})"
            request = output.find(re.compile(rf"{trace} {ids} POST /v1/\S+$"), SECONDS)
            send = output.find(re.compile(rf"{trace} {ids} send orders$"), SECONDS)
            delivery = output.find(
                re.compile(rf"{trace} {ids} deliver orders ([0-9a-f]{{16}})$"), SECONDS
            )
    finally:
        collector.terminate()
        collector.wait(SECONDS)
    assert request[1] == "00f067aa0ba902b7"
    assert send[1] == request[2]
    assert (delivery[1], delivery[3]) == (send[2], send[2])
    # The page's own lines agree with each other in the same way.
    shown = [line.split() for line in block("text").splitlines()]
    by_name = {line[3]: line for line in shown}
    assert by_name["deliver"][1] == by_name["deliver"][-1] == by_name["send"][2]
    assert by_name["send"][1] == by_name["POST"][2]
    assert by_name["POST"][1] == request[1]


def test_the_page_names_the_bounds_of_the_code() -> None:
    from pushhub.tracing import exporter, fetch_spans, request_spans, tracing

    assert f"{request_spans.MAX_OPEN:,} open" in PAGE
    assert f"| {exporter.QUEUED_SPANS} |" in PAGE
    assert f"at most {fetch_spans.MAX_LINKS} |" in PAGE
    assert f"waits {tracing.CLOSE_SECONDS:.0f} seconds at most" in PAGE
    assert os.path.basename(tracing.SCHEMA).removesuffix(".0") in PAGE
