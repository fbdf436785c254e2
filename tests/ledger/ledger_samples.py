"""Events for tests."""

from tokenworks.events.ledger_events import CostEvent, OutcomeEvent, Reversal, UsageEvent

T0 = 1_750_000_000_000_000  # 15 June 2025
HOUR = 3_600_000_000


def usage(number: int, **fields) -> UsageEvent:
    known = {
        "source": "gw", "id": f"call-{number}", "time_us": T0 + number, "tenant": "acme", "root_run": "r1", "run": "r1",
        "model": "llama", "input_fresh": 100 + number, "cache_read": 1000, "output_visible": 10,
        "energy_uj": 7, "cost_micro_usd": 3,
    }  # fmt: skip
    return UsageEvent(**{**known, **fields})


def cost(number: int, **fields) -> CostEvent:
    known = {
        "source": "tools", "id": f"tool-{number}", "time_us": T0 + number, "tenant": "acme", "root_run": "r1",
        "meter": "search", "quantity_micro": 1_000_000, "unit": "search", "amount_micro": 5_000,
    }  # fmt: skip
    return CostEvent(**{**known, **fields})


def outcome(number: int, **fields) -> OutcomeEvent:
    known = {
        "source": "crm", "id": f"claim-{number}", "time_us": T0 + number, "tenant": "acme", "root_run": "r1",
        "outcome": "ticket_resolved", "status": "claimed", "value_micro": 990_000,
    }  # fmt: skip
    return OutcomeEvent(**{**known, **fields})


def reversal(number: int, of, **fields) -> Reversal:
    known = {
        "source": "gw", "id": f"back-{number}", "time_us": T0 + number, "tenant": of.tenant,
        "of_source": of.source, "of_id": of.id, "reason": "counted wrongly",
    }  # fmt: skip
    return Reversal(**{**known, **fields})
