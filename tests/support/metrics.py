"""What /metrics of a server says, by name and labels."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from tests.support.server import Server


def scrape(server: Server, **headers: str) -> dict[tuple[str, ...], float]:
    """(name, label values in the order of their names) -> value."""
    text = server.request("GET", "/metrics", headers=headers).body.decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(s.name, *(value for _, value in sorted(s.labels.items()))): s.value for s in samples}
