"""The rules of CTA-5004-B for event reports, written from its text alone. Not a test itself.

    problems(body)                     # what is wrong with the body of a report, in words; [] if nothing

Syntax is left to `http_sf`, an independent parser of RFC 8941.
"""

from __future__ import annotations

import http_sf

EVENTS = set("abs abe ae as b bc c ce e h m pc pe pr ps rr sk t um".split())
STATES = set("s p k r a w e f q d".split())
INTEGERS = set("d dfa dl ltc msd pt rc rtp sn ts ttfb ttfbb ttlb v".split())
STRINGS = {
    "cen": 64,
    "cid": 128,
    "cmsdd": None,
    "cmsds": None,
    "cs": None,
    "h": 128,
    "sid": 64,
    "smrt": None,
    "url": None,
}
TOKENS = {"e": EVENTS, "sta": STATES, "ot": None, "sf": set("dheso"), "st": {"v", "l", "ll"}}
BOOLEANS = set("bg bs nr su".split())
LISTS = set("ab bl br bsa bsd bsda ec lab lb mtp nor pb tab tb tbl tpb".split())
DECIMALS = {"pr"}
RESPONSE_ONLY = set("cmsdd cmsds rc smrt ttfb ttfbb ttlb url".split())
HUNDREDS = {"dl", "rtp"}


def problems(body: str) -> list[str]:
    """Everything that is wrong with a body of type application/cmcd."""
    found = ["a body ends with a line feed"] if body.endswith("\n") else []
    for number, line in enumerate(body.split("\n"), 1):
        found += [f"line {number}: {problem}" for problem in _record_problems(line)]
    return found


def _record_problems(line: str) -> list[str]:
    try:
        items = http_sf.parse(line.encode("utf-8"), tltype="dictionary")
    except Exception as error:
        return [f"no structured field: {error}"]
    if any(parameters for _, parameters in items.values()):
        return ["members have no parameters"]
    values = {key: value for key, (value, _) in items.items()}
    found = [] if list(values) == sorted(values) else ["keys are not in alphabetical order"]
    found += [f"the key {key} is missing" for key in ("e", "ts", "v") if key not in values]
    found += [problem for key, value in values.items() if (problem := _value_problem(key, value))]
    if values.get("v") != 2:
        found.append("v is not 2")
    event = str(values.get("e"))
    if (event == "ce") != ("cen" in values):
        found.append("cen is sent with the event ce, and only with it")
    for needing, key in {"ps": "sta", "e": "ec"}.items():
        if event == needing and key not in values:
            found.append(f"the event {needing} needs {key}")
    if event != "rr":
        found += [f"{key} is for the event rr only" for key in values if key in RESPONSE_ONLY]
    return found


def _value_problem(key: str, value: object) -> str | None:
    kind = type(value)
    if "-" in key:
        prefix = key.partition("-")[0]
        if not prefix or len(key) > 64:
            return f"{key} is no custom key: a prefix, a hyphen, at most 64 characters"
        texts = kind is str or kind is http_sf.Token
        return None if texts and len(str(value)) <= 64 else f"{key} is no text of at most 64 characters"
    if key in INTEGERS:
        if kind is not int or value < 0 or (key in HUNDREDS and value % 100):  # type: ignore[operator]
            return f"{key} is no possible whole number"
    elif key in STRINGS:
        if kind is not str or len(value) > (STRINGS[key] or 10**9):  # type: ignore[arg-type]
            return f"{key} is no possible text"
    elif key in TOKENS:
        known = TOKENS[key]
        if kind is not http_sf.Token or (known is not None and str(value) not in known):
            return f"{key} is no known token"
    elif key in BOOLEANS:
        return None if value is True else f"{key} is sent only if it is true"
    elif key in LISTS:
        members = value if isinstance(value, list) else None
        texts = key in ("ec", "nor")
        if not members or any(type(member) is not (str if texts else int) for member, _ in members):
            return f"{key} is no list of what belongs into it"
    elif key not in DECIMALS:
        return f"{key} is not a key of CMCD version 2"
    return None
