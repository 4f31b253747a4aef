"""How values of a scenario file are written: the amounts, words and references its keys are made of."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

from exafleet.facts.scenario.kinds import (
    Choice,
    Ref,
    Subject,
)
from exafleet.facts.scenario.values import MEAN_MONTH, Amount, Kind, amount
from exafleet.terms.units import DATA

YEAR = 12 * MEAN_MONTH
SCHEMA_FILE = DATA / "scenario.schema.json"
DTYPES = ("bf16", "fp8", "fp4", "int8", "tf32", "fp6")
COOLING = ("air", "liquid")

POWER = amount("power", '"150 MW"', unit="W")
DURATION = amount("time", '"8 wk"', unit="s")
MONTHS = Amount(dims={"time": 1 / MEAN_MONTH}, unit="mo", example='"2 mo"', bare=True, whole=True, high=1200)
SHARE = Amount(dims={"number": 1.0}, unit="1", example='"30 %"', bare=True, high=1.0)
FACTOR = Amount(dims={"number": 1.0}, unit="1", example="1.2", bare=True)
PER_YEAR = Amount(dims={"rate": YEAR}, unit="1/yr", example='"12 %/yr"', high=10.0)
DOLLARS = amount("money", '"$4.0B"', unit="USD")
PER_MONTH = Amount(dims={"money_rate": MEAN_MONTH}, unit="USD/mo", example='"$200k/mo"')
UNIT_PRICE = Amount(dims={"price_per_unit": 1.0, "price_per_chip": 1.0}, chips={"price_per_chip": 1}, unit="USD/unit",
                    example='"$3.0M/rack"')
RENT = amount("rent", '"$2.20/GPU-hr"', unit="USD/GPU-s")
UNITS = Amount(dims={"system_units": 1.0, "chips": 1.0}, chips={"chips": -1}, unit="units", example='"12,500 units"',
               bare=True, whole=True)
SOME_UNITS = Amount(dims={"system_units": 1.0, "chips": 1.0}, chips={"chips": -1}, unit="units", example='"200 racks"')
PACE = Amount(dims={"install_rate": MEAN_MONTH, "system_units": 1.0}, unit="units/mo", example='"200 racks/mo"')
CHIPS = Amount(dims={"chips": 1.0}, unit="chips", example='"256 GPUs"', bare=True, whole=True)
LENT = amount("chips", '"12,000 GPUs"', unit="chips")
COUNT = Amount(dims={"number": 1.0, "tokens": 1.0}, unit="tokens", example="8192", bare=True, whole=True, low=1)
TOKENS = amount("tokens", '"1.5T tokens"', unit="tokens", low=1.0)
LATENCY = amount("time", '"50 ms"', unit="s", low=1e-9)
OWNER, SITE = Ref(to="owners", example='"xai"'), Ref(to="sites", example='"memphis"')
HELD = Subject(kind="system", complete=True, example='"gb200-nvl72"')
SYSTEM = Subject(kind="system", example='"gb200-nvl72"')
MODEL = Subject(kind="model", example='"llama-3.1-405b"')
DTYPE = Choice(words=DTYPES, example='"bf16"')


class Keys(BaseModel):
    """Keys of one TOML table; an unknown key is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


def key(meaning: str, *, default: Any = ..., **more: Any) -> Any:
    """A key with its meaning; without a default it must be given."""
    return Field(default=default, description=meaning, **more)


def kind_of(info: FieldInfo) -> Kind | None:
    """How a key's value is written."""
    return next((m for m in info.metadata if isinstance(m, Kind)), None)
