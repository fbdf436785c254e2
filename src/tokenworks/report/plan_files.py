"""Files of a plan: JSON and back."""

from __future__ import annotations

import json
from pathlib import Path

from tokenworks.errors import InputError
from tokenworks.plan.result import Plan
from tokenworks.report.files import plain

FORMAT = "tokenworks-plan-2"  # 2: the network is in dollars and watts


def plan_json(plan: Plan) -> str:
    """The whole plan; equal plans are equal bytes."""
    return json.dumps({"format": FORMAT, **plain(plan)}, ensure_ascii=False, indent=1, allow_nan=False)


def read_plan(path: Path) -> Plan:
    """A plan from its folder or its plan.json. Raises InputError."""
    import msgspec

    file = path / "plan.json" if path.is_dir() else path
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"no plan at {path}: a plan's folder has a plan.json (tokenworks plan DEMAND.yaml --out FOLDER)"
        ) from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"cannot read {file}: {error}") from None
    if not isinstance(data, dict) or data.pop("format", None) != FORMAT:
        raise InputError(f"{file} is no plan of the format {FORMAT}")
    try:
        return msgspec.convert(data, Plan)
    except msgspec.ValidationError as error:
        raise InputError(f"{file} is no plan: {error}") from None
