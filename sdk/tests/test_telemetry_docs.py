"""Every field of the telemetry record is documented, and the page says what the schema says.

python sdk/tests/test_telemetry_docs.py            # writes the table of docs/telemetry.md anew
"""

from __future__ import annotations

import json
from pathlib import Path

from lumavox.telemetry_cmcd import _custom
from lumavox.telemetry_reporter import INTERVAL_S

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "telemetry.md"
SCHEMA = ROOT / "sdk" / "lumavox" / "schemas" / "telemetry.schema.json"
BEGIN, END = "test_telemetry_docs.py -->\n", "<!-- end -->"


def table() -> str:
    """The fields of the schema with their types and descriptions, as Markdown."""
    rows = ["| field | type | is |", "|---|---|---|"]

    def add(node: dict, prefix: str) -> None:
        for name, field in node["properties"].items():
            kind = " or ".join(f"`{v}`" for v in field["enum"]) if "enum" in field else field.get("type", "1")
            needed = "" if name in node["required"] else "?"
            rows.append(f"| `{prefix}{name}` | {kind}{needed and ', optional'} | {field['description']} |")
            if field.get("type") == "object":
                add(field, f"{prefix}{name}.")

    add(json.loads(SCHEMA.read_text()), "")
    return "\n".join(rows) + "\n"


def split(page: str) -> tuple[str, str, str]:
    before, rest = page.split(BEGIN)
    inside, after = rest.split(END)
    return before + BEGIN, inside, END + after


def test_every_field_has_a_description_in_the_schema():
    def check(node: dict, where: str) -> None:
        for name, field in node.get("properties", {}).items():
            assert field.get("description"), f"{where}{name}"
            check(field, f"{where}{name}.")

    check(json.loads(SCHEMA.read_text()), "")


def test_the_page_has_the_table_of_the_schema():
    assert split(PAGE.read_text())[1] == table(), "run: python sdk/tests/test_telemetry_docs.py"


def test_the_page_names_every_key_that_is_sent_and_the_interval():
    from meters import full_meter

    page = PAGE.read_text()
    record = full_meter().record()
    assert all(f"`-enh-{suffix}`" in page for suffix in _custom(record))
    assert f"every {INTERVAL_S:g} s" in page


if __name__ == "__main__":
    before, _, after = split(PAGE.read_text())
    PAGE.write_text(before + table() + after)
