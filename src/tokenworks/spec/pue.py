"""PUE as the factory file states it: one number, or a table by load and outside temperature."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from tokenworks.spec.part import Part
from tokenworks.spec.quantities import Celsius, Share


class PueTable(Part):
    """PUE by load and outside temperature, linear between the points, constant beyond them."""

    load: tuple[Share, ...] = Field(min_length=1, description="IT watts over the provisioned ones, rising")
    temperature_c: tuple[Celsius, ...] = Field(alias="temperature", min_length=1, description="outside, rising")
    values: tuple[tuple[Annotated[float, Field(ge=1.0, le=3.0)], ...], ...] = Field(
        description="one row per temperature, in it one value per load"
    )

    @model_validator(mode="before")
    @classmethod
    def _one_number(cls, data: Any) -> Any:
        if isinstance(data, int | float) and not isinstance(data, bool):
            return {"load": [1.0], "temperature": [0.0], "values": [[data]]}
        return data

    @model_validator(mode="after")
    def _a_table(self) -> PueTable:
        if len(self.values) != len(self.temperature_c) or {len(row) for row in self.values} != {len(self.load)}:
            raise ValueError(
                f"values needs {len(self.temperature_c)} rows (temperatures) of {len(self.load)} numbers (loads)"
            )
        if list(self.load) != sorted(set(self.load)) or list(self.temperature_c) != sorted(set(self.temperature_c)):
            raise ValueError("load and temperature must rise from point to point")
        for degrees, row in zip(self.temperature_c, self.values, strict=True):
            drawn = [load * pue for load, pue in zip(self.load, row, strict=True)]
            if drawn != sorted(drawn):
                raise ValueError(f"at {degrees:g} C a higher load would draw less power at the meter")
        return self

    @model_serializer(mode="wrap")
    def _short(self, handler: SerializerFunctionWrapHandler) -> Any:
        one = len(self.load) == len(self.temperature_c) == 1
        return self.values[0][0] if one else handler(self)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> Any:
        table = handler.resolve_ref_schema(handler(core_schema))
        whole = {key: table.pop(key) for key in list(table)}
        table.update(
            description=whole.pop("description"), anyOf=[{"type": "number", "minimum": 1, "maximum": 3}, whole]
        )
        return table
