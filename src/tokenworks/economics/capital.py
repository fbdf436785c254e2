"""What hardware costs per second: bought and written off, or rented."""

from __future__ import annotations

from dataclasses import dataclass

from tokenworks.economics.tariff import MONTH_S

YEAR_S = 31_557_600.0


def straight_line_usd_s(price_usd: float, residual_share: float, life_s: float) -> float:
    """Depreciation per second, straight line to the residual value.

    >>> round(straight_line_usd_s(4e6, 0.1, 4 * YEAR_S) * YEAR_S)
    900000
    """
    return price_usd * (1 - residual_share) / life_s


def annuity(price_usd: float, rate_year: float, years: float) -> float:
    """Level payment per year that repays a price with interest: P·r / (1 − (1 + r)^−n).

    >>> round(annuity(1000, 0.10, 3), 2)
    402.11
    >>> annuity(900, 0.0, 3)
    300.0
    """
    if rate_year == 0:
        return price_usd / years
    return float(price_usd * rate_year / (1 - (1 + rate_year) ** -years))


@dataclass(frozen=True)
class SystemFacts:
    """All systems of one entry of the factory file: what they are and what they cost, energy apart."""

    id: str
    owned: bool  # else rented: space and energy are in the rent
    gpus: int
    nameplate_w: float  # IT watts
    price_usd: float
    residual_share: float
    life_s: float
    maintenance_share_year: float
    staff_share: float  # of depreciation
    rent_usd_gpu_s: float
    colocation_usd_kw_month: float
    network_usd: float = 0.0  # bought beside the systems, on the same terms
    network_w: float = 0.0  # part of the nameplate

    def costs_usd(self, horizon_s: float) -> dict[str, float]:
        """Dollars over the horizon by cause."""
        if not self.owned:
            return {"rent": self.rent_usd_gpu_s * self.gpus * horizon_s}
        return {
            **self.kept_usd(self.price_usd, horizon_s),
            "network": sum(self.kept_usd(self.network_usd, horizon_s).values()),
            "space and cooling plant": self.nameplate_w / 1e3 * self.colocation_usd_kw_month / MONTH_S * horizon_s,
        }

    def kept_usd(self, price_usd: float, horizon_s: float) -> dict[str, float]:
        """Dollars over the horizon, by cause, of something that was bought at a price on these terms."""
        lost = straight_line_usd_s(price_usd, self.residual_share, self.life_s) * horizon_s
        maintenance = price_usd * self.maintenance_share_year / YEAR_S * horizon_s
        return {"depreciation": lost, "maintenance": maintenance, "staff": lost * self.staff_share}
