"""What serving a model costs with one build or another: arithmetic of a study's numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from tvm_sparse.errors import ConfigError
from tvm_sparse.tuning.setting import Setting

_SECONDS_PER_DAY, _DAYS_PER_YEAR = 86_400, 365


@dataclass(frozen=True)
class Pricing:
    """What cores cost, and how much there is to do.

    Parameters
    ----------
    per_core_hour : float or None
        Price of one core for an hour, in any currency.
    requests_per_day : float or None
        Requests; one is a sequence.
    """

    per_core_hour: float | None = None
    requests_per_day: float | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and not 0 < value < float("inf"):
                raise ConfigError(f"{name} {value:g} given: it must be a number over 0")


@dataclass(frozen=True)
class Economy:
    """What one build costs at one setting, its cores busy all the time.

    Attributes
    ----------
    name : str
        The build.
    setting : Setting
        Where.
    latency_ms : float
        One inference.
    measured : bool
        Whether that was measured.
    items_per_s_per_core : float
        Sequences per second and thread.
    core_hours_per_million : float
        Core hours that a million requests take.
    cost_per_million, cost_per_year : float or None
        In the currency of the price; None without one, and without a number of requests.
    cores : float or None
        Cores that the requests of a day keep busy.
    """

    name: str
    setting: Setting
    latency_ms: float
    measured: bool
    items_per_s_per_core: float
    core_hours_per_million: float
    cost_per_million: float | None
    cost_per_year: float | None
    cores: float | None


def economy_of(
    name: str, setting: Setting, latency_ms: float, pricing: Pricing, measured: bool
) -> Economy:
    """Return what a build costs.

    Parameters
    ----------
    name : str
        The build.
    setting : Setting
        Where it runs.
    latency_ms : float
        One inference there.
    pricing : Pricing
        What cores cost.
    measured : bool
        Whether the latency was measured.
    """
    core_s = latency_ms / 1e3 * setting.threads / setting.batch
    core_hours = core_s * 1e6 / 3600
    price, per_day = pricing.per_core_hour, pricing.requests_per_day
    per_million = core_hours * price if price else None
    per_year = per_million * per_day * _DAYS_PER_YEAR / 1e6 if per_million and per_day else None
    return Economy(
        name=name,
        setting=setting,
        latency_ms=latency_ms,
        measured=measured,
        items_per_s_per_core=1 / core_s,
        core_hours_per_million=core_hours,
        cost_per_million=per_million,
        cost_per_year=per_year,
        cores=core_s * per_day / _SECONDS_PER_DAY if per_day else None,
    )
