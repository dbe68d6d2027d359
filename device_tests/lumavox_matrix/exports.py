"""Judged cells as Markdown, JSON, JUnit XML and kcidb-style JSON (schema 5.3 of KernelCI). Pure functions."""

from __future__ import annotations

import datetime
import json
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from lumavox import __version__
from lumavox._parse import plain

from .cell import Culprit, Status
from .judged import Judged

__all__ = ["as_json", "as_junit", "as_kcidb", "as_markdown"]

SCHEMA = 1
ORIGIN = "lumavox"
MARKDOWN_ROWS = 200
_BAD = (Status.FAIL, Status.ERROR, Status.MISS)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")  # not allowed in XML, not even escaped


def as_json(cells: Sequence[Judged]) -> str:
    """Every verdict with its findings and figures, one object a cell; unknown values are left out."""
    rows = []
    for judged in cells:
        row: dict[str, Any] = plain(judged.verdict)
        row["cell_digest"] = judged.cell.digest
        row["plain_green"] = judged.verdict.plain_green
        row["runs"] = [plain(run) for run in judged.runs]
        rows.append(row)
    document = {"schema": SCHEMA, "version": __version__, "cells": rows}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n"


def as_markdown(cells: Sequence[Judged], title: str) -> str:
    """Counts, a table of chipsets and models, and every cell that does not pass."""
    counts = Counter(j.verdict.status for j in cells)
    told = ", ".join(f"{counts[status]} {status.value}" for status in Status if counts[status])
    unproven = sum(j.verdict.status is Status.PASS and not j.verdict.plain_green for j in cells)
    lines = [f"# {title}", "", f"{len(cells)} cells: {told or 'none'}."]
    if unproven:
        lines.append(f"{unproven} of those that pass are not plain green (marked *).")
    lines += ["", *_heat(cells), ""]
    bad = sorted((j for j in cells if j.verdict.status in _BAD), key=lambda j: j.verdict.status.severity)
    if bad:
        lines += ["## Not passing", "", "| status | culprit | cell | rung | why |", "|---|---|---|---|---|"]
        for judged in bad[:MARKDOWN_ROWS]:
            verdict = judged.verdict
            known = f" ({verdict.gap} gap)" if verdict.gap else ""
            culprit = verdict.culprit.value if verdict.culprit else "-"
            parts = (verdict.status.value + known, culprit, judged.cell, verdict.rung.value, verdict.reason)
            lines.append("| " + " | ".join(_table_text(str(part)) for part in parts) + " |")
        if len(bad) > MARKDOWN_ROWS:
            lines.append(f"\n... and {len(bad) - MARKDOWN_ROWS} more.")
    healed = [j for j in cells if j.verdict.gap == "healed"]
    if healed:
        lines += ["", "## Known gaps that pass now", ""]
        lines += [f"- {j.cell}: {j.verdict.gap_reason}" for j in healed]
    return "\n".join(lines) + "\n"


def as_junit(cells: Sequence[Judged]) -> str:
    """One test suite a chipset, one test case a cell; valid by Jenkins' schema ``junit-10.xsd``."""
    root = ElementTree.Element("testsuites", name="lumavox-matrix")
    suites: dict[str, list[Judged]] = defaultdict(list)
    for judged in cells:
        suites[judged.cell.soc].append(judged)
    for soc, members in sorted(suites.items()):
        statuses = Counter(j.verdict.status for j in members)
        suite = ElementTree.SubElement(
            root, "testsuite", name=soc, tests=str(len(members)), failures=str(statuses[Status.FAIL]),
            errors=str(statuses[Status.ERROR] + statuses[Status.MISS]), skipped=str(statuses[Status.SKIP]),
        )  # fmt: skip
        for judged in members:
            _case(suite, judged)
    text: str = ElementTree.tostring(root, encoding="unicode", xml_declaration=True)
    return text + "\n"


def as_kcidb(cells: Sequence[Judged]) -> str:
    """A build for each model and engine, a test for each cell, an issue and incidents for each rule that
    found something. Absent means that data is missing; nothing is null."""
    builds: dict[str, dict[str, Any]] = {}
    issues: dict[str, dict[str, Any]] = {}
    tests, incidents = [], []
    for judged in cells:
        build = _build(judged)
        builds[build["id"]] = build
        test = _test(judged, build["id"])
        tests.append(test)
        verdict = judged.verdict
        if verdict.rule and verdict.culprit:
            issue = f"{ORIGIN}:{verdict.rule}.{verdict.culprit.value}"
            issues.setdefault(issue, _issue(issue, verdict.rule, verdict.culprit))
            incidents.append(
                {
                    "id": f"{test['id']}.{verdict.rule}",
                    "origin": ORIGIN,
                    "issue_id": issue,
                    "issue_version": 1,
                    "test_id": test["id"],
                    "present": True,
                    "comment": verdict.reason.replace("\0", ""),
                }
            )
    checkout = {"id": f"{ORIGIN}:{__version__}", "origin": ORIGIN, "git_commit_name": __version__}
    document = {
        "version": {"major": 5, "minor": 3},
        "checkouts": [checkout] if tests else [],
        "builds": list(builds.values()),
        "tests": tests,
        "issues": list(issues.values()),
        "incidents": incidents,
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n"


def _heat(cells: Sequence[Judged]) -> list[str]:
    groups: dict[tuple[str, str], list[Judged]] = defaultdict(list)
    for judged in cells:
        groups[judged.cell.soc, judged.cell.model].append(judged)
    models = sorted({model for _, model in groups})
    lines = ["| chipset | " + " | ".join(models) + " |", "|---" * (len(models) + 1) + "|"]
    for soc in sorted({soc for soc, _ in groups}):
        fields = [_field(groups.get((soc, model), [])) for model in models]
        lines.append(f"| {soc} | " + " | ".join(fields) + " |")
    return lines


def _field(members: Sequence[Judged]) -> str:
    if not members:
        return ""
    worst = min((j.verdict.status for j in members), key=lambda s: s.severity)
    same = sum(j.verdict.status is worst for j in members)
    count = str(same) if same == len(members) else f"{same} of {len(members)}"
    star = "" if all(j.verdict.plain_green or j.verdict.status is not Status.PASS for j in members) else " *"
    rungs = Counter(j.verdict.rung.value for j in members)
    return f"{worst.value} {count}{star} ({', '.join(f'{n} {rung}' for rung, n in rungs.items())})"


def _table_text(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _case(suite: ElementTree.Element, judged: Judged) -> None:
    verdict, cell = judged.verdict, judged.cell
    case = ElementTree.SubElement(
        suite, "testcase", classname=f"{cell.soc}.{cell.task}", name=f"{cell} [{cell.digest}]",
        time=f"{judged.result.outcome.seconds:.3f}",
    )  # fmt: skip
    kind = {
        Status.FAIL: "skipped" if verdict.gap == "known" else "failure", Status.ERROR: "error",
        Status.MISS: "error", Status.SKIP: "skipped",
    }.get(verdict.status)  # fmt: skip
    if kind is not None:
        reason = verdict.reason if verdict.gap != "known" else f"known gap: {verdict.gap_reason}"
        element = ElementTree.SubElement(case, kind, message=_xml_text(reason))
        if kind != "skipped":
            element.set("type", f"{verdict.culprit.value if verdict.culprit else 'unknown'}.{verdict.rule}")
            rules = (f"{f.rule} [{f.culprit.value}] {f.what} ({f.evidence})" for f in verdict.findings)
            element.text = _xml_text("\n".join(rules))
    facts = {
        "rung": verdict.rung.value, "validity": verdict.validity.value,
        "delegation": verdict.delegation.value,
        "firmware": cell.firmware, "driver": cell.driver, "model_digest": cell.model_digest,
    }  # fmt: skip
    # Jenkins' schema has no properties of a test case.
    told = "\n".join(f"{name}: {value}" for name, value in facts.items())
    ElementTree.SubElement(case, "system-out").text = _xml_text(told)


def _xml_text(text: str) -> str:
    return _CONTROL.sub("\ufffd", text)


def _build(judged: Judged) -> dict[str, Any]:
    cell = judged.cell
    name = f"{cell.model_digest[:16]}.{cell.precision}.{cell.engine}.{cell.engine_version}.{cell.compiler}"
    return {
        "id": f"{ORIGIN}:{name}",
        "checkout_id": f"{ORIGIN}:{__version__}",
        "origin": ORIGIN,
        "comment": f"{cell.model} {cell.precision} for {cell.engine} {cell.engine_version}",
        "misc": {"model": cell.model, "model_digest": cell.model_digest, "compiler": cell.compiler},
    }


def _test(judged: Judged, build: str) -> dict[str, Any]:
    verdict, cell, result = judged.verdict, judged.cell, judged.result
    began = datetime.datetime.fromtimestamp(result.began_ms / 1e3, datetime.timezone.utc)
    test: dict[str, Any] = {
        "id": f"{ORIGIN}:{cell.digest}.{result.run_id}.{result.began_ms}",
        "build_id": build,
        "origin": ORIGIN,
        "path": f"{ORIGIN}.{cell.task}.{cell.preset}",
        "comment": str(cell),
        "status": verdict.status.value,
        "start_time": began.isoformat(),
        "duration": result.outcome.seconds,
        "environment": {
            "comment": result.device,
            "compatible": [cell.soc],
            "misc": {"firmware": cell.firmware, "driver": cell.driver, "link": result.link},
        },
        "misc": {
            "rung": verdict.rung.value,
            "validity": verdict.validity.value,
            "delegation": verdict.delegation.value,
            "cell": plain(cell),
        },
    }
    if judged.run_p99_us:
        test["number"] = {"value": judged.run_p99_us[-1] / 1e6, "unit": "s", "prefix": "metric"}
    return test


def _issue(issue: str, rule: str, culprit: Culprit) -> dict[str, Any]:
    harness = culprit is Culprit.HARNESS
    return {
        "id": issue,
        "version": 1,
        "origin": ORIGIN,
        "culprit": {"code": not harness, "tool": False, "harness": harness},
        "comment": f"{rule} ({culprit.value})",
        "misc": {"rule": rule, "culprit": culprit.value},
    }
