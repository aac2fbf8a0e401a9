"""What was recognized, written as a spec."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infoalign_dgl.context.recognition.known import Recognized


def spec_text(found: Sequence[Recognized]) -> str:
    """Write what was recognized as a spec, with the reasons as comments."""
    lines = [
        "# What infoalign-dgl init-spec recognized, and why. Look it over, then try: infoalign-dgl check"
    ]
    if not any(one.section and not one.off for one in found):
        lines.append("# No table was recognized: fill in the sections below, or see examples/own-data.toml.")
    for one in found:
        # A reason may have a column's name in it, and that a line break, which would end the comment.
        lines += ["", *(f"# {' '.join(reason.split())}" for reason in one.reasons)]
        body = [f"[[{one.section or 'section'}]]", *_toml({"file": one.file} | one.keys)]
        body += [f"# {line}" for line in _toml(one.proposed)]
        lines += [f"# {line}" for line in body] if one.off or not one.section else body
    return "\n".join(lines) + "\n"


def _toml(keys: dict[str, Any]) -> list[str]:
    return [f"{key} = {toml_value(given)}" for key, given in keys.items() if given is not None]


def toml_value(given: Any) -> str:
    """Write text, a list of it or a table as TOML does."""
    if isinstance(given, dict):
        return "{ " + ", ".join(f"{_key(key)} = {toml_value(value)}" for key, value in given.items()) + " }"
    return json.dumps(given, ensure_ascii=False)  # TOML writes strings and lists of them as JSON does


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else toml_value(name)
